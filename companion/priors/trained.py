r"""Priors whose settings are trained along with the posterior, as in the post: empirical Bayes by gradient.

The settings are those that maximise the ELBO. For scales with a distribution of their own, which PyMC can fit too, see
`companion.priors.LearnedScale`. Explained in the chapter `book/bayes_by_backprop/regression`,
section "As the post did it".
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NoReturn

import torch
from torch.nn.functional import softplus

from companion.checks import positive
from companion.errors import ModelError
from companion.priors.base import Prior, entrywise
from companion.priors.mixtures import ScaleMixture
from companion.priors.parameter import Parameter, checked

__all__ = ["TrainedLocation", "TrainedPrior", "TrainedScaleMixture"]


class TrainedPrior(Prior, torch.nn.Module):
    """The base class of priors with settings to train, which serve Pyro alone."""

    @abstractmethod
    def prepared(self, parameters: Sequence[Parameter]) -> TrainedPrior:
        """Return a copy with trainable settings for these weights; see `Prior.prepared`."""

    def pymc(self, parameters: Sequence[Parameter]) -> NoReturn:
        """Refuse a PyMC model, whose variables are all drawn and none trained.

        Raises
        ------
        ModelError
            If it is called at all.
        """
        raise ModelError(
            f"a {type(self).__name__} is trained, and in a PyMC model every number is given or drawn; expected a prior "
            "of both libraries, such as companion.priors.LearnedScale(). With Pyro use "
            "companion.bayes_by_backprop.to_bayesian."
        )


class TrainedLocation(TrainedPrior):
    r"""Normal weights around means that are trained, one for each weight.

    .. math::

        w \sim \mathcal{N}(m, \mathrm{scale}^2), \quad m \text{ maximises the ELBO}

    The best mean of the prior is that of the posterior, so nothing pulls the weights anywhere, and the KL divergence
    charges for their width alone.

    Parameters
    ----------
    scale
        Standard deviation of every weight.

    Raises
    ------
    ModelError
        If `scale` isn't positive and finite.

    Notes
    -----
    ``prior_trainable`` of McAteer (2019), "A quick intro to Bayesian neural networks".
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = positive("scale", scale, owner=self)
        self.locations = torch.nn.ParameterList()

    def prepared(self, parameters: Sequence[Parameter]) -> TrainedLocation:
        """Return a copy with a trainable mean, which starts at 0, for each weight."""
        copy = TrainedLocation(self.scale)
        copy.locations.extend(torch.nn.Parameter(torch.zeros(p.shape)) for p in checked(parameters))
        return copy

    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        """Sample one normal site for each parameter; see `Prior.pyro`."""
        import pyro
        import pyro.distributions as dist

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
        Values at which :math:`\pi`, :math:`\sigma_1` and :math:`\sigma_2` start; see `companion.priors.ScaleMixture`.

    Raises
    ------
    ModelError
        If `weight` isn't between 0 and 1, a standard deviation isn't positive and finite, or `narrow` is above `wide`.

    Notes
    -----
    Blundell et al. (2015), equation 7, keep the three fixed. McAteer (2019) describes training them, and his code
    doesn't.
    """

    def __init__(self, weight: float = 0.2, wide: float = 1.0, narrow: float = 0.1) -> None:
        super().__init__()
        self.start = ScaleMixture(weight, wide, narrow)
        of_scale = torch.tensor([self.start.wide, self.start.narrow]).expm1().log()
        self.raw_scales = torch.nn.Parameter(of_scale)
        self.raw_weight = torch.nn.Parameter(torch.tensor(self.start.weight).logit())

    def prepared(self, parameters: Sequence[Parameter]) -> TrainedScaleMixture:
        """Return a copy with trainable settings, one set for all weights."""
        checked(parameters)
        return TrainedScaleMixture(self.start.weight, self.start.wide, self.start.narrow)

    @property
    def scales(self) -> torch.Tensor:
        r"""Standard deviations :math:`\sigma_1` and :math:`\sigma_2`, (2,)."""
        return softplus(self.raw_scales)

    @property
    def weight(self) -> torch.Tensor:
        r"""Share of the first component, :math:`\pi`."""
        return self.raw_weight.sigmoid()

    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        """Sample one mixture site for each parameter; see `Prior.pyro`."""
        import pyro
        import pyro.distributions as dist

        from companion.priors.real_mixture import RealMixture

        shares = torch.stack([self.weight, 1 - self.weight])
        mixture = RealMixture(dist.Categorical(shares), dist.Normal(torch.zeros_like(self.scales), self.scales))
        return {p.name: pyro.sample(p.name, entrywise(mixture, p.shape)) for p in parameters}
