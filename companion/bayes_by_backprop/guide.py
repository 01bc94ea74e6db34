r"""The mean-field guide: an independent normal for every value that a Pyro model draws.

Every site is an explicit normal, so that the free energy finds a closed form for its KL divergence where there is one.
Explained in the chapter `book/bayes_by_backprop/regression`, section
"What the companion puts in the place of what".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch.distributions import biject_to, constraints
from torch.distributions.transforms import Transform, identity_transform
from torch.nn.functional import softplus

from companion.bayes_by_backprop.first_run import base_of, drawn_sites, first_run
from companion.bayes_by_backprop.module import BayesianModule
from companion.checks import positive
from companion.errors import ModelError
from companion.machine import random_kept, reseed

__all__ = ["MeanFieldGuide", "Site", "normal_of"]

_MEDIAN_OF = 101
"""Draws whose median is a positive value's start: an odd number, so that it is one of them."""


class Site(NamedTuple):
    """One site of a guide.

    Attributes
    ----------
    name
        Its name, as in the model.
    transform
        Map from the space without constraints to the site's support.
    mean, scale
        Mean and standard deviation of the normal in the space without constraints.
    """

    name: str
    transform: Transform
    mean: torch.Tensor
    scale: torch.Tensor


class MeanFieldGuide(torch.nn.Module):
    r"""Independent normals in the space without constraints, with softplus scales.

    .. math::

        q(w) = \prod_i \mathcal{N}(w_i \mid \mu_i, \sigma_i^2), \qquad \sigma_i = \log(1 + e^{\rho_i})

    A site that must be positive, such as a scale, is the exponential of such a normal.

    Parameters
    ----------
    model
        Pyro model, called as ``model(x, y)``, whose drawn values are continuous.
    x, y
        Some rows: the model is run on them once to see which values it draws.
    start_scale
        Standard deviation of every value at the start.
    seed
        Seed of the starting values that no module gives.

    Raises
    ------
    ModelError
        If the model draws nothing, or a value that is discrete or has a support without such a map; if `start_scale`
        isn't positive and finite.

    Notes
    -----
    Means start at the weights of the model's torch modules. A value that belongs to none starts at a draw from its
    prior, and one that must be positive at its prior's median. Blundell et al. (2015), "Weight uncertainty in neural
    networks", section 3.2.
    """

    def __init__(
        self, model: Callable[..., Any], x: torch.Tensor, y: torch.Tensor, *, start_scale: float = 0.1, seed: int = 0
    ) -> None:
        super().__init__()
        positive("start_scale", start_scale, "such as 0.05")
        modules = model.modules() if isinstance(model, torch.nn.Module) else ()
        bayesian = [m for m in modules if isinstance(m, BayesianModule)]
        starts = {name: value for m in bayesian for name, value in m.prior.starts(m.weights).items()}
        self.means, self.rhos = torch.nn.ParameterList(), torch.nn.ParameterList()
        self._transforms: dict[str, Transform] = {}
        rho = float(np.log(np.expm1(start_scale)))
        with random_kept(), torch.no_grad():
            reseed(x.device, seed)
            for name, site in drawn_sites(first_run(model, x, y)):
                self._transforms[name] = transform = _transform(name, site)
                mean = _start(site, starts.get(name), transform)
                self.means.append(torch.nn.Parameter(mean))
                self.rhos.append(torch.nn.Parameter(torch.full_like(mean, rho)))
        if not self._transforms:
            raise ModelError("the model draws no value; expected sites such as to_bayesian(module, prior) samples.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sites, in the model's order."""
        return tuple(self._transforms)

    def sites(self) -> Iterator[Site]:
        """Go through the sites."""
        for (name, transform), mean, rho in zip(self._transforms.items(), self.means, self.rhos, strict=True):
            yield Site(name, transform, mean, softplus(rho))

    def forward(self, *_: Any) -> None:
        """Sample every site."""
        for name, transform, mean, scale in self.sites():
            normal = dist.Normal(mean, scale).to_event(mean.dim())
            identity = transform == identity_transform  # not `is`: a copy of a guide has a copy of it
            pyro.sample(name, normal if identity else dist.TransformedDistribution(normal, [transform]))


def normal_of(distribution: Any) -> torch.distributions.Normal | None:
    """Give the normal whose entries a distribution makes one event of, or None for another distribution."""
    base = base_of(distribution)
    return base if isinstance(base, torch.distributions.Normal) else None


def _transform(name: str, site: Any) -> Transform:
    """Find the map from all numbers to a site's support."""
    support = site["fn"].support
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    if support is constraints.real:
        return identity_transform
    found: Transform | None
    try:
        found = biject_to(support)
    except NotImplementedError:
        found = None
    if support.is_discrete or found is None or found.domain.event_dim or found.codomain.event_dim:
        raise ModelError(
            f"the site {name!r} has the support {support}; a mean-field guide expects numbers, each free or bounded by "
            "itself. Sum a discrete variable out, as ScaleMixture does."
        )
    return found


def _start(site: Any, given: np.ndarray | None, transform: Transform) -> torch.Tensor:
    """Find the mean at which a site starts, without constraints."""
    if given is not None:
        return torch.tensor(given).to(site["value"])
    value: torch.Tensor = site["value"]
    if transform != identity_transform:
        value = transform.inv(torch.stack([site["fn"]() for _ in range(_MEDIAN_OF)]).median(dim=0).values)
    return value.detach().clone()
