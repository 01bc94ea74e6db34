"""How the columns of a table become numbers, kept with the data set so that new rows are brought into the same form.

The rules are told in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from companion.datasets.columns import (
    ALWAYS_GAPS,
    Column,
    CyclicColumn,
    NumberColumn,
    OrderedColumn,
    TrueFalseColumn,
    WordColumn,
    is_gap,
)
from companion.datasets.csv_files import read
from companion.datasets.dates import DateColumn
from companion.datasets.filling import FilledColumn
from companion.datasets.notation import Notation
from companion.errors import DataError, notice

__all__ = ["Encoding"]

_KINDS: Mapping[str, Any] = {
    "number": NumberColumn,
    "true or false": TrueFalseColumn,
    "words": WordColumn,
    "ordered": OrderedColumn,
    "cyclic": CyclicColumn,
    "date": DateColumn,
    "filled": FilledColumn,
}


@dataclass(frozen=True)
class Encoding:
    """All columns that became features, in the order of the file.

    Attributes
    ----------
    columns
        One description per column.
    left_out
        Columns of the file that did not become features, the one with the classes among them. New rows may have them.
    reasons
        Reason for each of them, where it is known.
    """

    columns: tuple[Column, ...]
    left_out: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of all features, in order."""
        return tuple(feature for column in self.columns for feature in column.features)

    @property
    def steps(self) -> tuple[str, ...]:
        """What was done to each column of the file, one line per column."""
        used = [f"{column.name}: {column.about}; standardised" for column in self.columns]
        return (*used, *(f"{name}: {self.reasons.get(name, 'left out')}" for name in self.left_out))

    def apply(self, rows: Any) -> np.ndarray:
        """Turn rows as the file has them into features.

        Parameters
        ----------
        rows
            Path of a CSV file, a `pandas.DataFrame`, a list of dictionaries, or a list of rows with one entry for each
            of `columns`, in that order.

        Returns
        -------
        np.ndarray
            Features `(points, features)` in the units of the file, float64.

        Raises
        ------
        DataError
            If a column is missing, a row has too many or too few entries, or an entry is a gap in a column that had
            none, a word that an ordered column did not have, or not a number.

        Warns
        -----
        CompanionWarning
            If there are columns that the file did not have, which are not used; or words that a column did not have.
        """
        table = self._table(rows)
        names = [column.name for column in self.columns]
        missing = [name for name in names if name not in table.columns]
        if missing:
            raise DataError(
                f"the new rows have no column {', '.join(map(repr, missing))}; expected {', '.join(names)}, "
                "as in the table that was learned from."
            )
        unknown = [str(name) for name in table.columns if name not in names and name not in self.left_out]
        if unknown:
            notice(f"columns that the table did not have are not used: {', '.join(map(repr, unknown))}.")
        parts = []
        for column in self.columns:
            entries = _entries(table[column.name])
            part = column.encode(entries)
            wrong = ~np.isfinite(part).all(axis=1)
            if wrong.any():
                raise DataError(_refusal(_plain(column), entries, wrong))
            _tell_of_unknown_words(_plain(column), entries)
            parts.append(part)
        return np.concatenate(parts, axis=1)

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values, of which `from_json` makes the same encoding."""
        columns = [_column_as_json(column) for column in self.columns]
        return {"columns": columns, "left_out": list(self.left_out), "reasons": dict(self.reasons)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Encoding:
        """Make an encoding of what `as_json` returned."""
        columns = tuple(_column_from_json(own) for own in stored["columns"])
        return cls(columns, tuple(stored["left_out"]), stored.get("reasons", {}))

    def undo(self, values: np.ndarray) -> pd.DataFrame:
        """Turn features `(points, features)` in the units of the file back into rows as the file has them."""
        parts, start = [], 0
        for column in self.columns:
            stop = start + len(column.features)
            parts.append(column.decode(values[:, start:stop]))
            start = stop
        return pd.concat(parts, axis=1)

    def _table(self, rows: Any) -> pd.DataFrame:
        """Return new rows, in whatever form they are given, as a table of at least one row."""
        names = [column.name for column in self.columns]
        expected = (
            "expected the path of a CSV file, a pandas.DataFrame, a list of dictionaries, or a list of rows with "
            f"{len(names)} entries each: {', '.join(names)}"
        )
        if isinstance(rows, str | Path):
            return read(rows).table
        if isinstance(rows, pd.DataFrame):
            table = rows.reset_index(drop=True)
        elif isinstance(rows, Sequence) and rows and all(isinstance(row, Mapping) for row in rows):
            table = pd.DataFrame.from_records(list(rows))
        else:
            listed = rows.tolist() if isinstance(rows, np.ndarray) else rows
            if not isinstance(listed, Sequence) or any(
                isinstance(row, str) or not isinstance(row, Sequence | np.ndarray) for row in listed
            ):
                raise DataError(f"the new rows are a {type(rows).__name__} without rows in it; {expected}.")
            widths = sorted({len(row) for row in listed} - {len(names)})
            if widths:
                raise DataError(f"a new row has {widths[0]} entries; {expected}.")
            table = pd.DataFrame([list(row) for row in listed], columns=names)
        if not len(table):
            raise DataError(f"there are no new rows; {expected}.")
        return table


def _column_as_json(column: Any) -> dict[str, Any]:
    kinds = {kind: name for name, kind in _KINDS.items()}
    own = dict(vars(column))
    if "column" in own:
        own["column"] = _column_as_json(own["column"])
    if "notation" in own:
        own["notation"] = dict(vars(own["notation"]))
    return {"kind": kinds[type(column)], **{name: list(a) if isinstance(a, tuple) else a for name, a in own.items()}}


def _column_from_json(stored: Mapping[str, Any]) -> Column:
    own: dict[str, Any] = {name: tuple(a) if isinstance(a, list) else a for name, a in stored.items()}
    kind = _KINDS[own.pop("kind")]
    if "column" in own:
        own["column"] = _column_from_json(own["column"])
    if "notation" in own:
        own["notation"] = Notation(**own["notation"])
    return kind(**own)


def _plain(column: Column) -> Column:
    """Return a column without what fills its gaps."""
    return column.column if isinstance(column, FilledColumn) else column


def _tell_of_unknown_words(column: Column, entries: pd.Series) -> None:
    if isinstance(column, WordColumn) and (words := column.unknown(entries)):
        listed = ", ".join(map(repr, words[:5])) + (", ..." if len(words) > 5 else "")
        notice(
            f"the table had no {listed} in column {column.name!r}, which held other words ({', '.join(column.words)}): "
            f"the model has learned nothing about {listed}, and such an entry is 0 in the features of all other words."
        )


def _entries(values: pd.Series) -> pd.Series:
    """Return numbers as they are, and everything else as text without spaces around it, a gap as the empty string."""
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        text = values.astype(object).where(values.notna(), "").map(str).str.strip()
        return text.where(~text.isin(ALWAYS_GAPS), "")
    return values


def _refusal(column: Column, entries: pd.Series, wrong: np.ndarray) -> str:
    """Say which entry of a new row can't be used, where it stands, and what would do."""
    row = int(np.argmax(wrong))
    entry = entries.iloc[row]
    more = f" ({wrong.sum():,} rows have such a trouble)" if wrong.sum() > 1 else ""
    where = f"in column {column.name!r}, row {row} (counted from 0){more}"
    if is_gap(column, entries)[row]:
        return f"there is a gap {where}, which had none in the table: fill it in, or leave the row out."
    if isinstance(column, OrderedColumn) or (isinstance(column, CyclicColumn) and column.words):
        return f"{str(entry)!r} {where} is not a word that the table had; expected one of {', '.join(column.words)}."
    if isinstance(column, DateColumn):
        return f"{str(entry)!r} {where} is not a date; expected one such as {column.example}."
    if isinstance(column, TrueFalseColumn):
        return f"{str(entry)!r} {where} is neither true nor false."
    unit = column.notation.unit if isinstance(column, NumberColumn | CyclicColumn) else ""
    form = f", alone or with the unit {unit!r}" if unit else ", written as in the table"
    return f"{str(entry)!r} {where} is not a finite number; expected one{form}."
