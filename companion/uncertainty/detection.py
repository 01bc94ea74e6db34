"""Detection of unfamiliar inputs by a score of suspicion, and thresholds for refusing to answer.

Explained in the chapters `book/mnist/strange_images` (detection) and `book/bayes_by_backprop/lenet_refusing`
(refusing). The unfamiliar may be images of another kind, or a model's own errors among its right answers:
``detect(scores[right], scores[wrong])``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from companion.checks import is_number
from companion.errors import DataError

__all__ = ["Detection", "choose_threshold", "detect"]


@dataclass(frozen=True)
class Detection:
    """Measures of how well a score separates the unfamiliar from the familiar.

    Attributes
    ----------
    auroc
        Chance that an unfamiliar point scores above a familiar one, with ties counted half: 0.5 is guessing, 1 is
        perfect.
    fpr95
        Share of the familiar points that are flagged by the highest threshold that catches 95 % of the unfamiliar
        ones: 0 is perfect, and a score without information flags 95 % of them too.
    """

    auroc: float
    fpr95: float


def detect(familiar: np.ndarray, unfamiliar: np.ndarray) -> Detection:
    """Measure how well a score of suspicion detects the unfamiliar.

    The score is to be higher where something is amiss. The unfamiliar are the positive class: a false positive is a
    familiar point that is flagged.

    Parameters
    ----------
    familiar, unfamiliar
        Scores of each group, (points,); the groups may differ in size.

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
    Dietterich (2019), "Deep Anomaly Detection with Outlier Exposure".
    """
    groups = [_checked("familiar", familiar), _checked("unfamiliar", unfamiliar)]
    scores = np.concatenate(groups)
    positive = np.repeat([0, 1], [len(group) for group in groups])
    flagged, caught, _ = roc_curve(positive, scores, drop_intermediate=False)
    return Detection(float(roc_auc_score(positive, scores)), float(flagged[np.argmax(caught >= 0.95)]))


def choose_threshold(familiar: np.ndarray, share: float = 0.01) -> float:
    """Find the threshold above which at most a given share of familiar points lies, which it would refuse.

    Parameters
    ----------
    familiar
        Scores of suspicion, (points,), of points that should be answered, such as 1 minus the largest probability. Take
        validation data: on the points by which a threshold was chosen, it looks better than it is.
    share
        Share of the familiar points that may be refused, from 0 to below 1.

    Returns
    -------
    float
        Threshold: a point is refused if its score is above it, as at most `share` of those given are.

    Raises
    ------
    DataError
        If `familiar` is empty, is not of shape (points,), or holds NaN or infinity, or `share` is out of range.

    Notes
    -----
    Chow (1970), "On optimum recognition error and reject tradeoff", refuses where the largest probability is below a
    threshold.
    """
    scores = _checked("familiar", familiar)
    if not is_number(share) or not 0 <= share < 1:
        raise DataError(f"share={share!r}; expected a number from 0 to below 1, such as 0.01 for one in a hundred.")
    return float(np.sort(scores)[::-1][int(share * len(scores))])


def _checked(name: str, given: np.ndarray) -> np.ndarray:
    """Refuse anything but finite scores (points,) of one or more points."""
    group = np.asarray(given, dtype=float)
    if group.ndim != 1 or not len(group):
        raise DataError(f"the {name} scores have shape {group.shape}; expected (points,), with one point or more.")
    strange = ~np.isfinite(group)
    if strange.any():
        raise DataError(
            f"{int(strange.sum())} of the {name} scores are NaN or infinite; look at the probabilities that they come "
            "from."
        )
    return group
