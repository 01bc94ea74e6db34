"""A normal prior with a learned scale for each unit: of the weights that lead into it, out of it, or of both.

Explained in `book/reference/how_a_fit_works`, section "The objective".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm

from companion.checks import choice
from companion.priors.base import Prior, entrywise, float_x, stretched
from companion.priors.parameter import Parameter, checked

if TYPE_CHECKING:
    import torch
    from pytensor.tensor.variable import TensorVariable

__all__ = ["Side", "UnitScale"]


class Side(StrEnum):
    """Weights of a unit that share a scale."""

    INCOMING = "incoming"
    """The weights that lead into the unit: a row of its layer's weight."""

    OUTGOING = "outgoing"
    """The weights that lead out of the unit: a column of the next layer's weight. The first layer's are its inputs'."""

    BOTH = "both"
    """A weight's scale is the product of that of the unit it leads into and that of the unit it comes from."""


@dataclass(frozen=True)
class UnitScale(Prior):
    r"""A normal prior around 0 with an unknown scale for each unit.

    .. math::

        r_i \sim \mathcal{N}^+(0, \mathrm{scale}^2), \quad c_j \sim \mathcal{N}^+(0, \mathrm{scale}^2), \quad
        w_{ij} \mid r_i, c_j \sim \mathcal{N}(0, r_i^2 c_j^2)

    A unit that the data don't need is switched off as a whole: its scale becomes small, its weights with it, and then
    it costs next to no divergence. Mean-field fits prune whole units in any case, so units and not weights are the
    natural groups.

    Parameters of two or more dimensions are laid out as those of `torch.nn.Linear` and of convolutions are,
    ``(units, inputs, ...)``. The scales :math:`r` of the incoming weights are a vector ``(units,)`` named
    ``"0.weight_in_scale"``, the scales :math:`c` of the outgoing weights a vector ``(inputs,)`` named
    ``"0.weight_out_scale"``. Every other parameter, such as a bias, has one scale, ``"0.bias_scale"``. All scales
    start at ``scale``.

    With ``family="optimal-scales"`` the engine sets the scales to their optimum, so that the result doesn't depend on
    where they started; see `companion.variational.ScaleUpdate`. That takes one or two passes over the weights in
    each step, no gradient, and memory for one more copy of the largest weight.

    Attributes
    ----------
    scale
        Scale of the half-normal distribution of every scale.
    of
        Weights that share a scale, a name of `Side`. With ``"incoming"`` all :math:`c_j` are 1, with ``"outgoing"``
        all :math:`r_i`.

    Raises
    ------
    ModelError
        If `scale` isn't positive and finite, or `of` isn't a name of `Side`.

    Notes
    -----
    Neal (1996), "Bayesian Learning for Neural Networks", chapter 4, for one side; Louizos, Ullrich and Welling (2017),
    "Bayesian Compression for Deep Learning", prune units so. With both sides the prior of a weight, given its scales,
    is a matrix normal with diagonal covariances of rows and columns, as Louizos and Welling (2016), "Structured and
    Efficient Variational Deep Learning with Matrix Gaussian Posteriors", use it for the posterior.

    A scale of hundreds of weights costs four to six nats, and there are thousands: the bound pays for them.
    With ``family="empirical-bayes"`` they are estimated and not paid for. Not for a layer with few weights per unit,
    where a scale is hardly known, nor beside a strict prior that should hold weights of used units: their scales grow
    with them. Early in a fit the noise of the weights prunes units that would be of use later: warm the divergence up,
    with ``Schedule(kl_warmup=0.4)``.
    """

    scale: float = 1.0
    of: str = "both"

    def __post_init__(self) -> None:
        self._check_positive("scale")
        self._settle(of=choice(Side, "of", self.of))

    def pymc(self, parameters: Sequence[Parameter]) -> dict[str, TensorVariable[Any, Any]]:
        """Lay the scales of units and of other parameters into the model, and the weights; see `Prior.pymc`."""
        weights = {}
        for p in _checked(parameters):
            width: Any = 1.0
            for name, axis in self._scales(p).items():
                shape = () if axis is None else (p.shape[axis],)
                s = pm.HalfNormal(name, self.scale, shape=shape, initval=float_x(np.full(shape, self.scale)))
                width = width * (s if axis is None else along(s, axis, len(p.shape)))
            weights[p.name] = pm.Normal(p.name, 0.0, width, shape=p.shape, initval=float_x(p.start))
        return weights

    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        """Sample the scales of units and of other parameters, and the weights; see `Prior.pyro`."""
        import pyro
        import pyro.distributions as dist

        weights = {}
        for p in _checked(parameters):
            width: Any = 1.0
            for name, axis in self._scales(p).items():
                shape = () if axis is None else (p.shape[axis],)
                s = pyro.sample(name, entrywise(dist.HalfNormal(self.scale), shape))
                width = width * (stretched(s, len(p.shape)) if axis is None else along(s, axis, len(p.shape)))
            weights[p.name] = pyro.sample(p.name, entrywise(dist.Normal(0.0, width), p.shape))
        return weights

    def _scales(self, p: Parameter) -> dict[str, int | None]:
        """Name the scales of a parameter, each with the dimension along which it varies."""
        if len(p.shape) < 2:
            return {f"{p.name}_scale": None}
        sides: dict[str, int | None] = {}
        if self.of != Side.OUTGOING:
            sides[f"{p.name}_in_scale"] = 0
        if self.of != Side.INCOMING:
            sides[f"{p.name}_out_scale"] = 1
        return sides


def along(vector: Any, axis: int, dims: int) -> Any:
    r"""Turn vectors (\*plates, size) into arrays of `dims` dimensions that vary along one of them."""
    return vector[(..., *(None,) * axis, slice(None), *(None,) * (dims - axis - 1))]


def _checked(parameters: Sequence[Parameter]) -> Sequence[Parameter]:
    """Refuse parameters with the name of another one's scale."""
    for suffix in ("_scale", "_in_scale", "_out_scale"):
        checked(parameters, suffix=suffix)
    return parameters
