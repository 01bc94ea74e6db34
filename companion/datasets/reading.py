"""A table as it was read from a file, made into a data set: what is learned from, how, and on which rows.

Explained in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from companion.checks import choice
from companion.datasets.column_kinds import Entries, Kinds, kinds_of, not_numbers, spelling_remarks
from companion.datasets.columns import ALWAYS_GAPS, Column, NumberColumn, is_gap
from companion.datasets.csv_files import CsvFile
from companion.datasets.dates import DateColumn
from companion.datasets.disguises import tell_of_disguises
from companion.datasets.encoding import Encoding
from companion.datasets.filling import Gaps, filled
from companion.datasets.measured import MeasuredTable, measurements_of_rows
from companion.datasets.observations import Dataset
from companion.datasets.splits import chosen_rows
from companion.datasets.tabular import classes_of_rows
from companion.datasets.targets import Task, target_columns, task_of
from companion.datasets.weights import tell_of_weights, whole_weights
from companion.errors import DataError, notice

__all__ = ["Reading", "table_of"]

_MOST_CLASSES = 50


@dataclass(frozen=True)
class Reading:
    """How a table is to be read: the options of `from_csv`, which explains each."""

    target: str | Sequence[str]
    task: str
    leave_out: str | Sequence[str]
    gaps: str
    ordered: Mapping[str, Sequence[str]]
    cyclic: Mapping[str, float | Sequence[str]]
    weights: str | None
    groups: str | None
    time: str | None
    seed: int
    test_fraction: float

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets."""
        return (self.target,) if isinstance(self.target, str) else tuple(self.target)

    @property
    def out(self) -> dict[str, str]:
        """Name of each column that is not learned from, because the reader says so, to the reason."""
        left = (self.leave_out,) if isinstance(self.leave_out, str) else tuple(self.leave_out)
        found = dict.fromkeys(left, "left out, as asked")
        if self.weights is not None:
            found[self.weights] = "not learned from: it says how often each row counts"
        if self.groups is not None:
            found[self.groups] = "not learned from: its rows of one entry are either all learned from or all held out"
        return found


def table_of(given: CsvFile, reading: Reading, name: str) -> Dataset | MeasuredTable:
    """Make a data set of a table.

    Parameters
    ----------
    given
        Table as it was read.
    reading
        How it is to be read.
    name
        Name of the data set.

    Raises
    ------
    DataError, ModelError
        As `from_csv` says.
    """
    way = choice(Gaps, "gaps", reading.gaps)
    file, targets = _without_marks(given), reading.targets
    _check_names(file, reading)
    names = [own for own in file.table.columns if own not in (*targets, *reading.out)]
    kinds = kinds_of(file, names, ordered=reading.ordered, cyclic=reading.cyclic)
    _tell(file, kinds, reading)
    own = {target: Entries(file.table[target]) for target in targets}
    measured: tuple[NumberColumn, ...] = ()
    if task_of(reading.task, own, file) is Task.MEASUREMENTS:
        measured = target_columns(own, kinds.votes, file)
    marks = {target: entries.gap_words for target, entries in own.items()}
    if way is not Gaps.FILL_IN:
        marks = {**{column.name: column.gaps for column in kinds.columns}, **marks}
    missing, costs = _missing(file, marks, kinds, way)
    kept = replace(file, table=file.table[~missing].reset_index(drop=True))
    if way is Gaps.FILL_IN:
        _tell_of_filling(kept, kinds)
    about: dict[str, Any] = {
        "name": name,
        "source": file.name,
        "licence": "",
        "weights": _weights(kept, reading, kinds),
    }
    reasons = {**dict.fromkeys(targets, "the target"), **reading.out, **_reasons(kinds)}
    split: dict[str, Any] = {
        "groups": None if reading.groups is None else kept.table[reading.groups],
        "time": _times(kept, reading, kinds),
        "test_fraction": reading.test_fraction,
        "seed": reading.seed,
        "what": f"rows of {file.name}",
    }
    if measured:
        y = np.concatenate([column.encode(kept.table[column.name]) for column in measured], axis=1)
        rows = chosen_rows(len(y), **split)
        x, encoding = _encoded(kept, kinds, reasons, rows[0])
        tell_of_disguises(encoding, kept.table, y, Task.MEASUREMENTS, file)
        y = y[:, 0] if isinstance(reading.target, str) else y
        return measurements_of_rows(
            x, y, rows, target_names=targets, feature_names=encoding.features, encoding=encoding, **about
        )
    without = f", without the rows that have gaps ({costs})," if missing.any() else ""
    classes, labels = _classes(own[targets[0]], missing, f"column {targets[0]!r} of {file.name}{without}")
    rows = chosen_rows(len(labels), labels=labels, class_names=tuple(classes), stratify=True, **split)
    x, encoding = _encoded(kept, kinds, reasons, rows[0])
    tell_of_disguises(encoding, kept.table, labels, Task.CLASSES, file)
    return classes_of_rows(
        x, labels, rows, class_names=classes, feature_names=encoding.features, encoding=encoding, **about
    )


def _reasons(kinds: Kinds) -> dict[str, str]:
    return {name: f"left out ({reason})" for name, reason in kinds.left_out.items()}


def _encoded(file: CsvFile, kinds: Kinds, reasons: Mapping[str, str], train: np.ndarray) -> tuple[np.ndarray, Encoding]:
    """Learn from the rows to learn from how each column becomes features, and return those of all rows."""
    columns = []
    for kind in kinds.columns:
        entries = file.table[kind.name]
        column: Column = kind.learned(entries.iloc[train])
        columns.append(filled(column, entries.iloc[train]) if is_gap(column, entries).any() else column)
    encoding = Encoding(tuple(columns), tuple(reasons), reasons)
    return encoding.apply(file.table), encoding


