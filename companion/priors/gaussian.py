"""Normal priors with a fixed scale: one for all weights, or one that follows the number of inputs of a unit.

Explained in the chapters `book/bayes_by_backprop/design_rivals`, section "Which prior?" (scales), and
`book/mnist/convolutional`, section "The network" (fan-in).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm

from companion.priors.base import Prior, entrywise, float_x
from companion.priors.parameter import Parameter, checked

if TYPE_CHECKING:
    import torch
    from pytensor.tensor.variable import TensorVariable

__all__ = ["FanIn", "Gaussian", "IndependentNormal"]

Value = float | np.ndarray


class IndependentNormal(Prior):
    """The base class of priors under which every weight is normal and independent of the others."""

    @abstractmethod
    def moments(self, parameter: Parameter) -> tuple[Value, Value]:
        r"""Return the mean and the standard deviation of a parameter, each a number or an array (\*shape)."""

    def pymc(self, parameters: Sequence[Parameter]) -> dict[str, TensorVariable[Any, Any]]:
        """Lay one normal variable for each parameter into the model; see `Prior.pymc`."""
        weights = {}
        for p in checked(parameters):
            mean, scale = (float_x(value) for value in self.moments(p))
            weights[p.name] = pm.Normal(p.name, mean, scale, shape=p.shape, initval=float_x(p.start))
        return weights

    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        """Sample one normal site for each parameter; see `Prior.pyro`."""
        import pyro
        import pyro.distributions as dist
        import torch

        weights = {}
        for p in checked(parameters):
            mean, scale = (torch.tensor(value, dtype=torch.get_default_dtype()) for value in self.moments(p))
            weights[p.name] = pyro.sample(p.name, entrywise(dist.Normal(mean, scale), p.shape))
        return weights


@dataclass(frozen=True)
class Gaussian(IndependentNormal):
    r"""The same normal prior on every weight.

    .. math::

        w \sim \mathcal{N}(0, \mathrm{scale}^2)

    Attributes
    ----------
    scale
        Standard deviation of every weight.

    Raises
    ------
    ModelError
        If `scale` isn't positive and finite.

    Notes
    -----
    Its log density is, up to a constant, the L2 penalty of weight decay: MacKay (1992), "A Practical Bayesian
    Framework for Backpropagation Networks".
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        self._check_positive("scale")

    def moments(self, parameter: Parameter) -> tuple[float, float]:
        """Return the mean 0 and the standard deviation ``scale``."""
        return 0.0, self.scale


@dataclass(frozen=True)
class FanIn(IndependentNormal):
    r"""A normal prior that narrows as more inputs feed a unit.

    .. math::

        w \sim \mathcal{N}(0, \mathrm{scale}^2 / \text{fan-in})

    The sum that reaches a unit then has the same spread for layers of any width.

    Attributes
    ----------
    scale
        Standard deviation of a weight in a unit that has one input.

    Raises
    ------
    ModelError
        If `scale` isn't positive and finite.

    Notes
    -----
    The scaling is that of Neal (1996), "Bayesian Learning for Neural Networks", chapter 2. A bias is scaled like
    the weights of its layer.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        self._check_positive("scale")

    def moments(self, parameter: Parameter) -> tuple[float, float]:
        """Return the mean 0 and ``scale / sqrt(fan_in)``; a parameter without a fan-in counts as one with one input."""
        return 0.0, self.scale / math.sqrt(max(parameter.fan_in, 1))
