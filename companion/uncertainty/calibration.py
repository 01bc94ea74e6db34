"""Calibration: whether events happen as often as their stated probabilities say.

Explained in the chapter `book/pymc/breast_cancer_decisions`, section "Are the probabilities true?".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from companion.checks import fraction, whole
from companion.errors import ModelError
from companion.prediction import mean_probabilities
from companion.uncertainty.resampling import group_bootstrap, group_index
from companion.uncertainty.scores import log_score, mean_and_labels

__all__ = ["Calibration", "Reliability", "calibration_floor", "check_calibration", "reliability"]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Stated probabilities beside the frequencies of what happened, in bins of the former; empty bins are left out.

    Attributes
    ----------
    stated
        Mean of the stated probabilities in each bin, (bins,).
    happened
        Share of the points of each bin for which the statement was true, (bins,).
    count
        Number of points in each bin, (bins,).
    low, high
        Ends of an interval around `happened` at about 95 %, both (bins,); None where none was computed.
    """

    stated: np.ndarray
    happened: np.ndarray
    count: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    @property
    def ece(self) -> float:
        r"""Expected calibration error: :math:`\sum_b \frac{n_b}{n} \lvert \text{happened}_b - \text{stated}_b \rvert`.

        It is never quite zero: even true statements miss by about :math:`\sqrt{p(1 - p) / n}` in a bin of n points.
        `calibration_floor` computes how large it is for them.
        """
        return float(np.average(np.abs(self.happened - self.stated), weights=self.count))


@dataclass(frozen=True, eq=False)
class Calibration:
    """How true a model's probabilities are, beside how true they could look by chance; as text, one line.

    Attributes
    ----------
    reliability
        Stated probabilities beside frequencies, in bins.
    log_score
        Mean of minus the log of the probability of the true class, in nats.
    floor
        Calibration error that the same statements would stay below in `share` of such test sets if they were true.
    share
        Share of the test sets.
    """

    reliability: Reliability
    log_score: float
    floor: float
    share: float

    @property
    def ece(self) -> float:
        """Expected calibration error."""
        return self.reliability.ece

    def __str__(self) -> str:
        """Write the scores, and what the calibration error has to be held against."""
        return (
            f"log score {self.log_score:.3f}, ECE {self.ece:.3f}; if its probabilities were true, below "
            f"{self.floor:.3f} in {100 * self.share:g} of 100 test sets"
        )


