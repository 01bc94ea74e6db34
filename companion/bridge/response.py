"""What a model predicts: its observed variable's probabilities or mean as a torch function of weights and inputs.

Explained in the chapter `book/mnist/dense`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pymc as pm
import torch
from pymc.variational.minibatch_rv import MinibatchRandomVariable
from pytensor.graph.replace import clone_replace
from pytensor.tensor.random.basic import BernoulliRV, CategoricalRV, NormalRV, StudentTRV

from companion.bridge.lowering import lower
from companion.bridge.sources import Sources
from companion.errors import ModelError

__all__ = ["Response"]

_MEANS = {BernoulliRV: 0, CategoricalRV: 0, NormalRV: 0, StudentTRV: 1}  # which parameter is the mean


class Response:
    r"""A model's predictive probabilities, or means, given its free variables.

    Parameters
    ----------
    model
        With one observed variable: Bernoulli, Categorical, Normal or StudentT.
    dtype, device
        Of the computation.

    Attributes
    ----------
    variables
        Name of each free variable to its shape.
    inputs
        Names of the data that it reads.

    Raises
    ------
    ModelError
        If the model has no observed variable or several, or one of another distribution.
    """

    def __init__(self, model: pm.Model, dtype: torch.dtype, device: torch.device) -> None:
        rv, self._kind = _observed(model)
        parameter = rv.owner.op.dist_params(rv.owner)[_MEANS[self._kind]]
        stand_ins = {v: v.type(name=v.name) for v in model.free_RVs}
        sources = Sources.of(model)
        [graph] = clone_replace([parameter], replace=stand_ins)
        [graph] = sources.close([graph], keep=stand_ins.values())
        shapes = model.eval_rv_shapes()
        self.variables = {v.name: tuple(shapes[v.name]) for v in model.free_RVs}
        self.inputs = tuple(sources.read_by([graph]))
        inputs = [*stand_ins.values(), *(sources.inputs[name] for name in self.inputs)]
        self._function = lower(inputs, [graph], dtype=dtype, device=device)

    def __call__(self, variables: Mapping[str, torch.Tensor], data: Mapping[str, torch.Tensor]) -> torch.Tensor:
        r"""Compute probabilities (points, classes) or means (points,) from one draw: name to tensor (\*shape)."""
        weights = (variables[name] for name in self.variables)
        [out] = self._function(*weights, *(data[name] for name in self.inputs))
        if self._kind is BernoulliRV:
            out = torch.stack([1 - out, out], dim=-1)
        return torch.as_tensor(out)


def _observed(model: pm.Model) -> tuple[Any, Any]:
    if len(model.observed_RVs) != 1:
        raise ModelError(
            f"the model observes {[rv.name for rv in model.observed_RVs]}; prediction expects one observed variable."
        )
    rv = model.observed_RVs[0]
    if isinstance(rv.owner.op, MinibatchRandomVariable):
        rv = rv.owner.inputs[0]
    kind = next((k for k in _MEANS if isinstance(rv.owner.op, k)), None)
    if kind is None:
        raise ModelError(
            f"{model.observed_RVs[0].name!r} is a {type(rv.owner.op).__name__.removesuffix('RV')}; prediction knows "
            f"{[k.__name__.removesuffix('RV') for k in _MEANS]}. Draw with draw(n, seed) and "
            "compute it from the draws."
        )
    return rv, kind