def _weights(file: CsvFile, reading: Reading, kinds: Kinds) -> np.ndarray | None:
    """Return the weight of each row, (rows,)."""
    if reading.weights is None:
        return None
    found = whole_weights(_numbers(file, reading.weights, kinds, "weights"), len(file.table))
    assert found is not None
    tell_of_weights(found, file.name)
    return found


def _times(file: CsvFile, reading: Reading, kinds: Kinds) -> np.ndarray | None:
    """Return the time of each row, (rows,): dates or numbers."""
    if reading.time is None:
        return None
    own = Entries(file.table[reading.time])
    if own.date is None:
        return _numbers(file, reading.time, kinds, "time")
    return DateColumn(reading.time, own.date.format, gaps=own.gap_words).times(own.values).to_numpy()


def _numbers(file: CsvFile, name: str, kinds: Kinds, what: str) -> np.ndarray:
    """Return the numbers of a column that has a part of its own, (rows,)."""
    own = Entries(file.table[name])
    if not own.notations:
        raise DataError(
            f"{what}={name!r}, but that column of {file.name} isn't one of numbers{' or dates' * (what == 'time')}: "
            f"{not_numbers(own)}."
        )
    if own.gaps:
        raise DataError(
            f"{what}={name!r} has {own.gaps:,} gaps among {len(own.values):,} rows of {file.name}; expected one number "
            "for each row: fill it in, or drop those rows."
        )
    return NumberColumn(name, own.notation(kinds.votes, file.separator)[0]).encode(own.values)[:, 0]


def _missing(file: CsvFile, marks: Mapping[str, tuple[str, ...]], kinds: Kinds, way: Gaps) -> tuple[np.ndarray, str]:
    """Find the rows that gaps cost, (rows,), and say what they cost; refuse a table of which nothing is left."""
    gaps, missing = _gaps_of(file, marks)
    costs = _costs(gaps, marks)
    _check_rest(file, kinds, missing, costs)
    if not missing.any():
        return missing, costs
    what = f"{missing.sum():,} of {len(file.table):,} rows of {file.name} have gaps"
    if way is Gaps.REFUSE:
        raise DataError(f"{what}: {costs}. Fill them in, or say gaps='fill in' or gaps='leave out'.")
    advice = (
        "No answer is known there."
        if way is Gaps.FILL_IN
        else "If the rows matter more than a column, leave the column out with leave_out=[...] (companion new: "
        "--leave-out), or say gaps='fill in' (companion new: --gaps)."
    )
    notice(f"{what} and are left out: {costs}. {advice}")
    return missing, costs


def _gaps_of(file: CsvFile, marks: Mapping[str, tuple[str, ...]]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Find the gaps of columns, each (rows,), and the rows that have one in any of them."""
    gaps = {name: file.table[name].isin(["", *words]).to_numpy() for name, words in marks.items()}
    return gaps, np.any([np.zeros(len(file.table), dtype=bool), *gaps.values()], axis=0)


def _tell_of_filling(file: CsvFile, kinds: Kinds) -> None:
    """Say which gaps are filled in."""
    marks = {column.name: column.gaps for column in kinds.columns}
    gaps, missing = _gaps_of(file, marks)
    if missing.any():
        notice(
            f"{missing.sum():,} of {len(file.table):,} rows of {file.name} have gaps that are filled in, and marked by "
            f"one more feature for each column: {_costs(gaps, marks)}. To leave those rows out, say gaps='leave out' "
            "(companion new: --gaps leave-out)."
        )


def _check_names(file: CsvFile, reading: Reading) -> None:
    """Refuse columns that the file does not have, and a target that is left out or stands twice in the header."""
    columns, targets, out = list(file.table.columns), reading.targets, reading.out
    time = () if reading.time is None else (reading.time,)
    if not targets or len(set(targets)) < len(targets):
        raise DataError(f"target={list(targets)}; expected the name of a column, or different names of several.")
    for name in (*targets, *out, *time, *reading.ordered, *reading.cyclic):
        if name not in columns:
            close = difflib.get_close_matches(name, columns, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are: {', '.join(columns)}"
            raise DataError(f"{file.name} has no column {name!r}; {hint}")
    own = (reading.weights, reading.groups, reading.time)
    for target in targets:
        if target in own:
            raise DataError(f"{target!r} is the target and can't be weights, groups or time; name another column.")
        if target in out:
            raise DataError(f"{target!r} is the target and can't be left out; name another column.")
        if f"{target} (2)" in columns and f"{target} (2)" not in out:
            raise DataError(
                f"{target!r} stands in the header of {file.name} more than once, so that the answer would be learned "
                f"from. Rename one of them, or leave it out as '{target} (2)'."
            )


def _tell(file: CsvFile, kinds: Kinds, reading: Reading) -> None:
    """Warn of columns that are left out, read in a notation of their own, or doubtful."""
    if kinds.dates and reading.time is None and reading.groups is None:
        notice(
            f"the rows of {file.name} have dates ({', '.join(map(repr, kinds.dates))}) and are split by chance. If the "
            f"rows to predict will be later than these, hold out the latest ones: time={kinds.dates[0]!r} (companion "
            "new: --time)."
        )
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


def _costs(gaps: Mapping[str, np.ndarray], marks: Mapping[str, tuple[str, ...]]) -> str:
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
