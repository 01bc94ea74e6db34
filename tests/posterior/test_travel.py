"""Posteriors that travel: from a pool of processes, through torch.save, and as copies that share nothing."""

import copy
import io
import multiprocessing

import numpy as np
import pymc as pm
import pytest
import torch
from kinds import QUICK, Pair, X, engine, frozen_features, made, points, regression

from companion.errors import ModelError
from companion.inference import fit
from companion.posterior import load_posterior
from companion.prediction import predict

TRAVELLERS = [Pair("best", "regression"), Pair("mixture", "classes"), Pair("advi", "binary")]


def test_a_pool_of_processes_returns_fits():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.map(made, TRAVELLERS)
    for pair, posterior in zip(TRAVELLERS, found, strict=True):
        expected = predict(made(pair), points(pair.model), draws=4)
        np.testing.assert_allclose(predict(posterior, points(pair.model), draws=4), expected, rtol=1e-6)


def test_torch_saves_a_posterior():
    posterior, file = engine("regression"), io.BytesIO()
    torch.save(posterior, file)
    file.seek(0)
    found = torch.load(file, weights_only=False)
    np.testing.assert_array_equal(found.draw(3, 0)["w"], posterior.draw(3, 0)["w"])


def test_a_copy_is_independent():
    posterior = made(Pair("advi", "regression"))
    x, draws = points("regression"), posterior.draw(3, seed=0)
    before, found = posterior.predict(x, draws), copy.deepcopy(posterior)
    with found.model:
        pm.set_data({"tilt": 2 * np.eye(3)})
    np.testing.assert_array_equal(posterior.predict(x, draws), before)
    assert np.abs(found.predict(x, draws) - before).max() > 0.01


def test_a_copy_has_the_frozen_weights_of_its_module():
    posterior = fit(frozen_features(seed=0)[0], 20, **QUICK)
    np.testing.assert_array_equal(predict(copy.deepcopy(posterior), X, draws=3), predict(posterior, X, draws=3))


def test_after_pymcs_own_predictive_everything_still_works():
    """In PyMC 5, a model that predicted holds its observed variable twice."""
    posterior = copy.deepcopy(made(Pair("nuts", "regression")))
    with posterior.model:
        pm.sample_posterior_predictive(posterior.to_arviz(), progressbar=False)
    if len(posterior.model.observed_RVs) == 1:
        posterior.model.observed_RVs.append(posterior.model.observed_RVs[0])
    assert predict(posterior, points("regression"), draws=3).shape == (3, 7)
    assert posterior.to_arviz(5, log_likelihood=True)["log_likelihood"]["y"].shape == (1, 5, 40)


@pytest.mark.parametrize("rows", [10, 40])
def test_the_rows_of_a_fit_are_asked_for_where_a_diagnosis_needs_them(rows, tmp_path):
    path = engine("regression").best().save(tmp_path / "posterior.safetensors", half=False)
    found = load_posterior(path, regression(rows))
    if rows == 40:
        assert found.k_hat(200) == pytest.approx(engine("regression").best().k_hat(200))
    else:
        with pytest.raises(ModelError, match="fitted to 40 rows, and the model that it was loaded with holds 10"):
            found.k_hat(200)
