"""Uncertainty of measurements: bands around a curve, how often they hold, and the parts of their width.

Explained in the chapter `book/bayes_by_backprop/band`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from companion.checks import fraction, positive
from companion.errors import DataError, ModelError
from companion.uncertainty.decomposition import Decomposition

__all__ = ["Interval", "decompose_measurements", "interval", "sample_measurements", "sigma_interval"]


@dataclass(frozen=True, eq=False)
class Interval:
    """A range of values for each point.

    Attributes
    ----------
    low, high
        Lower and upper ends, both (points,), in the units of the values.
    """

    low: np.ndarray
    high: np.ndarray

    @property
    def width(self) -> np.ndarray:
        """Distance from the lower end to the upper one, (points,)."""
        return self.high - self.low

    def coverage(self, y: np.ndarray) -> float:
        """Compute the share of the points whose measurement lies inside, ends included.

        A share c of n independent points has a standard error of its own, the root of c (1 - c) / n.

        Parameters
        ----------
        y
            Measurements (points,).

        Raises
        ------
        DataError
            If there are no points, or there isn't one finite measurement for each.
        """
        measured = np.asarray(y, dtype=float)
        if measured.shape != self.low.shape or not measured.size or not np.isfinite(measured).all():
            raise DataError(
                f"y has shape {measured.shape}; expected one finite measurement for each of {len(self.low)} points."
            )
        return float(np.mean((self.low <= measured) & (measured <= self.high)))

    def expected_coverage(self, mean: np.ndarray, scale: float | np.ndarray) -> float:
        r"""Compute the share of all measurements to come that lies inside, where their law is known to be normal.

        .. math::

            \frac{1}{n} \sum_{i=1}^n
            \left[\Phi\left(\frac{b_i - f_i}{\tau_i}\right) - \Phi\left(\frac{a_i - f_i}{\tau_i}\right)\right]

        with the interval from :math:`a_i` to :math:`b_i`. It is what `coverage` tends to with ever more measurements at
        each point, so it has no error of sampling. On data that were made up, the law is known.

        Parameters
        ----------
        mean
            True curve :math:`f_i`, (points,).
        scale
            True standard deviation :math:`\tau_i` of the noise: a number, or (points,).

        Raises
        ------
        DataError
            If there isn't one finite mean, and a positive and finite scale, for each of the points.
        """
        means, scales = np.asarray(mean, dtype=float), np.asarray(scale, dtype=float)
        if means.shape != self.low.shape or not means.size or not np.isfinite(means).all():
            raise DataError(
                f"mean has shape {means.shape}; expected one finite mean for each of {len(self.low)} points."
            )
        if scales.shape not in ((), means.shape) or not np.isfinite(scales).all() or (scales <= 0).any():
            raise DataError(
                f"scale has shape {scales.shape}; expected a positive number, or one for each of {len(self.low)} "
                "points."
            )
        return float(np.mean(ndtr((self.high - means) / scales) - ndtr((self.low - means) / scales)))


def interval(draws: np.ndarray, level: float = 0.95) -> Interval:
    """Find the central range that holds a given share of the draws, with as many left out below as above.

    Parameters
    ----------
    draws
        Draws (draws, points): those of the curve give a credible interval, those of `sample_measurements` a predictive
        one.
    level
        Share of the draws inside, between 0 and 1.

    Raises
    ------
    ModelError
        If the shape differs, a draw isn't finite, or the level isn't between 0 and 1.

    Notes
    -----
    The ends are quantiles as NumPy computes them, by linear interpolation.
    """
    values = _draws("draws", draws)
    level = fraction("level", level, "such as 0.95")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Interval(low, high)


def sigma_interval(draws: np.ndarray, sigmas: float = 2.0) -> Interval:
    """Compute the range of some standard deviations of the draws to each side of their mean.

    Parameters
    ----------
    draws
        Draws (draws, points), as `interval` takes them.
    sigmas
        Number of standard deviations; two to each side hold 95.4 % of normal draws.

    Raises
    ------
    ModelError
        If the shape differs, a draw isn't finite, or `sigmas` isn't positive.

    Notes
    -----
    The band of McAteer (2019), "A quick intro to Bayesian neural networks".
    """
    values = _draws("draws", draws)
    positive("sigmas", sigmas, "such as 2")
    mean, reach = values.mean(axis=0), sigmas * values.std(axis=0)
    return Interval(mean - reach, mean + reach)


def sample_measurements(means: np.ndarray, scales: np.ndarray, seed: int) -> np.ndarray:
    """Sample one measurement under each draw: normal noise around its curve.

    Parameters
    ----------
    means
        Curves of the draws, (draws, points).
    scales
        Standard deviations of the noise, (draws, points), or an array that broadcasts to it, such as (draws, 1).
    seed
        Seed of the sample.

    Returns
    -------
    numpy.ndarray
        Draws (draws, points) of the posterior predictive distribution.

    Raises
    ------
    ModelError
        If the shapes don't fit, a number isn't finite, or a scale is negative.
    """
    curves, noise = _pair(means, scales)
    return curves + noise * np.random.default_rng(seed).standard_normal(curves.shape)


def decompose_measurements(means: np.ndarray, scales: np.ndarray) -> Decomposition:
    r"""Split the variance of the next measurement by the law of total variance.

    .. math::

        \operatorname{Var}[y] = \underbrace{\mathbb{E}_w[\sigma_w^2]}_{\text{aleatoric}}
        + \underbrace{\operatorname{Var}_w[f_w(x)]}_{\text{epistemic}}

    Parameters
    ----------
    means, scales
        Curves (draws, points), and standard deviations of the noise around them, as `sample_measurements` takes them.

    Returns
    -------
    Decomposition
        Variances (points,), in the units of y squared.

    Raises
    ------
    ModelError
        If the shapes don't fit, a number isn't finite, or a scale is negative.

    Notes
    -----
    Depeweg et al. (2018), "Decomposition of Uncertainty in Bayesian Deep Learning".
    """
    curves, noise = _pair(means, scales)
    aleatoric, epistemic = np.mean(noise**2, axis=0), curves.var(axis=0)
    return Decomposition(aleatoric + epistemic, aleatoric, epistemic)


def _draws(name: str, values: np.ndarray) -> np.ndarray:
    """Refuse anything but finite draws (draws, points), one or more of both."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or not array.size:
        raise ModelError(f"{name} have shape {array.shape}; expected (draws, points), one or more of both.")
    if not np.isfinite(array).all():
        raise ModelError(f"{name} hold NaN or infinity; expected finite numbers. Did the fit diverge?")
    return array


def _pair(means: np.ndarray, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Check means and scales, and broadcast both to (draws, points)."""
    curves, noise = _draws("means", means), np.asarray(scales, dtype=float)
    try:
        if noise.ndim == 1:  # one for each draw, or for each point? With as many of both it can't be told
            raise ValueError
        noise = np.broadcast_to(noise, curves.shape)
    except ValueError:
        raise ModelError(
            f"scales have shape {noise.shape} and means {curves.shape}; expected (draws, points) of both, or scales "
            "(draws, 1): scales[:, None]."
        ) from None
    if not np.isfinite(noise).all() or (noise < 0).any():
        raise ModelError("scales hold NaN, infinity or a negative number; expected standard deviations from 0.")
    return curves, noise
