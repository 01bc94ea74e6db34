"""A normal prior that learns from the data how much each input of a network matters.

Explained in the chapter `book/mnist/hierarchical`, section "One scale for every pixel".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm

from companion.errors import ModelError
from companion.priors.base import Prior, entrywise, float_x, stretched
from companion.priors.parameter import Parameter, checked

if TYPE_CHECKING:
    import torch
    from pytensor.tensor.variable import TensorVariable

__all__ = ["RelevanceDetermination"]


@dataclass(frozen=True)
class RelevanceDetermination(Prior):
    r"""Automatic relevance determination, a normal prior with an unknown scale for each input of the network.

    .. math::

        s_j \sim \mathcal{N}^+(0, \mathrm{scale}^2), \quad w_{ij} \mid s_j \sim \mathcal{N}(0, s_j^2)

    All weights that read input :math:`j` share :math:`s_j`. Where the data don't need the input, :math:`s_j` is small
    in the posterior and switches it off. Inputs should be on one scale, as standardised columns and pixels are.

    The first layer's weight is the first parameter of two or more dimensions, laid out as those of `torch.nn.Linear`
    and of convolutions are, ``(units, inputs, ...)``; an input of a convolution is a channel. Its scales are one
    vector ``(inputs,)``, named after the parameter: ``"0.weight_scale"``. Every other parameter, its bias included, has
    one scale, ``"0.bias_scale"``, as under ``LearnedScale(each="parameter")``. All scales start at ``scale``.

    Attributes
    ----------
    scale
        Scale of the half-normal distribution of every ``s``.

    Raises
    ------
    ModelError
        If `scale` isn't positive and finite; later, in `pymc` and `pyro`, if no parameter has two dimensions.

    Notes
    -----
    MacKay (1994), "Bayesian Nonlinear Modeling for the Prediction Competition"; Neal (1996), "Bayesian Learning for
    Neural Networks", chapter 4, with a Gamma prior on each precision :math:`s^{-2}`; the half-normal here is that of
    `LearnedScale`.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        self._check_positive("scale")

    def pymc(self, parameters: Sequence[Parameter]) -> dict[str, TensorVariable[Any, Any]]:
        """Lay the scales of inputs and of other parameters into the model, and the weights; see `Prior.pymc`."""
        first = _first(parameters)
        weights = {}
        for p in parameters:
            shape = p.shape[1:2] if p is first else ()
            s = pm.HalfNormal(f"{p.name}_scale", self.scale, shape=shape, initval=float_x(np.full(shape, self.scale)))
            width = stretched(s, len(p.shape) - 2) if p is first else s
            weights[p.name] = pm.Normal(p.name, 0.0, width, shape=p.shape, initval=float_x(p.start))
        return weights

    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        """Sample the scales of inputs and of other parameters, and the weights; see `Prior.pyro`."""
        import pyro
        import pyro.distributions as dist

        first = _first(parameters)
        weights = {}
        for p in parameters:
            shape = p.shape[1:2] if p is first else ()
            s = pyro.sample(f"{p.name}_scale", entrywise(dist.HalfNormal(self.scale), shape))
            width = stretched(s.unsqueeze(-2), len(p.shape) - 2) if p is first else stretched(s, len(p.shape))
            weights[p.name] = pyro.sample(p.name, entrywise(dist.Normal(0.0, width), p.shape))
        return weights


def _first(parameters: Sequence[Parameter]) -> Parameter:
    """Find the weight that reads the network's inputs."""
    first = next((p for p in checked(parameters, suffix="_scale") if len(p.shape) >= 2), None)
    if first is None:
        raise ModelError(
            f"no parameter has two dimensions, (units, inputs): {[p.name for p in parameters]}; expected a layer that "
            "reads inputs, such as torch.nn.Linear. LearnedScale(each='parameter') is the same prior without one."
        )
    return first
