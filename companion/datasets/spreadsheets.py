"""In: a CSV file of the reader's own. Out: a `Dataset`: its labels as classes, its columns as numbers.

Explained in the book's data page (``book/reference/data``), section "Your own data".
"""

import csv
import difflib
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from companion.datasets.observations import Dataset
from companion.datasets.tabular import tabular
from companion.errors import DataError, first_line, notice

__all__ = ["from_csv"]

MOST_CATEGORIES = 20
"""A column of words with more different ones is taken for names or remarks, which say nothing of other rows."""

MOST_CLASSES = 50


def from_csv(path: str | Path, target: str, *, seed: int = 0, test_fraction: float = 0.25) -> Dataset:
    """Load a table with a header from a CSV file: one column holds the classes, the others what they are told from.

    Columns of numbers are standardised with the mean and scale of the training rows. A column of words becomes one
    column of 0 and 1 for each word. Rows with gaps are left out, and so are columns of more than twenty words, and a
    warning says so. Commas, semicolons, tabs and bars are understood as separators.

    Parameters
    ----------
    path
        Of the file.
    target
        Name of the column with the classes, as numbers or as words.
    seed
        Seed of the split.
    test_fraction
        The share of rows held out, between 0 and 1.

    Returns
    -------
    Dataset
        With the classes in alphabetical order (or in that of the numbers), and a name for each column.

    Raises
    ------
    DataError
        There is no such file or no such column, the file is no table, nothing is left to learn from, or the column has
        one class, a class of a single row, or so many values that it is a measurement.

    Warns
    -----
    CompanionWarning
        Rows or columns were left out.
    """
    path = Path(path)
    table = _read(path)
    if target not in table.columns:
        columns = [str(column) for column in table.columns]
        close = difflib.get_close_matches(target, columns, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are: {', '.join(columns)}"
        raise DataError(f"{path.name} has no column {target!r}; {hint}")
    features = _numbers(table.drop(columns=target), path.name)
    whole = ~(table[target].isna() | features.isna().any(axis=1))
    if not whole.any():
        raise DataError(
            f"every row of {path.name} has a gap: fill some in, or leave out the columns that are mostly empty"
        )
    if gaps := int((~whole).sum()):
        notice(f"{gaps:,} of {len(table):,} rows of {path.name} have gaps and are left out")
    names, labels = _classes(table[target][whole], f"column {target!r} of {path.name}")
    return tabular(
        features[whole].to_numpy(dtype=np.float64),
        labels,
        name=path.stem,
        class_names=names,
        feature_names=[str(column) for column in features.columns],
        seed=seed,
        test_fraction=test_fraction,
        source=path.name,
    )


def _read(path: Path) -> pd.DataFrame:
    """The file as a table, whatever separates its columns."""
    if not path.is_file():
        raise DataError(f"there is no file {path}; expected a CSV file")
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            head = stream.readline()
        table = pd.read_csv(path, sep=_separator(head), encoding="utf-8-sig", skipinitialspace=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        reason = first_line(error)
        raise DataError(
            f"{path.name} can't be read as a table ({reason}); expected CSV in UTF-8 with a header"
        ) from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas would take the first values of each row for its name
        raise DataError(f"the rows of {path.name} hold more values than its header has names: mend the header")
    if len(table) == 0:
        raise DataError(f"{path.name} has a header and no rows; expected some to learn from")
    return table


def _separator(head: str) -> str:
    try:
        return csv.Sniffer().sniff(head, delimiters=",;\t|").delimiter
    except csv.Error:
        return ","


def _numbers(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Every column as numbers: words become a column of 0 and 1 each, and what can't become any is left out."""
    kept, dropped = [], []
    for column in table.columns:
        values = table[column]
        if pd.api.types.is_numeric_dtype(values):
            kept.append(values.astype(np.float64).replace([np.inf, -np.inf], np.nan).to_frame(str(column)))
        elif values.nunique() <= MOST_CATEGORIES:
            words = pd.get_dummies(values, prefix=str(column), prefix_sep=" = ", dtype=np.float64)
            kept.append(words.mask(values.isna()))
        else:
            dropped.append(str(column))
    if dropped:
        listed = ", ".join(map(repr, dropped))
        notice(
            f"left out of {name}: {listed}. They hold more than {MOST_CATEGORIES} different words or dates; turn them "
            "into numbers first if they matter"
        )
    if not kept:
        raise DataError(f"{name} has no column besides the classes that holds numbers or a few different words")
    return pd.concat(kept, axis=1)


def _classes(values: pd.Series, where: str) -> tuple[list[str], NDArray[np.int32]]:
    """Names of the classes and a label for each row."""
    if pd.api.types.is_float_dtype(values) and (values == values.round()).all():
        values = values.astype(np.int64)  # whole numbers that a gap had turned into 1.0, 2.0, ...
    found = sorted(values.unique())
    counts = values.value_counts()
    if len(found) < 2:
        raise DataError(f"{where} holds one class alone, {str(found[0])!r}: at least two are needed to tell apart")
    if len(found) > MOST_CLASSES:
        raise DataError(
            f"{where} holds {len(found):,} different values: that looks like a measurement. Classes are expected, at "
            f"most {MOST_CLASSES}; cut it into a few ranges first"
        )
    if counts.min() < 2:
        alone = [str(value) for value in counts.index[counts < 2]]
        raise DataError(f"{where} has classes with a single row: {', '.join(alone[:5])}. Add rows, or join classes")
    labels = np.searchsorted(np.asarray(found), values.to_numpy())
    return [str(value) for value in found], labels.astype(np.int32)
