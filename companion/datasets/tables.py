"""Load a table of the reader's own from a CSV file: one column with the classes, the others to tell them apart by.

Explained in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from companion.datasets.column_kinds import Entries, Kinds, kinds_of, spelling_remarks
from companion.datasets.csv_files import CsvFile, read
from companion.datasets.encoding import ALWAYS_GAPS, Column, Encoding, WordColumn
from companion.datasets.observations import Dataset
from companion.datasets.tabular import tabular
from companion.errors import DataError, notice

__all__ = ["from_csv"]

_MOST_CLASSES = 50


def from_csv(
    path: str | Path, target: str, *, leave_out: str | Sequence[str] = (), seed: int = 0, test_fraction: float = 0.25
) -> Dataset:
    """Load a table with a header from a CSV file: one column holds the classes, the others what they are told from.

    Commas, semicolons, tabs and bars are understood as separators. A column of numbers is standardised with the mean
    and scale of the training rows; decimal commas, separated thousands, percent signs, currencies and one unit for the
    whole column are understood. A column of true and false becomes 1 and 0, a column of words one column of 0 and 1 for
    each word.

    Rows with gaps are left out, and so are columns that say nothing about other rows: those that are empty in more than
    half of the rows, hold the same everywhere, more than twenty different words, or numbers of the rows.
    A gap is an empty entry. In a column of numbers words such as NA, None and ? are gaps, too; elsewhere they are
    words. Warnings name all that is left out, and each column whose numbers are not written with a decimal point.

    Parameters
    ----------
    path
        Path of the file.
    target
        Name of the column with the classes, which may be numbers or words.
    leave_out
        Names of columns that are not learned from.
    seed
        Seed of the split, which holds out the same share of each class.
    test_fraction
        Share of rows that are held out, between 0 and 1.

    Returns
    -------
    Dataset
        Classes in alphabetical order (or in that of the numbers), a name for each feature, and the encoding with which
        `Dataset.encode` brings new rows into the same form.

    Raises
    ------
    DataError
        If there is no such file or column, the file is not a table, nothing is left to learn from, or the column with
        the classes has one class, a class of a single row, or so many values that it is a measurement.

    Warns
    -----
    CompanionWarning
        If rows or columns are left out, or can be understood in more than one way.
    """
    file = _without_marks(read(path))
    out = (leave_out,) if isinstance(leave_out, str) else tuple(leave_out)
    _check_names(file, target, out)
    kinds = kinds_of(file, [name for name in file.table.columns if name != target and name not in out])
    _tell(file, kinds)
    classes = Entries(file.table[target])
    marks = {column.name: column.gaps for column in kinds.columns}
    marks[target] = classes.gap_words
    gaps = {name: file.table[name].isin(["", *words]).to_numpy() for name, words in marks.items()}
    missing = np.any(list(gaps.values()), axis=0)
    costs = _costs(gaps, marks)
    _check_rest(file, kinds, missing, costs)
    if missing.any():
        notice(
            f"{missing.sum():,} of {len(file.table):,} rows of {file.name} have gaps and are left out: {costs}. If the "
            "rows matter more than a column, leave the column out with leave_out=[...] (companion new: --leave-out)."
        )
    without = f", without the rows that have gaps ({costs})," if missing.any() else ""
    where = f"column {target!r} of {file.name}{without}"
    names, labels = _classes(classes, missing, where)
    table = file.table[~missing]
    columns = tuple(_of_rows(column, table[column.name]) for column in kinds.columns)
    encoding = Encoding(columns, left_out=(target, *out, *kinds.left_out))
    return tabular(
        np.concatenate([column.encode(table[column.name]) for column in columns], axis=1),
        labels,
        name=Path(path).stem,
        class_names=names,
        feature_names=encoding.features,
        seed=seed,
        test_fraction=test_fraction,
        source=file.name,
        encoding=encoding,
    )


def _check_names(file: CsvFile, target: str, out: Sequence[str]) -> None:
    """Refuse columns that the file does not have, and a target that is left out or stands twice in the header."""
    columns = list(file.table.columns)
    for name in (target, *out):
        if name not in columns:
            close = difflib.get_close_matches(name, columns, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are: {', '.join(columns)}"
            raise DataError(f"{file.name} has no column {name!r}; {hint}")
    if target in out:
        raise DataError(f"{target!r} holds the classes and can't be left out; name another column.")
    if f"{target} (2)" in columns and f"{target} (2)" not in out:
        raise DataError(
            f"{target!r} stands in the header of {file.name} more than once, so that the answer would be learned from. "
            f"Rename one of them, or leave it out as '{target} (2)'."
        )


def _tell(file: CsvFile, kinds: Kinds) -> None:
    """Warn of columns that are left out, read in a notation of their own, or doubtful."""
    if kinds.left_out:
        listed = "; ".join(f"{name!r} ({reason})" for name, reason in kinds.left_out.items())
        advice = "If one matters, fill it in, or make numbers or a few words of it."
        notice(f"columns of {file.name} that are left out: {listed}. {advice}")
    if kinds.notations:
        listed = "; ".join(f"{name!r} ({how})" for name, how in kinds.notations.items())
        notice(f"columns of {file.name} whose numbers are read in another notation: {listed}.")
    for remark in kinds.remarks:
        notice(remark)


def _without_marks(file: CsvFile) -> CsvFile:
    """Return the file with empty entries in place of what programs write for them, such as NaN."""
    marks = file.table.isin(ALWAYS_GAPS[1:])
    if marks.any(axis=None):
        words = sorted(set(file.table.to_numpy()[marks.to_numpy()]))
        count = int(marks.to_numpy().sum())
        notice(f"{', '.join(map(repr, words))} in {file.name} counts as an empty entry ({count:,} times).")
    return replace(file, table=file.table.mask(marks, ""))


def _costs(gaps: dict[str, np.ndarray], marks: dict[str, tuple[str, ...]]) -> str:
    """Say how many rows have no entry in which column, the most costly column first."""
    told = []
    for name, where in sorted(gaps.items(), key=lambda item: -item[1].sum()):
        if where.any():
            words = f" ({', '.join(map(repr, marks[name]))} taken for gaps)" if marks[name] else ""
            told.append(f"{where.sum():,} have no {name!r}{words}")
    return "; ".join(told)


def _check_rest(file: CsvFile, kinds: Kinds, missing: np.ndarray, costs: str) -> None:
    """Refuse a table of which no row or no column is left."""
    if missing.all():
        raise DataError(f"every row of {file.name} has a gap: {costs}. Fill some in, or leave columns out.")
    if kinds.columns:
        return
    left_out = "; ".join(f"{name!r} ({reason})" for name, reason in kinds.left_out.items())
    gaps = f"every row of {file.name} has a gap, and " if "(empty" in left_out else ""
    raise DataError(
        f"there is nothing to learn from: {gaps}{file.name} has no column besides the classes that holds numbers or a "
        f"few different words. {f'Left out: {left_out}.' if left_out else 'Add columns.'}"
    )


def _of_rows(column: Column, entries: pd.Series) -> Column:
    """Return a column of words with those alone that the rows have."""
    if isinstance(column, WordColumn):
        return replace(column, words=tuple(sorted(entries.unique())))
    return column


def _classes(own: Entries, missing: np.ndarray, where: str) -> tuple[list[str], np.ndarray]:
    """Return the names of the classes, and the label of each row that is not missing."""
    values = own.values[~missing]
    order = {word: _number(word) for word in values.unique()} if own.plain else {word: word for word in values.unique()}
    found = sorted(set(order.values()))
    counts = values.map(order).value_counts()
    if len(found) < 2:
        raise DataError(f"{where} holds one class alone, {str(found[0])!r}; at least two are needed to tell apart.")
    if len(found) > _MOST_CLASSES:
        raise DataError(
            f"{where} holds {len(found):,} different values: that looks like a measurement. Classes are expected, at "
            f"most {_MOST_CLASSES}; cut it into a few ranges first."
        )
    if counts.min() < 2:
        single = [str(value) for value in found if counts[value] < 2]
        raise DataError(f"{where} has classes with a single row: {', '.join(single[:5])}. Add rows, or join classes.")
    if not own.plain:
        for remark in spelling_remarks(map(str, found), where):
            notice(remark)
    label = {value: place for place, value in enumerate(found)}
    return [str(value) for value in found], values.map(lambda word: label[order[word]]).to_numpy(dtype=np.int32)


def _number(word: str) -> int | float:
    """Return a class that is a number; 2.0 is the class 2."""
    value = int(word) if word.lstrip("+-").isdecimal() else float(word)
    return int(value) if value == int(value) else value
