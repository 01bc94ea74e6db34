"""A small model's step as one call of a library: the same steps, kept for the next fit, and nothing lost without it."""

import itertools
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pymc as pm
import pytest
import torch

from companion.datasets import Observations
from companion.errors import InferenceError
from companion.inference import Checkpoint, Machine, Rates, Trajectory, fit, swag
from companion.machine import Library, LibraryError
from companion.models import torch_classifier
from companion.networks import dense
from companion.priors import Gaussian
from companion.training import loop, whole_step

X = np.random.default_rng(0).normal(size=(60, 3))
Y = X @ [1.0, -2.0, 0.5] + np.random.default_rng(1).normal(size=60)
STEPS = 120
QUICK = {"restarts": 2, "seed": 1, "progressbar": False, "elbo_draws": 4, "batch_size": 20}
PLAIN, COMPILED, AUTO = (Machine("cpu", "float64", compile, threads=1) for compile in (False, True, "auto"))


def regression() -> pm.Model:
    with pm.Model() as model:
        w, s = pm.Normal("w", 0, 1, shape=3), pm.HalfNormal("s", 1)
        pm.Normal("obs", pm.Data("x", X) @ w, s, observed=pm.Data("y", Y))
    return model


@pytest.fixture(scope="module")
def built(libraries):
    return fit(regression(), STEPS, machine=COMPILED, **QUICK)


@pytest.fixture(scope="module")
def plain():
    return fit(regression(), STEPS, machine=PLAIN, **QUICK)


class Late:
    """A library that is built when it is asked for the third time, and computes what its graph does."""

    asked = 3
    beside = None

    def __init__(self, graph, arguments, threads, *, beside):
        Late.beside = beside
        self._graph, self._count = graph, itertools.count(1)

    def done(self) -> bool:
        return next(self._count) >= self.asked

    def load(self):
        return lambda arguments: self._graph(*arguments)


def test_the_steps_are_the_same_but_for_rounding(built, plain, libraries) -> None:
    assert (built.record.compiled, plain.record.compiled) == (True, False)
    np.testing.assert_allclose(built.record.losses, plain.record.losses, rtol=1e-9)
    for name, parameter in plain.parameters.items():
        torch.testing.assert_close(built.parameters[name], parameter, rtol=1e-9, atol=1e-9)
    assert [path.suffix for path in (libraries / "compiled").iterdir()] == [".so"], "nothing else is left behind"


@pytest.mark.parametrize(("precision", "rtol"), [("float64", 1e-9), ("float32", 1e-4), ("bfloat16", 1e-4)])
def test_a_network_with_a_tangent_is_compiled_in_every_precision(precision, rtol, monkeypatch):
    """By the graph of the library; what the compiler makes of it is tested above."""
    monkeypatch.setattr(whole_step, "Library", Late)
    data = Observations(X, (Y > 0).astype(int))
    model = torch_classifier(data, dense(3, 8, 1, activation=torch.nn.Tanh), Gaussian(1.0))
    found, expected = (
        fit(model, 30, machine=Machine("cpu", precision, compile, threads=1), **QUICK) for compile in (True, False)
    )
    assert (found.record.compiled, expected.record.compiled) == (True, False)
    np.testing.assert_allclose(found.record.losses, expected.record.losses, rtol=rtol)


def test_the_next_fit_finds_the_library_whatever_its_rates_and_length(none_is_built) -> None:
    how = {
        "machine": COMPILED,
        "learning_rate": Rates(0.02, 0.005),
        "temperature": 0.5,
        "schedule": "one-cycle",
        **QUICK,
    }
    found, wanted = fit(regression(), 90, **how), fit(regression(), 90, **how | {"machine": PLAIN})
    assert found.record.compiled
    np.testing.assert_allclose(found.record.losses, wanted.record.losses, rtol=1e-9)


ANOTHER = """
import sys, types
import numpy as np
import test_whole_step as here
from companion.machine import libraries

def refuse(*args, **kwargs):
    raise AssertionError("a library was built a second time")

libraries.subprocess = types.SimpleNamespace(Popen=refuse, DEVNULL=None)
found = here.fit(here.regression(), here.STEPS, machine=here.COMPILED, **here.QUICK)
assert found.record.compiled
np.save(sys.argv[1], found.record.losses)
"""


def test_another_process_finds_the_library(built, libraries, tmp_path) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    command = [sys.executable, "-c", ANOTHER, str(tmp_path / "losses.npy")]
    environment = {**os.environ, "PYTHONPATH": path}  # with the folder of libraries
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "losses.npy"), built.record.losses)
    assert len(list((libraries / "compiled").iterdir())) == 1


@pytest.mark.parametrize("at", [1, 40])
def test_a_fit_that_was_stopped_ends_bit_for_bit_where_it_would_have(at, built, none_is_built, tmp_path) -> None:
    def stop(step, state):
        if step == at:
            raise StopIteration

    stopped = fit(regression(), STEPS, machine=COMPILED, checkpoint=tmp_path, callback=stop, **QUICK)
    assert stopped.record.stopped == f"stopped by the callback after step {at} of 120"
    resumed = fit(regression(), STEPS, machine=AUTO, checkpoint=tmp_path, **QUICK)
    assert resumed.record.compiled, "the checkpoint says so"
    np.testing.assert_array_equal(resumed.record.losses, built.record.losses)
    for name, parameter in built.parameters.items():
        assert torch.equal(resumed.parameters[name], parameter)


