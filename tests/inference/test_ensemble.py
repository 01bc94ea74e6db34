"""Deep ensembles: points from several starts, each with the same say."""

from functools import partial

import numpy as np
import pymc as pm
import pytest

from companion.datasets import moons
from companion.errors import ModelError
from companion.inference import Machine, dropout, ensemble, fit, swag
from companion.models import binary_classifier
from companion.posterior import load_posterior
from companion.prediction import predict

QUICK = {"progressbar": False, "machine": Machine("cpu", "float64", compile=False)}
DATA = moons(n_samples=60).train


@pytest.fixture(scope="module")
def found():
    return ensemble(binary_classifier(DATA), 60, members=3, learning_rate=0.05, **QUICK)


def test_its_members_are_maximum_a_posteriori_estimates_from_different_starts(found):
    by_fit = fit(binary_classifier(DATA), 60, family="map", restarts=3, keep="mixture", learning_rate=0.05, **QUICK)
    np.testing.assert_array_equal(found.parameters["mean"], by_fit.parameters["mean"])
    assert len(np.unique(found.parameters["mean"][:, 0])) == 3
    assert found.record.method == "deep ensemble"
    assert len(found.record.restarts) == 3


@pytest.mark.parametrize(
    "make",
    [
        partial(ensemble, members=2),
        partial(fit, family="map"),
        partial(dropout, p=0.2),
        partial(fit, family="mean-field", elbo_draws=4),
        partial(swag, batch_size=20, elbo_draws=4),
    ],
)
def test_the_record_prints_a_bound_only_where_there_is_one(make):
    record = make(binary_classifier(DATA), 40, **QUICK).record
    bound = make.func is swag or make.keywords.get("family") == "mean-field"
    assert (f": ELBO {record.elbo:,.1f} (standard error" in str(record)) == bound
    assert (f": log density {record.elbo:,.1f}" in str(record)) == (not bound)
    assert "(standard error 0)" not in str(record)


def test_members_weigh_the_same_whatever_their_density(found):
    assert np.ptp(found.record.bounds[:, 0]) > 0.1
    np.testing.assert_array_equal(found.weights, np.full(3, 1 / 3))
    draws = found.draw(30, seed=0)["w_2_out"]
    _, counts = np.unique(draws, axis=0, return_counts=True)
    assert list(counts) == [10, 10, 10]


def test_it_predicts_the_mean_of_its_members(found):
    x = DATA.x[:5]
    each = [predict(found.restart(r), x, draws=1)[0] for r in range(3)]
    np.testing.assert_allclose(predict(found, x, draws=3, seed=4).mean(axis=0), np.mean(each, axis=0), rtol=1e-9)


def test_a_member_is_the_mode_of_a_gaussian_posterior():
    with pm.Model() as model:
        w = pm.Normal("w", 0, 1)
        pm.Normal("y", w, 1, observed=np.array([1.0, 2.0, 3.0]))
    members = ensemble(model, 400, members=2, learning_rate=0.05, **QUICK)
    np.testing.assert_allclose(members.draw(2, seed=0)["w"], 6 / 4, rtol=1e-3)  # one mode: both end there
    assert members.record.elbo_se == 0


def test_it_is_saved_as_it_is(found, tmp_path):
    loaded = load_posterior(found.save(tmp_path / "ensemble.safetensors", half=False), binary_classifier(DATA))
    assert loaded.record.method == "deep ensemble"
    np.testing.assert_array_equal(loaded.draw(3, seed=0)["w_1_2"], found.draw(3, seed=0)["w_1_2"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"members": 0}, "members=0; expected a whole number, 1 or more"),
        ({"members": 2.5}, "members=2.5; expected a whole number"),
        ({"start": {"w_in_1": np.zeros((2, 5))}}, "members=5 with given start values: all of them would be the same"),
        ({"learning_rate": 0}, "learning_rate=0; expected a positive"),
    ],
)
def test_useless_settings_are_refused(settings, message):
    with pytest.raises(ModelError, match=message):
        ensemble(binary_classifier(DATA), 3, **settings, **QUICK)
