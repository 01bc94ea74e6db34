"""A CSV file as a table of its entries, just as they are written: what they mean is decided elsewhere.

Which files are understood is told in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd

from companion.errors import DataError, first_line, notice

__all__ = ["CsvFile", "csv_columns", "read"]

_SEPARATORS = ",;\t|"
_SHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
_NAMELESS = re.compile(r"|Unnamed: \d+(\.\d+)?")


@dataclass(frozen=True)
class CsvFile:
    """Everything that a CSV file says.

    Attributes
    ----------
    name
        Name of the file, without its folder.
    separator
        Sign between the entries of a row.
    table
        Entries as text without spaces around them, one row per line; an empty entry is the empty string.
    nameless
        Columns that have no name in the file. In `table` they are called "column 1", "column 2" and so on.
    """

    name: str
    separator: str
    table: pd.DataFrame
    nameless: frozenset[str]


def csv_columns(path: str | Path) -> tuple[str, ...]:
    """List the columns of a CSV file by its header.

    Parameters
    ----------
    path
        Path of the file.

    Returns
    -------
    tuple of str
        Names of the columns, in order; a column without a name is called by its place, such as "column 3".

    Raises
    ------
    DataError
        If there is no such file, or it can't be read as a table.
    """
    path = Path(path)
    return _names(_header(path, _encoding(path))[0])[0]


def read(path: str | Path) -> CsvFile:
    """Read a CSV file with a header, whatever usual sign separates its entries.

    Parameters
    ----------
    path
        Path of the file.

    Returns
    -------
    CsvFile
        File with at least one row; rows without any entry are left out.

    Raises
    ------
    DataError
        If there is no such file, it can't be read as a table, or it has no rows.

    Warns
    -----
    CompanionWarning
        If two columns have the same name.
    """
    path = Path(path)
    encoding = _encoding(path)
    header, separator, width = _header(path, encoding)
    names, nameless = _names(header)
    beyond = [f" {place}" for place in range(len(names), width)]  # no header has these names: its names are stripped
    try:
        table = pd.read_csv(
            path,
            sep=separator,
            encoding=encoding,
            names=[*names, *beyond],
            header=0,
            index_col=False,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
        )
    except (ValueError, OSError) as error:
        raise _unreadable(path, error) from None
    table = table.fillna("").apply(lambda column: column.str.strip())
    if (table[beyond] != "").any(axis=None):
        raise DataError(f"the rows of {path.name} hold more values than its header has names: mend the header.")
    table = table.loc[(table != "").any(axis=1), list(names)].reset_index(drop=True)
    if len(table) == 0:
        raise DataError(f"{path.name} has a header and no rows; expected some to learn from.")
    twice = [name for place, name in enumerate(header) if name in header[:place] and not _NAMELESS.fullmatch(name)]
    if twice:
        renamed = [new for place, new in enumerate(names) if new != header[place] and header[place] in twice]
        notice(
            f"{_listed(twice)} stands in the header of {path.name} more than once. The later ones are called "
            f"{_listed(renamed)} here: give each column a name of its own."
        )
    return CsvFile(path.name, separator, table, frozenset(nameless))


def _encoding(path: Path) -> str:
    """Return UTF-8, or UTF-16 where the file begins with its mark, as Excel's "Unicode text" does."""
    if not path.is_file():
        raise DataError(f"there is no file {path}; expected a CSV file.")
    try:
        with path.open("rb") as stream:
            mark = stream.read(2)
    except OSError as error:
        raise _unreadable(path, error) from None
    return "utf-16" if mark in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _header(path: Path, encoding: str) -> tuple[list[str], str, int]:
    """Return the names in the header as they stand there, the sign that separates them, and the entries per row.

    The right sign cuts the header into several names, and the next rows into as many entries.
    """
    best: tuple[tuple[int, int], list[list[str]], str] = ((0, 0), [[]], ",")
    try:
        for separator in _SEPARATORS:
            with path.open(encoding=encoding, newline="") as stream:
                rows = filter(None, csv.reader(stream, delimiter=separator, skipinitialspace=True))
                first, *others = list(islice(rows, 20)) or [[]]
            alike = sum(len(row) == len(first) for row in others) if len(first) > 1 else 0
            score = (alike, len(first))
            if score > best[0]:
                best = score, [first, *others], separator
    except (csv.Error, ValueError, OSError) as error:
        raise _unreadable(path, error) from None
    header = [name.strip() for name in best[1][0]]
    if not any(header):
        raise _unreadable(path, ValueError("it has no header"))
    return header, best[2], max(map(len, best[1]))


def _names(header: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """Give each column a name of its own; return all names, and those of columns without one in the file."""
    names: list[str] = []
    nameless = []
    for place, name in enumerate(header, start=1):
        own = name
        if _NAMELESS.fullmatch(name):
            own = f"column {place}"
        count = 2
        base = own
        while own in names or (own != name and own in header):
            own = f"{base} ({count})"
            count += 1
        names.append(own)
        if _NAMELESS.fullmatch(name):
            nameless.append(own)
    return tuple(names), nameless


def _unreadable(path: Path, error: Exception) -> DataError:
    if path.suffix.lower() in _SHEETS:
        return DataError(f"{path.name} is a spreadsheet and not a CSV file: save the sheet as CSV UTF-8 first.")
    hint = " In a spreadsheet, save it as CSV UTF-8." if isinstance(error, UnicodeError) else ""
    return DataError(
        f"{path.name} can't be read as a table ({first_line(error)}); expected CSV in UTF-8 with a header.{hint}"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, dict.fromkeys(names)))
