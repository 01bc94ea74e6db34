"""Predictions of likelihoods whose mean is computed, and those that have none, which are told what to do instead."""

import numpy as np
import pymc as pm
import pytest
import torch

from companion.bridge import Response
from companion.errors import ModelError

RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(9, 2)), RNG.normal(size=(4, 2))
W = np.array([0.3, -0.6])
COUNTS = RNG.integers(0, 4, 9)


def respond(observe, x=NEW):
    with pm.Model() as model:
        observe(pm.Data("x", X) @ pm.Normal("w", shape=2))
    response = Response(model, torch.float64, torch.device("cpu"))
    draw = {name: torch.zeros(shape) for name, shape in response.variables.items()} | {"w": torch.tensor(W)}
    return response(draw, {"x": torch.tensor(x)}).numpy()


def test_the_noise_of_measurements_may_be_known_for_the_rows_of_the_fit_alone():
    noise = np.linspace(0.1, 0.5, 9)
    found = respond(lambda m: pm.Normal("y", m, noise, observed=X[:, 0]))
    np.testing.assert_allclose(found, NEW @ W)


@pytest.mark.filterwarnings("ignore:Data in")
def test_missing_values_are_predicted_with_the_others():
    gaps = np.where(COUNTS > 2, np.nan, COUNTS)
    found = respond(lambda m: pm.StudentT("y", 4, m, sigma=1.0, observed=gaps))
    np.testing.assert_allclose(found, NEW @ W)


def test_a_mixture_of_classes_that_depend_on_the_inputs_is_weighed_point_by_point():
    def observe(m):
        shares = pm.math.stack([pm.math.sigmoid(m), 1 - pm.math.sigmoid(m)], axis=-1)
        pm.Mixture("y", shares, [pm.Poisson.dist(pm.math.exp(m)), pm.Poisson.dist(3.0)], observed=COUNTS)

    m = NEW @ W
    first = 1 / (1 + np.exp(-m))
    np.testing.assert_allclose(respond(observe), first * np.exp(m) + (1 - first) * 3)


@pytest.mark.parametrize(
    ("observe", "message"),
    [
        (lambda m: pm.Cauchy("y", m, 1, observed=X[:, 0]), "'y' is a Cauchy, which has no mean to predict"),
        (lambda m: pm.HalfCauchy("y", m**2 + 1, observed=X[:, 0] ** 2), "'y' is a HalfCauchy, which has no mean"),
        (
            lambda m: pm.Censored("y", pm.Normal.dist(m, 1), None, 3.0, observed=X[:, 0]),
            "'y' is a Censored, whose mean prediction has no formula for",
        ),
        (
            lambda m: pm.Mixture("y", [0.5, 0.5], [pm.Normal.dist(m), pm.Cauchy.dist(m, 1)], observed=X[:, 0]),
            "a part of the likelihood is a Cauchy",
        ),
    ],
    ids=["Cauchy", "HalfCauchy", "Censored", "Mixture"],
)
def test_what_has_no_mean_is_refused_with_what_to_do(observe, message):
    with pytest.raises(ModelError, match=message + r".*draw\(n, seed\).*compile_forward"):
        respond(observe)