def check_calibration(
    probabilities: np.ndarray,
    y: np.ndarray,
    *,
    bins: int | Sequence[float] = 10,
    share: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Calibration:
    """Hold the calibration error of the predicted class against the one that true probabilities would have.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes); they are averaged over the draws first.
    y
        Labels (points,).
    bins, resamples, seed
        Number of bins, number of simulated test sets, and seed, as `calibration_floor` takes them.
    share
        Share of test sets that stay below the floor where the probabilities are true, between 0 and 1.

    Raises
    ------
    ModelError
        If the probabilities and labels don't fit together, or a setting is out of range.
    """
    share = fraction("share", share, "such as 0.95")
    floor = calibration_floor(probabilities, bins=bins, resamples=resamples, seed=seed)
    return Calibration(
        reliability=reliability(probabilities, y, bins=bins),
        log_score=float(log_score(probabilities, y)),
        floor=float(np.quantile(floor, share)),
        share=share,
    )


def reliability(
    probabilities: np.ndarray,
    y: np.ndarray,
    *,
    bins: int | Sequence[float] = 10,
    of: int | None = None,
    groups: np.ndarray | None = None,
) -> Reliability:
    """Compare stated probabilities with frequencies, in bins.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes); they are averaged over the draws first.
    y
        Labels (points,).
    bins
        Number of bins of equal width, or the edges of bins, rising from 0 to 1.
    of
        Class whose probability is compared; ``None`` takes each point's most probable class, its "confidence".
    groups
        Group of each point, (points,), where points aren't independent: the same person, or the same mass. The
        intervals are then made by `group_bootstrap`.

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities, the bins aren't a number from 1 or rising edges from 0 to 1, or
        `of` isn't one of the classes.
    DataError
        If there are no points, there isn't one label for each, a label has no class, or there isn't one group for each.

    Notes
    -----
    Guo et al. (2017), "On Calibration of Modern Neural Networks". Without groups the intervals are those of Agresti and
    Coull (1998), "Approximate Is Better than 'Exact' for Interval Estimation of Binomial Proportions", with two
    standard errors to each side of their adjusted share: a share of 0 or of 1 isn't certain either. With groups, bins
    in which all labels agree have that interval, too, for as many points as there are groups in the bin, since
    resampling them would show no spread.
    """
    mean, labels = mean_and_labels(probabilities, y)
    stated = _stated(mean, of)
    happened = (labels == (mean.argmax(axis=1) if of is None else of)).astype(float)
    inside = _membership(stated, _edges(bins))
    count = inside.sum(axis=1)
    share = inside @ happened / count
    low, high = _agresti_coull(share, count)
    if groups is not None:
        member = group_index(groups, len(labels))
        distinct = np.array([len(np.unique(member[row])) for row in inside])
        low, high = _agresti_coull(share, distinct)
        estimate = group_bootstrap(happened[None], member, within=inside)
        mixed = (share > 0) & (share < 1)
        low, high = np.where(mixed, estimate.low, low), np.where(mixed, estimate.high, high)
    return Reliability(inside @ stated / count, share, count, low, high)


def calibration_floor(
    probabilities: np.ndarray,
    *,
    bins: int | Sequence[float] = 10,
    of: int | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Compute the calibration errors that the same statements would have if they were true.

    Labels are drawn from the stated probabilities themselves, again and again. A method whose own error is among the
    larger ones of these says something that isn't so; one that isn't may still be wrong, and not yet caught. The floor
    depends on the statements: bold ones have a lower one.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes); they are averaged over the draws first.
    bins, of
        Bins and class as in `reliability`.
    resamples
        Number of times that labels are drawn.
    seed
        Seed of the labels.

    Returns
    -------
    numpy.ndarray
        Expected calibration errors (resamples,).

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities, there are no points, or a setting is out of range.

    Notes
    -----
    The consistency resampling of Bröcker and Smith (2007), "Increasing the Reliability of Reliability Diagrams". Points
    are taken to be independent: give it one test set, not several that share points.
    """
    stated = _stated(mean_probabilities(probabilities), of)
    if not len(stated):
        raise ModelError("there are no points to state anything about; expected one or more.")
    inside = _membership(stated, _edges(bins))
    rng = np.random.default_rng(seed)
    happened = rng.random((whole("resamples", resamples, 1), len(stated))) < stated
    return np.abs((happened - stated) @ inside.T).sum(axis=1) / len(stated)


def _stated(mean: np.ndarray, of: int | None) -> np.ndarray:
    """Return the probabilities that are compared, within 0 and 1: rounding must put no point outside of all bins."""
    if of is not None and not 0 <= of < mean.shape[1]:
        raise ModelError(f"of={of}; expected a class from 0 to {mean.shape[1] - 1}, or None for the most probable one.")
    return np.clip(mean.max(axis=1) if of is None else mean[:, of], 0, 1)


def _edges(bins: int | Sequence[float]) -> np.ndarray:
    """Return the edges of the bins, checked."""
    if np.ndim(bins) == 0:
        if not isinstance(bins, int | np.integer) or bins < 1:
            raise ModelError(f"bins={bins}; expected 1 or more, or edges that rise from 0 to 1.")
        return np.linspace(0, 1, int(bins) + 1)
    edges = np.asarray(bins, dtype=float)
    if edges.ndim != 1 or len(edges) < 2 or edges[0] != 0 or edges[-1] != 1 or not (np.diff(edges) > 0).all():
        raise ModelError(f"bins={edges.tolist()}; expected edges that rise from 0 to 1, such as [0, 0.01, 0.1, 1].")
    return edges


def _membership(stated: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Say which points lie in which bin, (bins, points); a point on an edge belongs to the bin above it."""
    which = np.clip(np.searchsorted(edges, stated, side="right") - 1, 0, len(edges) - 2)
    every = which == np.arange(len(edges) - 1)[:, None]
    return every[every.any(axis=1)]


def _agresti_coull(share: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the ends of an interval around shares, (2, bins), never inside of the shares themselves."""
    adjusted = (share * count + 2) / (count + 4)
    error = 2 * np.sqrt(adjusted * (1 - adjusted) / (count + 4))
    return np.stack([np.clip(adjusted - error, 0, share), np.clip(adjusted + error, share, 1)])
