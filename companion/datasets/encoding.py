"""How the columns of a table become numbers, kept with the data set so that new rows are brought into the same form.

The rules are told in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from companion.datasets.csv_files import read
from companion.datasets.notation import Notation
from companion.errors import DataError, notice

__all__ = ["ALWAYS_GAPS", "Column", "Encoding", "NumberColumn", "TrueFalseColumn", "WordColumn"]

ALWAYS_GAPS = ("", "NaN", "nan", "NaT", "<NA>", "#N/A", "#NA", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!")
"""Entries that no word of a language looks like: programs write them where there is nothing."""

_PLAIN = Notation()


class Column(Protocol):
    """One column of a table: its name in the file, the features that it becomes, and the way there and back."""

    @property
    def name(self) -> str:
        """Name in the file."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features that the column becomes."""

    @property
    def gaps(self) -> tuple[str, ...]:
        """Words that stand for a missing entry in this column."""

    def encode(self, entries: pd.Series) -> np.ndarray:
        """Return the features `(points, features)` of entries `(points,)`, NaN where an entry has none."""

    def decode(self, values: np.ndarray) -> pd.Series:
        """Return the entries `(points,)` of features `(points, features)`."""


@dataclass(frozen=True)
class NumberColumn:
    """Column of numbers, which is one feature.

    Attributes
    ----------
    name
        Name in the file.
    notation
        Way in which the file writes the numbers.
    gaps
        Words that stand for a missing number in this column.
    """

    name: str
    notation: Notation = _PLAIN
    gaps: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """Name of the column."""
        return (self.name,)

    def encode(self, entries: pd.Series) -> np.ndarray:
        """Return the numbers `(points, 1)`; entries in another notation than the column's may be plain numbers."""
        if pd.api.types.is_numeric_dtype(entries):
            return np.asarray(entries.to_numpy(dtype=np.float64, na_value=np.nan))[:, None]
        known = {text: self._read(text) for text in entries.unique()}
        return np.array([known[text] for text in entries], dtype=np.float64)[:, None]

    def decode(self, values: np.ndarray) -> pd.Series:
        """Return the numbers, without units."""
        return pd.Series(values[:, 0], name=self.name)

    def _read(self, text: str) -> float:
        for notation in (self.notation, _PLAIN):
            value = notation.read(text)
            if value is not None:
                return value
        return float("nan")


@dataclass(frozen=True)
class TrueFalseColumn:
    """Column of true and false in any spelling, which is one feature of 1 and 0.

    Attributes
    ----------
    name
        Name in the file.
    gaps
        Words that stand for a missing entry in this column.
    """

    name: str
    gaps: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """Name of the column."""
        return (self.name,)

    def encode(self, entries: pd.Series) -> np.ndarray:
        """Return 1 for true and 0 for false `(points, 1)`."""
        known = {"true": 1.0, "false": 0.0}
        return np.array([known.get(str(text).casefold(), np.nan) for text in entries])[:, None]

    def decode(self, values: np.ndarray) -> pd.Series:
        """Return True and False."""
        return pd.Series(values[:, 0] > 0.5, name=self.name)


@dataclass(frozen=True)
class WordColumn:
    """Column of words, each of which becomes a feature of 0 and 1.

    Attributes
    ----------
    name
        Name in the file.
    words
        Words of the column, in alphabetical order.
    gaps
        No words: only an empty entry is a gap.
    """

    name: str
    words: tuple[str, ...]
    gaps: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """Name of the column with each of its words, such as "city = Rome"."""
        return tuple(f"{self.name} = {word}" for word in self.words)

    def encode(self, entries: pd.Series) -> np.ndarray:
        """Return a row of zeros with a single 1 for each entry; NaN for a word that the column did not have."""
        place = {word: k for k, word in enumerate(self.words)}
        found = np.full((len(entries), len(self.words)), np.nan)
        for row, word in enumerate(entries):
            if word in place:
                found[row] = 0
                found[row, place[word]] = 1
        return found

    def decode(self, values: np.ndarray) -> pd.Series:
        """Return the word whose feature is largest."""
        return pd.Series(np.array(self.words, dtype=object)[values.argmax(axis=1)], name=self.name)


_KINDS: Mapping[str, Any] = {"number": NumberColumn, "true or false": TrueFalseColumn, "words": WordColumn}


@dataclass(frozen=True)
class Encoding:
    """All columns that became features, in the order of the file.

    Attributes
    ----------
    columns
        One description per column.
    left_out
        Columns of the file that did not become features, the one with the classes among them. New rows may have them.
    """

    columns: tuple[Column, ...]
    left_out: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """Names of all features, in order."""
        return tuple(feature for column in self.columns for feature in column.features)

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
            If a column is missing, a row has too many or too few entries, or an entry is a gap, a word that the column
            did not have, or not a number.

        Warns
        -----
        CompanionWarning
            If there are columns that the file did not have; they are not used.
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
                raise DataError(_refusal(column, entries, wrong))
            parts.append(part)
        return np.concatenate(parts, axis=1)

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values, of which `from_json` makes the same encoding."""
        kinds = {kind: name for name, kind in _KINDS.items()}
        columns = [{"kind": kinds[type(column)], **asdict(column)} for column in self.columns]  # type: ignore[call-overload]
        return {"columns": columns, "left_out": list(self.left_out)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Encoding:
        """Make an encoding of what `as_json` returned."""
        columns = []
        for own in stored["columns"]:
            given: dict[str, Any] = {name: tuple(a) if isinstance(a, list) else a for name, a in own.items()}
            kind = given.pop("kind")
            if "notation" in given:
                given["notation"] = Notation(**given["notation"])
            columns.append(_KINDS[kind](**given))
        return cls(tuple(columns), tuple(stored["left_out"]))

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
    if entry == "" or entry in column.gaps or entry != entry:
        return f"there is a gap {where}: fill it in, or leave the row out."
    if isinstance(column, WordColumn):
        return f"{str(entry)!r} {where} is not a word that the table had; expected one of {', '.join(column.words)}."
    if isinstance(column, TrueFalseColumn):
        return f"{str(entry)!r} {where} is neither true nor false."
    unit = column.notation.unit if isinstance(column, NumberColumn) else ""
    form = f", alone or with the unit {unit!r}" if unit else ", written as in the table"
    return f"{str(entry)!r} {where} is not a finite number; expected one{form}."