@pytest.mark.parametrize("every", [7, 50])
def test_a_killed_fit_goes_on_from_any_checkpoint_bit_for_bit(every, built, none_is_built, tmp_path) -> None:
    seen = []

    def kill(step, state):
        seen.append(step)
        if step == 83:
            raise RuntimeError("the power went off")

    with pytest.raises(InferenceError, match="step 83 failed: RuntimeError: the power went off"):
        fit(regression(), STEPS, machine=COMPILED, checkpoint=Checkpoint(tmp_path, every), callback=kill, **QUICK)
    assert seen == list(range(1, 84)), "the callback sees every step"
    resumed = fit(regression(), STEPS, machine=AUTO, checkpoint=Checkpoint(tmp_path, every), **QUICK)
    np.testing.assert_array_equal(resumed.record.losses, built.record.losses)
    for name, parameter in built.parameters.items():
        assert torch.equal(resumed.parameters[name], parameter)


def test_a_ctrl_c_ends_a_compiled_fit_after_the_step_that_it_came_in(none_is_built, tmp_path) -> None:
    def interrupt(step, state):
        if step == 30:
            signal.raise_signal(signal.SIGINT)

    stopped = fit(regression(), STEPS, machine=COMPILED, callback=interrupt, **QUICK)
    assert stopped.record.stopped == "interrupted after step 30 of 120"


def test_restarts_that_diverge_end_with_the_last_good_state(none_is_built) -> None:
    with pytest.raises(InferenceError, match="in every restart that was left") as caught:
        fit(regression(), 300, machine=COMPILED, learning_rate=1e200, **QUICK)
    assert torch.isfinite(caught.value.posterior.parameters["mean"]).all()


def test_a_long_fit_starts_plain_and_goes_over_when_the_library_is_there(plain, monkeypatch) -> None:
    seen = {}
    monkeypatch.setattr(whole_step, "Library", Late)
    monkeypatch.setattr(loop, "_WORTH_IT_S", 0.0)

    def watch(step, state):
        seen[step] = state.posterior().record.compiled

    gone_over = fit(regression(), STEPS, machine=AUTO, callback=watch, **QUICK)
    first = min(step for step, compiled in seen.items() if compiled)
    assert 1 < first < STEPS
    assert all(compiled for step, compiled in seen.items() if step >= first)
    assert not any(compiled for step, compiled in seen.items() if step < first)
    assert gone_over.record.compiled
    assert Late.beside, "the fit goes first"
    np.testing.assert_array_equal(gone_over.record.losses[: first - 1], plain.record.losses[: first - 1])
    np.testing.assert_allclose(gone_over.record.losses, plain.record.losses, rtol=1e-9)


def test_a_short_fit_stays_plain_even_where_a_library_is_there(plain, none_is_built) -> None:
    short = fit(regression(), STEPS, machine=AUTO, **QUICK)
    assert not short.record.compiled
    np.testing.assert_array_equal(short.record.losses, plain.record.losses)


