"""Intervals around scores that share points or splits: resampling by groups, and repeated random splits.

Explained in the chapter `book/pymc/breast_cancer_decisions`, sections "Who wins on a small table?" and "Are
the probabilities true?".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse, stats

from companion.checks import fraction, whole
from companion.errors import DataError

__all__ = ["Estimate", "group_bootstrap", "group_index", "repeated_split_interval"]


@dataclass(frozen=True, eq=False)
class Estimate:
    r"""A mean with an interval around it.

    Attributes
    ----------
    value
        Mean, (\*shape).
    low, high
        Lower and upper ends of the interval, both (\*shape), in the units of the mean.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def group_bootstrap(
    values: np.ndarray,
    groups: np.ndarray,
    *,
    within: np.ndarray | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    r"""Estimate means over points, with intervals from resampling whole groups of points.

    Where a person, or a mass, occurs in several test sets, its rows aren't independent, and an interval that counts
    rows is too short. Here all rows of a group are drawn together, with replacement. The fits stay as they are: the
    interval says how much depends on which groups were seen, and not how much on which rows a model was trained on.

    Parameters
    ----------
    values
        Values (\*shape, points), such as each point's cost, or the difference of two methods' costs.
    groups
        Group of each point, (points,): names or numbers.
    within
        Weights that broadcast against `values`, 0 or more, such as 1 for the points inside a bin and 0 for others; all
        points by default.
    resamples
        Number of resamples.
    level
        Share of the resampled means inside of the interval.
    seed
        Seed of the resampling.

    Returns
    -------
    Estimate
        Means and intervals, (\*shape). A mean of no points is NaN; resamples without any are left out.

    Raises
    ------
    DataError
        If there are no points, a value isn't finite, a weight is negative, or there isn't one group for each point.
    ModelError
        If a setting is out of range.

    Notes
    -----
    Efron and Tibshirani (1993), "An Introduction to the Bootstrap", section 13.3 (percentile intervals) and chapter 8
    (resampling what is independent). scipy.stats.bootstrap resamples single rows.
    """
    member = group_index(groups, np.shape(values)[-1] if np.ndim(values) else 0)
    values = np.asarray(values, dtype=float)
    if not np.isfinite(values).all():
        raise DataError(
            f"{int((~np.isfinite(values)).sum())} values aren't finite; leave those points out, and say so."
        )
    weights = np.ones(values.shape) if within is None else np.asarray(within, dtype=float)
    if not (weights >= 0).all():
        raise DataError("a weight of `within` is negative or NaN; expected 0 or more, such as 1 inside and 0 outside.")
    values, weights = np.broadcast_arrays(values, weights)
    shape, points = values.shape[:-1], values.shape[-1]
    collect = sparse.csr_array((np.ones(points), (np.arange(points), member)))  # (points, groups)
    sums = np.stack([part.reshape(-1, points) @ collect for part in (values * weights, weights)])
    count = sums.shape[-1]
    rng = np.random.default_rng(seed)
    times = rng.multinomial(count, np.full(count, 1 / count), size=whole("resamples", resamples, 1))
    with np.errstate(invalid="ignore"):  # no point in a resample
        mean = sums[0].sum(axis=-1) / sums[1].sum(axis=-1)
        resampled = (sums[0] @ times.T) / (sums[1] @ times.T)
    outside = (1 - fraction("level", level)) / 2
    ends = np.full((2, len(mean)), np.nan)
    there = ~np.isnan(mean)
    ends[:, there] = np.nanquantile(resampled[there], [outside, 1 - outside], axis=1)
    return Estimate(mean.reshape(shape), ends[0].reshape(shape), ends[1].reshape(shape))


def group_index(groups: np.ndarray, points: int) -> np.ndarray:
    """Give each group of points a number.

    Parameters
    ----------
    groups
        Group of each point, (points,): names or numbers.
    points
        Number of points.

    Returns
    -------
    numpy.ndarray
        Number of each point's group, (points,), from 0.

    Raises
    ------
    DataError
        If there are no points, or there isn't one group for each.
    """
    given = np.asarray(groups)
    if given.shape != (points,) or not points:
        raise DataError(f"groups have shape {given.shape} for {points} points; expected one group for each, 1 or more.")
    return np.unique(given, return_inverse=True)[1]


def repeated_split_interval(values: np.ndarray, *, train: int, test: int, level: float = 0.95) -> Estimate:
    r"""Estimate a mean over repeated random splits of one table, with an interval that knows that the splits overlap.

    With :math:`n` splits, the variance of the mean is taken to be :math:`(1/n + n_\text{test} / n_\text{train}) s^2`.
    The usual :math:`s^2 / n` would be right if each split had rows of its own; more splits would then make it as small
    as one likes, without one new row.

    Parameters
    ----------
    values
        Score of each split, or the difference of two methods on it, (splits,).
    train, test
        Numbers of rows in each training and each test part.
    level
        Share of such intervals that hold the mean, if the differences were normal and the correction exact.

    Returns
    -------
    Estimate
        Mean and interval, each a number.

    Raises
    ------
    DataError
        If there are fewer than two splits, or a value isn't finite.
    ModelError
        If a number of rows or the level is out of range.

    Notes
    -----
    The corrected resampled t-test of Nadeau and Bengio (2003), "Inference for the Generalization Error". It is an
    approximation: no estimate of that variance from one table is unbiased.
    """
    scores = np.asarray(values, dtype=float)
    if scores.ndim != 1 or len(scores) < 2 or not np.isfinite(scores).all():
        raise DataError(f"values have shape {scores.shape}; expected finite numbers, one for each of 2 or more splits.")
    overlap = whole("test", test, 1) / whole("train", train, 1)
    error = np.sqrt((1 / len(scores) + overlap) * scores.var(ddof=1))
    reach = stats.t.ppf((1 + fraction("level", level)) / 2, len(scores) - 1) * error
    mean = scores.mean()
    return Estimate(np.asarray(mean), np.asarray(mean - reach), np.asarray(mean + reach))
