"""Load a table of the reader's own from a CSV file: a target, classes or measurements, and what it is told from.

Explained in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict, Unpack, overload

from companion.datasets.csv_files import read
from companion.datasets.measured import MeasuredTable
from companion.datasets.observations import Dataset
from companion.datasets.reading import Reading, table_of

__all__ = ["TableOptions", "from_csv"]


class TableOptions(TypedDict, total=False):
    """Options of `from_csv` that say how a table is to be read; each is explained there."""

    leave_out: str | Sequence[str]
    gaps: str
    ordered: Mapping[str, Sequence[str]] | None
    cyclic: Mapping[str, float | Sequence[str]] | None
    weights: str | None
    groups: str | None
    time: str | None
    seed: int
    test_fraction: float


@overload
def from_csv(
    path: str | Path, target: str, *, task: Literal["classes"], **options: Unpack[TableOptions]
) -> Dataset: ...


@overload
def from_csv(
    path: str | Path, target: str | Sequence[str], *, task: Literal["measurements"], **options: Unpack[TableOptions]
) -> MeasuredTable: ...


@overload
def from_csv(
    path: str | Path, target: str | Sequence[str], *, task: str = "auto", **options: Unpack[TableOptions]
) -> Dataset | MeasuredTable: ...


def from_csv(
    path: str | Path,
    target: str | Sequence[str],
    *,
    task: str = "auto",
    leave_out: str | Sequence[str] = (),
    gaps: str = "fill in",
    ordered: Mapping[str, Sequence[str]] | None = None,
    cyclic: Mapping[str, float | Sequence[str]] | None = None,
    weights: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    seed: int = 0,
    test_fraction: float = 0.25,
) -> Dataset | MeasuredTable:
    """Load a table with a header from a CSV file: a target, and the columns that it is to be told from.

    The target holds classes, or measurements: numbers whose size matters, such as prices. Commas, semicolons, tabs and
    bars are understood as separators. A column of numbers is standardised with the mean and scale of the training rows;
    decimal commas, separated thousands, percent signs, currencies and one unit for the whole column are understood. A
    column of true and false becomes 1 and 0, a column of words one column of 0 and 1 for each word (of many words, for
    the most frequent ones, and one for all others). A column of dates becomes the days since the first one, and sine
    and cosine of the place in the year, the week and the day. Words, medians and scales are learned from the training
    rows.

    A gap is an empty entry. In a column of numbers or dates words such as NA, None and ? are gaps, too; elsewhere they
    are words. Columns that say nothing about other rows are left out: those that are empty in more than half of the
    rows, hold the same everywhere or the same as another column, many rare words, or identifiers. Warnings name all
    that is left out, and each column whose numbers are not written with a decimal point. The attribute ``steps`` of
    what is returned tells what was done to each column.

    Parameters
    ----------
    path
        Path of the file.
    target
        Name of the column with the classes, which may be numbers or words, or with the measurements; several names of
        columns with measurements. Rows without a target are left out.
    task
        What the target is: "classes", "measurements", or "auto", which decides by its entries: numbers are measurements
        where more than twenty of them are different, where some have fractions and more than five are different, or
        where most rows have one of their own.
    leave_out
        Names of columns that are not learned from.
    gaps
        What becomes of gaps in columns that are learned from, a name of `Gaps`. "fill in": the median of the training
        rows stands in each, and one more feature marks it. "leave out": their rows are left out. "refuse": an error.
    ordered
        Columns of words that have an order, each with its words from the lowest to the highest, such as
        ``{"size": ["S", "M", "L"]}``. Such a column becomes one feature: 0, 1, 2.
    cyclic
        Columns that go round, each with the number after which it begins again, or with its words in their order, such
        as ``{"hour": 24, "wind": ["N", "E", "S", "W"]}``. Such a column becomes a sine and a cosine.
    weights
        Name of a column that says how often each row counts, from 0: 2 is the row twice.
    groups
        Name of a column whose rows of one entry belong together, such as those of one patient: no group is both
        learned from and held out.
    time
        Name of a column of dates or numbers: the latest rows are held out. It is learned from as well, unless it is
        among `leave_out`.
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
        classes has one class, a class of a single row, or too many values for classes, a measurement, a weight or a
        time can't be read, a column isn't what `ordered` or `cyclic` say, or the rows can't be split as asked.
    ModelError
        If there is no such task, or no such way with gaps.

    Warns
    -----
    CompanionWarning
        If rows or columns are left out, or can be understood in more than one way; if a column tells the target all by
        itself, as the target under another name would; if a class is rare; if rows with dates are split by chance; if
        "auto" takes numbers for measurements.
    """
    reading = Reading(
        target=target, task=task, leave_out=leave_out, gaps=gaps, ordered=ordered or {}, cyclic=cyclic or {},
        weights=weights, groups=groups, time=time, seed=seed, test_fraction=test_fraction,
    )  # fmt: skip
    return table_of(read(path), reading, Path(path).stem)
