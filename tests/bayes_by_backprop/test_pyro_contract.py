"""What is Pyro's own in the contract of posteriors; `tests/posterior/test_contract.py` holds the rest."""

import copy
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context

import numpy as np
import pytest
import torch

import companion
from companion import datasets, priors
from companion.bayes_by_backprop import Classifier, PyroPosterior, Regression, fit, to_bayesian
from companion.errors import DataError, ModelError
from companion.networks import dense
from companion.posterior import load_posterior

CURVE, MOONS = datasets.sinusoid(20), datasets.moons(60).train
THREE = datasets.Observations(MOONS.x, np.arange(30) % 3)


def regression(seed=0, **settings):
    torch.manual_seed(seed)
    network = to_bayesian(dense(1, 4, 1), settings.pop("prior", priors.LearnedScale(1.0)), **settings)
    return Regression(network, noise="learned")


def binary(seed=0):
    torch.manual_seed(seed)
    return Classifier(to_bayesian(dense(2, 3, 1), priors.Gaussian(1.0)))


def classes(seed=0):
    torch.manual_seed(seed)
    return Classifier(
        to_bayesian(torch.nn.Sequential(dense(2, 3, 3), torch.nn.BatchNorm1d(3)).eval(), priors.Gaussian(1.0))
    )


def last_layer(seed=0):
    return regression(seed, layers=["2"], prior=priors.TrainedLocation(1.0))


KINDS = {
    "regression": (regression, CURVE),
    "last layer": (last_layer, CURVE),
    "binary": (binary, MOONS),
    "classes": (classes, THREE),
}
EVERY = pytest.mark.parametrize("kind", KINDS)


@cache
def fitted(kind):
    make, data = KINDS[kind]
    return fit(make(), data, 30, restarts=2, learning_rate=0.02, elbo_draws=5, progressbar=False)


def the_same(a, b, kind, rtol=1e-6):
    draws, again = a.draw(4, seed=3), b.draw(4, seed=3)
    assert set(draws) == set(again)
    for name, array in draws.items():
        np.testing.assert_allclose(again[name], array, rtol=rtol, atol=rtol)
    x = KINDS[kind][1].x[:6]
    np.testing.assert_allclose(b.predict(x, again), a.predict(x, draws), rtol=rtol, atol=rtol)


@EVERY
def test_its_record_is_that_of_the_better_restart(kind):
    posterior = fitted(kind)
    assert posterior.record.elbo == posterior.record.restarts["elbo"].max()
    assert posterior.record.history.shape == (30,)
    assert "mean-field, 30 steps, 2 restarts: ELBO" in str(posterior.record)


@EVERY
def test_arviz_speaks_of_the_sites(kind):
    posterior = fitted(kind)
    group = posterior.to_arviz(5)["posterior"]
    assert {name: group[name].shape[:2] for name in group} == dict.fromkeys(posterior.variables, (1, 5))
    with pytest.raises(ModelError, match="their log likelihood can't be computed"):
        posterior.to_arviz(5, log_likelihood=True)


def test_it_comes_back_from_another_process():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        the_same(fitted("binary"), pool.submit(copy.copy, fitted("binary")).result(), "binary")


@EVERY
@pytest.mark.parametrize("half", [False, True])
def test_it_is_loaded_with_a_model_made_anew(kind, half, tmp_path):
    posterior = fitted(kind)
    path = posterior.save(tmp_path / "pyro.safetensors", half=half)
    loaded = companion.load_posterior(path, KINDS[kind][0](seed=7))
    assert isinstance(loaded, PyroPosterior)
    the_same(posterior, loaded, kind, rtol=0.02 if half else 1e-6)
    assert loaded.record.elbo == posterior.record.elbo
    assert loaded.record.temperature == 1


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: regression(prior=priors.Gaussian(1.0)), "the file is a posterior of"),
        (lambda: Regression(to_bayesian(dense(1, 5, 1), priors.LearnedScale(1.0))), "the file is a posterior of"),
        (lambda: last_layer(), "the file is a posterior of"),
    ],
)
def test_another_model_is_refused(model, message, tmp_path):
    path = fitted("regression").save(tmp_path / "pyro.safetensors")
    with pytest.raises(ModelError, match=message):
        load_posterior(path, model())


def test_a_buffer_that_differs_is_seen(tmp_path):
    path = fitted("classes").save(tmp_path / "pyro.safetensors")
    model = classes()
    model.network.module[1].running_mean += 1
    with pytest.raises(ModelError, match="running_mean"):
        load_posterior(path, model)


def test_a_damaged_file_is_refused(tmp_path):
    path = fitted("binary").save(tmp_path / "pyro.safetensors")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        load_posterior(path, binary())
