"""Scores of how much the draws disagree on the class: by their votes, and by labels sampled from them.

Explained in the chapter `book/mnist/strange_images`. Each draw votes for its most probable class alone; a sample of the
posterior predictive distribution has a label from each draw's probabilities.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chisquare

from companion.checks import counted
from companion.errors import DataError, ModelError
from companion.prediction import check_probabilities

__all__ = ["chi_square", "class_counts", "sample_labels", "variation_ratio"]


def variation_ratio(probabilities: np.ndarray) -> np.ndarray:
    r"""Compute the share of draws that vote against the majority, :math:`1 - n_{\text{mode}} / n`.

    Higher is less certain. Each draw votes for its most probable class, however sure it is: where all draws have the
    same doubts, the ratio is 0.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes).

    Returns
    -------
    numpy.ndarray
        Shares (points,), from 0 up to 1 - 1 / classes.

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities, or there are no points.

    Notes
    -----
    Freeman (1965), "Elementary Applied Statistics"; for networks Gal (2016), "Uncertainty in Deep Learning".
    """
    probabilities = _checked(probabilities)
    votes = _counted(probabilities.argmax(axis=2), probabilities.shape[2])
    return 1 - votes.max(axis=1) / len(probabilities)


def sample_labels(probabilities: np.ndarray, seed: int) -> np.ndarray:
    """Sample the posterior predictive distribution: one label from each draw's probabilities.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes).
    seed
        Seed of the sample.

    Returns
    -------
    numpy.ndarray
        Labels (draws, points), whole numbers from 0 to classes - 1.

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities, or there are no points.

    Notes
    -----
    PyMC3's ``sample_ppc`` gave the same in Wiecki (2016), "Bayesian Deep Learning Part II".
    """
    cumulative = np.cumsum(_checked(probabilities), axis=2, dtype=float)
    total = cumulative[..., -1:]
    cumulative /= total.copy()  # rounded sums end just beside 1: no label may fall beyond the last class
    chance = np.random.default_rng(seed).random(total.shape)
    return (chance >= cumulative).sum(axis=2)


def class_counts(probabilities: np.ndarray, seed: int) -> np.ndarray:
    """Count how often each class occurs among the labels of `sample_labels`.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes).
    seed
        Seed of the sample.

    Returns
    -------
    numpy.ndarray
        Counts (points, classes); those of a point sum to the number of draws.

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities, or there are no points.
    """
    return _counted(sample_labels(probabilities, seed), np.shape(probabilities)[2])


def chi_square(counts: np.ndarray) -> np.ndarray:
    r"""Compute Pearson's statistic of class counts against equal counts; higher is more certain.

    With :math:`n` labels in :math:`K` classes, :math:`n_c` of them in class :math:`c`,

    .. math::

        \chi^2 = \sum_c \frac{(n_c - n / K)^2}{n / K} = n K \sum_c \Bigl(\frac{n_c}{n}\Bigr)^2 - n.

    It measures how concentrated the counts are. It rises with the sum of squared counts alone, and with the number of
    labels: compare only samples of equal size.

    Parameters
    ----------
    counts
        Number of labels in each class, (points, classes), such as `class_counts` gives.

    Returns
    -------
    numpy.ndarray
        Statistics (points,), from 0 (all classes equally often) to n (K - 1) (a single class).

    Raises
    ------
    DataError
        If the shape differs, a count isn't a whole number of 0 or more, or a point has no label.

    Notes
    -----
    Pearson (1900), "On the Criterion that a Given System of Deviations...". Wiecki (2016), "Bayesian Deep
    Learning Part II", meant to plot this statistic; the one that the post did plot is
    `companion.originals.chi_square_of_codes`.
    """
    counts = counted("counts", counts, "(points, classes), as `class_counts` gives")
    empty = counts.sum(axis=1) == 0
    if empty.any():
        raise DataError(f"{int(empty.sum())} points have no label in any class; leave them out.")
    return chisquare(counts, axis=1).statistic


def _checked(probabilities: np.ndarray) -> np.ndarray:
    """Refuse anything but class probabilities, of one point or more."""
    array = check_probabilities(probabilities)
    if not array.size:
        raise ModelError(f"probabilities have shape {array.shape}; expected one point or more.")
    return array


def _counted(labels: np.ndarray, classes: int) -> np.ndarray:
    """Count the labels (draws, points) of each class: (points, classes)."""
    return (labels[..., None] == np.arange(classes)).sum(axis=0)
