"""Load a table of the reader's own from a CSV file: a target, classes or measurements, and what it is told from.

Explained in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import pandas as pd

from companion.datasets.column_kinds import Entries, Kinds, kinds_of, spelling_remarks
from companion.datasets.csv_files import CsvFile, read
from companion.datasets.encoding import ALWAYS_GAPS, Column, Encoding, NumberColumn, WordColumn
from companion.datasets.measured import MeasuredTable, measured_table
from companion.datasets.observations import Dataset
from companion.datasets.tabular import class_table
from companion.datasets.targets import Task, target_columns, task_of, tell_of_disguises
from companion.errors import DataError, notice

__all__ = ["from_csv"]

_MOST_CLASSES = 50


@overload
def from_csv(
    path: str | Path,
    target: str,
    *,
    task: Literal["classes"],
    leave_out: str | Sequence[str] = (),
    seed: int = 0,
    test_fraction: float = 0.25,
) -> Dataset: ...


@overload
def from_csv(
    path: str | Path,
    target: str | Sequence[str],
    *,
    task: Literal["measurements"],
    leave_out: str | Sequence[str] = (),
    seed: int = 0,
    test_fraction: float = 0.25,
) -> MeasuredTable: ...


@overload
def from_csv(
    path: str | Path,
    target: str | Sequence[str],
    *,
    task: str = "auto",
    leave_out: str | Sequence[str] = (),
    seed: int = 0,
    test_fraction: float = 0.25,
) -> Dataset | MeasuredTable: ...


def from_csv(
    path: str | Path,
    target: str | Sequence[str],
    *,
    task: str = "auto",
    leave_out: str | Sequence[str] = (),
    seed: int = 0,
    test_fraction: float = 0.25,
) -> Dataset | MeasuredTable:
    """Load a table with a header from a CSV file: a target, and the columns that it is to be told from.

    The target holds classes, or measurements: numbers whose size matters, such as prices. Commas, semicolons, tabs and
    bars are understood as separators. A column of numbers is standardised with the mean and scale of the training rows;
    decimal commas, separated thousands, percent signs, currencies and one unit for the whole column are understood. A
    column of true and false becomes 1 and 0, a column of words one column of 0 and 1 for each word.

    Rows with gaps are left out, and so are columns that say nothing about other rows: those that are empty in more than
    half of the rows, hold the same everywhere, more than twenty different words, or numbers of the rows.
    A gap is an empty entry. In a column of numbers words such as NA, None and ? are gaps, too; elsewhere they are
    words. Warnings name all that is left out, and each column whose numbers are not written with a decimal point.

    Parameters
    ----------
    path
        Path of the file.
    target
        Name of the column with the classes, which may be numbers or words, or with the measurements; several names of
        columns with measurements.
    task
        What the target is: "classes", "measurements", or "auto", which decides by its entries: numbers are measurements
        where more than twenty of them are different, where some have fractions and more than five are different, or
        where most rows have one of their own.
    leave_out
        Names of columns that are not learned from.
    seed
        Seed of the split, which holds out the same share of each class.
    test_fraction
        Share of rows that are held out, between 0 and 1.

    Returns
    -------
    Dataset or MeasuredTable
        Classes in alphabetical order (or in that of the numbers), or measurements in their own units; a name for each
        feature, and the encoding with which the method `encode` brings new rows into the same form.

    Raises
    ------
    DataError
        If there is no such file or column, the file is not a table, nothing is left to learn from, the column with the
        classes has one class, a class of a single row, or too many values for classes, or a measurement isn't a number.
    ModelError
        If there is no such task.

    Warns
    -----
    CompanionWarning
        If rows or columns are left out, or can be understood in more than one way; if a column tells the target all by
        itself, as the target under another name would; if "auto" takes numbers for
        measurements.
    """
    file = _without_marks(read(path))
    targets = (target,) if isinstance(target, str) else tuple(target)
    out = (leave_out,) if isinstance(leave_out, str) else tuple(leave_out)
    _check_names(file, targets, out)
    kinds = kinds_of(file, [name for name in file.table.columns if name not in (*targets, *out)])
    _tell(file, kinds)
    own = {name: Entries(file.table[name]) for name in targets}
    measured: tuple[NumberColumn, ...] = ()
    if task_of(task, own, file) is Task.MEASUREMENTS:
        measured = target_columns(own, kinds.votes, file)
    missing, costs = _missing(file, {**{column.name: column.gaps for column in kinds.columns}, **_gaps_of(own)}, kinds)
    table = file.table[~missing]
    columns = tuple(_of_rows(column, table[column.name]) for column in kinds.columns)
    encoding = Encoding(columns, left_out=(*targets, *out, *kinds.left_out))
    about: dict[str, Any] = {
        "name": Path(path).stem,
        "feature_names": encoding.features,
        "seed": seed,
        "test_fraction": test_fraction,
        "source": file.name,
        "encoding": encoding,
    }
    features = {column.name: column.encode(table[column.name]) for column in columns}
    x = np.concatenate(list(features.values()), axis=1)
    if measured:
        y = np.concatenate([column.encode(table[column.name]) for column in measured], axis=1)
        tell_of_disguises(features, y, Task.MEASUREMENTS, file)
        one = isinstance(target, str)
        return measured_table(x, y[:, 0] if one else y, target_names=targets, **about)
    without = f", without the rows that have gaps ({costs})," if missing.any() else ""
    names, labels = _classes(own[targets[0]], missing, f"column {targets[0]!r} of {file.name}{without}")
    tell_of_disguises(features, labels, Task.CLASSES, file)
    return class_table(x, labels, class_names=names, **about)


def _gaps_of(targets: Mapping[str, Entries]) -> dict[str, tuple[str, ...]]:
    return {name: own.gap_words for name, own in targets.items()}


def _missing(file: CsvFile, marks: dict[str, tuple[str, ...]], kinds: Kinds) -> tuple[np.ndarray, str]:
    """Find the rows with gaps, (rows,), and say what they cost; refuse a table of which nothing is left."""
    gaps = {name: file.table[name].isin(["", *words]).to_numpy() for name, words in marks.items()}
    missing = np.any(list(gaps.values()), axis=0)
    costs = _costs(gaps, marks)
    _check_rest(file, kinds, missing, costs)
    if missing.any():
        notice(
            f"{missing.sum():,} of {len(file.table):,} rows of {file.name} have gaps and are left out: {costs}. If the "
            "rows matter more than a column, leave the column out with leave_out=[...] (companion new: --leave-out)."
        )
    return missing, costs


def _check_names(file: CsvFile, targets: Sequence[str], out: Sequence[str]) -> None:
    """Refuse columns that the file does not have, and a target that is left out or stands twice in the header."""
    columns = list(file.table.columns)
    if not targets or len(set(targets)) < len(targets):
        raise DataError(f"target={list(targets)}; expected the name of a column, or different names of several.")
    for name in (*targets, *out):
        if name not in columns:
            close = difflib.get_close_matches(name, columns, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are: {', '.join(columns)}"
            raise DataError(f"{file.name} has no column {name!r}; {hint}")
    for target in targets:
        if target in out:
            raise DataError(f"{target!r} is the target and can't be left out; name another column.")
        if f"{target} (2)" in columns and f"{target} (2)" not in out:
            raise DataError(
                f"{target!r} stands in the header of {file.name} more than once, so that the answer would be learned "
                f"from. Rename one of them, or leave it out as '{target} (2)'."
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
        f"there is nothing to learn from: {gaps}{file.name} has no column besides the target that holds numbers or a "
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
            f"most {_MOST_CLASSES}; say task='measurements', or cut it into a few ranges first."
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