def test_a_checkpoint_before_the_library_is_there_leaves_it_open(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(whole_step, "Library", type("Never", (Late,), {"asked": 10**9}))
    monkeypatch.setattr(loop, "_WORTH_IT_S", 0.0)
    first = fit(regression(), STEPS, machine=AUTO, checkpoint=Checkpoint(tmp_path, 50), callback=_stop_at_60, **QUICK)
    assert not first.record.compiled
    monkeypatch.setattr(whole_step, "Library", type("AtOnce", (Late,), {"asked": 1}))
    assert fit(regression(), STEPS, machine=AUTO, checkpoint=Checkpoint(tmp_path, 50), **QUICK).record.compiled


def _stop_at_60(step, state) -> None:
    if step == 60:
        raise StopIteration


@pytest.mark.parametrize("setting", [COMPILED, AUTO])
def test_where_none_can_be_built_the_gradient_alone_may_be_compiled(setting, plain, monkeypatch) -> None:
    class Broken(Late):
        asked = 2

        def load(self):
            raise LibraryError("there is no compiler")

    asked = []

    def no_faster(function, arguments, *, setting, steps, device):
        asked.append(setting)
        return function, False

    monkeypatch.setattr(whole_step, "Library", Broken)
    monkeypatch.setattr(loop, "_WORTH_IT_S", 0.0)
    monkeypatch.setattr(loop, "faster", no_faster)
    without = fit(regression(), STEPS, machine=setting, **QUICK)
    assert asked == [setting.compile]
    assert Late.beside == (setting is AUTO), "who waits for it wants it soon"
    assert not without.record.compiled
    np.testing.assert_array_equal(without.record.losses, plain.record.losses)


@pytest.mark.parametrize("other", [{"learning_rate": Rates(0.01, 0.01, "sgd")}, {"family": "map", "draws": 1}])
def test_only_adam_is_taken_as_a_whole(other, monkeypatch) -> None:
    made = []
    monkeypatch.setattr(whole_step, "Library", lambda *given, **how: made.append(given) or Late(*given, **how))
    monkeypatch.setattr(loop, "_WORTH_IT_S", 0.0)
    monkeypatch.setattr(loop, "faster", lambda function, *args, **kwargs: (function, False))
    fit(regression(), 5, machine=COMPILED, **QUICK, **other)
    assert len(made) == (0 if "learning_rate" in other else 1)


class AtOnce(Late):
    asked = 1


@pytest.fixture
def at_once(monkeypatch):
    """Whole steps without a compiler."""
    monkeypatch.setattr(whole_step, "Library", AtOnce)


def moons(batch_size: int | None, restarts: int):
    x, y = np.random.default_rng(2).normal(size=(100, 2)), np.random.default_rng(3).integers(2, size=100)
    model = torch_classifier(Observations(x, y), dense(2, 9, 9, 2, seed=0), Gaussian(1.0))
    how = {**QUICK, "batch_size": batch_size, "restarts": restarts}
    return [fit(model, 50, machine=machine, **how) for machine in (PLAIN, COMPILED)]


@pytest.mark.parametrize("batch_size", [None, 70])  # 70 of 100: most epochs end within a batch
@pytest.mark.parametrize("restarts", [1, 3])
def test_a_network_takes_the_same_steps_but_for_rounding(batch_size, restarts, at_once) -> None:
    plain, whole = moons(batch_size, restarts)
    assert (plain.record.compiled, whole.record.compiled) == (False, True)
    np.testing.assert_allclose(whole.record.losses, plain.record.losses, rtol=1e-9)
    for name, parameter in plain.parameters.items():
        torch.testing.assert_close(whole.parameters[name], parameter, rtol=1e-8, atol=1e-9)


def test_swag_gathers_the_same_iterates_on_whole_steps(at_once) -> None:
    how = {**QUICK, "trajectory": Trajectory(0.005, rank=4, every=3, optimiser="adam")}
    plain, whole = (swag(regression(), STEPS, machine=machine, **how) for machine in (PLAIN, COMPILED))
    assert whole.record.compiled
    for name, parameter in plain.parameters.items():
        torch.testing.assert_close(whole.parameters[name].abs(), parameter.abs(), rtol=1e-6, atol=1e-8)


def test_a_library_isn_t_sent_the_data(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("COMPANION_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(subprocess, "Popen", lambda command, **how: types.SimpleNamespace(poll=lambda: 0))
    given = torch.ones(1_000_000)
    Library(torch.fx.experimental.proxy_tensor.make_fx(lambda x: (x * 2,))(given), [given], 1)
    (sent,) = tmp_path.rglob("graph.pt")
    assert sent.stat().st_size < 100_000


# --- libraries --------------------------------------------------------------------------------------------------------


def graph_of(constant: float) -> torch.fx.GraphModule:
    held = torch.tensor([constant, 2.0])
    return torch.fx.experimental.proxy_tensor.make_fx(lambda x: (x * held,))(torch.ones(2))


def test_a_library_is_for_one_graph_with_its_constants_shapes_and_threads(tmp_path, monkeypatch) -> None:
    commands = []
    monkeypatch.setenv("COMPANION_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(
        subprocess, "Popen", lambda command, **how: commands.append(command) or types.SimpleNamespace(poll=lambda: 0)
    )
    for constant, like, threads in [
        (1.0, torch.ones(2), 1), (1.0, torch.ones(2), 1), (1.5, torch.ones(2), 1), (1.0, torch.ones(3, 2), 1),
        (1.0, torch.ones(2).double(), 1), (1.0, torch.ones(4)[::2], 1), (1.0, torch.ones(2), 2),
    ]:  # fmt: skip
        Library(graph_of(constant), [like], threads)
    places = [command[4] for command in commands]
    assert places[0] == places[1]
    assert len(set(places)) == 6


def test_a_library_that_can_t_be_built_or_read_says_why(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("COMPANION_CACHE_DIR", str(tmp_path))
    graph = torch.fx.experimental.proxy_tensor.make_fx(lambda x: x * 2)(torch.ones(2))  # its output isn't a tuple
    with pytest.raises(LibraryError, match="AssertionError: Graph output must be a tuple"):
        Library(graph, [torch.ones(2)], 1).load()
    assert not list((tmp_path / "compiled").iterdir()), "the builder's folder is gone"

    monkeypatch.setattr(subprocess, "Popen", lambda command, **how: types.SimpleNamespace(poll=lambda: 0, wait=int))
    place = Library(graph_of(1.0), [torch.ones(2)], 1)._place
    place.write_bytes(b"cut off")
    with pytest.raises(LibraryError):
        Library(graph_of(1.0), [torch.ones(2)], 1).load()
    assert not place.exists(), "the next fit builds it anew"
