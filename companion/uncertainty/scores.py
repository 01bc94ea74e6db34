"""Scores that say how good predictive probabilities are, given the labels that came.

Explained in the chapter `book/pymc/breast_cancer_decisions`, section "Who wins on a small table?". The log score and
the Brier score are proper: on average, nothing beats stating what one believes (Gneiting and Raftery, 2007).
scikit-learn computes both.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from sklearn.metrics import brier_score_loss, log_loss

from companion.datasets import check_labels, whole_labels
from companion.errors import DataError
from companion.prediction import mean_probabilities

__all__ = ["accuracy", "brier_score", "labels_of", "log_score", "mean_and_labels"]


def accuracy(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Compute the share of points whose most probable class is their label.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes); they are averaged over the draws first.
    y
        Labels (points,).

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities.
    DataError
        If there are no points, there isn't one label for each, or a label has no class.
    """
    mean, labels = mean_and_labels(probabilities, y)
    return float(np.mean(mean.argmax(axis=1) == labels))


def log_score(probabilities: np.ndarray, y: np.ndarray) -> float:
    r"""Compute the negative log predictive density, the mean of :math:`-\log \bar p_{y}` in nats; lower is better.

    Also called log loss or test NLL. A coin thrown for each of two classes scores :math:`\log 2 \approx 0.693`, and one
    confident error costs as much as many small doubts.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes); they are averaged over the draws first.
    y
        Labels (points,).

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities.
    DataError
        If there are no points, there isn't one label for each, or a label has no class.

    Notes
    -----
    Gneiting and Raftery (2007), "Strictly Proper Scoring Rules, Prediction, and Estimation". scikit-learn keeps a
    probability of 0 from scoring infinity.
    """
    mean, labels = mean_and_labels(probabilities, y)
    with _rounding_let_through():
        return float(log_loss(labels, mean, labels=np.arange(mean.shape[1])))


def brier_score(probabilities: np.ndarray, y: np.ndarray) -> float:
    r"""Compute the Brier score, the mean squared distance of probabilities from what happened; lower is better.

    With two classes it is the mean of :math:`(\bar p_1 - y)^2`, from 0 to 1, and a coin scores 1/4. With more classes
    the squares are summed over the classes, from 0 to 2.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes); they are averaged over the draws first.
    y
        Labels (points,).

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities.
    DataError
        If there are no points, there isn't one label for each, or a label has no class.

    Notes
    -----
    Brier (1950), "Verification of Forecasts Expressed in Terms of Probability".
    """
    mean, labels = mean_and_labels(probabilities, y)
    if mean.shape[1] == 2:
        return float(brier_score_loss(labels, mean[:, 1], labels=[0, 1], pos_label=1))
    with _rounding_let_through():
        return float(brier_score_loss(labels, mean, labels=np.arange(mean.shape[1])))


def mean_and_labels(probabilities: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what a score compares: the mean probabilities (points, classes) and the labels (points,), both checked."""
    mean = mean_probabilities(probabilities)
    if not len(mean):
        raise DataError("there are no points to score; expected one or more.")
    return mean, labels_of(y, *mean.shape)


def labels_of(y: np.ndarray, points: int, classes: int, what: str = "predicted points") -> np.ndarray:
    """Check that there is one label, with a class, for each point.

    Parameters
    ----------
    y
        Labels (points,), whole numbers from 0 to classes - 1.
    points, classes
        Numbers of points and of classes.
    what
        Name of the points, for the message.

    Returns
    -------
    numpy.ndarray
        The same labels as whole numbers of 32 bits.

    Raises
    ------
    DataError
        If there isn't one label for each point, or a label has no class.
    """
    labels = np.asarray(y)
    if labels.shape != (points,):
        raise DataError(f"{labels.shape} labels for {points} {what}; expected one label for each.")
    labels = whole_labels(labels)
    check_labels(labels, classes)
    return labels


@contextmanager
def _rounding_let_through() -> Iterator[None]:
    """Keep scikit-learn from doubting sums that were checked, and are a rounding of half precision beside 1."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The y_prob values do not sum to one", UserWarning)
        yield
