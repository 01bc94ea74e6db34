"""What a model predicts: its observed variable's probabilities or mean as a torch function of weights and inputs.

Explained in `book/reference/how_a_fit_works`, section "Prediction".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pymc as pm
import torch
from pytensor import scalar as ps
from pytensor.graph.basic import Constant
from pytensor.graph.replace import clone_replace
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.random.basic import BernoulliRV, CategoricalRV, NormalRV, StudentTRV
from pytensor.tensor.special import Softmax

from companion.bridge.centres import centre
from companion.bridge.lowering import lower
from companion.bridge.sources import Sources
from companion.bridge.weighing import without_weights
from companion.compat import op_kind
from companion.errors import ModelError

__all__ = ["LinearisedResponse", "Response", "observed_variable", "of_all_observations"]

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
        rv = observed_variable(model)
        self._binary, self._classes = (isinstance(rv.owner.op, kind) for kind in (BernoulliRV, CategoricalRV))
        whole, self.rows = of_all_observations(model)
        stand_ins = {v: v.type(name=v.name) for v in model.free_RVs}
        sources = Sources.of(model)
        [graph] = clone_replace([centre(rv, whole)], replace=stand_ins)
        [graph] = sources.close([graph], keep=stand_ins.values())
        shapes = model.eval_rv_shapes()
        self.variables = {v.name: tuple(shapes[v.name]) for v in model.free_RVs}
        self.inputs = tuple(sources.read_by([graph]))
        inputs = [*stand_ins.values(), *(sources.inputs[name] for name in self.inputs)]
        self._link, before = _link(graph)
        if isinstance(rv.owner.op, NormalRV | StudentTRV):  # their mean is linear, whatever the model makes it of
            self._link, before = None, None
        self._function = lower(inputs, [graph], dtype=dtype, device=device)
        self._predictor = self._function if before is None else lower(inputs, [before], dtype=dtype, device=device)

    def __call__(self, variables: Mapping[str, torch.Tensor], data: Mapping[str, torch.Tensor]) -> torch.Tensor:
        r"""Compute probabilities (points, classes) or means (points,) from one draw: name to tensor (\*shape)."""
        [out] = self._function(*self._arguments(variables, data))
        return self._both_classes(torch.as_tensor(out))

    def predictor(self, variables: Mapping[str, torch.Tensor], data: Mapping[str, torch.Tensor]) -> torch.Tensor:
        r"""Compute what stands before the link: logits (points,) or (points, classes), logarithms of means, or means.

        Where the model's probabilities aren't a sigmoid or a softmax, it is their log odds or logarithm.
        """
        [out] = self._predictor(*self._arguments(variables, data))
        out = torch.as_tensor(out)
        if self._link is not None or not (self._binary or self._classes):
            return out
        tiny = torch.finfo(out.dtype).eps
        return out.logit(tiny) if self._binary else out.clamp_min(tiny).log()

    def of_predictor(self, predictor: torch.Tensor) -> torch.Tensor:
        """Put the link on: probabilities (points, classes) of logits, means of their logarithms or as they are."""
        if self._classes:
            return predictor.softmax(dim=-1)
        if self._binary:
            return self._both_classes(predictor.sigmoid())
        return self._link(predictor) if self._link is not None else predictor

    def _both_classes(self, out: torch.Tensor) -> torch.Tensor:
        return torch.stack([1 - out, out], dim=-1) if self._binary else out

    def _arguments(self, variables: Mapping[str, torch.Tensor], data: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        return [*(variables[name] for name in self.variables), *(data[name] for name in self.inputs)]


class LinearisedResponse(Response):
    r"""A model's predictive probabilities, or means, with its predictor linear in the variables.

    .. math::

        \eta_\text{lin}(x, \theta) = \eta(x, \theta^*) + \frac{\partial \eta(x, \theta^*)}{\partial \theta}
        (\theta - \theta^*)

    Parameters
    ----------
    response
        The model's response.
    centre
        Where it is linearised: name of each free variable to tensor (\*shape). A variable that is given as this very
        tensor costs no derivative.
    """

    def __init__(self, response: Response, centre: Mapping[str, torch.Tensor]) -> None:
        vars(self).update(vars(response))
        self._plain = response
        self._centre = {name: centre[name] for name in self.variables}

    def __call__(self, variables: Mapping[str, torch.Tensor], data: Mapping[str, torch.Tensor]) -> torch.Tensor:
        r"""Compute probabilities (points, classes) or means (points,) from one draw: name to tensor (\*shape)."""
        away = {n: variables[n] - centre for n, centre in self._centre.items() if variables[n] is not centre}
        if not away:
            return self._plain(variables, data)
        moved = {name: self._centre[name].clone() for name in away}  # of a view torch would copy all that is behind it
        try:
            found: Any = torch.func.jvp(
                lambda own: self._plain.predictor({**self._centre, **own}, data), (moved,), (away,)
            )
        except RuntimeError:  # of what `torch.func` can't differentiate
            found = self._by_autograd(data, away)
        value, slope = found
        return self._plain.of_predictor(value + slope)

    def _by_autograd(
        self, data: Mapping[str, torch.Tensor], away: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the predictor at the centre and its slope, as the derivative of a product from the other side."""
        with torch.enable_grad():
            leaves = {name: self._centre[name].detach().requires_grad_() for name in away}
            value = self._plain.predictor({**self._centre, **leaves}, data)
            if not value.requires_grad:  # nothing that moved is read
                return value, torch.zeros_like(value)
            side = torch.zeros_like(value, requires_grad=True)
            pulled = torch.autograd.grad(
                value, list(leaves.values()), side, create_graph=True, allow_unused=True, materialize_grads=True
            )
            sums = [(p * a).sum() for p, a in zip(pulled, away.values(), strict=True)]
            [slope] = torch.autograd.grad(torch.stack(sums).sum(), [side])
        return value.detach(), slope


def _link(graph: Any) -> tuple[Callable[[torch.Tensor], torch.Tensor] | None, Any]:
    """Find the link of a graph, and what it is put on: a sigmoid, a softmax over the last axis, or an exponential."""
    node = graph.owner
    while node is not None and isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, ps.Identity):
        node = node.inputs[0].owner
    if node is None:
        return None, None
    if isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, ps.math.Sigmoid):
        return torch.sigmoid, node.inputs[0]
    if isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, ps.Exp):
        return torch.exp, node.inputs[0]
    last = node.outputs[0].type.ndim - 1
    if isinstance(node.op, Softmax) and node.op.axis in (-1, last):
        return lambda logits: logits.softmax(dim=-1), node.inputs[0]
    return None, None


def of_all_observations(model: pm.Model) -> tuple[Any, int | None]:
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


def observed_variable(model: pm.Model) -> Any:
    """Return the model's only observed variable, without the weights and mini-batches that may stand around it.

    Raises
    ------
    ModelError
        If there is none, or there are several.
    """
    if len(model.observed_RVs) != 1:
        raise ModelError(
            f"the model observes {[rv.name for rv in model.observed_RVs]}; prediction expects one observed variable."
        )
    return without_weights(model.observed_RVs[0])
