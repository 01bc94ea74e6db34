"""A deterministic of a PyMC model as one compiled function of many draws and of inputs.

Explained in the chapter `book/pymc/moons`, section "Predicting two ways". The original did this with PyMC3's
`sample_node`; here any posterior's draws fit, because they are arguments of the function. Posteriors predict without
it, by `companion.posterior.predictive`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import torch
from pytensor.graph.replace import graph_replace, vectorize_graph

from companion.errors import ModelError
from companion.posterior.given import checked_draws, checked_inputs

__all__ = ["Forward", "compile_forward"]

Forward = Callable[[Mapping[str, np.ndarray], np.ndarray], np.ndarray]


def compile_forward(model: pm.Model, output: str = "p", data: str = "x") -> Forward:
    r"""Compile a model's output as a function of draws and inputs, vectorised over the draws.

    Parameters
    ----------
    model
        Model with its inputs in a `pymc.Data` named `data` and a deterministic named `output`.
    output
        Name of the deterministic to compute.
    data
        Name of the data that the inputs replace.

    Returns
    -------
    callable
        ``forward(draws, x)``: ``draws`` maps each free variable's name to an array (draws, \*shape), ``x`` has
        shape (points, \*features); the result has shape (draws, points).

    Raises
    ------
    ModelError
        If the model has no such output or data, and when called with draws or inputs that don't fit.
    """
    for name, kind in ((output, "output"), (data, "data")):
        if name not in model.named_vars:
            raise ModelError(
                f"the model has no {kind} named {name!r}; it has {sorted(model.named_vars)}. "
                "A model fitted on mini-batches is predicted through the same model with all rows."
            )
    inputs = model[data].type()
    weights = {rv.name: rv for rv in model.free_RVs}
    batched = {name: _with_draws(rv) for name, rv in weights.items()}
    one_draw = graph_replace(model[output], {model[data]: inputs})
    all_draws = vectorize_graph(one_draw, {weights[name]: batched[name] for name in weights})
    function = pm.compile([*batched.values(), inputs], all_draws, on_unused_input="ignore")
    shapes = {name: tuple(rv.shape.eval()) for name, rv in weights.items()}

    own = {data: torch.as_tensor(model[data].get_value())}

    def forward(draws: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        points = checked_inputs(x, own)[data].astype(inputs.dtype)
        arguments = [a.astype(weights[name].dtype) for name, a in checked_draws(draws, shapes).items()]
        return np.asarray(function(*arguments, points))

    return forward


def _with_draws(rv: Any) -> Any:
    """Make an input like a variable, with one more dimension in front for the draws."""
    return pt.tensor(rv.name, dtype=rv.dtype, shape=(None, *rv.type.shape))
