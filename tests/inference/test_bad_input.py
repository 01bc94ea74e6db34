"""Mistakes that every door must answer alike: our error says what came, what was expected and what to do."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pymc as pm
import pytest

from companion import inference
from companion.errors import ModelError
from companion.inference import Machine, dropout, ensemble, fit, fit_advi, laplace, sample, swag

QUICK = {"machine": Machine("cpu", "float64", compile=False, threads=1), "seed": 1, "progressbar": False}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X @ [1.0, -0.5, 2.0] + 0.5 * RNG.normal(size=40)


@dataclass(frozen=True)
class Door:
    """A function from a model to a posterior, with words that make it short."""

    function: Callable[..., Any]
    words: dict[str, Any] = field(default_factory=lambda: {"steps": 20})
    common: dict[str, Any] = field(default_factory=lambda: QUICK)

    def __call__(self, model, **given):
        return self.function(model, **{**self.common, **self.words, **given})

    def takes(self, word):
        return word in inspect.signature(self.function).parameters


SHORT = {"draws": 10, "warmup": 20, "chains": 2}
DOORS = {
    "fit": Door(fit),
    "laplace": Door(laplace),
    "swag": Door(swag, {"steps": 40, "batch_size": 10}),
    "ensemble": Door(ensemble, {"steps": 20, "members": 1}),
    "dropout": Door(dropout),
    "full-batch sampler": Door(sample, SHORT),
    "mini-batch sampler": Door(sample, {**SHORT, "batch_size": 10, "sampler": "sghmc"}),
    "fit_advi": Door(fit_advi, common={"seed": 1}),
}
BEGUN = {"w": np.zeros((3, 2)), "v": np.zeros(2), "s": 1.0}
STARTED = [name for name, door in DOORS.items() if door.takes("start")]
BATCHED = [name for name, door in DOORS.items() if door.takes("batch_size") and name != "full-batch sampler"]
WRITTEN = [name for name, door in DOORS.items() if door.takes("checkpoint")]
LEARNING = [name for name, door in DOORS.items() if door.takes("learning_rate")]


def regression(rows=None):
    """A hidden layer of two units, which dropout needs."""
    with pm.Model() as model:
        w, v, s = pm.Normal("w", 0, 2, shape=(3, 2)), pm.Normal("v", 0, 2, shape=2), pm.HalfNormal("s", 1)
        hidden = pm.math.tanh(pm.Data("x", X[:rows]) @ w)
        pm.Normal("y", hidden @ v, s, observed=pm.Data("labels", Y[:rows]))
    return model


def test_every_door_to_a_posterior_is_tried():
    offered = [getattr(inference, name) for name in inference.__all__]
    doors = {f for f in offered if inspect.isfunction(f) and str(f.__annotations__.get("return")).endswith("Posterior")}
    assert doors == {door.function for door in DOORS.values()}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("given", [None, "model.nc", regression])
def test_what_is_not_a_model_is_named(door, given):
    with pytest.raises(ModelError, match=f"model is a {type(given).__name__}; expected a pymc.Model"):
        DOORS[door](given)


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
def test_data_without_rows_are_named(door):
    """As a table is after a filter that took every row."""
    with pytest.raises(ModelError, match=r"the data \['labels'.*\] have no rows; expected one or more\. Set them with"):
        DOORS[door](regression(rows=0))


@pytest.mark.parametrize("door", STARTED)
@pytest.mark.parametrize(("given", "said"), [(-1.0, "-1"), (0.0, "0"), (np.nan, "nan"), (np.inf, "inf")])
def test_a_start_outside_the_support_is_named_with_its_value(door, given, said):
    with pytest.raises(ModelError, match=rf"start gives 's' {said} outside its support or on the edge"):
        DOORS[door](regression(), start=BEGUN | {"s": given})


@pytest.mark.parametrize("door", STARTED)
@pytest.mark.parametrize("given", ["one", None, 1.0 + 1j, np.array(1j), [1.0, [2.0]]])
def test_a_start_that_is_not_of_real_numbers_is_named(door, given):
    with pytest.raises(ModelError, match=r"start of 's' .*; expected an array of real numbers"):
        DOORS[door](regression(), start=BEGUN | {"s": given})


@pytest.mark.parametrize("door", STARTED)
def test_a_start_of_a_variable_that_is_not_there_is_named_with_those_that_are(door):
    with pytest.raises(ModelError, match=r"start gives values of \['zz'\]; the model's free .* \['w', 'v', 's'\]"):
        DOORS[door](regression(), start=BEGUN | {"zz": 2})


@pytest.mark.parametrize("door", STARTED)
def test_a_start_may_hold_what_pymc_puts_beside_the_free_variables(door):
    """As `pymc.find_MAP` and draws of a sampler do: values with their transforms, and deterministics."""
    with regression() as model:
        pm.Deterministic("doubled", 2 * model["v"])
    assert "s_log__" in {v.name for v in model.unobserved_value_vars}
    DOORS[door](model, start=BEGUN | {"s_log__": 0.0, "doubled": np.zeros(2)})


@pytest.mark.parametrize("door", WRITTEN)
@pytest.mark.parametrize("folder", ["", " ", 3, True, b"fit", ["fit"]])
def test_a_checkpoint_without_a_folder_is_refused(door, folder, tmp_path, monkeypatch):
    """An empty name would be the working directory."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"checkpoint=.*; expected the path of a folder, such as 'my-fit'"):
        DOORS[door](regression(), checkpoint=folder)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("door", BATCHED)
def test_a_batch_larger_than_the_data_is_told_how_many_rows_there_are(door):
    with pytest.raises(ModelError, match="batch_size=41; expected 1 to 40, the number of rows"):
        DOORS[door](regression(), batch_size=41)


@pytest.mark.parametrize("door", LEARNING)
@pytest.mark.parametrize("rate", [0, -1.0, np.nan, np.inf])
def test_a_learning_rate_that_leads_nowhere_is_refused(door, rate):
    with pytest.raises(ModelError, match=rf"learning_rate={rate}; expected a positive, finite number, such as 0.01"):
        DOORS[door](regression(), learning_rate=rate)
