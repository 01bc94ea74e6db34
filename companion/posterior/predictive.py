"""Predictions from draws and inputs, as many of both at once as fit into memory.

Explained in `book/reference/how_a_fit_works`, section "Prediction".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pymc as pm
import torch

from companion.bridge import Response, looped, vectorised
from companion.errors import ModelError
from companion.machine import draws_at_once, slices
from companion.posterior.protocol import Draws
from companion.variational import Objective

__all__ = ["Predictive", "in_parts"]

Tensors = dict[str, torch.Tensor]
Respond = Callable[[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]], torch.Tensor]

# Where no more draws fit at once, each is a large product by itself, which is quicker alone than as one of a batch.
_FEW = 16


@dataclass(frozen=True, eq=False)
class Predictive:
    """A model's response, in the dtype and on the device of its fit."""

    model: pm.Model
    objective: Objective

    @cached_property
    def response(self) -> Response:
        """Lower the model's probabilities or means to torch."""
        return Response(self.model, self.objective.density.dtype, self.objective.density.device)

    @cached_property
    def _by_row(self) -> tuple[str, ...]:
        """Name the inputs that have an entry for each observation; the others keep the model's values."""
        data = {name: self.objective.density.data[name] for name in self.response.inputs}
        rows = self.objective.density.observed[0].rows
        total = len(self.objective.density.data[rows]) if rows is not None else self.response.rows
        return tuple(name for name, a in data.items() if a.ndim > 0 and total in (None, len(a)))

    def checked(self, draws: Draws) -> dict[str, np.ndarray]:
        """Take what the response reads from draws.

        Raises
        ------
        ModelError
            If a variable is missing, or its draws have another shape or number than the others'.
        """
        given = {}
        for name, shape in self.response.variables.items():
            if name not in draws:
                raise ModelError(f"no draws of {name!r}; the draws have {sorted(draws)}.")
            given[name] = np.asarray(draws[name])
            if given[name].shape[1:] != shape or not given[name].size:
                raise ModelError(
                    f"draws of {name!r} have shape {given[name].shape}; expected (draws, {', '.join(map(str, shape))})."
                )
        if len({len(a) for a in given.values()}) > 1:
            raise ModelError(f"the variables differ in their number of draws: {[len(a) for a in given.values()]}.")
        return given

    def tensor(self, array: Any) -> torch.Tensor:
        """Take an array over."""
        density = self.objective.density
        array = np.asarray(array)
        shared = array.flags.writeable and all(stride >= 0 for stride in array.strides)
        tensor = torch.from_numpy(array if shared else array.copy())
        return tensor.to(density.device, density.dtype if tensor.is_floating_point() else None)

    def __call__(self, x: Any, count: int, draws: Callable[[slice], Tensors]) -> np.ndarray:
        """Predict draw by draw and point by point, as many at once as fit into memory.

        Parameters
        ----------
        x
            What replaces the model's inputs; a mapping from names to arrays where it reads several.
        count
            Of the draws.
        draws
            Gives some of them: name to tensor (draws, ...).

        Returns
        -------
        numpy.ndarray
            Probabilities (draws, points, classes) or means (draws, points).
        """
        data = self._inputs(x)
        same = {n: self.objective.density.data[n] for n in self.response.inputs if n not in data}

        def respond(draw: Mapping[str, torch.Tensor], rows: Mapping[str, torch.Tensor]) -> torch.Tensor:
            return self.response(draw, {**same, **rows})

        with self.objective.autocast():
            return in_parts(respond, count, draws, data).to(self.objective.density.dtype).numpy()

    def _inputs(self, x: Any) -> Tensors:
        """Put ``x`` in the place of the model's data."""
        names = self._by_row
        if not names:
            raise ModelError(
                f"the model reads {list(self.response.inputs)}, none with an entry for each observation; prediction "
                "expects its inputs in pm.Data: x = pm.Data('x', X)."
            )
        if not isinstance(x, Mapping):
            if len(names) != 1:
                raise ModelError(f"the model reads {list(names)}; expected a mapping from these names to arrays.")
            x = {names[0]: x}
        if strange := set(x) ^ set(names):
            raise ModelError(f"the inputs lack or add {sorted(strange)}; the model reads {list(names)}.")
        found = {}
        for name in names:
            array, own = np.asarray(x[name]), self.objective.density.data[name]
            if array.dtype.kind not in "fiub" or array.shape[1:] != tuple(own.shape[1:]) or not array.size:
                raise ModelError(
                    f"{name} has shape {array.shape} and dtype {array.dtype}; the model expects numbers "
                    f"{('points', *own.shape[1:])}."
                )
            if array.dtype.kind == "f" and not own.is_floating_point() and (array != np.round(array)).any():
                raise ModelError(
                    f"{name} holds numbers with fractions; the model's own are whole ({own.dtype}), so they would be "
                    f"cut off. Give the model floating data: pm.Data({name!r}, values.astype(float))."
                )
            found[name] = self.tensor(array).to(own.dtype)
        points = {name: len(a) for name, a in found.items()}
        if len(set(points.values())) > 1:
            raise ModelError(f"the inputs differ in their number of points: {points}.")
        return found


def in_parts(respond: Respond, count: int, draws: Callable[[slice], Tensors], data: Tensors) -> torch.Tensor:
    """Respond to each draw and each point, vectorised over as many as fit into memory.

    Parameters
    ----------
    respond
        Of one draw and some points.
    count
        Of the draws.
    draws
        Gives some of them: name to tensor (draws, ...).
    data
        Name to tensor (points, ...).

    Returns
    -------
    torch.Tensor
        (draws, points, ...), on the CPU.
    """
    points, parts = len(next(iter(data.values()))), []
    with torch.no_grad():
        at_once, rows = draws_at_once(respond, draws(slice(0, 1)), data)
        every = (vectorised if at_once > _FEW else looped)(respond, (0, None))
        for some in map(draws, slices(count, at_once)):
            found = [every(some, {n: a[at] for n, a in data.items()}) for at in slices(points, rows)]
            parts.append(torch.cat(found, dim=1).cpu())
    return torch.cat(parts)
