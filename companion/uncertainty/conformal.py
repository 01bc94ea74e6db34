"""Split-conformal bands and sets: a promise about coverage that holds whatever the model got wrong.

The promise: if the rows of the calibration and the new row were drawn alike, the new measurement lies in its band, or
the new label in its set, with at least the probability asked for. It is an average over rows, and says nothing of one
row by itself. Explained in the book's data page (`book/reference/data`), section "Bands and sets that keep a promise".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from companion.checks import choice, fraction, whole
from companion.errors import DataError, ModelError
from companion.prediction import mean_probabilities
from companion.uncertainty.intervals import Interval
from companion.uncertainty.measurements import PredictiveDistribution
from companion.uncertainty.scores import mean_and_labels

__all__ = ["ConformalBand", "ConformalSets", "SetScore", "conformal_band", "conformal_sets"]


class SetScore(StrEnum):
    """How strange a class is for a row: classes that aren't too strange form the set."""

    THRESHOLD = "threshold"
    """One minus the class's probability: the smallest sets on average, and some may be empty."""
    ADAPTIVE = "adaptive"
    """Probability of all classes that are more probable, and a random share of its own: larger sets for harder rows."""


@dataclass(frozen=True)
class ConformalBand:
    """A widening of predicted intervals that gives them the coverage asked for.

    Attributes
    ----------
    widening
        Distance by which both ends are moved outwards, in the units of y; inwards where it is negative.
    level
        Coverage that is promised.
    rows
        Number of rows of the calibration.
    """

    widening: float
    level: float
    rows: int

    def around(self, distribution: PredictiveDistribution) -> Interval:
        """Return the band of new points: their predicted intervals, widened.

        Where it is narrowed by more than its width, both ends are its middle.

        Parameters
        ----------
        distribution
            Distribution of the new measurements, (points,).
        """
        own = distribution.interval(self.level)
        middle = (own.low + own.high) / 2
        return Interval(np.minimum(own.low - self.widening, middle), np.maximum(own.high + self.widening, middle))


def conformal_band(distribution: PredictiveDistribution, y: np.ndarray, level: float = 0.9) -> ConformalBand:
    r"""Find how far predicted intervals must be widened to hold a share of the measurements.

    .. math::

        s_i = \max(l_i - y_i, \; y_i - u_i), \qquad
        \text{widening} = s_{(\lceil (n + 1) \, \text{level} \rceil)}

    with the ends :math:`l_i, u_i` of the posterior's own central interval. Where the posterior is right, the widening
    is about 0; where it is too sure, positive.

    Parameters
    ----------
    distribution
        Distribution of the measurements of rows that the posterior did not learn from, (points,).
    y
        Their measurements (points,).
    level
        Coverage to promise, between 0 and 1. It needs at least level / (1 - level) rows.

    Raises
    ------
    ModelError
        If the level isn't between 0 and 1, or there are several targets: calibrate each by itself, with `of_target`.
    DataError
        If there isn't one finite measurement for each point, or there are too few points for the level.

    Notes
    -----
    Romano, Patterson and Candès (2019), "Conformalized Quantile Regression". With n rows, the coverage of a new
    measurement, averaged over calibrations as well, lies between the level and the level plus 1 / (n + 1), if no two
    scores are the same.
    """
    level = fraction("level", level, "such as 0.9")
    if len(distribution.shape) != 1:
        raise ModelError(
            f"the measurements have shape {distribution.shape}; expected one target: distribution.of_target(0)."
        )
    measured = distribution.checked(y)
    own = distribution.interval(level)
    scores = np.maximum(own.low - measured, measured - own.high)
    return ConformalBand(_conformal_quantile(scores, level), level, len(scores))


@dataclass(frozen=True)
class ConformalSets:
    """A threshold that makes sets of classes with the coverage asked for.

    Attributes
    ----------
    threshold
        Largest score of a class in a set.
    score
        How classes are scored.
    level
        Coverage that is promised.
    rows
        Number of rows of the calibration.
    """

    threshold: float
    score: SetScore
    level: float
    rows: int

    def of(self, probabilities: np.ndarray, seed: int = 0) -> np.ndarray:
        """Return the sets of new points, (points, classes): true for each class that is in.

        Parameters
        ----------
        probabilities
            Class probabilities (draws, points, classes).
        seed
            Seed of the random shares of the adaptive score; take another one than the calibration's.

        Raises
        ------
        ModelError
            If they aren't class probabilities.
        """
        return _scores(mean_probabilities(probabilities), self.score, seed) <= self.threshold


def conformal_sets(
    probabilities: np.ndarray, y: np.ndarray, level: float = 0.9, *, score: str = "threshold", seed: int = 1
) -> ConformalSets:
    """Find which classes belong in a set that holds the label with a given probability.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes) of rows that the posterior did not learn from.
    y
        Their labels (points,).
    level
        Coverage to promise, between 0 and 1. It needs at least level / (1 - level) rows.
    score
        How classes are scored: a name of `SetScore`.
    seed
        Seed of the random shares of the adaptive score.

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities, the level isn't between 0 and 1, or there is no such score.
    DataError
        If there isn't one label for each point, or there are too few points for the level.

    Notes
    -----
    Sadinle, Lei and Wasserman (2019), "Least Ambiguous Set-Valued Classifiers With Bounded Error Levels"; Romano, Sesia
    and Candès (2020), "Classification with Valid and Adaptive Coverage".
    """
    level = fraction("level", level, "such as 0.9")
    kind = choice(SetScore, "score", score)
    mean, labels = mean_and_labels(probabilities, y)
    scores = _scores(mean, kind, seed)[np.arange(len(labels)), labels]
    return ConformalSets(_conformal_quantile(scores, level), kind, level, len(labels))


def _scores(mean: np.ndarray, score: SetScore, seed: int) -> np.ndarray:
    """Score each class of each point, (points, classes)."""
    if score is SetScore.THRESHOLD:
        return 1 - mean
    order = np.argsort(-mean, axis=1, kind="stable")
    falling = np.take_along_axis(mean, order, axis=1)
    share = np.random.default_rng(whole("seed", seed, 0)).uniform(size=(len(mean), 1))
    scores = np.empty_like(falling)
    np.put_along_axis(scores, order, falling.cumsum(axis=1) - share * falling, axis=1)
    return scores


def _conformal_quantile(scores: np.ndarray, level: float) -> float:
    """Return the score of which at least a share `level` of n + 1 exchangeable ones is not above it."""
    n = len(scores)
    place = int(np.ceil((n + 1) * level - 1e-9))
    if place > n:
        raise DataError(
            f"{n} rows to calibrate on; a promise of {level:.3g} needs at least "
            f"{int(np.ceil(level / (1 - level) - 1e-9))}. Give more rows, or promise less by a smaller level=."
        )
    return float(np.sort(scores)[place - 1])
