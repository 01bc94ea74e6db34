"""A model that observes nothing: each method gives its prior, or says what it lacks."""

import numpy as np
import pymc as pm
import pytest

from companion.errors import CompanionWarning, ModelError
from companion.inference import Machine, dropout, ensemble, fit, laplace, sample, swag

QUICK = {"machine": Machine("cpu", "float64", compile=False), "seed": 1, "progressbar": False}
MEAN, WIDTH = 1.0, 2.0


def prior():
    with pm.Model() as model:
        pm.Normal("w", MEAN, WIDTH, shape=3)
    return model


METHODS = {
    "fit": lambda: fit(prior(), 400, learning_rate=0.05, **QUICK),
    "laplace": lambda: laplace(prior(), 50, **QUICK),
    "sample": lambda: sample(prior(), 100, warmup=50, chains=4, **QUICK),
}


@pytest.mark.parametrize("method", METHODS)
def test_the_posterior_of_no_data_is_the_prior(method):
    draws = METHODS[method]().draw(400, seed=0)["w"]
    assert draws.mean() == pytest.approx(MEAN, abs=5 * WIDTH / np.sqrt(400))
    assert draws.std() == pytest.approx(WIDTH, rel=0.15)


def test_points_are_the_prior_s_mode():
    draws = ensemble(prior(), 200, members=2, learning_rate=0.05, **QUICK).draw(4, seed=0)["w"]
    np.testing.assert_allclose(draws, MEAN, atol=0.01)


def test_methods_that_need_rows_or_layers_say_so():
    with pytest.warns(CompanionWarning, match="no noise: it takes all rows at every step"):
        swag(prior(), 20, **QUICK)
    with pytest.raises(ModelError, match="found no hidden units"):
        dropout(prior(), 20, **QUICK)
