"""Mistakes that every door must answer alike: our error says what came, what was expected and what to do."""

import numpy as np
import pymc as pm
import pytest

from companion.errors import ModelError
from companion.inference import Machine, ensemble, fit, laplace, sample, swag

QUICK = {"machine": Machine("cpu", "float64", compile=False, threads=1), "seed": 1, "progressbar": False}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X @ [1.0, -0.5, 2.0] + 0.5 * RNG.normal(size=40)
DOORS = {
    "fit": lambda model, **given: fit(model, 20, **QUICK, **given),
    "laplace": lambda model, **given: laplace(model, 20, **QUICK, **given),
    "swag": lambda model, **given: swag(model, 40, **QUICK, **{"batch_size": 10, **given}),
    "ensemble": lambda model, **given: ensemble(model, 20, members=1, **QUICK, **given),
    "full-batch sampler": lambda model, **given: sample(model, 10, warmup=20, chains=2, **QUICK, **given),
    "mini-batch sampler": lambda model, **given: sample(
        model, 10, warmup=20, chains=2, **QUICK, **{"batch_size": 10, "sampler": "sghmc", **given}
    ),
}
BATCHED = [door for door in DOORS if door != "full-batch sampler"]


def regression():
    with pm.Model() as model:
        w, s = pm.Normal("w", 0, 2, shape=3), pm.HalfNormal("s", 1)
        pm.Normal("y", pm.Data("x", X) @ w, s, observed=pm.Data("labels", Y))
    return model


@pytest.mark.parametrize("door", DOORS)
def test_discrete_variables_are_named_with_a_way_out(door):
    with pm.Model() as model:
        k = pm.Bernoulli("k", 0.5, shape=40)
        pm.Normal("y", pm.Data("x", X)[:, 0] + k, 1, observed=pm.Data("labels", Y))
    with pytest.raises(ModelError, match=r"variables \['k'\] are discrete; .*need continuous ones\. Sum them out"):
        DOORS[door](model)


@pytest.mark.parametrize("door", DOORS)
def test_a_model_without_unknowns_has_nothing_to_infer(door):
    with pm.Model() as model:
        pm.Normal("y", 0, 1, observed=pm.Data("labels", Y))
    with pytest.raises(ModelError, match="no free variables: there is nothing to infer"):
        DOORS[door](model)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("given", "said"), [(-1.0, "-1"), (0.0, "0"), (np.nan, "nan"), (np.inf, "inf")])
def test_a_start_outside_the_support_is_named_with_its_value(door, given, said):
    with pytest.raises(ModelError, match=rf"start gives 's' {said} outside its support or on the edge"):
        DOORS[door](regression(), start={"w": np.zeros(3), "s": given})


@pytest.mark.parametrize("door", BATCHED)
def test_a_batch_larger_than_the_data_is_told_how_many_rows_there_are(door):
    with pytest.raises(ModelError, match="batch_size=41; expected 1 to 40, the number of rows"):
        DOORS[door](regression(), batch_size=41)


@pytest.mark.parametrize("door", ["fit", "laplace", "swag", "ensemble"])
@pytest.mark.parametrize("rate", [0, -1.0, np.nan, np.inf])
def test_a_learning_rate_that_leads_nowhere_is_refused(door, rate):
    with pytest.raises(ModelError, match=rf"learning_rate={rate}; expected a positive, finite number, such as 0.01"):
        DOORS[door](regression(), learning_rate=rate)
