"""Where a fit's restarts begin: the model's own point, the prior, or given values."""

import numpy as np
import pymc as pm
import pytest

from companion.errors import ModelError
from companion.inference import Machine, Start, fit

QUICK = {"progressbar": False, "elbo_draws": 2}
STILL = {"learning_rate": 1e-9, **QUICK}  # where it starts it stays
VALUES = {"top": 2.0, "share": np.array([0.4, 1.5]), "mix": np.array([0.2, 0.3, 0.5])}


def hierarchy():
    """Supports of several kinds, one of them bounded by another variable."""
    with pm.Model() as model:
        top = pm.HalfNormal("top", 2)
        share = pm.Uniform("share", 0, top, shape=2)
        pm.Normal("y", share.sum() * pm.Dirichlet("mix", np.ones(3))[0], 1, observed=np.ones(3))
    return model


def test_a_fit_starts_from_given_values():
    draws = fit(hierarchy(), 1, start=Start(VALUES, 1e-6), machine=Machine(precision="float64"), **STILL).draw(
        5, seed=0
    )
    for name, value in VALUES.items():
        np.testing.assert_allclose(draws[name], np.broadcast_to(value, draws[name].shape), rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mix": None}, "no value of 'mix'"),
        ({"share": np.ones(3)}, r"'share' shape \(3,\); the model has \(2,\)"),
        ({"top": -1.0}, "start gives 'top' -1 outside its support"),
        ({"share": np.array([0.4, 2.5])}, "start gives 'share' 2.5 outside its support"),  # above top
    ],
)
def test_given_values_that_do_not_fit_are_named(change, message):
    values = {name: v for name, v in (VALUES | change).items() if v is not None}
    with pytest.raises(ModelError, match=message):
        fit(hierarchy(), 1, start=values, **QUICK)


def test_restarts_start_apart():
    with pm.Model() as model:
        pm.Normal("wide", 3, 2)
        pm.Normal("own", 0, 1, shape=4, initval=np.arange(4.0))
        pm.Normal("random", 0, 1, initval="prior")
    means = fit(model, 1, restarts=400, start=Start("prior", 1e-6), keep="mixture", **STILL).parameters["mean"].numpy()
    assert means[:, 0].mean() == pytest.approx(3, abs=0.4)
    assert means[:, 0].std() == pytest.approx(2, rel=0.15)
    means, again = (
        fit(model, 1, restarts=3, start=Start(scale=1e-6), keep="mixture", **STILL).parameters["mean"].numpy()
        for _ in "ab"
    )
    np.testing.assert_array_equal(means, again)
    np.testing.assert_allclose(means[0, :5], [3, 0, 1, 2, 3], atol=1e-6)
    assert len(np.unique(means[:, 0])) == 3
    assert all(sorted(np.rint(own)) == [0, 1, 2, 3] for own in means[:, 1:5])
    assert len({tuple(np.rint(own)) for own in means[:, 1:5]}) > 1
