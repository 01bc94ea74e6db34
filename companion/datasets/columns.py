"""How one column of a table becomes features: numbers, true and false, words, words in an order, and what goes round.

The rules are told in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd

from companion.datasets.notation import Notation
from companion.errors import DataError

__all__ = [
    "ALWAYS_GAPS", "ANOTHER_WORD", "GAP_WORDS", "MOST_WORDS", "Column", "CyclicColumn", "NumberColumn", "OrderedColumn",
    "TrueFalseColumn", "WordColumn", "at_angle", "circle", "is_gap",
]  # fmt: skip

ALWAYS_GAPS = ("", "NaN", "nan", "NaT", "<NA>", "#N/A", "#NA", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!")
"""Entries that no word of a language looks like: programs write them where there is nothing."""

GAP_WORDS = frozenset(
    [
        *("na", "n/a", "n.a.", "nan", "-nan", "<na>", "#n/a", "#na", "nat", "none", "null", "nil"),
        *("inf", "-inf", "+inf", "infinity", "-infinity", "missing", "unknown", "not available"),
        *("?", "-", "--", "\N{EN DASH}", "\N{EM DASH}", ".", "*"),
    ]
)
"""Words, in small letters, that stand for a gap in a column whose other entries are all numbers."""

ANOTHER_WORD = "another word"
"""Name of what is not one of the words that a column keeps."""

MOST_WORDS = 20
"""Number of words that become features of their own."""

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

    @property
    def about(self) -> str:
        """What is done to the column, in words."""

    def encode(self, entries: pd.Series) -> np.ndarray:
        """Return the features `(points, features)` of entries `(points,)`, NaN where an entry has none."""

    def decode(self, values: np.ndarray) -> pd.Series:
        """Return the entries `(points,)` of features `(points, features)`."""

    def learned(self, entries: pd.Series) -> Self:
        """Return the column with what has to be learned from the rows to learn from."""

    def typical(self, values: np.ndarray) -> np.ndarray:
        """Return what stands in a gap, `(features,)`, given the features of the rows to learn from."""


def is_gap(column: Column, entries: pd.Series) -> np.ndarray:
    """Say which entries of a column are missing, `(points,)`."""
    missing = entries.isna() | entries.isin(["", *column.gaps])
    if not getattr(column, "words", ()) and not pd.api.types.is_numeric_dtype(entries):
        missing |= entries.astype(str).str.casefold().isin(GAP_WORDS)  # no word of the column can be meant
    return np.asarray(missing)


def circle(turns: np.ndarray) -> np.ndarray:
    """Return sine and cosine `(points, 2)` of places on a circle `(points,)`, in turns."""
    angle = 2 * np.pi * np.asarray(turns, dtype=float)
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def at_angle(values: np.ndarray) -> np.ndarray:
    """Return the places on a circle `(points,)`, in turns from 0 to 1, of sines and cosines `(points, 2)`."""
    turns = np.arctan2(values[:, 0], values[:, 1]) / (2 * np.pi) % 1
    return np.where(np.isclose(turns, 1, atol=1e-9, rtol=0), 0.0, turns)


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
            return np.array(entries.to_numpy(dtype=np.float64, na_value=np.nan))[:, None]
        known = {text: self._read(text) for text in entries.unique()}
        return np.array([known[text] for text in entries], dtype=np.float64)[:, None]

    def decode(self, values: np.ndarray) -> pd.Series:
        """Return the numbers, without units."""
        return pd.Series(values[:, 0], name=self.name)

    @property
    def about(self) -> str:
        """What is done to the column, in words."""
        if self.notation == _PLAIN:
            return "a number"
        unit = f" in {self.notation.unit}" if self.notation.unit else ""
        sign = ", with a decimal comma" if self.notation.decimal == "," else ""
        return f"a number{unit}{sign}{', thousands separated' if self.notation.grouped else ''}"

    def learned(self, _entries: pd.Series) -> Self:
        """Return the column itself."""
        return self

    def typical(self, values: np.ndarray) -> np.ndarray:
        """Return the median."""
        return _median(values)

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

    @property
    def about(self) -> str:
        """What is done to the column, in words."""
        return "1 for true and 0 for false"

    def learned(self, _entries: pd.Series) -> Self:
        """Return the column itself."""
        return self

    def typical(self, values: np.ndarray) -> np.ndarray:
        """Return the median."""
        return _median(values)


@dataclass(frozen=True)
class WordColumn:
    """Column of words, each of which becomes a feature of 0 and 1.

    Attributes
    ----------
    name
        Name in the file.
    words
        Words that have a feature, in alphabetical order.
    gaps
        No words: only an empty entry is a gap.
    another
        Whether all other words share one more feature. Without, a word that the table did not have is 0 in all.
    """

    name: str
    words: tuple[str, ...]
    gaps: tuple[str, ...] = ()
    another: bool = False

    @property
    def features(self) -> tuple[str, ...]:
        """Name of the column with each of its words, such as "city = Rome"."""
        return tuple(f"{self.name} = {word}" for word in self._all)

    @property
    def _all(self) -> tuple[str, ...]:
        return (*self.words, ANOTHER_WORD) if self.another else self.words

    @property
    def about(self) -> str:
        """What is done to the column, in words."""
        rest = ", and one for all others" if self.another else ""
        return f"a feature of 0 and 1 for each of {len(self.words)} words{rest}"

    def encode(self, entries: pd.Series) -> np.ndarray:
        """Return a row of zeros with a single 1 for each entry, zeros for an unknown word, and NaN for a gap."""
        place = {word: k for k, word in enumerate(self.words)}
        found = np.zeros((len(entries), len(self._all)))
        missing = is_gap(self, entries)
        for row, word in enumerate(entries.map(str)):
            k = place.get(word, len(self.words) if self.another else None)
            if k is not None:
                found[row, k] = 1
        found[missing] = np.nan
        return found

    def decode(self, values: np.ndarray) -> pd.Series:
        """Return the word whose feature is largest, or "another word" where all are 0."""
        words = np.array([*self._all, ANOTHER_WORD], dtype=object)
        with_none = np.column_stack([values, np.full(len(values), 0.5)])
        return pd.Series(words[with_none.argmax(axis=1)], name=self.name)

    def unknown(self, entries: pd.Series) -> list[str]:
        """List the words that the table did not have, unless a feature of their own stands for them."""
        if self.another:
            return []
        words = entries[~is_gap(self, entries)].map(str).unique()
        return [word for word in words if word not in self.words and word != ANOTHER_WORD]

    def learned(self, entries: pd.Series) -> Self:
        """Return the column with the words of these rows alone; rare ones share a feature where there are many."""
        counts = entries[~is_gap(self, entries)].value_counts()
        if len(self.words) <= MOST_WORDS:
            return replace(self, words=tuple(sorted(counts.index)))
        return replace(self, words=tuple(sorted(frequent(counts))), another=True)

    def typical(self, values: np.ndarray) -> np.ndarray:
        """Return 0 for each word."""
        return np.zeros(values.shape[1])


def frequent(counts: pd.Series) -> list[str]:
    """List the words that are worth a feature: the most frequent ones, each in several rows.

    Parameters
    ----------
    counts
        Word to the number of its rows.
    """
    few = max(5, counts.sum() // 100)
    return [str(word) for word in counts[counts >= few].index[: MOST_WORDS - 1]]


@dataclass(frozen=True)
class OrderedColumn:
    """Column of words that have an order, which is one feature: 0, 1, 2, ...

    Attributes
    ----------
    name
        Name in the file.
    words
        Words from the lowest to the highest.
    gaps
        Words that stand for a missing entry in this column.
    """

    name: str
    words: tuple[str, ...]
    gaps: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """Name of the column."""
        return (self.name,)

    @property
    def about(self) -> str:
        """What is done to the column, in words."""
        return f"the place in the order {' < '.join(self.words)}"

    def encode(self, entries: pd.Series) -> np.ndarray:
        """Return the place of each word `(points, 1)`, NaN for a word that has none."""
        place = {word: float(k) for k, word in enumerate(self.words)}
        return entries.map(str).map(place).to_numpy(dtype=float)[:, None]

    def decode(self, values: np.ndarray) -> pd.Series:
        """Return the word at the nearest place."""
        places = np.clip(np.rint(values[:, 0]), 0, len(self.words) - 1).astype(int)
        return pd.Series(np.array(self.words, dtype=object)[places], name=self.name)

    def learned(self, _entries: pd.Series) -> Self:
        """Return the column itself."""
        return self

    def typical(self, values: np.ndarray) -> np.ndarray:
        """Return the middle place of the rows."""
        return np.rint(_median(values))


@dataclass(frozen=True)
class CyclicColumn:
    """Column that goes round, such as an hour or a direction, which is two features: the sine and the cosine.

    Attributes
    ----------
    name
        Name in the file.
    period
        Number after which it begins again, such as 24 for hours; of words, their number.
    words
        Words in the order in which they follow each other; none for numbers.
    notation
        Way in which the file writes the numbers.
    gaps
        Words that stand for a missing entry in this column.
    """

    name: str
    period: float
    words: tuple[str, ...] = ()
    notation: Notation = _PLAIN
    gaps: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """Name of the column with "sine" and "cosine"."""
        return (f"{self.name} (sine)", f"{self.name} (cosine)")

    @property
    def about(self) -> str:
        """What is done to the column, in words."""
        what = f"{', '.join(self.words)} and round again" if self.words else f"a circle of {self.period:g}"
        return f"sine and cosine on {what}"

    @property
    def _entry(self) -> NumberColumn | OrderedColumn:
        """How one entry is read."""
        if self.words:
            return OrderedColumn(self.name, self.words, self.gaps)
        return NumberColumn(self.name, self.notation, self.gaps)

    def encode(self, entries: pd.Series) -> np.ndarray:
        """Return sine and cosine `(points, 2)`."""
        return circle(self._entry.encode(entries)[:, 0] / self.period)

    def decode(self, values: np.ndarray) -> pd.Series:
        """Return the number from 0 to the period, or the word."""
        places = np.round(at_angle(values) * self.period, 9) % self.period
        if self.words:
            places = np.rint(places) % self.period
        return self._entry.decode(places[:, None])

    def learned(self, _entries: pd.Series) -> Self:
        """Return the column itself."""
        return self

    def typical(self, values: np.ndarray) -> np.ndarray:
        """Return the middle of the circle, which points nowhere."""
        return np.zeros(values.shape[1])


def check_order(what: str, name: str, words: Sequence[Any]) -> tuple[str, ...]:
    """Return an order of words as text.

    Raises
    ------
    DataError
        If there are fewer than two, or one stands twice.
    """
    order = tuple(str(word) for word in words)
    if len(order) < 2 or len(set(order)) < len(order):
        raise DataError(f"{what}[{name!r}]={list(words)}; expected the words in their order, each of them once.")
    return order


def _median(values: np.ndarray) -> np.ndarray:
    """Return the median of each feature `(features,)` over the rows that have it, 0 where none has."""
    known = np.isfinite(values).any(axis=0)
    found = np.zeros(values.shape[1])
    found[known] = np.nanmedian(values[:, known], axis=0)
    return found
