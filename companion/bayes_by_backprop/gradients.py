"""How noisy a gradient is: its moments over repeated estimates at one posterior.

Explained in the chapter `book/bayes_by_backprop/design_choices`, section "Three gradients".
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import numpy as np
import torch

from companion.bayes_by_backprop.bound import Pairs, free_energy, rows_of
from companion.bayes_by_backprop.layers import layer_noise, weights_of_layers
from companion.bayes_by_backprop.posterior import PyroPosterior, computing
from companion.checks import whole
from companion.machine import guard, reseed, seed_for
from companion.posterior import Moments

__all__ = ["GradientNoise", "gradient_noise"]


@dataclass(frozen=True, eq=False)
class GradientNoise:
    r"""What repeated estimates of one gradient have in common, and how far they scatter.

    Attributes
    ----------
    means
        Moments, over the repeats, of the gradient in each site's mean: name to mean and standard deviation (\*shape).
    scales
        The same of the gradient in each site's raw scale :math:`\rho`.
    repeats
        Number of estimates.
    seconds
        Wall time of one, the median.
    """

    means: dict[str, Moments]
    scales: dict[str, Moments]
    repeats: int
    seconds: float

    def variance(self) -> float:
        """Sum the variances of all entries of the gradient, in the means and in the raw scales, in nats squared."""
        return float(sum(np.square(m.scale).sum() for part in (self.means, self.scales) for m in part.values()))

    def disagreement(self, other: GradientNoise) -> float:
        r"""Compute the mean square of the standardised difference between this mean gradient and another's.

        .. math::

            \frac{1}{P} \sum_{i=1}^{P} \frac{(\bar g_i - \bar g'_i)^2}{(s_i^2 + s_i'^2) / R}

        with :math:`\bar g_i, s_i` the moments of entry :math:`i` of :math:`P` and :math:`R` repeats. It is about 1
        where both estimate the same gradient, and grows with the repeats where they don't.
        """
        found = []
        for mine, theirs in ((self.means, other.means), (self.scales, other.scales)):
            for name, m in mine.items():
                t = theirs[name]
                error = np.square(m.scale) / self.repeats + np.square(t.scale) / other.repeats
                found.append((np.square(m.mean - t.mean)[error > 0] / error[error > 0]).ravel())
        return float(np.concatenate(found).mean())


def gradient_noise(
    posterior: PyroPosterior, data: Pairs, estimator: str, *, repeats: int = 100, seed: int = 0
) -> GradientNoise:
    r"""Estimate the gradient of the negative ELBO again and again, at a posterior that stays as it is.

    Parameters
    ----------
    posterior
        Posterior at which the gradient is estimated; it is not changed.
    data
        Rows of one step, each counted once.
    estimator
        Estimator of the gradient: "reparameterisation", "local" or "flipout".
    repeats
        Number of estimates, 2 or more.
    seed
        Seed of their noise.

    Returns
    -------
    GradientNoise

    Raises
    ------
    ModelError
        If there is no such estimator, or `repeats` or `seed` is out of range.
    DataError
        If the rows don't belong together.

    Notes
    -----
    Kingma, Salimans and Welling (2015), section 2.2, on why one draw for all rows is noisy. In float32, whatever the
    fit was in.
    """
    whole("repeats", repeats, 2)
    model, guide = copy.deepcopy(posterior.model), copy.deepcopy(posterior.guide)
    x, y = rows_of(data, posterior.device)
    wanted = [*guide.means, *guide.rhos]
    total = [torch.zeros_like(p, dtype=torch.float64) for p in wanted]
    squares, seconds = [torch.zeros_like(t) for t in total], []
    with guard(), computing(x.device, "float32"):
        reseed(x.device, seed_for(whole("seed", seed, 0), "gradients"))
        names = weights_of_layers(estimator, model, guide, x, y)
        for n in range(1, repeats + 1):
            began = time.perf_counter()
            with layer_noise(estimator, names):
                loss = free_energy(model, guide, x, y)
            found = torch.autograd.grad(loss, wanted)
            seconds.append(time.perf_counter() - began)
            for mean, square, g in zip(total, squares, found, strict=True):  # Welford's update
                away = g - mean
                mean += away / n
                square += away * (g - mean)
    deviations = [(s / (repeats - 1)).sqrt() for s in squares]
    moments = [Moments(m.cpu().numpy(), d.cpu().numpy()) for m, d in zip(total, deviations, strict=True)]
    of_means, of_scales = moments[: len(guide.means)], moments[len(guide.means) :]
    return GradientNoise(
        dict(zip(guide.names, of_means, strict=True)),
        dict(zip(guide.names, of_scales, strict=True)),
        repeats,
        float(np.median(seconds)),
    )
