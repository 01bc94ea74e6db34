"""Threads: one where they don't pay, several where they do, and the session's own number afterwards."""

import time

import pytest
import torch

from companion import datasets
from companion.errors import ModelError
from companion.inference import Machine, fit
from companion.machine import guard, threads_worth
from companion.models import binary_classifier
from companion.posterior import load_posterior, save_posterior

MANY = 2


@pytest.fixture(autouse=True)
def _session():
    before = torch.get_num_threads()
    torch.set_num_threads(MANY)
    yield
    torch.set_num_threads(before)


def sleeping(one, several):
    """Take so many seconds on one thread and on several."""

    def function(x):
        time.sleep(one if torch.get_num_threads() == 1 else several)

    return function


@pytest.mark.parametrize(
    ("one", "several", "chosen"), [(0.001, 0.003, 1), (0.003, 0.001, MANY), (0.002, 0.00195, 1), (0.0046, 0.004, 1)]
)
def test_several_threads_must_be_measured_to_be_faster(one, several, chosen) -> None:
    found = threads_worth(sleeping(one, several), [torch.ones(3)], largest=10**6, setting="auto", steps=10**5)
    assert found == chosen
    assert torch.get_num_threads() == MANY


def test_small_tensors_and_short_fits_are_not_measured() -> None:
    calls = []
    assert threads_worth(calls.append, [torch.ones(3)], largest=1000, setting="auto", steps=10**5) == 1
    assert (
        threads_worth(calls.append, [torch.ones(3)], largest=10**6, setting="auto", steps=10**5, measurable=False)
        == MANY
    )
    assert not calls
    assert threads_worth(calls.append, [torch.ones(3)], largest=10**6, setting="auto", steps=1) == MANY
    assert threads_worth(calls.append, [torch.ones(3)], largest=10**5, setting="auto", steps=1) == 1
    assert threads_worth(calls.append, [torch.ones(3)], largest=10**6, setting=3, steps=10**5) == 3


@pytest.mark.parametrize("threads", [0, -1, 1.5, "all", True])
def test_strange_numbers_of_threads_are_refused(threads) -> None:
    with pytest.raises(ModelError, match="threads="):
        Machine(threads=threads)


def test_a_guard_restores_the_session_s_threads() -> None:
    with guard():
        torch.set_num_threads(1)
    assert torch.get_num_threads() == MANY


def test_a_small_fit_uses_one_thread_and_says_so(tmp_path) -> None:
    model = binary_classifier(datasets.moons().train)
    seen = []
    posterior = fit(
        model, 3, elbo_draws=2, progressbar=False, callback=lambda step, state: seen.append(torch.get_num_threads())
    )
    assert seen == [1, 1, 1]
    assert torch.get_num_threads() == MANY
    assert posterior.record.threads == 1
    save_posterior(posterior, tmp_path / "fit.safetensors")
    assert load_posterior(tmp_path / "fit.safetensors", model).record.threads == 1


def test_a_fit_goes_on_with_the_threads_that_it_began_with(tmp_path) -> None:
    model = binary_classifier(datasets.moons().train)

    def stop(step, state):
        raise StopIteration

    settings = {"steps": 4, "elbo_draws": 2, "progressbar": False, "checkpoint": tmp_path / "fit"}
    fit(model, **settings, machine=Machine(threads=MANY), callback=stop)
    assert fit(model, **settings).record.threads == MANY
