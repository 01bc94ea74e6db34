"""Measure along a curve: the noisy sinusoid of the regression chapter.

Explained in the chapter `book/bayes_by_backprop/regression`, section "The data".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from companion.checks import whole
from companion.datasets.weights import whole_weights
from companion.errors import DataError

__all__ = ["Measurements", "copied_numbers", "sinusoid", "sinusoid_truth"]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Measurements:
    """Inputs and what was measured at them, row by row.

    Attributes
    ----------
    x
        Inputs `(points, features)`, float32.
    y
        Measurements `(points,)`, or `(points, targets)` where several quantities were measured, float32.
    weights
        How often each row counts, `(points,)`, from 0, float64; None where each counts once.

    Raises
    ------
    DataError
        If there are no rows, the lengths differ, a number is not finite, or the weights are not numbers from 0.
    """

    x: Floats
    y: Floats
    weights: Floats | None = None

    def __post_init__(self) -> None:
        x, y = copied_numbers(self.x, self.y, np.float32)
        if x.ndim != 2 or y.ndim not in (1, 2) or y.shape[:1] != x.shape[:1] or not x.size or not y.size:
            raise DataError(
                f"x has shape {x.shape} and y {y.shape}; expected (points, features), and (points,) or (points, "
                "targets)."
            )
        if not np.isfinite(x).all() or not np.isfinite(y).all():
            raise DataError("x or y holds NaN or infinity; expected finite numbers: remove or fill those rows.")
        for name, array in (("x", x), ("y", y)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "weights", whole_weights(self.weights, len(x)))

    def __len__(self) -> int:
        return len(self.y)


def copied_numbers(x: ArrayLike, y: ArrayLike, dtype: DTypeLike) -> tuple[np.ndarray, np.ndarray]:
    """Copy inputs and measurements to arrays.

    Raises
    ------
    DataError
        If they are not numbers.
    """
    try:
        return np.array(x, dtype=dtype), np.array(y, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise DataError("x or y is not an array of numbers; expected (points, features) and (points,).") from error


def sinusoid_truth(x: Any) -> Floats:
    r"""Return the curve without noise, :math:`10 \sin(2 \pi x)`, at numbers of any shape."""
    return np.asarray(10 * np.sin(2 * np.pi * np.asarray(x, dtype=float)))


def sinusoid(
    n: int = 32,
    *,
    noise: float | Callable[[Floats], Any] = 1.0,
    low: float = -0.5,
    high: float = 0.5,
    spaced: bool = True,
    seed: int = 0,
) -> Measurements:
    r"""Measure a sine wave with normal noise: :math:`y = 10 \sin(2 \pi x) + \varepsilon`.

    Parameters
    ----------
    n
        Number of points.
    noise
        Standard deviation of :math:`\varepsilon`: a number, or a function of x, an array (points,), for noise that
        depends on where it is measured.
    low, high
        Least and greatest x.
    spaced
        `True` spaces the points evenly, both ends included; `False` draws them uniformly.
    seed
        Seed of the noise, and of the points where they are drawn.

    Returns
    -------
    Measurements
        Inputs `x` `(n, 1)` and measurements `y` `(n,)`.

    Raises
    ------
    DataError
        If `n` is not a whole number from 1, `low` is not below `high`, or the noise is negative or not finite.

    Notes
    -----
    The data of McAteer (2019), "A quick intro to Bayesian neural networks", Part 3.
    """
    whole("n", n, 1, error=DataError)
    if not -np.inf < low < high < np.inf:
        raise DataError(f"low={low!r}, high={high!r}; expected two finite numbers, the first one smaller.")
    rng = np.random.default_rng(seed)
    x = np.linspace(low, high, n) if spaced else rng.uniform(low, high, n)
    scale = np.asarray(noise(x) if callable(noise) else noise, dtype=float)
    if scale.shape not in ((), (n,)) or not np.isfinite(scale).all() or (scale < 0).any():
        raise DataError(f"noise={noise!r}; expected a number from 0, or a function that gives one for each x.")
    return Measurements(x[:, None], sinusoid_truth(x) + scale * rng.normal(size=n))
