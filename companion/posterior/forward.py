"""A PyMC model in, one compiled function out: draws of the weights and inputs to outputs, all draws at once.

Explained in the chapter `book/pymc/moons`, section "Predicting two ways". The original did this with PyMC3's
`sample_node`; here any posterior's draws fit, because they are arguments of the function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.replace import graph_replace, vectorize_graph

from companion.errors import ModelError

__all__ = ["Forward", "compile_forward"]

Forward = Callable[[Mapping[str, np.ndarray], np.ndarray], np.ndarray]


def compile_forward(model: pm.Model, output: str = "p", data: str = "x") -> Forward:
    r"""Compile a model's output as a function of draws and inputs, vectorised over the draws.

    Parameters
    ----------
    model
        With its inputs in a `pymc.Data` named `data` and a deterministic named `output`.
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

    Notes
    -----
    Explained in the chapter `book/pymc/moons`.
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

    row_shape = model[data].get_value(borrow=True).shape[1:]

    def forward(draws: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, dtype=inputs.dtype)
        if x.ndim != inputs.ndim or x.shape[1:] != row_shape:
            raise ModelError(f"x has shape {x.shape}; the model expects {('points', *row_shape)}.")
        arguments = [_draws_of(name, draws, shapes[name]).astype(weights[name].dtype) for name in weights]
        if len({len(a) for a in arguments}) > 1:
            raise ModelError(f"the variables differ in their number of draws: {[len(a) for a in arguments]}.")
        return np.asarray(function(*arguments, x))

    return forward


def _with_draws(rv: Any) -> Any:
    """Make an input like a variable, with one more dimension in front for the draws."""
    return pt.tensor(rv.name, dtype=rv.dtype, shape=(None, *rv.type.shape))


def _draws_of(name: str, draws: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Look up one variable's draws, with the shape that the model gives it."""
    if name not in draws:
        raise ModelError(f"no draws of {name!r}; the draws have {sorted(draws)}.")
    array = np.asarray(draws[name])
    if array.shape[1:] != shape:
        raise ModelError(f"draws of {name!r} have shape {array.shape}; expected (draws, {', '.join(map(str, shape))}).")
    return array
