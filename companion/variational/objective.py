r"""The negative ELBO of a lowered model and its gradient, as one torch function for all restarts.

.. math::

    -\mathrm{ELBO} = -\mathbb{E}_q[\log p(\mathcal{D} \mid \theta)] + \mathrm{KL}(q(\theta) \,\|\, p(\theta))

Explained in `book/reference/how_a_fit_works`, section "The objective".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from math import prod
from typing import Any, NamedTuple

import torch

from companion.bridge import LogDensity, Observed, Tools, fastest
from companion.errors import ModelError
from companion.variational.dropout import Dropout
from companion.variational.estimators import Estimator
from companion.variational.families import EmpiricalBayes, Family, OptimalScales, Parameters, PointMass
from companion.variational.layer_noise import Gaussian, layer_weights, noise_for
from companion.variational.layout import Layout
from companion.variational.scales import ScaleUpdate

__all__ = ["Gradient", "Objective", "Terms"]

Data = Mapping[str, torch.Tensor]
Tensors = tuple[torch.Tensor, ...]
Gradient = Callable[..., tuple[torch.Tensor, Tensors]]


class Terms(NamedTuple):
    """The two terms of the loss, in nats: expected log likelihood and KL divergence."""

    log_likelihood: torch.Tensor
    kl: torch.Tensor


@dataclass(frozen=True, eq=False)
class Objective:
    """What is minimised: the negative ELBO of a lowered model.

    Attributes
    ----------
    density
        Lowered model.
    family
        Family of the approximation.
    estimator
        Estimator of the gradient.
    rows
        Number of rows in the whole data set; ``None`` where the model has no rows.
    draws
        Number of draws of the approximation in one estimate.
    bfloat16
        Whether the likelihood is computed under autocast.
    """

    density: LogDensity
    family: Family
    estimator: Estimator = Estimator.REPARAMETERISATION
    rows: int | None = None
    draws: int = 1
    bfloat16: bool = False

    @cached_property
    def layout(self) -> Layout:
        """Where each value lies in the flat vector."""
        return Layout.of(self.density.start)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.density.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the parameters."""
        return self.density.dtype

    @property
    def noise_size(self) -> int:
        """Number of standard normal numbers in one draw."""
        return self.family.noise(self.layout.size)

    @property
    def row_count(self) -> int:
        """Number of rows that the loss is a sum over; of observations, where the model's data have no rows."""
        if self.rows is not None:
            return self.rows
        return max(1, sum(prod(shape[:1]) for shape in self.density.observed_shapes(self.density.data).values()))

    @property
    def float64(self) -> bool:
        """Whether the same loss can be computed in float64: always, because the model is lowered."""
        return True

    @property
    def draws_inside(self) -> bool:
        """Whether the layers also take random numbers from torch's own generator."""
        return self.estimator.acts_on_layers

    def settle(self, parameters: Parameters) -> None:
        """Set the approximation's factors of learned scales to their optimum, in place; see `ScaleUpdate`.

        The family `OptimalScales` and those that are made of it do so; otherwise nothing changes.
        """
        if self._scale_update is not None:
            self._scale_update(parameters["mean"], parameters["log_scale"])

    @property
    def _estimates(self) -> bool:
        return isinstance(self.family, EmpiricalBayes)

    @cached_property
    def _scale_update(self) -> ScaleUpdate | None:
        if not isinstance(self.family, OptimalScales):
            return None
        scales = self.density.centred_scales
        if scales.widths:
            like = torch.empty(0, dtype=self.dtype, device=self.device)
            return ScaleUpdate(scales, self.layout, like, estimate=self._estimates)
        raise ModelError(
            f"family={self.family.name!r} {'estimates' if self._estimates else 'sets'} half-normal scales of normal "
            f"variables around constants, and found none among {list(self.layout.names)}. Use a centred prior with "
            "learned scales, such as companion.priors.LearnedScale(), or family='mean-field'."
        )

    def uncounted(self, parameters: Parameters, draw: torch.Tensor, *, closed: bool = False) -> torch.Tensor | float:
        """Compute what estimated scales would add to the KL divergence, in nats; 0 where the family estimates none.

        Parameters
        ----------
        parameters, draw
            Parameters of the family, and a draw.
        closed
            Whether the entropy is taken in closed form, or from the draw.
        """
        if self._scale_update is None or not self._estimates:
            return 0.0
        at = self._scale_update.places
        own = {name: p[at] for name, p in parameters.items()}
        density = -self.family.entropy(own) if closed else self.family.log_prob(own, draw[at])
        return density - self._scale_update.log_prior(self.layout.split(draw))

    def is_scale(self, parameter: str) -> bool:
        """Say whether a parameter of the family makes the covariance."""
        return parameter != "mean"

    def value_at(self, parameter: str, row: int) -> str:
        """Name the value that a row of a parameter belongs to."""
        return self.layout.name_at(row)

    def values_of(self, parameter: str, shape: Sequence[int]) -> list[tuple[str, int]]:
        """List the values of the flat vector, each with its number of entries."""
        return list(zip(self.layout.names, self.layout.sizes, strict=True))

    def broken_terms(self, parameters: Parameters, noise: torch.Tensor, data: Data) -> list[str]:
        """Name the terms of the log density that aren't finite at one draw."""
        values = self.layout.split(self.family.draw(parameters, noise))
        if not all(torch.isfinite(v).all() for v in values.values()):
            return []
        terms = {f"the log likelihood of {n!r}": t for n, t in self.density.likelihoods(values, data).items()}
        terms["the log prior"] = self.density.prior(values, data)
        return [name for name, term in terms.items() if not torch.isfinite(term)]

    def finite_in_float64(self, parameters: Parameters, noise: torch.Tensor, data: Data) -> bool:
        """Say whether the log density and its gradient at one draw are finite in float64."""
        draw = self.family.draw(parameters, noise).double()
        if not torch.isfinite(draw).all():
            return False
        exact = self.density.to(torch.float64, self.density.device)
        rows = {name: t.double() if t.is_floating_point() else t for name, t in data.items()}
        with torch.enable_grad():
            leaf = draw.detach().requires_grad_()
            density = exact(self.layout.split(leaf), rows)
            [slope] = torch.autograd.grad(density, [leaf])
        return bool(torch.isfinite(density) and torch.isfinite(slope).all())

    def terms(self, parameters: Parameters, noise: torch.Tensor, data: Data, layers: frozenset[str]) -> Terms:
        """Estimate the loss's terms with one draw."""
        draw = self.family.draw(parameters, noise)
        values = self.layout.split(draw)
        gaussians = self._gaussians(parameters, values) if self.estimator.acts_on_layers else {}
        with noise_for(self.estimator, gaussians.values(), layers), self.autocast():
            likelihood = self.log_likelihood(values, data)
        return Terms(likelihood, self.kl(parameters, draw, values))

    def log_likelihood(self, values: Data, data: Data) -> torch.Tensor:
        """Compute the log likelihood of all rows, as estimated from those in `data`."""
        found = self.density.likelihoods(values, data)
        total = sum(found[o.name] * self._weight(o, data) for o in self.density.observed)
        return torch.as_tensor(total, dtype=self.density.dtype, device=self.density.device)

    def _weight(self, observed: Observed, data: Data) -> float:
        """Say how many rows each row stands for, where the model's ``total_size`` doesn't."""
        if observed.rows is None or observed.scaled or self.rows is None:
            return 1.0
        return self.rows / len(data[observed.rows])

    def _gaussians(self, parameters: Parameters, values: Data) -> dict[str, Gaussian]:
        """Give each value's draw with its mean and scale."""
        means = self.layout.split(parameters["mean"])
        if isinstance(self.family, Dropout):
            names, p = self.family.names, self.family.probability
            return {n: Gaussian(n, values[n], means[n], torch.zeros_like(means[n]), p) for n in values if n in names}
        scales = self.layout.split(self.family.variance(parameters).sqrt())
        return {name: Gaussian(name, draw, means[name], scales[name]) for name, draw in values.items()}

    def kl(self, parameters: Parameters, draw: torch.Tensor, values: Data) -> torch.Tensor:
        """Compute the KL divergence: in closed form where prior and family allow it, from the draw where not."""
        if isinstance(self.family, PointMass):
            return -self.density.prior(values)
        if self.estimator is Estimator.STICKING_THE_LANDING:
            frozen = {name: p.detach() for name, p in parameters.items()}
            drawn = self.family.log_prob(frozen, draw) - self.density.prior(values)
            return drawn - self.uncounted(frozen, draw) if self._estimates else drawn
        means, variances = self._moments(parameters, values)
        closed = torch.as_tensor(
            -self.family.entropy(parameters) - self.density.expected_prior(values, means, variances)
        )
        return closed - self.uncounted(parameters, draw, closed=True) if self._estimates else closed

    def _moments(self, parameters: Parameters, values: Data) -> tuple[Data, Data]:
        """Give means and variances for the closed form; a value that has none stands at its draw, with variance 0.

        Where the family correlates values, the form holds only for those whose prior depends on no other value.
        """
        means = self.layout.split(parameters["mean"])
        variances = self.layout.split(self.family.variance(parameters))
        names = set(self.density.gaussian if self.family.factorised else self.density.independent)
        return (
            {n: means[n] if n in names else values[n] for n in self.density.gaussian},
            {n: variances[n] if n in names else torch.zeros_like(values[n]) for n in self.density.gaussian},
        )

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of mixed precision."""
        return torch.autocast(self.density.device.type, torch.bfloat16) if self.bfloat16 else nullcontext()

    def gradient(self, parameters: Parameters, noise: torch.Tensor, data: Data) -> Gradient:
        """Build the gradient function for parameters like these.

        Parameters
        ----------
        parameters
            Parameters of all restarts: name to tensor (restarts, ...).
        noise
            Standard normal numbers (restarts, draws, noise).
        data
            Data of one step.

        Returns
        -------
        callable
            ``gradient(kl_weight, noise, *parameters, *data)``, with `kl_weight` a scalar tensor, gives losses
            (restarts,), at full weight, and one gradient per parameter. It is a traced graph of torch's own operations:
            neither PyTensor nor vmap nor autograd costs anything when it runs.
        """
        names, inputs = list(parameters), list(data)
        layers = self._layers({n: p[0] for n, p in parameters.items()}, noise[0, 0], data)
        restarts = len(noise)

        def loss(tools: Tools, own: Tensors, kl_weight: torch.Tensor, noise: torch.Tensor, batch: Tensors) -> Any:
            given = dict(zip(names, own, strict=True))
            rows = dict(zip(inputs, batch, strict=True))
            if self.draws == 1:
                found = self.terms(given, noise[0], rows, layers)
            else:
                every = tools.over(lambda e: self.terms(given, e, rows, layers))(noise)
                found = Terms(*(t.mean() for t in every))
            return -found.log_likelihood + kl_weight * found.kl, -found.log_likelihood + found.kl

        def build(tools: Tools) -> Gradient:
            with_gradient = tools.with_gradient(partial(loss, tools))

            def gradient(kl_weight: torch.Tensor, noise: torch.Tensor, *rest: torch.Tensor) -> Any:
                own, batch = rest[: len(names)], rest[len(names) :]
                if restarts == 1:
                    found, (_, full) = with_gradient(tuple(p[0] for p in own), kl_weight, noise[0], batch)
                    return full[None], tuple(g[None] for g in found)
                found, (_, full) = tools.over(with_gradient, (0, None, 0, None))(own, kl_weight, noise, batch)
                return full, found

            return gradient

        example = (torch.ones((), device=noise.device), noise, *parameters.values(), *data.values())
        return fastest(build, [t.detach() for t in example])

    def _layers(self, parameters: Parameters, noise: torch.Tensor, data: Data) -> frozenset[str]:
        with torch.no_grad():
            values = self.layout.split(self.family.draw(parameters, noise))
            gaussians = self._gaussians(parameters, values) if self.estimator.acts_on_layers else {}
            return layer_weights(
                self.estimator,
                lambda: self.log_likelihood(values, data),
                gaussians,
                self._lengths(data),
                needed=not isinstance(self.family, Dropout),  # whose draws are as good for any layer, only noisier
            )

    def _lengths(self, data: Data) -> frozenset[int]:
        """Find the numbers of rows in the data of one step: one, in most models."""
        names = {n for o in self.density.observed for n in ((o.rows,) if o.rows is not None else o.data)}
        return frozenset(len(data[n]) for n in names if data[n].ndim > 0)
