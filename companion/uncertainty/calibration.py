"""Calibration: whether events happen as often as their stated probabilities say.

Explained in the chapter `book/pymc/breast_cancer`, section "Are the probabilities true?".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binned_statistic

from companion.errors import ModelError
from companion.uncertainty.scores import mean_and_labels

__all__ = ["Reliability", "reliability"]


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
    """

    stated: np.ndarray
    happened: np.ndarray
    count: np.ndarray

    @property
    def ece(self) -> float:
        r"""Expected calibration error: :math:`\sum_b \frac{n_b}{n} \lvert \text{happened}_b - \text{stated}_b \rvert`.

        It is never quite zero: even true statements miss by about :math:`\sqrt{p(1 - p) / n}` in a bin of n points.
        """
        return float(np.average(np.abs(self.happened - self.stated), weights=self.count))


def reliability(probabilities: np.ndarray, y: np.ndarray, *, bins: int = 10, of: int | None = None) -> Reliability:
    """Compare stated probabilities with frequencies, in bins of equal width.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes); they are averaged over the draws first.
    y
        Labels (points,).
    bins
        Number of bins between 0 and 1.
    of
        Class whose probability is compared; ``None`` takes each point's most probable class, its "confidence".

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities, there are fewer bins than one, or `of` isn't one of the classes.
    DataError
        If there are no points, there isn't one label for each, or a label has no class.

    Notes
    -----
    Guo et al. (2017), "On Calibration of Modern Neural Networks".
    """
    mean, labels = mean_and_labels(probabilities, y)
    if bins < 1:
        raise ModelError(f"bins={bins}; expected 1 or more.")
    if of is not None and not 0 <= of < mean.shape[1]:
        raise ModelError(f"of={of}; expected a class from 0 to {mean.shape[1] - 1}, or None for the most probable one.")
    stated = mean.max(axis=1) if of is None else mean[:, of]
    happened = labels == (mean.argmax(axis=1) if of is None else of)
    stated = np.clip(stated, 0, 1)  # rounding must not put a point outside of all bins
    means, edges, _ = binned_statistic(stated, [stated, happened], "mean", bins, (0, 1))
    count = np.histogram(stated, edges)[0]
    return Reliability(means[0][count > 0], means[1][count > 0], count[count > 0])
