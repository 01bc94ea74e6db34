"""How good are predictive probabilities? Probabilities and labels in, one number out.

Explained in the chapter `book/pymc/breast_cancer`, section "Scores". The log score and the Brier score are proper: on
average, nothing beats to state what one believes (Gneiting and Raftery, 2007). They are scikit-learn's.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import brier_score_loss, log_loss

from companion.datasets import check_labels
from companion.errors import DataError
from companion.prediction import mean_probabilities, predicted_labels

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
    labels = predicted_labels(probabilities)
    return float(np.mean(labels == labels_of(probabilities, y)))


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
    return float(log_loss(labels_of(probabilities, y), mean, labels=np.arange(mean.shape[1])))


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
    mean, labels = mean_probabilities(probabilities), labels_of(probabilities, y)
    if mean.shape[1] == 2:
        return float(brier_score_loss(labels, mean[:, 1], labels=[0, 1], pos_label=1))
    return float(brier_score_loss(labels, mean, labels=np.arange(mean.shape[1])))


def labels_of(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Check that `y` holds one label, with a class, for each point of `probabilities`, and return it as an array."""
    mean, labels = mean_probabilities(probabilities), np.asarray(y)
    if labels.shape != mean.shape[:1]:
        raise DataError(f"{labels.shape} labels for {len(mean)} predicted points; expected one label a point.")
    check_labels(labels, mean.shape[1])
    return labels
