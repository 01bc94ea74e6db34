"""Can a score tell the unfamiliar from the familiar? Two groups of scores in, measures of their separation out.

Explained in the chapter `book/mnist/convolutional`. The unfamiliar may be images of another kind, or a model's own
errors among its right answers: ``detect(scores[right], scores[wrong])``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from companion.errors import DataError

__all__ = ["Detection", "detect"]


@dataclass(frozen=True)
class Detection:
    """How well a score separates the unfamiliar from the familiar.

    Attributes
    ----------
    auroc
        Chance that an unfamiliar point scores above a familiar one, ties counting half: 0.5 is guessing, 1 is perfect.
    fpr95
        Share of the familiar points that are flagged by the highest threshold that catches 95 % of the unfamiliar
        ones: 0 is perfect, and a score that says nothing flags 95 % of them too.
    """

    auroc: float
    fpr95: float


def detect(familiar: np.ndarray, unfamiliar: np.ndarray) -> Detection:
    """Measure how well a score of suspicion, higher where something is amiss, detects the unfamiliar.

    The unfamiliar are the positive class: a false positive is a familiar point that is flagged.

    Parameters
    ----------
    familiar, unfamiliar
        Scores of each group, (points,) each; the numbers of points may differ.

    Returns
    -------
    Detection

    Raises
    ------
    DataError
        If a group is empty, is not of shape (points,), or holds NaN or infinity.

    Notes
    -----
    The AUROC is that of Hendrycks and Gimpel (2017), "A Baseline for Detecting Misclassified and Out-of-Distribution
    Examples in Neural Networks"; it doesn't depend on which class is called positive. The false positive rate at a
    true positive rate of 95 % comes from Liang et al. (2018), "Enhancing the Reliability of Out-of-distribution Image
    Detection in Neural Networks", who call the familiar positive: theirs is the share of the unfamiliar that pass when
    95 % of the familiar do, ``detect(-unfamiliar, -familiar).fpr95`` here. Ours is that of Hendrycks, Mazeika and
    Dietterich (2019), "Deep Anomaly Detection with Outlier Exposure". Explained in the chapter
    `book/mnist/convolutional`.
    """
    groups = {"familiar": np.asarray(familiar, dtype=float), "unfamiliar": np.asarray(unfamiliar, dtype=float)}
    for name, group in groups.items():
        if group.ndim != 1 or not len(group):
            raise DataError(f"the {name} scores have shape {group.shape}; expected (points,), with a point or more.")
        strange = ~np.isfinite(group)
        if strange.any():
            raise DataError(
                f"{int(strange.sum())} of the {name} scores are NaN or infinite; look at the probabilities that they "
                "come from."
            )
    scores = np.concatenate(list(groups.values()))
    positive = np.repeat([0, 1], [len(group) for group in groups.values()])
    flagged, caught, _ = roc_curve(positive, scores, drop_intermediate=False)
    return Detection(float(roc_auc_score(positive, scores)), float(flagged[np.argmax(caught >= 0.95)]))
