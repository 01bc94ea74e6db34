"""Do stated probabilities come true? Probabilities and labels in, bins of both out.

Explained in the chapter `book/pymc/breast_cancer`, section "Are the probabilities true?".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binned_statistic

from companion.errors import DataError, ModelError
from companion.prediction import mean_probabilities
from companion.uncertainty.scores import labels_of

__all__ = ["Reliability", "reliability"]


@dataclass(frozen=True, eq=False)
class Reliability:
    """What was said and what happened, bin by bin of the stated probability; empty bins are left out.

    Attributes
    ----------
    stated
        Mean of the stated probabilities in each bin, (bins,).
    happened
        Share of its points of which the statement was true, (bins,).
    count
        Its points, (bins,).
    """

    stated: np.ndarray
    happened: np.ndarray
    count: np.ndarray

    @property
    def ece(self) -> float:
        r"""Expected calibration error: :math:`\sum_b \frac{n_b}{n} \lvert \text{happened}_b - \text{stated}_b \rvert`.

        Never quite zero: a bin of n points misses by about :math:`\sqrt{p(1 - p) / n}` even where the truth was told.
        """
        return float(np.average(np.abs(self.happened - self.stated), weights=self.count))


def reliability(probabilities: np.ndarray, y: np.ndarray, *, bins: int = 10, of: int | None = None) -> Reliability:
    """Compare stated probabilities with frequencies, in bins of equal width.

    Parameters
    ----------
    probabilities
        Shape (draws, points, classes); averaged over the draws first.
    y
        Labels (points,).
    bins
        Between 0 and 1.
    of
        Class whose probability is looked at; ``None`` takes each point's most probable class, its "confidence".

    Raises
    ------
    DataError
        If there isn't one label for each point, or a label has no class.
    ModelError
        If there is no bin, or no class `of`.

    Notes
    -----
    Guo et al. (2017), "On Calibration of Modern Neural Networks". Explained in the chapter `book/pymc/breast_cancer`.
    """
    mean = mean_probabilities(probabilities)
    if not len(mean):
        raise DataError("there are no points to compare; expected one or more.")
    labels = labels_of(y, *mean.shape)
    if bins < 1:
        raise ModelError(f"bins={bins}; expected 1 or more.")
    if of is not None and not 0 <= of < mean.shape[1]:
        raise ModelError(f"of={of}; expected a class from 0 to {mean.shape[1] - 1}, or None for the most probable one.")
    stated = mean.max(axis=1) if of is None else mean[:, of]
    happened = labels == (mean.argmax(axis=1) if of is None else of)
    stated = np.clip(stated, 0, 1)  # rounding must put no point outside of all bins
    means, edges, _ = binned_statistic(stated, [stated, happened], "mean", bins, (0, 1))
    count = np.histogram(stated, edges)[0]
    return Reliability(means[0][count > 0], means[1][count > 0], count[count > 0])
