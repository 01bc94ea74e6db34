"""Where the restarts begin: one vector of unconstrained values per restart.

Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import torch
from pymc.initial_point import make_initial_point_fn
from pytensor.graph.replace import clone_replace

from companion.checks import numbers
from companion.errors import ModelError
from companion.machine import seed_for
from companion.variational import Layout

__all__ = ["starting_means"]


def starting_means(
    model: pm.Model, layout: Layout, start: str | Mapping[str, Any], restarts: int, seed: int
) -> torch.Tensor:
    """Give the starting means (restarts, size); see `companion.inference.fit` for the kinds of start.

    Raises
    ------
    ModelError
        If there is no such kind of start; or given values lack a variable, have a name that the model doesn't, aren't
        real numbers, have another shape than the variable, or lie outside its support.
    """
    if isinstance(start, Mapping):
        point = layout.join(_unconstrained(model, start))
        rows = [point] * restarts
    elif start == "prior":
        draw = make_initial_point_fn(
            model=model, default_strategy="prior", overrides=dict.fromkeys(model.free_RVs, "prior")
        )
        rows = [layout.join(draw(seed_for(seed, "start", r) % 2**32)) for r in range(restarts)]
    elif start == "model":
        initial = model.initial_point(random_seed=seed_for(seed, "start", 0) % 2**32)
        rows = [layout.join(initial if r == 0 else _shuffled(initial, seed, r)) for r in range(restarts)]
    else:
        raise ModelError(f"start={start!r}; expected 'model', 'prior' or a mapping from variables to values.")
    means = np.stack(rows)
    if not np.isfinite(means).all():
        bad = layout.name_at(int(np.flatnonzero(~np.isfinite(means).all(axis=0))[0]))
        raise ModelError(
            f"the start of {bad!r} isn't finite: its value lies on or outside the edge of its support. Give one inside."
        )
    return torch.as_tensor(means)


def _shuffled(point: Mapping[str, np.ndarray], seed: int, restart: int) -> dict[str, np.ndarray]:
    """Permute each variable's starting values: another start, of the same distribution. A constant one is shifted."""
    rng = np.random.default_rng(seed_for(seed, "start", restart))
    found = {}
    for name, array in point.items():
        flat = np.ravel(array).astype(float)
        other = rng.permutation(flat)
        found[name] = (other if np.ptp(flat) > 0 else flat + 0.1 * rng.normal(size=flat.shape)).reshape(np.shape(array))
    return found


def _unconstrained(model: pm.Model, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Transform values of the free variables to the space of the fit."""
    _refuse_strangers(model, given)
    shapes = {name: tuple(map(int, shape)) for name, shape in model.eval_rv_shapes().items()}
    arrays: dict[Any, Any] = {}
    for rv in model.free_RVs:
        if rv.name not in given:
            raise ModelError(f"start has no value of {rv.name!r}; expected all of {[v.name for v in model.free_RVs]}.")
        array = numbers(f"start of {rv.name!r}", given[rv.name]).astype(rv.dtype)
        if array.shape != shapes[rv.name]:
            raise ModelError(f"start gives {rv.name!r} shape {array.shape}; the model has {shapes[rv.name]}.")
        arrays[rv] = pt.constant(array)
    values: dict[str, Any] = {}
    for rv, array in arrays.items():
        transform = model.rvs_to_transforms[rv]
        value = array if transform is None else transform.forward(array, *rv.owner.inputs)
        values[model.rvs_to_values[rv].name] = value
    # A variable's bounds may be other variables: those stand at their given values too.
    graphs = clone_replace(list(values.values()), replace=arrays, rebuild_strict=False)
    found = [np.asarray(graph.eval()) for graph in graphs]
    for (rv, array), value in zip(arrays.items(), found, strict=True):
        _refuse_edge(rv.name, array.data, value)
    return dict(zip(values, found, strict=True))


def _refuse_strangers(model: pm.Model, given: Mapping[str, Any]) -> None:
    """Refuse names of which the model knows nothing; values and deterministics come with what PyMC's finders return."""
    free = [rv.name for rv in model.free_RVs]
    known = {*free, *(v.name for v in (*model.value_vars, *model.deterministics))}
    if strange := [name for name in given if name not in known]:
        raise ModelError(f"start gives values of {strange}; the model's free variables are {free}.")


def _refuse_edge(name: str, given: np.ndarray, value: np.ndarray) -> None:
    """Refuse a start whose unconstrained value isn't finite."""
    bad = ~np.isfinite(value)
    if not bad.any():
        return
    what = f"{given[bad][0]:g}" if given.shape == bad.shape else "values"
    raise ModelError(
        f"start gives {name!r} {what} outside its support or on the edge of it; expected finite numbers inside."
    )
