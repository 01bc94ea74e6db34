"""Predictions of a posterior: class probabilities, the labels that follow from them, and a grid to draw them on.

Explained in the chapters `book/pymc/moons`, sections "Predicting two ways" and "What the network has learned" (the
grid), and `book/mnist/dense`, section "Held-out prediction" (the average over the draws). Probabilities have the shape
(draws, points, classes), and means of a regression (draws, points), in every room that scores or draws them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from companion.errors import ModelError
from companion.posterior import Posterior

__all__ = ["Grid", "check_probabilities", "grid", "mean_probabilities", "predict", "predicted_labels"]

_ROUNDING = 5e-3  # what bfloat16, the coarsest precision of a fit, leaves of a softmax's sum


def predict(posterior: Posterior, x: Any, draws: int = 500, seed: int = 0) -> np.ndarray:
    r"""Predict class probabilities at inputs, one set for each of `draws` networks drawn from the posterior.

    Parameters
    ----------
    posterior
        Any posterior: of the engine, of ADVI, of NUTS, of Bayes by Backprop, or another that follows the protocol.
    x
        Inputs of shape (points, \*features); a mapping from names to such arrays if the model reads several.
    draws
        Number of networks to draw.
    seed
        Seed of the draws.

    Returns
    -------
    numpy.ndarray
        Probabilities (draws, points, classes), or means (draws, points) of a regression.

    Raises
    ------
    ModelError
        If the inputs don't fit the model, or more draws are asked for than there are.
    """
    return posterior.predictive(x, draws, seed)


def check_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Refuse anything but the class probabilities of one or more draws; every score and figure of them begins here.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes). Those of a draw and a point sum to 1; the rounding of single and
        of half precision is let through.

    Returns
    -------
    numpy.ndarray
        The same probabilities, as an array.

    Raises
    ------
    ModelError
        If the shape is another, there is no draw or no class, or the probabilities of a point hold NaN, lie outside
        [0, 1] or don't sum to 1; the message names the first such points by their rows.
    """
    array = np.asarray(probabilities)
    if array.dtype.kind not in "biuf":
        raise ModelError(f"probabilities are of the type {array.dtype}; expected numbers from 0 to 1.")
    if array.ndim != 3:
        raise ModelError(
            f"probabilities have shape {array.shape}; expected (draws, points, classes), as `predict` gives. "
            "A single prediction (points, classes) becomes one draw by probabilities[None]."
        )
    draws, _, classes = array.shape
    if not draws or not classes:
        raise ModelError(f"probabilities have shape {array.shape}; expected a draw and a class, or more.")
    missing = np.any(np.isnan(array), axis=(0, 2))
    if missing.any():
        raise ModelError(
            f"the probabilities of {_rows(missing)} hold NaN. Look at the inputs, and at the weights of the posterior."
        )
    outside = np.any((array < -1e-6) | (array > 1 + 1e-6), axis=(0, 2))  # rounding may pass
    if outside.any():
        raise ModelError(
            f"the values of {_rows(outside)} reach from {array[:, outside].min():.3g} to "
            f"{array[:, outside].max():.3g}; probabilities lie in [0, 1]. Did logits come in? Pass them through a "
            "sigmoid or a softmax first."
        )
    sums = array.sum(axis=2, dtype=float)
    wrong = np.abs(sums - 1) > _ROUNDING
    if wrong.any():
        low, high = (f"{end:.3g}" for end in (sums[wrong].min(), sums[wrong].max()))
        raise ModelError(
            f"the probabilities of {_rows(np.any(wrong, axis=0))} sum to "
            f"{low if low == high else f'between {low} and {high}'}; expected 1 over all classes, the last axis. "
            f"{_remedy(array)}"
        )
    return array


def mean_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Average class probabilities over the draws: the posterior predictive distribution.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes).

    Returns
    -------
    numpy.ndarray
        Posterior predictive probabilities (points, classes).

    Raises
    ------
    ModelError
        If they aren't class probabilities; see `check_probabilities`.
    """
    return check_probabilities(probabilities).mean(axis=0)


def predicted_labels(probabilities: np.ndarray) -> np.ndarray:
    """Find the most probable class of each point, by the average over the draws.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes).

    Returns
    -------
    numpy.ndarray
        Labels (points,), whole numbers from 0 to classes - 1.

    Raises
    ------
    ModelError
        If they aren't class probabilities; see `check_probabilities`.
    """
    return mean_probabilities(probabilities).argmax(axis=1)


def _rows(chosen: np.ndarray) -> str:
    """Count and name the chosen points, as in "7 of 9 points (rows 0, 1, 2, 3, 4, ...)"."""
    rows = np.flatnonzero(chosen).tolist()
    named = ", ".join(map(str, [*rows[:5], "..."] if len(rows) > 5 else rows))
    return f"{len(rows)} of {len(chosen)} points ({'row' if len(rows) == 1 else 'rows'} {named})"


def _remedy(array: np.ndarray) -> str:
    """Say what to do with values from 0 to 1 that don't sum to 1 over the last axis."""
    for axis in (1, 0):
        if np.allclose(array.sum(axis=axis, dtype=float), 1, atol=_ROUNDING):
            return f"They do over axis {axis}: move it with np.moveaxis(probabilities, {axis}, -1)."
    if array.shape[2] == 1:
        return "Add the class that is left out: np.concatenate([1 - p, p], axis=-1)."
    return (
        "Does the last axis hold all classes? Sigmoids of several labels are scored one label at a time, with "
        "np.stack([1 - p, p], axis=-1)."
    )


@dataclass(frozen=True, eq=False)
class Grid:
    """A square grid of points over a plane of two features.

    Attributes
    ----------
    x1, x2
        Coordinates of the points in the first and in the second feature, each (n, n).
    """

    x1: np.ndarray
    x2: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """All points of the grid as rows, (n * n, 2)."""
        return np.column_stack([self.x1.ravel(), self.x2.ravel()])

    def image(self, values: np.ndarray) -> np.ndarray:
        """Put the values of the points back into the plane.

        Parameters
        ----------
        values
            One value for each row of `points`, (n * n,).

        Returns
        -------
        numpy.ndarray
            The same values as an image (n, n), laid out as `x1` and `x2` are.

        Raises
        ------
        ModelError
            If there isn't one value for each point.
        """
        values = np.asarray(values)
        if values.shape != (self.x1.size,):
            raise ModelError(
                f"values have shape {values.shape}; expected ({self.x1.size},), one for each point of the grid."
            )
        return values.reshape(self.x1.shape)


def grid(low: float = -3.0, high: float = 3.0, n: int = 100) -> Grid:
    """Lay out a square grid of points over two features.

    Parameters
    ----------
    low, high
        First and last coordinate, in both features.
    n
        Number of points along each side.

    Raises
    ------
    ModelError
        If `low` isn't below `high`, or there are fewer than 2 points along a side.
    """
    if n < 2 or not low < high:
        raise ModelError(f"low={low}, high={high}, n={n}; expected low < high and at least 2 points along each side.")
    axis = np.linspace(low, high, n)
    return Grid(*np.meshgrid(axis, axis))
