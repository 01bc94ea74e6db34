"""Posteriors on disk: what was saved draws and predicts the same after it was loaded."""

from functools import cache

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import companion
from companion.datasets import Observations
from companion.errors import DataError, ModelError
from companion.inference import fit
from companion.models import torch_classifier
from companion.networks import dense
from companion.posterior import Posterior, load_posterior, save_posterior
from companion.priors import Gaussian, LearnedScale

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype(np.float32)
Y = np.arange(60) % 3


def classifier(prior=None, rows=60, width=4):
    return torch_classifier(Observations(X[:rows], Y[:rows]), dense(3, width, 3), prior or LearnedScale())


@cache
def fitted():
    return fit(classifier(), 60, restarts=3, keep="mixture", temperature=0.5, progressbar=False, elbo_draws=20)


@pytest.fixture
def file(tmp_path):
    return save_posterior(fitted(), tmp_path / "posterior.safetensors")


def test_a_loaded_posterior_draws_and_predicts_like_the_saved_one(file):
    found = load_posterior(file, classifier())
    assert isinstance(found, Posterior)
    for name, draws in fitted().draw(5, seed=1).items():
        np.testing.assert_allclose(found.draw(5, seed=1)[name], draws, rtol=0.02, atol=2e-3)
    np.testing.assert_allclose(found.predictive(X, 30, 0), fitted().predictive(X, 30, 0), atol=5e-3)
    assert found.record.settings == fitted().record.settings
    assert found.record.temperature == 0.5
    np.testing.assert_array_equal(found.record.elbo, fitted().record.elbo)


def test_full_precision_loses_nothing(tmp_path):
    file = save_posterior(fitted(), tmp_path / "posterior.safetensors", half=False)
    np.testing.assert_array_equal(
        load_posterior(file, classifier()).predictive(X, 30, 0), fitted().predictive(X, 30, 0)
    )


def test_only_restarts_with_weight_are_stored(file, tmp_path):
    alone = save_posterior(fitted().best(), tmp_path / "best.safetensors")
    assert alone.stat().st_size < file.stat().st_size
    found = load_posterior(alone, classifier())
    assert found.weights.tolist() == [1.0]
    assert found.record.elbo == fitted().best().record.elbo


def test_the_models_data_may_be_others(file):
    found = load_posterior(file, classifier(rows=10))
    np.testing.assert_allclose(found.predictive(X, 30, 0), fitted().predictive(X, 30, 0), atol=5e-3)


def test_another_model_is_refused(file):
    with pytest.raises(ModelError, match=r"'0.weight': \[4, 3\].*the model has.*\[5, 3\]"):
        load_posterior(file, classifier(width=5))
    with pytest.raises(ModelError, match="scale_log__"):
        load_posterior(file, classifier(Gaussian(1.0)))


def test_damage_is_noticed(file):
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        load_posterior(file, classifier())
    file.write_bytes(content[:1000])
    with pytest.raises(DataError, match="can't be read"):
        load_posterior(file, classifier())


def test_files_that_are_none_of_ours_are_refused(tmp_path):
    with pytest.raises(DataError, match="can't be read"):
        load_posterior(tmp_path / "absent.safetensors", classifier())
    save_file({"mean": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="no posterior of ours"):
        load_posterior(tmp_path / "other.safetensors", classifier())


def test_what_cant_be_saved_is_refused(tmp_path):
    with pytest.raises(ModelError, match="dict can't be saved"):
        save_posterior({}, tmp_path / "x.safetensors")
    with pytest.raises(DataError, match="can't be written"):
        save_posterior(fitted(), tmp_path / "no folder" / "x.safetensors")
    large = fit(classifier(), 1, restarts=1, progressbar=False, elbo_draws=2)
    large.parameters["mean"][0, 0] = 1e5
    with pytest.raises(ModelError, match="half=False"):
        save_posterior(large, tmp_path / "x.safetensors")


def test_the_front_door_takes_a_file_too(file):
    found = companion.load_posterior(file, classifier())
    np.testing.assert_allclose(found.predictive(X, 30, 0), fitted().predictive(X, 30, 0), atol=5e-3)
