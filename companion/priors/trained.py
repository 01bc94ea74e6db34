r"""Priors whose settings are trained along with the posterior, as in the post: empirical Bayes by gradient.

They maximise the ELBO over the prior's own numbers. For scales with a distribution of their own, which PyMC can fit
too, see `companion.priors.LearnedScale`. Explained in the chapter `book/bayes_by_backprop/regression`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from torch.nn.functional import softplus

from companion.checks import positive
from companion.priors.base import entrywise
from companion.priors.mixtures import ScaleMixture
from companion.priors.parameter import Parameter, checked
from companion.priors.real_mixture import RealMixture

__all__ = ["TrainedLocation", "TrainedPrior", "TrainedScaleMixture"]


class TrainedPrior(torch.nn.Module):
    """A prior with parameters of its own."""

    @abstractmethod
    def prepared(self, parameters: Sequence[Parameter]) -> TrainedPrior:
        """Make a copy with trainable numbers for these weights."""

    @abstractmethod
    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        r"""Sample a site for each weight; name to tensor (\*shape)."""


class TrainedLocation(TrainedPrior):
    r"""Normal weights around means that are trained, one for each weight.

    .. math::

        w \sim \mathcal{N}(m, \mathrm{scale}^2), \quad m \text{ maximises the ELBO}

    The best mean of the prior is that of the posterior, so nothing pulls the weights anywhere, and the KL divergence
    charges for their width alone.

    Parameters
    ----------
    scale
        Standard deviation.

    Raises
    ------
    ModelError
        If `scale` isn't positive and finite.

    Notes
    -----
    ``prior_trainable`` of McAteer (2019), "A quick intro to Bayesian neural networks". Explained in the chapter
    `book/bayes_by_backprop/regression`.
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = positive("scale", scale, owner=self)
        self.locations = torch.nn.ParameterList()

    def prepared(self, parameters: Sequence[Parameter]) -> TrainedLocation:
        """Make a copy with a mean of 0 for each weight."""
        own = TrainedLocation(self.scale)
        own.locations.extend(torch.nn.Parameter(torch.zeros(p.shape)) for p in checked(parameters))
        return own

    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        """Sample one normal site for each weight."""
        normal = zip(parameters, self.locations, strict=True)
        return {p.name: pyro.sample(p.name, entrywise(dist.Normal(m, self.scale), p.shape)) for p, m in normal}


class TrainedScaleMixture(TrainedPrior):
    r"""A mixture of two normals around 0 whose scales and share are trained, the same for all weights.

    .. math::

        p(w) = \pi\, \mathcal{N}(w \mid 0, \sigma_1^2) + (1 - \pi)\, \mathcal{N}(w \mid 0, \sigma_2^2),
        \quad \sigma_1, \sigma_2, \pi \text{ maximise the ELBO}

    Parameters
    ----------
    weight, wide, narrow
        Where :math:`\pi`, :math:`\sigma_1` and :math:`\sigma_2` start; see `companion.priors.ScaleMixture`.

    Raises
    ------
    ModelError
        As `companion.priors.ScaleMixture`.

    Notes
    -----
    Blundell et al. (2015), equation 7, keep the three fixed; McAteer (2019) describes training them, and his code
    doesn't. Explained in the chapter `book/bayes_by_backprop/regression`.
    """

    def __init__(self, weight: float = 0.2, wide: float = 1.0, narrow: float = 0.1) -> None:
        super().__init__()
        self.start = ScaleMixture(weight, wide, narrow)
        of_scale = torch.tensor([self.start.wide, self.start.narrow]).expm1().log()
        self.raw_scales = torch.nn.Parameter(of_scale)
        self.raw_weight = torch.nn.Parameter(torch.tensor(self.start.weight).logit())

    def prepared(self, parameters: Sequence[Parameter]) -> TrainedScaleMixture:
        """Make a copy; one set of numbers serves all weights."""
        checked(parameters)
        return TrainedScaleMixture(self.start.weight, self.start.wide, self.start.narrow)

    @property
    def scales(self) -> torch.Tensor:
        r"""The standard deviations :math:`\sigma_1, \sigma_2`, (2,)."""
        return softplus(self.raw_scales)

    @property
    def weight(self) -> torch.Tensor:
        r"""Share of the first component, :math:`\pi`."""
        return self.raw_weight.sigmoid()

    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        """Sample one mixture site for each weight."""
        shares = torch.stack([self.weight, 1 - self.weight])
        mixture = RealMixture(dist.Categorical(shares), dist.Normal(torch.zeros_like(self.scales), self.scales))
        return {p.name: pyro.sample(p.name, entrywise(mixture, p.shape)) for p in parameters}
