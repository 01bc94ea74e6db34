"""Do the draws agree on the class? Probabilities in, sampled labels and scores of their spread out.

Explained in the chapter `book/mnist/convolutional`. The vote of the draws looks only at each one's most probable class;
a sample of the posterior predictive distribution draws a label from each one's probabilities.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chisquare

from companion.errors import DataError, ModelError
from companion.prediction import mean_probabilities

__all__ = ["chi_square", "class_counts", "sample_labels", "variation_ratio"]


def variation_ratio(probabilities: np.ndarray) -> np.ndarray:
    r"""Share of the draws that vote against the majority: :math:`1 - n_{\text{mode}} / n`; higher is less certain.

    Each draw votes for its most probable class, however sure it is. Where all draws doubt alike, the ratio is 0.

    Parameters
    ----------
    probabilities
        Shape (draws, points, classes).

    Returns
    -------
    numpy.ndarray
        Shares (points,), from 0 up to 1 - 1 / classes.

    Raises
    ------
    ModelError
        If the shape differs or is empty, or a probability is none.

    Notes
    -----
    Freeman (1965), "Elementary Applied Statistics"; for networks Gal (2016), "Uncertainty in Deep Learning". Explained
    in the chapter `book/mnist/convolutional`.
    """
    probabilities = _checked(probabilities)
    votes = _counted(probabilities.argmax(axis=2), probabilities.shape[2])
    against: np.ndarray = 1 - votes.max(axis=1) / len(probabilities)
    return against


def sample_labels(probabilities: np.ndarray, seed: int) -> np.ndarray:
    """Sample one label from each draw's probabilities: a sample of the posterior predictive distribution.

    Parameters
    ----------
    probabilities
        Shape (draws, points, classes).
    seed
        Of the sample.

    Returns
    -------
    numpy.ndarray
        Labels (draws, points), whole numbers from 0 to classes - 1.

    Raises
    ------
    ModelError
        If the shape differs or is empty, a probability is none, or those of a point don't sum to 1.

    Notes
    -----
    What PyMC3's ``sample_ppc`` gave in Wiecki (2016), "Bayesian Deep Learning Part II". Explained in the chapter
    `book/mnist/convolutional`.
    """
    cumulative = np.cumsum(_checked(probabilities), axis=2, dtype=float)
    total = cumulative[..., -1:]
    if np.abs(total - 1).max() > 1e-3:
        raise ModelError(
            f"probabilities of a point sum to between {total.min():.3g} and {total.max():.3g}; expected 1. "
            "Does the last axis hold all classes?"
        )
    cumulative /= total.copy()  # float32 sums end just beside 1: no label may fall beyond the last class
    chance = np.random.default_rng(seed).random(total.shape)
    labels: np.ndarray = (chance >= cumulative).sum(axis=2)
    return labels


def class_counts(probabilities: np.ndarray, seed: int) -> np.ndarray:
    """Count how often each class occurs among the labels of `sample_labels`.

    Parameters
    ----------
    probabilities
        Shape (draws, points, classes).
    seed
        Of the sample.

    Returns
    -------
    numpy.ndarray
        Counts (points, classes); those of a point sum to the number of draws.

    Raises
    ------
    ModelError
        As `sample_labels`.

    Notes
    -----
    Explained in the chapter `book/mnist/convolutional`.
    """
    return _counted(sample_labels(probabilities, seed), np.shape(probabilities)[2])


def chi_square(counts: np.ndarray) -> np.ndarray:
    r"""Pearson's statistic of class counts against equal counts: higher is more concentrated, so more certain.

    With :math:`n` labels in :math:`K` classes, :math:`n_c` of them in class :math:`c`,

    .. math::

        \chi^2 = \sum_c \frac{(n_c - n / K)^2}{n / K} = n K \sum_c \Bigl(\frac{n_c}{n}\Bigr)^2 - n.

    It rises with the sum of squared counts alone, and with the number of labels: compare only samples of equal size.

    Parameters
    ----------
    counts
        Shape (points, classes), such as `class_counts` gives.

    Returns
    -------
    numpy.ndarray
        Statistics (points,), from 0 (all classes equally often) to n (K - 1) (a single class).

    Raises
    ------
    DataError
        If the shape differs, a count is no whole number of 0 or more, or a point has no label.

    Notes
    -----
    Pearson (1900), "On the Criterion that a Given System of Deviations...". What Wiecki (2016), "Bayesian Deep Learning
    Part II", meant to plot; what the post did plot is `companion.originals.chi_square_of_codes`. Explained in the
    chapter `book/mnist/convolutional`.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or not counts.size:
        raise DataError(f"counts have shape {counts.shape}; expected (points, classes), as `class_counts` gives.")
    if counts.dtype.kind not in "iu" or counts.min() < 0:
        raise DataError(f"counts are {counts.dtype} from {counts.min()} on; expected whole numbers of 0 or more.")
    empty = counts.sum(axis=1) == 0
    if empty.any():
        raise DataError(f"{int(empty.sum())} points have no label in any class; leave them out.")
    statistic: np.ndarray = chisquare(counts, axis=1).statistic
    return statistic


def _checked(probabilities: np.ndarray) -> np.ndarray:
    """Refuse what are no probabilities of one or more draws, points and classes."""
    probabilities = np.asarray(probabilities)
    if not probabilities.size:
        raise ModelError(f"probabilities have shape {probabilities.shape}; expected a draw, a point and a class.")
    mean_probabilities(probabilities)
    return probabilities


def _counted(labels: np.ndarray, classes: int) -> np.ndarray:
    """Count the labels (draws, points) of each class: (points, classes)."""
    counts: np.ndarray = (labels[..., None] == np.arange(classes)).sum(axis=0)
    return counts
