"""What follows from draws of a PyMC model's free variables: deterministics, unconstrained values, log densities.

Explained in `book/reference/how_a_fit_works`, section "The posterior".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
from pytensor.graph.replace import graph_replace

__all__ = ["constrained", "deterministics", "log_densities", "unconstrained"]

Arrays = Mapping[str, np.ndarray]


def deterministics(model: pm.Model, draws: Arrays, names: Sequence[str]) -> dict[str, np.ndarray]:
    r"""Compute deterministics of a model, draw by draw.

    Parameters
    ----------
    model
        Model of the draws; what it observes stays as observed.
    draws
        Draws of all free variables: name to array (draws, \*shape).
    names
        Names of the deterministics.

    Returns
    -------
    dict
        Name to array (draws, \*shape).
    """
    observed = {rv: model.rvs_to_values[rv] for rv in model.observed_RVs}
    outputs = graph_replace([model[name] for name in names], observed, strict=False)
    return dict(zip(names, _each(model, model.free_RVs, outputs, draws), strict=True))


def unconstrained(model: pm.Model, draws: Arrays) -> dict[str, np.ndarray]:
    r"""Transform draws to the space without constraints in which a model is fitted and sampled.

    Parameters
    ----------
    model
        Model of the draws.
    draws
        Draws of all free variables: name to array (draws, \*shape).

    Returns
    -------
    dict
        Name of each value, such as ``"scale_log__"``, to array (draws, \*shape).
    """
    outputs = []
    for rv in model.free_RVs:
        transform = model.rvs_to_transforms[rv]
        outputs.append(rv if transform is None else transform.forward(rv, *rv.owner.inputs))
    names = [model.rvs_to_values[rv].name for rv in model.free_RVs]
    return dict(zip(names, _each(model, model.free_RVs, outputs, draws), strict=True))


def constrained(model: pm.Model, values: Arrays) -> dict[str, np.ndarray]:
    r"""Transform unconstrained values back to the free variables.

    Parameters
    ----------
    model
        Model of the values.
    values
        Name of each value to array (draws, \*shape).

    Returns
    -------
    dict
        Name of each free variable to array (draws, \*shape).
    """
    outputs = model.replace_rvs_by_values(model.free_RVs)
    names = [rv.name for rv in model.free_RVs]
    return dict(zip(names, _each(model, model.value_vars, outputs, values), strict=True))


def log_densities(model: pm.Model, draws: Arrays) -> np.ndarray:
    """Compute the log density of data and unconstrained values at draws, (draws,), as PyMC's samplers do."""
    values = unconstrained(model, draws)
    [found] = _each(model, model.value_vars, [model.logp()], values)
    return found


def _each(model: pm.Model, inputs: Sequence[Any], outputs: Sequence[Any], draws: Arrays) -> list[np.ndarray]:
    """Compile a function once and call it for each draw: not every variable can be computed for many at once."""
    function = model.compile_fn(outputs, inputs=list(inputs), point_fn=False, on_unused_input="ignore")
    given = [np.asarray(draws[v.name], dtype=v.type.dtype) for v in inputs]
    each = [function(*(a[i] for a in given)) for i in range(len(given[0]))]
    return [np.stack(arrays) for arrays in zip(*each, strict=True)]
