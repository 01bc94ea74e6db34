"""How often each row counts: weights, checked, and what a reader should know of theirs.

Explained in the book's data page (`book/reference/data`), section "Weights".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion.datasets.scaling import frozen
from companion.errors import DataError, notice

__all__ = ["tell_of_weights", "whole_weights"]

_FAR_FROM_ONE = 1.5


def whole_weights(weights: ArrayLike | None, rows: int) -> NDArray[np.floating[Any]] | None:
    """Check weights, one for each row.

    Parameters
    ----------
    weights
        Numbers (rows,), from 0; or None where each row counts once.
    rows
        Number of rows.

    Returns
    -------
    np.ndarray or None
        Weights (rows,), float64, read-only.

    Raises
    ------
    DataError
        If they are not one finite number from 0 for each row, or all are 0.
    """
    if weights is None:
        return None
    try:
        values = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("the weights are not an array of numbers; expected one number from 0 for each row.") from None
    if values.shape != (rows,):
        raise DataError(f"the weights have shape {values.shape}; expected ({rows},), one for each row.")
    bad = ~np.isfinite(values) | (values < 0)
    if bad.any():
        raise DataError(
            f"{bad.sum():,} of {rows:,} weights are negative or not finite, the first is {values[np.argmax(bad)]:g} in "
            f"row {np.argmax(bad)} (counted from 0); expected numbers from 0."
        )
    if not values.any():
        raise DataError("all weights are 0; expected some rows that count.")
    return frozen(values)


def tell_of_weights(weights: NDArray[np.floating[Any]], where: str) -> None:
    """Warn of weights that make a posterior surer, or less sure, than the rows are many.

    Parameters
    ----------
    weights
        Weights of all rows, (rows,).
    where
        What the sentence calls their place.

    Warns
    -----
    CompanionWarning
        If their mean is far from 1.
    """
    mean = float(np.mean(weights))
    if not 1 / _FAR_FROM_ONE <= mean <= _FAR_FROM_ONE:
        notice(
            f"the weights of {where} sum to {np.sum(weights):,.4g} for {len(weights):,} rows, and the posterior is as "
            f"sure as that many rows would make it. If a weight says how many rows like this one there are in a "
            f"population, and not how many were seen, divide all weights by their mean, {mean:.4g}."
        )
