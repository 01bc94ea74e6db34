"""Uncertainty of measurements: means and scales of draws in; bands, how often they hold, and their parts out.

Explained in the chapter `book/bayes_by_backprop/regression`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from companion.checks import positive
from companion.errors import DataError, ModelError
from companion.uncertainty.decomposition import Decomposition

__all__ = ["Interval", "decompose_measurements", "interval", "sample_measurements", "sigma_interval"]


@dataclass(frozen=True, eq=False)
class Interval:
    """A range for each point.

    Attributes
    ----------
    low, high
        Its ends, both (points,), in the units of what it is about.
    """

    low: np.ndarray
    high: np.ndarray

    @property
    def width(self) -> np.ndarray:
        """From one end to the other, (points,)."""
        found: np.ndarray = self.high - self.low
        return found

    def coverage(self, y: np.ndarray) -> float:
        """Share of the points whose measurement in `y` (points,) lies inside, ends included.

        A share of n independent points has a standard error of its own, the root of c (1 - c) / n.

        Raises
        ------
        DataError
            If there isn't one finite measurement for each point, or no point.
        """
        measured = np.asarray(y, dtype=float)
        if measured.shape != self.low.shape or not measured.size or not np.isfinite(measured).all():
            raise DataError(
                f"y has shape {measured.shape}; expected one finite measurement for each of {len(self.low)} points."
            )
        return float(np.mean((self.low <= measured) & (measured <= self.high)))


def interval(draws: np.ndarray, level: float = 0.95) -> Interval:
    """Find the central range that holds a share of the draws: as much is left out below as above.

    Parameters
    ----------
    draws
        Shape (draws, points): of the curve for a credible interval, of `sample_measurements` for a predictive one.
    level
        Share of the draws inside, between 0 and 1.

    Raises
    ------
    ModelError
        If the shape differs, a draw isn't finite, or the level isn't between 0 and 1.

    Notes
    -----
    Quantiles of NumPy. Explained in the chapter `book/bayes_by_backprop/regression`.
    """
    values = _draws("draws", draws)
    if not 0 < level < 1:
        raise ModelError(f"level={level}; expected a share between 0 and 1, such as 0.95.")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Interval(low, high)


def sigma_interval(draws: np.ndarray, sigmas: float = 2.0) -> Interval:
    """Reach some standard deviations of the draws to each side of their mean.

    Parameters
    ----------
    draws
        Shape (draws, points).
    sigmas
        How many; of normal draws, two hold 95.4 %.

    Raises
    ------
    ModelError
        If the shape differs, a draw isn't finite, or `sigmas` isn't positive.

    Notes
    -----
    The band of McAteer (2019), "A quick intro to Bayesian neural networks". Explained in the chapter
    `book/bayes_by_backprop/regression`.
    """
    values = _draws("draws", draws)
    positive("sigmas", sigmas, "such as 2")
    mean, reach = values.mean(axis=0), sigmas * values.std(axis=0)
    return Interval(mean - reach, mean + reach)


def sample_measurements(means: np.ndarray, scales: np.ndarray, seed: int) -> np.ndarray:
    """Measure once under each draw: normal noise around its curve.

    Parameters
    ----------
    means
        Curves of the draws, (draws, points).
    scales
        Standard deviations of the noise, (draws, points), or what broadcasts to it, such as (draws, 1).
    seed
        Of the sample.

    Returns
    -------
    numpy.ndarray
        Draws (draws, points) of the posterior predictive distribution.

    Raises
    ------
    ModelError
        If the shapes don't fit, a number isn't finite, or a scale is negative.

    Notes
    -----
    Explained in the chapter `book/bayes_by_backprop/regression`.
    """
    curves, noise = _pair(means, scales)
    found: np.ndarray = curves + noise * np.random.default_rng(seed).standard_normal(curves.shape)
    return found


def decompose_measurements(means: np.ndarray, scales: np.ndarray) -> Decomposition:
    r"""Split the variance of the next measurement by the law of total variance.

    .. math::

        \operatorname{Var}[y] = \underbrace{\mathbb{E}_w[\sigma_w^2]}_{\text{aleatoric}}
        + \underbrace{\operatorname{Var}_w[f_w(x)]}_{\text{epistemic}}

    Parameters
    ----------
    means, scales
        Curves (draws, points) and standard deviations of their noise, as `sample_measurements` takes them.

    Returns
    -------
    Decomposition
        Variances (points,), in the units of y squared.

    Raises
    ------
    ModelError
        As `sample_measurements`.

    Notes
    -----
    Depeweg et al. (2018), "Decomposition of Uncertainty in Bayesian Deep Learning". Explained in the chapter
    `book/bayes_by_backprop/regression`.
    """
    curves, noise = _pair(means, scales)
    aleatoric, epistemic = np.mean(noise**2, axis=0), curves.var(axis=0)
    return Decomposition(aleatoric + epistemic, aleatoric, epistemic)


def _draws(name: str, values: np.ndarray) -> np.ndarray:
    """Refuse what are no finite draws at one or more points."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or not array.size:
        raise ModelError(f"{name} have shape {array.shape}; expected (draws, points), one or more of both.")
    if not np.isfinite(array).all():
        raise ModelError(f"{name} hold NaN or infinity; expected finite numbers. Did the fit diverge?")
    return array


def _pair(means: np.ndarray, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Check means and scales, and give both the shape (draws, points)."""
    curves, noise = _draws("means", means), np.asarray(scales, dtype=float)
    try:
        if noise.ndim == 1:  # of each draw, or of each point? With as many of both it can't be told
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
