"""What a model predicts: its observed variable's probabilities or mean as a torch function of weights and inputs.

Explained in `book/reference/how_a_fit_works`, section "Prediction".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pymc as pm
import torch
from pymc.variational.minibatch_rv import MinibatchRandomVariable
from pytensor.graph.basic import Constant
from pytensor.graph.replace import clone_replace
from pytensor.tensor.random.basic import BernoulliRV

from companion.bridge.centres import centre
from companion.bridge.lowering import lower
from companion.bridge.sources import Sources
from companion.compat import op_kind
from companion.errors import ModelError

__all__ = ["Response"]

# Ops that take some entries of an array.
_PICKS = frozenset({"AdvancedSubtensor", "AdvancedSubtensor1", "AdvancedBooleanSubtensor", "BooleanSubtensor"})


class Response:
    r"""A model's predictive probabilities, or means, given its free variables.

    Parameters
    ----------
    model
        A model with one observed variable, of any distribution that has a mean.
    dtype, device
        Floating dtype and device of the computation.

    Attributes
    ----------
    variables
        Name of each free variable to its shape.
    inputs
        Names of the data that it reads.
    rows
        Number of observations, those that are missing among them, where the model was given them as a plain array.

    Raises
    ------
    ModelError
        If the model has no observed variable or several, or one without a mean, as a Cauchy.
    """

    def __init__(self, model: pm.Model, dtype: torch.dtype, device: torch.device) -> None:
        rv = _observed(model)
        self._binary = isinstance(rv.owner.op, BernoulliRV)
        whole, self.rows = _with_missing(model)
        stand_ins = {v: v.type(name=v.name) for v in model.free_RVs}
        sources = Sources.of(model)
        [graph] = clone_replace([centre(rv, whole)], replace=stand_ins)
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
        if self._binary:
            out = torch.stack([1 - out, out], dim=-1)
        return torch.as_tensor(out)


def _with_missing(model: pm.Model) -> tuple[Any, int | None]:
    """Find how to get a parameter of all observations where PyMC imputes some, and count the observations.

    PyMC splits a variable ``y`` with missing values into ``y_observed`` and ``y_unobserved``, whose parameters are the
    whole's at the places of either.
    """
    observed = model.observed_RVs[0]
    name = observed.name.removesuffix("_observed")
    if f"{name}_unobserved" not in model.named_vars:
        return lambda parameter: parameter, next(iter(model.rvs_to_values[observed].type.shape), None)

    def whole(parameter: Any) -> Any:
        node = parameter.owner
        picks = node is not None and op_kind(node.op) in _PICKS
        return node.inputs[0] if picks and all(isinstance(v, Constant) for v in node.inputs[1:]) else parameter

    return whole, next(iter(model[name].type.shape), None)


def _observed(model: pm.Model) -> Any:
    if len(model.observed_RVs) != 1:
        raise ModelError(
            f"the model observes {[rv.name for rv in model.observed_RVs]}; prediction expects one observed variable."
        )
    rv = model.observed_RVs[0]
    return rv.owner.inputs[0] if isinstance(rv.owner.op, MinibatchRandomVariable) else rv
