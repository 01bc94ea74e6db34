"""Temperature scaling: sharpen or flatten the probabilities of any classifier until they are true on validation rows.

This temperature divides the logarithms of predictions. It is not the temperature of a fit, which weighs the divergence
from the prior. Explained in the book's data page (`book/reference/data`), section "Bands and sets that keep a promise".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from companion.errors import DataError
from companion.prediction import mean_probabilities
from companion.uncertainty.scores import mean_and_labels

__all__ = ["TemperatureScaling", "temperature_scaling"]

_SHARPEST, _FLATTEST = 0.02, 50.0
_LEAST = 1e-12


@dataclass(frozen=True)
class TemperatureScaling:
    r"""A temperature for predicted probabilities.

    Attributes
    ----------
    temperature
        Temperature T; above 1, the probabilities were too sure.
    """

    temperature: float

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        r"""Return the probabilities :math:`\mathrm{softmax}(\log \bar p / T)`, (1, points, classes).

        Parameters
        ----------
        probabilities
            Class probabilities (draws, points, classes); they are averaged over the draws first.

        Raises
        ------
        ModelError
            If they aren't class probabilities.
        """
        return np.exp(_scaled(mean_probabilities(probabilities), 1 / self.temperature))[None]


def temperature_scaling(probabilities: np.ndarray, y: np.ndarray) -> TemperatureScaling:
    r"""Find the temperature at which the log score of validation rows is best.

    .. math::

        T = \arg\min_T \; -\sum_i \log \mathrm{softmax}(\log \bar p_i / T)_{y_i}

    It keeps the order of the classes, and with it every accuracy. On the validation rows themselves the log score can't
    become worse.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes) of rows that the posterior did not learn from; they are averaged
        over the draws first.
    y
        Their labels (points,).

    Raises
    ------
    ModelError
        If they aren't class probabilities.
    DataError
        If there isn't one label for each point, or every prediction is right or every one is uniform: then no
        temperature is best.

    Notes
    -----
    Guo et al. (2017), "On Calibration of Modern Neural Networks"; the average over draws comes first, as in Rahaman and
    Thiery (2021), "Uncertainty Quantification and Deep Ensembles". The sum is convex in 1 / T.
    """
    mean, labels = mean_and_labels(probabilities, y)
    rows = np.arange(len(labels))

    def loss(sharpness: float) -> float:
        return float(-_scaled(mean, sharpness)[rows, labels].mean())

    found = minimize_scalar(loss, bounds=(1 / _FLATTEST, 1 / _SHARPEST), method="bounded", options={"xatol": 1e-5})
    temperature = 1 / float(found.x)
    if not 1.01 * _SHARPEST < temperature < 0.99 * _FLATTEST:
        why = "every prediction is right" if temperature < 1 else "the predictions tell nothing of the labels"
        raise DataError(f"no temperature is best for {len(labels)} rows: {why}. Take more validation rows.")
    return TemperatureScaling(temperature)


def _scaled(mean: np.ndarray, sharpness: float) -> np.ndarray:
    """Compute the logarithms of scaled probabilities (points, classes)."""
    return np.asarray(log_softmax(sharpness * np.log(np.clip(mean, _LEAST, None)), axis=1))
