"""Predictions from draws and inputs, as many of both at once as fit into memory.

Explained in `book/reference/how_a_fit_works`, section "Prediction".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from companion.bridge import Response, looped, vectorised
from companion.errors import ModelError
from companion.machine import draws_at_once, sharing_at_once, slices
from companion.posterior.given import Shape, checked_draws, checked_inputs
from companion.posterior.protocol import Draws

__all__ = ["Predictive", "SomeDraws", "in_parts", "predictive_of"]

Tensors = Mapping[str, torch.Tensor]
Respond = Callable[[Tensors, Tensors], torch.Tensor]
SomeDraws = Callable[[slice], Tensors]

# Where no more draws fit at once, each is a large product by itself, which is quicker alone than as one of a batch.
_FEW = 16


@dataclass(frozen=True, eq=False)
class Predictive:
    r"""A function of one draw and of some points, computed for many draws and all points.

    Attributes
    ----------
    respond
        The function: of one draw, name to tensor (\*shape), and of points, name to tensor (points, \*features).
    variables
        Name of each variable that it reads to its shape.
    inputs
        The model's own inputs, name to tensor (rows, \*features): what it predicts at is like them.
    fixed
        Data of the model that have no entry for each point, and stay as they are.
    dtype, device
        Floating dtype and device of the computation.
    context
        Context of the computation, such as that of mixed precision.
    certain
        Values of the variables that are the same in every draw of the posterior itself: name to tensor (\*shape). What
        depends on them alone is computed once for all draws that go together, where that is most of the work.
    """

    respond: Respond
    variables: Mapping[str, Shape]
    inputs: Tensors
    dtype: torch.dtype
    device: torch.device
    fixed: Tensors
    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    certain: Tensors = field(default_factory=dict)

    def predict(self, x: Any, draws: Draws) -> np.ndarray:
        """Predict with draws that were made before; see `Posterior.predict`."""
        given = checked_draws(draws, self.variables)
        count = len(next(iter(given.values())))
        plain = replace(self, certain={})  # draws that were given may be of any posterior
        return plain.predict_in_parts(x, count, lambda at: {n: self.tensor(a[at]) for n, a in given.items()})

    def predict_in_parts(self, x: Any, count: int, draws: SomeDraws) -> np.ndarray:
        """Predict with draws that are made as they are needed.

        Parameters
        ----------
        x
            Inputs to predict at; a mapping from names to arrays where there are several.
        count
            Number of draws.
        draws
            Function that makes some of them: name to tensor (draws, ...).

        Returns
        -------
        numpy.ndarray
            Probabilities (draws, points, classes) or means (draws, points).

        Raises
        ------
        ModelError
            If the model has no inputs to replace, or those given don't fit it.
        """
        if not self.inputs:
            raise ModelError(
                f"the model reads {list(self.fixed)}, none with an entry for each observation; prediction expects its "
                "inputs in pm.Data: x = pm.Data('x', X)."
            )
        given = checked_inputs(x, self.inputs)
        data = {name: self.tensor(a).to(self.inputs[name].dtype) for name, a in given.items()}
        with self.context():
            return in_parts(self.respond, count, draws, data, self.certain).to(self.dtype).numpy()

    def tensor(self, array: Any) -> torch.Tensor:
        """Take an array over."""
        array = np.asarray(array)
        shared = array.flags.writeable and all(stride >= 0 for stride in array.strides)
        tensor = torch.from_numpy(array if shared else array.copy())
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else None)


def predictive_of(
    response: Response,
    data: Tensors,
    rows: int | None,
    dtype: torch.dtype,
    device: torch.device,
    context: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Predictive:
    """Predict by the response of a PyMC model.

    Parameters
    ----------
    response
        The model's response, lowered to this dtype and device.
    data
        The model's data: name to tensor. Those with an entry for each observation are inputs; the others stay.
    rows
        Number of observations; ``None`` where it is unknown: all data with a dimension are inputs then.

    Raises
    ------
    ModelError
        If the model draws mini-batches from data that aren't given.
    """
    if batches := [name for name in response.inputs if name not in data]:
        raise ModelError(
            f"the model draws mini-batches, {batches}, and has no inputs to replace. Predict with the same model over "
            "all rows: fit_advi takes it as full_model=, and a posterior as its model."
        )
    read = {name: data[name] for name in response.inputs}
    inputs = {name: a for name, a in read.items() if a.ndim > 0 and rows in (None, len(a))}
    fixed = {name: a for name, a in read.items() if name not in inputs}

    def respond(draw: Tensors, points: Tensors) -> torch.Tensor:
        return response(draw, {**fixed, **points})

    return Predictive(respond, response.variables, inputs, dtype, device, fixed, context)


def in_parts(
    respond: Respond, count: int, draws: SomeDraws, data: Tensors, certain: Tensors | None = None
) -> torch.Tensor:
    """Respond to each draw and each point, vectorised over as many as fit into memory.

    Parameters
    ----------
    respond
        Function of one draw and some points.
    count
        Number of draws.
    draws
        Function that makes some of them: name to tensor (draws, ...).
    data
        Points: name to tensor (points, ...).
    certain
        Variables with the same value in every draw: name to tensor (...).

    Returns
    -------
    torch.Tensor
        Responses (draws, points, ...), on the CPU.
    """
    points, parts = len(next(iter(data.values()))), []
    with torch.no_grad():
        one, shared = draws(slice(0, 1)), partial(_with, respond, certain or {})
        found = sharing_at_once(shared, one, data) if certain else None
        if found is not None:
            (at_once, rows), every = found, vectorised(shared, (0, None))
        else:
            at_once, rows = draws_at_once(respond, one, data)
            every = (vectorised if at_once > _FEW else looped)(respond, (0, None))
        for some in map(draws, slices(count, at_once)):
            responses = [every(some, {n: a[at] for n, a in data.items()}) for at in slices(points, rows)]
            parts.append(torch.cat(responses, dim=1).cpu())
    return torch.cat(parts)


def _with(respond: Respond, certain: Tensors, draw: Tensors, points: Tensors) -> torch.Tensor:
    """Respond to a draw with some variables as they are in all of them."""
    return respond({**draw, **certain}, points)
