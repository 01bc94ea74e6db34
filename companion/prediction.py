"""Prediction: a posterior and inputs in, class probabilities and labels out.

Explained in the chapter `book/pymc/moons`, sections "Predicting two ways" and "What the network has learned".
Probabilities have the shape (draws, points, classes), and means of a regression (draws, points), everywhere to the
right of here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from companion.errors import ModelError
from companion.posterior import Posterior

__all__ = ["Grid", "grid", "mean_probabilities", "predict", "predicted_labels"]


def predict(posterior: Posterior, x: Any, draws: int = 500, seed: int = 0) -> np.ndarray:
    r"""Class probabilities at inputs, one set for each of `draws` networks drawn from the posterior.

    Parameters
    ----------
    posterior
        Any posterior: of ADVI, of NUTS, of the engine, or another that follows the protocol. One that has a method
        ``predictive(x, n, seed)`` as well is asked for that: the same predictions, without all draws in memory at once.
    x
        Inputs of shape (points, \*features); a mapping from names to such arrays where the model reads several.
    draws
        Networks to draw.
    seed
        Of the draws.

    Returns
    -------
    numpy.ndarray
        Probabilities (draws, points, classes), or means (draws, points) of a regression.

    Raises
    ------
    ModelError
        If the inputs don't fit the model, or more draws are asked for than there are.

    Notes
    -----
    Explained in the chapter `book/pymc/moons`.
    """
    predictive = getattr(posterior, "predictive", None)
    if predictive is None:
        return posterior.predict(x, posterior.draw(draws, seed))
    return np.asarray(predictive(x, draws, seed))


def mean_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Posterior predictive probabilities (points, classes): the average over the draws.

    Raises
    ------
    ModelError
        If `probabilities` doesn't have the shape (draws, points, classes), or holds NaN or what is no probability.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 3:
        raise ModelError(
            f"probabilities have shape {probabilities.shape}; expected (draws, points, classes), as `predict` gives."
        )
    if np.isnan(probabilities).any():
        raise ModelError(
            f"{int(np.isnan(probabilities).any(axis=(0, 2)).sum())} points have NaN among their probabilities. "
            "Look at the inputs, and at the weights of the posterior."
        )
    if probabilities.size and (probabilities.min() < -1e-6 or probabilities.max() > 1 + 1e-6):  # rounding may pass
        raise ModelError(
            f"values reach from {probabilities.min():.3g} to {probabilities.max():.3g}; probabilities lie in [0, 1]. "
            "Did logits come in? Pass them through a sigmoid or a softmax first."
        )
    mean: np.ndarray = probabilities.mean(axis=0)
    return mean


def predicted_labels(probabilities: np.ndarray) -> np.ndarray:
    """Most probable class of each point, (points,), from probabilities (draws, points, classes).

    Raises
    ------
    ModelError
        As `mean_probabilities`.
    """
    labels: np.ndarray = mean_probabilities(probabilities).argmax(axis=1)
    return labels


@dataclass(frozen=True, eq=False)
class Grid:
    """A square of points over a plane of two features.

    Attributes
    ----------
    x1, x2
        Coordinates, each (n, n).
    """

    x1: np.ndarray
    x2: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """All points as rows, (n * n, 2)."""
        return np.column_stack([self.x1.ravel(), self.x2.ravel()])

    def image(self, values: np.ndarray) -> np.ndarray:
        """Values (n * n,) of the points, back in the plane: (n, n).

        Raises
        ------
        ModelError
            If there isn't one value for each point.
        """
        values = np.asarray(values)
        if values.shape != (self.x1.size,):
            raise ModelError(f"values have shape {values.shape}; expected ({self.x1.size},), one a point of the grid.")
        return values.reshape(self.x1.shape)


def grid(low: float = -3.0, high: float = 3.0, n: int = 100) -> Grid:
    """Lay out a grid of ``n`` by ``n`` points from `low` to `high` in both features.

    Raises
    ------
    ModelError
        If the grid would be empty.
    """
    if n < 2 or not low < high:
        raise ModelError(f"low={low}, high={high}, n={n}; expected low < high and at least 2 points a side.")
    axis = np.linspace(low, high, n)
    return Grid(*np.meshgrid(axis, axis))
