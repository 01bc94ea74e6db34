# mypy: untyped-calls-exclude="pyro"
"""A prior with a sharp peak at zero and heavier tails than a normal: the Laplace distribution.

Explained in the chapter `book/bayes_by_backprop/design_rivals`, section "Which prior?".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pymc as pm

from companion.priors.base import Prior, entrywise, float_x
from companion.priors.parameter import Parameter, checked

if TYPE_CHECKING:
    import torch
    from pytensor.tensor.variable import TensorVariable

__all__ = ["Laplace"]


@dataclass(frozen=True)
class Laplace(Prior):
    r"""The same Laplace prior on every weight.

    .. math::

        p(w) = \frac{1}{2b} e^{-|w| / b}, \quad b = \mathrm{scale} / \sqrt{2}

    Attributes
    ----------
    scale
        Standard deviation of every weight, which compares with that of `Gaussian`.

    Raises
    ------
    ModelError
        If `scale` isn't positive and finite.

    Notes
    -----
    Minus its log density is, up to a constant, the L1 penalty :math:`|w| / b`. Under it the mode of a posterior has
    weights that are exactly zero; the mean never has. Williams (1995), "Bayesian Regularization and Pruning Using a
    Laplace Prior".
    """

    scale: float = 0.1

    def __post_init__(self) -> None:
        self._check_positive("scale")

    def pymc(self, parameters: Sequence[Parameter]) -> dict[str, TensorVariable[Any, Any]]:
        """Lay one Laplace variable for each parameter into the model; see `Prior.pymc`."""
        b = float_x(self.scale / math.sqrt(2))
        return {
            p.name: pm.Laplace(p.name, float_x(0.0), b, shape=p.shape, initval=float_x(p.start))
            for p in checked(parameters)
        }

    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        """Sample one Laplace site for each parameter; see `Prior.pyro`."""
        import pyro
        import pyro.distributions as dist

        peak = dist.Laplace(0.0, self.scale / math.sqrt(2))
        return {p.name: pyro.sample(p.name, entrywise(peak, p.shape)) for p in checked(parameters)}
