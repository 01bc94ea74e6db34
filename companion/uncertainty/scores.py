"""How good are predictive probabilities? Probabilities and labels in, one number out.

Explained in the chapter `book/pymc/breast_cancer`, section "Who wins on a small table?". The log score and the Brier
score are proper: on average, nothing beats to state what one believes (Gneiting and Raftery, 2007). They are
scikit-learn's.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import brier_score_loss, log_loss

from companion.datasets import check_labels, whole_labels
from companion.errors import DataError
from companion.prediction import mean_probabilities

__all__ = ["accuracy", "brier_score", "labels_of", "log_score"]


def accuracy(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Share of points whose most probable class is their label.

    Parameters
    ----------
    probabilities
        Shape (draws, points, classes).
    y
        Labels (points,).

    Raises
    ------
    DataError
        If there isn't one label for each point.
    """
    mean = mean_probabilities(probabilities)
    return float(np.mean(mean.argmax(axis=1) == labels_of(y, *mean.shape)))


def log_score(probabilities: np.ndarray, y: np.ndarray) -> float:
    r"""Negative log predictive density of the labels: the mean of :math:`-\log \bar p_{y}`, in nats; lower is better.

    Also called log loss or test NLL. A coin thrown for each of two classes scores :math:`\log 2 \approx 0.693`, and one
    confident error costs as much as many small doubts.

    Parameters
    ----------
    probabilities
        Shape (draws, points, classes); averaged over the draws first.
    y
        Labels (points,).

    Raises
    ------
    DataError
        If there isn't one label for each point, or a label has no class.

    Notes
    -----
    Gneiting and Raftery (2007), "Strictly Proper Scoring Rules, Prediction, and Estimation". Computed by scikit-learn,
    which keeps a probability of 0 from scoring infinity. Explained in the chapter `book/pymc/breast_cancer`.
    """
    mean = mean_probabilities(probabilities)
    return float(log_loss(labels_of(y, *mean.shape), mean, labels=np.arange(mean.shape[1])))


def brier_score(probabilities: np.ndarray, y: np.ndarray) -> float:
    r"""Brier score: the mean squared distance of the probabilities from what happened; lower is better.

    With two classes it is the mean of :math:`(\bar p_1 - y)^2`, from 0 to 1, and a coin scores 1/4. With more classes
    the squares are summed over the classes, from 0 to 2.

    Parameters
    ----------
    probabilities
        Shape (draws, points, classes); averaged over the draws first.
    y
        Labels (points,).

    Raises
    ------
    DataError
        If there isn't one label for each point, or a label has no class.

    Notes
    -----
    Brier (1950), "Verification of Forecasts Expressed in Terms of Probability". Computed by scikit-learn. Explained in
    the chapter `book/pymc/breast_cancer`.
    """
    mean = mean_probabilities(probabilities)
    labels = labels_of(y, *mean.shape)
    if mean.shape[1] == 2:
        return float(brier_score_loss(labels, mean[:, 1], labels=[0, 1], pos_label=1))
    return float(brier_score_loss(labels, mean, labels=np.arange(mean.shape[1])))


def labels_of(y: np.ndarray, points: int, classes: int, what: str = "predicted points") -> np.ndarray:
    """Check that `y` holds one label, with a class, for each point, and return it as an array."""
    labels = np.asarray(y)
    if labels.shape != (points,):
        raise DataError(f"{labels.shape} labels for {points} {what}; expected one label a point.")
    labels = whole_labels(labels)
    check_labels(labels, classes)
    return labels
