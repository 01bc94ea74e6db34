"""Arrays with gaps: rows left out, or each gap filled in with what the rows to learn from say.

Explained in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from companion.datasets.columns import Column, NumberColumn
from companion.datasets.encoding import Encoding
from companion.datasets.filling import filled
from companion.errors import DataError, notice

__all__ = ["filled_in", "names_of", "whole_rows"]


def names_of(features: Sequence[str], count: int) -> tuple[str, ...]:
    """Return the names of so many features, x1, x2, ... where there are none."""
    return tuple(features) or tuple(f"x{i + 1}" for i in range(count))


def whole_rows(
    x: ArrayLike, y: ArrayLike, per_row: Mapping[str, Any], name: str
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Leave out the rows with NaN among their inputs.

    Parameters
    ----------
    x, y
        Inputs (points, features) and what belongs to each row, (points, ...).
    per_row
        Further arrays (points,) by name, or None.
    name
        Name of the table.

    Raises
    ------
    DataError
        If no row is left, or lengths differ.

    Warns
    -----
    CompanionWarning
        If rows are left out.
    """
    values, told = _table(x), np.asarray(y)
    missing = np.isnan(values).any(axis=1)
    lengths = {len(missing), len(told), *(len(a) for a in per_row.values() if a is not None)}
    if len(lengths) > 1:
        raise DataError(f"x, y and what belongs to each row have lengths {sorted(lengths)}; expected the same.")
    if missing.all():
        raise DataError(f"every row of {name} has a gap. Fill some in, or leave columns out.")
    if missing.any():
        notice(f"{missing.sum():,} of {len(missing):,} rows of {name} have gaps and are left out.")
    kept = {key: None if a is None else np.asarray(a)[~missing] for key, a in per_row.items()}
    return values[~missing], told[~missing], kept


def filled_in(x: ArrayLike, features: Sequence[str], train: np.ndarray) -> tuple[np.ndarray, Encoding]:
    """Put the median of the rows to learn from in each gap, and add a feature that marks it.

    Parameters
    ----------
    x
        Inputs (points, features), NaN for a gap.
    features
        Names of the features.
    train
        Numbers of the rows to learn from.

    Returns
    -------
    tuple
        Inputs without NaN (points, features), and the encoding that made them.
    """
    values = _table(x)
    columns: list[Column] = []
    for own, numbers in zip(names_of(features, values.shape[1]), values.T, strict=True):
        column = NumberColumn(own)
        columns.append(filled(column, pd.Series(numbers[train])) if np.isnan(numbers).any() else column)
    parts = [column.encode(pd.Series(numbers)) for column, numbers in zip(columns, values.T, strict=True)]
    return np.concatenate(parts, axis=1), Encoding(tuple(columns))


def _table(x: ArrayLike) -> np.ndarray:
    try:
        values = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("x is not an array of numbers; words and dates are for datasets.from_csv.") from None
    if values.ndim != 2:
        raise DataError(f"x has shape {values.shape}: a table (points, features) is expected.")
    return values
