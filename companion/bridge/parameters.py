"""The distribution of an observation: the parameters of a model's likelihood as one torch function.

`Response` gives the mean alone; these give everything that the next measurement's distribution depends on, such as the
noise. Explained in `book/reference/how_a_fit_works`, section "Prediction".
"""

from __future__ import annotations

from collections.abc import Mapping

import pymc as pm
import torch
from pytensor.graph.replace import clone_replace

from companion.bridge.lowering import lower
from companion.bridge.response import Response, observed_variable, of_all_observations
from companion.bridge.sources import Sources
from companion.compat import op_kind
from companion.errors import ModelError

__all__ = ["PARAMETERS", "ObservedParameters"]

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "LaplaceRV": ("mu", "b"),
    "LogNormalRV": ("mu", "sigma"),
    "NegBinomialRV": ("n", "p"),
    "NormalRV": ("mu", "sigma"),
    "PoissonRV": ("rate",),
    "StudentTRV": ("nu", "mu", "sigma"),
}
"""Likelihoods whose parameters are known here, by the name of PyTensor's Op, and the names of their parameters."""


_ABOVE_ZERO = frozenset({"b", "n", "nu", "rate", "sigma"})


class ObservedParameters(Response):
    r"""Parameters of a model's likelihood, given its free variables and its data.

    Parameters
    ----------
    model
        A model with one observed variable, of a distribution that `PARAMETERS` lists.
    dtype, device
        Floating dtype and device of the computation.

    Attributes
    ----------
    kind
        Name of the distribution's Op, a key of `PARAMETERS`.
    names
        Names of the parameters, in the order of the last dimension.
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
        rv = observed_variable(model)
        self.kind = op_kind(rv.owner.op)
        if self.kind not in PARAMETERS:
            known = ", ".join(sorted(name.removesuffix("RV") for name in PARAMETERS))
            raise ModelError(
                f"{rv.name!r} is a {self.kind.removesuffix('RV')}; the distribution of the next measurement is known "
                f"for {known}. For another, draw from it: pymc.sample_posterior_predictive(posterior.to_arviz())."
            )
        self.names = PARAMETERS[self.kind]
        whole, self.rows = of_all_observations(model)
        stand_ins = {v: v.type(name=v.name) for v in model.free_RVs}
        sources = Sources.of(model)
        graphs = clone_replace([whole(p) for p in rv.owner.op.dist_params(rv.owner)], replace=stand_ins)
        graphs = sources.close(graphs, keep=stand_ins.values())
        shapes = model.eval_rv_shapes()
        self.variables = {v.name: tuple(shapes[v.name]) for v in model.free_RVs}
        self.inputs = tuple(sources.read_by(graphs))
        inputs = [*stand_ins.values(), *(sources.inputs[name] for name in self.inputs)]
        self._function = lower(inputs, graphs, dtype=dtype, device=device)

    def __call__(self, variables: Mapping[str, torch.Tensor], data: Mapping[str, torch.Tensor]) -> torch.Tensor:
        r"""Compute the parameters (points, ..., parameters) from one draw: name to tensor (\*shape)."""
        found = [torch.as_tensor(out) for out in self._function(*self._arguments(variables, data))]
        return torch.stack(torch.broadcast_tensors(*found), dim=-1)

    def predictor(self, variables: Mapping[str, torch.Tensor], data: Mapping[str, torch.Tensor]) -> torch.Tensor:
        r"""Compute the parameters on the whole real line: those above 0 as logarithms, shares as log odds."""
        parameters = self(variables, data).unbind(dim=-1)
        return torch.stack([_to_line(name, p) for name, p in zip(self.names, parameters, strict=True)], dim=-1)

    def of_predictor(self, predictor: torch.Tensor) -> torch.Tensor:
        """Bring the parameters back from the real line."""
        parameters = predictor.unbind(dim=-1)
        return torch.stack([_from_line(name, p) for name, p in zip(self.names, parameters, strict=True)], dim=-1)


def _to_line(name: str, parameter: torch.Tensor) -> torch.Tensor:
    if name in _ABOVE_ZERO:
        return parameter.log()
    return parameter.logit() if name == "p" else parameter


def _from_line(name: str, parameter: torch.Tensor) -> torch.Tensor:
    if name in _ABOVE_ZERO:
        return parameter.exp()
    return parameter.sigmoid() if name == "p" else parameter
