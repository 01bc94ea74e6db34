# mypy: untyped-calls-exclude="pyro"
"""Priors that mix a narrow and a wide distribution: most weights lie near 0, and a few are as large as they need.

Explained in the chapters `book/bayes_by_backprop/design_rivals`, section "Which prior?" (the scale mixture), and
`book/pymc/moons`, section "Why join two crafts" (spike and slab).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm

from companion.errors import ModelError
from companion.priors.base import Prior, entrywise, float_x
from companion.priors.parameter import Parameter, checked

if TYPE_CHECKING:
    import torch
    from pytensor.tensor.variable import TensorVariable

__all__ = ["ScaleMixture", "SpikeAndSlab"]


@dataclass(frozen=True)
class ScaleMixture(Prior):
    r"""A mixture of two normal distributions around 0, the same for every weight.

    .. math::

        p(w) = \pi\, \mathcal{N}(w \mid 0, \sigma_1^2) + (1 - \pi)\, \mathcal{N}(w \mid 0, \sigma_2^2)

    The choice between the two is summed over for each weight, so that no discrete variable remains.

    Attributes
    ----------
    weight
        Share of the wide component, :math:`\pi`.
    wide, narrow
        Standard deviations of the two components, :math:`\sigma_1 \ge \sigma_2`.

    Raises
    ------
    ModelError
        If `weight` isn't between 0 and 1, a standard deviation isn't positive and finite, or `narrow` is above `wide`.

    Notes
    -----
    Equation 7 of Blundell, Cornebise, Kavukcuoglu and Wierstra (2015), "Weight Uncertainty in Neural Networks".
    """

    weight: float = 0.5
    wide: float = 1.0
    narrow: float = math.exp(-6)

    def __post_init__(self) -> None:
        self._check_fraction("weight")
        self._check_positive("wide", "narrow")
        if self.narrow > self.wide:
            raise ModelError(
                f"narrow={self.narrow} in ScaleMixture is above wide={self.wide}; expected a value up to it. Swap "
                "them; weight is the share of the wide component."
            )

    def pymc(self, parameters: Sequence[Parameter]) -> dict[str, TensorVariable[Any, Any]]:
        """Lay one mixture variable for each parameter into the model; see `Prior.pymc`."""
        shares, scales = float_x(self._shares), float_x((self.wide, self.narrow))
        return {
            p.name: pm.NormalMixture(
                p.name, w=shares, mu=float_x(np.zeros(2)), sigma=scales, shape=p.shape, initval=float_x(p.start)
            )
            for p in checked(parameters)
        }

    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        """Sample one mixture site for each parameter; see `Prior.pyro`."""
        import pyro
        import pyro.distributions as dist
        import torch

        from companion.priors.real_mixture import RealMixture

        components = dist.Normal(torch.zeros(2), torch.tensor([self.wide, self.narrow]))
        mixture = RealMixture(dist.Categorical(torch.tensor(self._shares)), components)
        return {p.name: pyro.sample(p.name, entrywise(mixture, p.shape)) for p in checked(parameters)}

    @property
    def _shares(self) -> tuple[float, float]:
        return self.weight, 1.0 - self.weight


@dataclass(frozen=True)
class SpikeAndSlab(Prior):
    r"""A prior under which each weight is switched on or off, by a switch that is smooth.

    .. math::

        g \sim \mathrm{Logistic}\bigl(\mathrm{logit}(\pi) / T,\; 1 / T\bigr), \quad
        v \sim \mathcal{N}(0, \mathrm{scale}^2), \quad w = \sigma(g)\, v

    The gate :math:`\sigma(g)` is a binary Concrete variable: it is above one half with probability :math:`\pi` at every
    temperature, and nearly 0 or 1 at a low one. The variables are named
    ``"0.weight.gate_logit"`` for :math:`g` and ``"0.weight.slab"`` for :math:`v`.

    Attributes
    ----------
    inclusion
        Prior probability :math:`\pi` that a weight is switched on.
    scale
        Standard deviation of a weight that is switched on.
    temperature
        Temperature :math:`T` of the gate; towards 0 the gate becomes a Bernoulli variable, and its posterior hard to
        explore.

    Raises
    ------
    ModelError
        If `inclusion` isn't between 0 and 1, or another setting isn't positive and finite.

    Notes
    -----
    The spike and slab are those of Mitchell and Beauchamp (1988), "Bayesian Variable Selection in Linear
    Regression"; the gate is that of Maddison et al. (2017), "The Concrete Distribution", appendix B.
    Inference starts at the module's weights with every gate half open or more.
    """

    inclusion: float = 0.5
    scale: float = 1.0
    temperature: float = 0.5

    def __post_init__(self) -> None:
        self._check_fraction("inclusion")
        self._check_positive("scale", "temperature")

    def pymc(self, parameters: Sequence[Parameter]) -> dict[str, TensorVariable[Any, Any]]:
        """Lay a gate and a slab for each parameter into the model, and their product; see `Prior.pymc`."""
        location = self._location
        half_open = max(location, 0.0)  # a gate that starts shut would ask for an enormous slab
        weights = {}
        for p in checked(parameters):
            gate_start = slab_start = None
            if p.start is not None:
                gate_start = np.full(p.shape, half_open)
                slab_start = p.start * (1.0 + math.exp(-half_open))
            gate_logit = pm.Logistic(
                f"{p.name}.gate_logit", location, 1.0 / self.temperature, shape=p.shape, initval=float_x(gate_start)
            )
            slab = pm.Normal(f"{p.name}.slab", 0.0, self.scale, shape=p.shape, initval=float_x(slab_start))
            weights[p.name] = pm.Deterministic(p.name, pm.math.sigmoid(gate_logit) * slab)
        return weights

    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        """Sample a gate and a slab for each parameter, and return their product; see `Prior.pyro`."""
        import pyro
        import pyro.distributions as dist

        weights = {}
        for p in checked(parameters):
            switch = dist.Logistic(self._location, 1.0 / self.temperature)
            gate_logit = pyro.sample(f"{p.name}.gate_logit", entrywise(switch, p.shape))
            slab = pyro.sample(f"{p.name}.slab", entrywise(dist.Normal(0.0, self.scale), p.shape))
            weights[p.name] = pyro.deterministic(p.name, gate_logit.sigmoid() * slab, event_dim=len(p.shape))
        return weights

    @property
    def _location(self) -> float:
        return math.log(self.inclusion / (1.0 - self.inclusion)) / self.temperature
