"""Gaps of a column: what stands in them, learned from the rows to learn from, and a feature that marks them.

Explained in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

import numpy as np
import pandas as pd

from companion.datasets.columns import Column, is_gap

__all__ = ["FilledColumn", "Gaps", "filled"]


class Gaps(StrEnum):
    """What becomes of missing entries in the columns that are learned from."""

    FILL_IN = "fill in"
    """A typical value stands in each gap, and one more feature of the column marks where."""
    LEAVE_OUT = "leave out"
    """Rows with a gap are left out."""
    REFUSE = "refuse"
    """A table with gaps is an error."""


@dataclass(frozen=True)
class FilledColumn:
    """A column with gaps: its own features with a typical value in each gap, and one more that is 1 there.

    A gap is often a message: a test that nobody ordered, a question that nobody answered. So a model may learn from it.

    Attributes
    ----------
    column
        The column itself.
    values
        What stands in a gap, one number per feature of `column`: the median of the rows to learn from, or 0 for each
        word and each point on a circle.
    """

    column: Column
    values: tuple[float, ...]

    @property
    def name(self) -> str:
        """Name in the file."""
        return self.column.name

    @property
    def gaps(self) -> tuple[str, ...]:
        """Words that stand for a missing entry in this column."""
        return self.column.gaps

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the column's own features, and one that says that it is missing."""
        return (*self.column.features, f"{self.name} is missing")

    @property
    def about(self) -> str:
        """What is done to the column, in words."""
        typical = self.column.decode(np.array([self.values])).iloc[0]
        by = f"counts as {typical:.4g}" if isinstance(typical, float) else f"counts as {typical}"
        what = by if any(self.values) or len(self.values) == 1 else "is 0 in all of them"
        return f"{self.column.about}; a gap {what}, and one more feature marks it"

    def encode(self, entries: pd.Series) -> np.ndarray:
        """Return the features `(points, features)`; NaN where an entry is not a gap and can't be read either."""
        missing = is_gap(self.column, entries)
        own = self.column.encode(entries)
        own[missing] = self.values
        return np.column_stack([own, missing])

    def decode(self, values: np.ndarray) -> pd.Series:
        """Return the entries, and None for a gap."""
        entries = self.column.decode(values[:, :-1])
        missing = values[:, -1] > 0.5
        return entries.astype(object).mask(missing, None) if missing.any() else entries

    def learned(self, entries: pd.Series) -> Self:
        """Return the column with what has to be learned from these rows."""
        return replace(self, **vars(filled(self.column, entries)))

    def typical(self, _values: np.ndarray) -> np.ndarray:
        """Return what stands in a gap."""
        return np.array([*self.values, 1.0])


def filled(column: Column, entries: pd.Series) -> FilledColumn:
    """Learn from the rows to learn from what stands in the gaps of a column.

    Parameters
    ----------
    column
        The column.
    entries
        Its entries in those rows, (points,).
    """
    return FilledColumn(column, tuple(column.typical(column.encode(entries)).tolist()))
