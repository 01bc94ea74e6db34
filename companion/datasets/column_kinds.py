"""What the columns of a table hold: numbers in some notation, true and false, words, or nothing to learn from.

The rules are told in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from companion.datasets.columns import (
    GAP_WORDS,
    MOST_WORDS,
    Column,
    CyclicColumn,
    NumberColumn,
    OrderedColumn,
    TrueFalseColumn,
    WordColumn,
    check_order,
    frequent,
)
from companion.datasets.csv_files import CsvFile
from companion.datasets.dates import DateColumn, Written, date_format
from companion.datasets.notation import Notation, Parts, parts
from companion.errors import DataError

__all__ = ["Entries", "Kinds", "almost_numbers", "kinds_of", "not_numbers", "spelling_remarks"]

_PLAIN = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?"
_POINTS_FOR_THOUSANDS = r"[-+]?[1-9]\d{0,2}(?:\.\d{3})+"
_IDENTIFIER = r"(\w*[ _.-])?id|(?-i:\w*[a-z](Id|ID))"
_NAMES_OF_IDENTIFIERS = re.compile(_IDENTIFIER, re.IGNORECASE)
_NAMES_OF_ROW_NUMBERS = re.compile(
    r"#|index|idx|case|obs|observation|rows?|row[ _.-]?(names?|numbers?|nr|no)"
    rf"|(s|sr|serial)?[ _.-]*(no|nr|num|number)\.?|{_IDENTIFIER}",
    re.IGNORECASE,
)
_NAMES_OF_NUMBERED_THINGS = re.compile(
    r"\w[\w .-]*[ _.-](number|no|nr|code|key)\.?|(?-i:\w*[a-z](Number|No|Nr|Code|Key))", re.IGNORECASE
)
_NAMES_OF_QUANTITIES = re.compile(
    r"(\w*[ _.-])?(atomic|mass|wave|quantum|mach|reynolds|prandtl|nusselt|grashof|rayleigh|froude|weber|peclet|"
    r"strouhal|octane|cetane|iodine|acid)[ _.-]?(number|no|nr)\.?",
    re.IGNORECASE,
)
_LEADING_ZERO = r"0\d+"
_LAST_MINUTE = 59
"""Greatest number that months, days, hours and minutes have, which are often written with two digits."""
_FEW_UNITS = 5


@dataclass
class Kinds:
    """Columns that can be learned from, and what has to be said of them and of the others.

    Attributes
    ----------
    columns
        Columns that become features.
    left_out
        Columns that don't, each with the reason.
    notations
        Columns of numbers that are not written as Python writes them, each with how they are read.
    remarks
        Further sentences for the reader.
    votes
        Decimal signs of the columns that can be read in one notation alone.
    dates
        Columns of dates that are learned from.
    """

    columns: list[Column] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    notations: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    votes: set[str] = field(default_factory=set)
    dates: list[str] = field(default_factory=list)


def kinds_of(
    file: CsvFile,
    names: Iterable[str],
    *,
    ordered: Mapping[str, Sequence[str]] | None = None,
    cyclic: Mapping[str, float | Sequence[str]] | None = None,
) -> Kinds:
    """Decide for each of the named columns of a file what it holds.

    Parameters
    ----------
    file
        File as it was read.
    names
        Columns to look at, in order; the one with the classes is not among them.
    ordered, cyclic
        What the reader says of columns, as `from_csv` takes it.

    Returns
    -------
    Kinds
        Columns of words have the words of all rows.

    Raises
    ------
    DataError
        If a column isn't what the reader says that it is.
    """
    kinds = Kinds()
    entries = {name: Entries(file.table[name]) for name in names}
    kinds.votes = {sign for own in entries.values() if len(own.notations) == 1 for sign in own.notations}
    seen: dict[bytes, str] = {}
    for name, own in entries.items():
        column: Column | None
        if ordered and name in ordered:
            column = _ordered_column(name, own, ordered[name], file)
        elif cyclic and name in cyclic:
            column = _cyclic_column(name, own, cyclic[name], kinds.votes, file)
        else:
            column = _column(name, own, kinds.votes, file, kinds)
        if column is None:
            continue
        twin = seen.setdefault(_content(column, own), name)
        if twin != name:
            kinds.left_out[name] = f"the same as {twin!r} in every row"
            continue
        kinds.columns.append(column)
        if name in file.nameless:
            kinds.remarks.append(f"{name!r} of {file.name} has no name in the file, and is learned from.")
    return kinds


def _content(column: Column, own: Entries) -> bytes:
    """Return something that is the same for columns that say the same in every row: numbers as such, others as text."""
    if isinstance(column, NumberColumn):
        return b"numbers" + (column.encode(own.values) + 0.0).tobytes()
    return b"text" + repr(own.values.tolist()).encode("utf-8", "surrogatepass")


def _ordered_column(name: str, own: Entries, words: Sequence[str], file: CsvFile) -> Column:
    order = check_order("ordered", name, words)
    _check_words("ordered", name, own, order, file)
    return OrderedColumn(name, order)


def _cyclic_column(name: str, own: Entries, given: float | Sequence[str], votes: set[str], file: CsvFile) -> Column:
    if not isinstance(given, int | float):
        order = check_order("cyclic", name, given)
        _check_words("cyclic", name, own, order, file)
        return CyclicColumn(name, float(len(order)), order)
    if not (0 < given < float("inf")):
        raise DataError(f"cyclic[{name!r}]={given!r}; expected the number after which it begins again, such as 24.")
    if not own.notations:
        raise DataError(
            f"cyclic[{name!r}]={given!r} is for numbers, and {name!r} of {file.name} isn't one of them: "
            f"{not_numbers(own)}. For words, give them in their order; dates are cyclic by themselves."
        )
    return CyclicColumn(name, float(given), (), own.notation(votes, file.separator)[0], own.gap_words)


def _check_words(what: str, name: str, own: Entries, order: Sequence[str], file: CsvFile) -> None:
    strange = sorted(set(own.values.unique()) - {"", *order})
    if strange:
        listed = ", ".join(map(repr, strange[:5])) + (", ..." if len(strange) > 5 else "")
        raise DataError(
            f"{what}[{name!r}] doesn't name {listed}, which {name!r} of {file.name} holds; expected all its words."
        )


class Entries:
    """Entries of one column: which are gaps, and whether the others are numbers.

    Attributes
    ----------
    values
        Entries as they stand in the file, the empty string for a gap.
    plain
        Whether all are numbers as Python writes them, but for gaps.
    true_false
        Whether all are true or false, but for gaps.
    notations
        Notations in which all are numbers with one unit, by decimal sign; empty where there are none.
    date
        How all are written as dates or times of day, but for gaps; None where they are not.
    gap_words
        Words that stand for gaps.
    words
        Different entries without the gaps.
    gaps
        Number of gaps.
    """

    def __init__(self, values: pd.Series) -> None:
        words = pd.Series(values.unique(), dtype=object)
        words = words[words != ""]
        marks = words.str.casefold().isin(GAP_WORDS)
        numbers = words[~marks]
        self.values = values
        self.plain = len(numbers) > 0 and bool(numbers.str.fullmatch(_PLAIN).all())
        self.parts: dict[str, dict[str, Parts]] = {}
        self.notations = _plain_notations(numbers) if self.plain else self._other_notations(numbers)
        self.true_false = set(numbers.str.casefold()) == {"true", "false"}
        self.date = None if self.notations or self.true_false else date_format(numbers)
        # A word such as "None" is a gap among numbers or dates, and a word like the others among words.
        marked = bool(self.notations) or self.true_false or self.date is not None
        self.gap_words = tuple(words[marks]) if marked else ()
        self.words = numbers if marked else words
        self.gaps = int(values.isin(["", *self.gap_words]).sum())

    def _other_notations(self, numbers: pd.Series) -> dict[str, Notation]:
        notations = {}
        for sign in (".", ","):
            read = {word: parts(word, sign) for word in numbers}
            found = {word: part for word, part in read.items() if part is not None}
            self.parts[sign] = found
            units = {part.unit for part in found.values()}
            if len(found) == len(numbers) and len(units) == 1:
                grouped = any(part.grouped for part in found.values())
                notations[sign] = Notation(sign, units.pop(), grouped)
        return notations

    def notation(self, votes: set[str], separator: str) -> tuple[Notation, bool]:
        """Choose a notation by what the other columns of the file have; say whether that is a guess."""
        likely = "," if separator == ";" and not self.plain else "."
        sign = next(iter(votes)) if len(votes) == 1 else likely
        notation = self.notations.get(sign) or next(iter(self.notations.values()))
        if len(self.notations) < 2 or len(votes) == 1:
            return notation, False
        if not self.plain:
            return notation, self.parts["."] != self.parts[","]
        points = self.words.str.contains(".", regex=False)
        return notation, bool(points.any()) and (separator == ";" or not points.all() or len(votes) == 2)

    def example(self, notation: Notation) -> str:
        """Return an entry that shows the notation best, with the number that it is read as."""
        shown = max(self.words, key=lambda word: (not word.isdecimal(), len(word) < 12, word))
        return f"{shown} is read as {notation.read(shown):.15g}"


def _plain_notations(numbers: pd.Series) -> dict[str, Notation]:
    """Return the notations of numbers as Python writes them: points may separate thousands, too."""
    points = numbers.str.contains(".", regex=False)
    if not points.any():
        return {".": Notation(), ",": Notation()}
    if not numbers[points].str.fullmatch(_POINTS_FOR_THOUSANDS).all():
        return {".": Notation()}
    return {".": Notation(), ",": Notation(",", grouped=True)}


def _column(name: str, own: Entries, votes: set[str], file: CsvFile, kinds: Kinds) -> Column | None:
    """Return the column as it can be learned from, or None and a reason in `kinds`."""
    nameless = " and without a name" if name in file.nameless else ""
    rows = len(file.table)
    if own.gaps == rows:
        kinds.left_out[name] = f"empty{nameless}"
    elif 2 * own.gaps > rows:
        marks = f", {', '.join(map(repr, own.gap_words))} taken for gaps" if own.gap_words else ""
        kinds.left_out[name] = f"empty in {own.gaps:,} of {rows:,} rows{marks}"
    elif len(own.words) == 1:
        kinds.left_out[name] = f"the same in every row, {own.words.iloc[0]!r}{nameless}"
    elif own.notations:
        return _number_column(name, own, votes, file, kinds)
    elif own.true_false:
        return TrueFalseColumn(name, own.gap_words)
    elif own.date is not None:
        return _date_column(name, own, own.date, file, kinds)
    else:
        return _word_column(name, own, file, kinds)
    return None


def _number_column(name: str, own: Entries, votes: set[str], file: CsvFile, kinds: Kinds) -> Column | None:
    notation, guessed = own.notation(votes, file.separator)
    column = NumberColumn(name, notation, own.gap_words)
    values = column.encode(own.values)[:, 0]
    known = values[np.isfinite(values)]
    each_its_own = len(own.words) == len(known) and bool((known == np.floor(known)).all())
    if each_its_own and (name in file.nameless or _NAMES_OF_ROW_NUMBERS.fullmatch(name) or _numbers_things(name, own)):
        what = "without a name" if name in file.nameless else "with a name for such; if it is a quantity, rename it"
        kinds.left_out[name] = f"a number of its own for each row, {what}"
        return None
    if _NAMES_OF_IDENTIFIERS.fullmatch(name) and bool((values[np.isfinite(values)] % 1 == 0).all()):
        kinds.left_out[name] = _identifier(name)
        return None
    if len(values) > 2 and values[0] in (0, 1) and (np.diff(values) == 1).all():
        kinds.remarks.append(
            f"{name!r} of {file.name} counts the rows from {values[0]:.0f}. It is learned from; leave it out if it "
            "says nothing about other rows."
        )
    zeros = own.words[own.words.str.fullmatch(_LEADING_ZERO)]
    if len(zeros) and (known.max() > _LAST_MINUTE or bool((zeros.str.len() > 2).any())):
        kinds.remarks.append(
            f"{name!r} of {file.name} has numbers with leading zeros, such as {zeros.iloc[0]}, and is learned from as "
            "numbers without them. If they name something, as a postcode does, leave the column out, or put a letter "
            "before each, so that they are words."
        )
    if guessed:
        kinds.remarks.append(
            f"{name!r} of {file.name} can be read in two ways: {own.example(notation)} here. If that is wrong, write "
            "numbers without separated thousands and with a decimal point."
        )
    elif not own.plain or notation != Notation():
        kinds.notations[name] = own.example(notation)
    return column


def _numbers_things(name: str, own: Entries) -> bool:
    """Say whether a column of plain whole numbers, all different, has a name as of customers or orders."""
    signed = own.words.str.startswith(("-", "+")).any()
    named = _NAMES_OF_NUMBERED_THINGS.fullmatch(name) and not _NAMES_OF_QUANTITIES.fullmatch(name)
    return bool(named) and own.plain and not signed


def _identifier(name: str) -> str:
    return (
        f"numbers or words that name something, by its name. If rows with the same one belong together, say "
        f"groups={name!r} (companion new: --groups)"
    )


def _date_column(name: str, own: Entries, written: Written, file: CsvFile, kinds: Kinds) -> Column:
    column = DateColumn(name, written.format, gaps=own.gap_words).learned(own.values)
    if written.guessed:
        shown = own.words.iloc[0]
        read = column.times(pd.Series([shown])).dt.strftime("%Y-%m-%d").iloc[0]
        kinds.remarks.append(
            f"the dates of {name!r} in {file.name} can be read in two ways: {shown} is read as {read} here. If that is "
            "wrong, write them as 2024-01-31."
        )
    if column.start:
        kinds.dates.append(name)
    return column


def _word_column(name: str, own: Entries, file: CsvFile, kinds: Kinds) -> Column | None:
    almost = almost_numbers(own)
    rows = len(own.values) - own.gaps
    if len(own.words) == rows:
        kinds.left_out[name] = almost or "another word in each row"
        return None
    if len(own.words) > MOST_WORDS:
        counts = own.values[own.values != ""].value_counts()
        often = frequent(counts)
        if almost or _NAMES_OF_IDENTIFIERS.fullmatch(name) or 2 * counts[often].sum() < rows:
            repeated = 2 * len(own.words) <= rows and bool(_NAMES_OF_IDENTIFIERS.fullmatch(name))
            many = f"{len(own.words):,} different words, most of them rare"
            kinds.left_out[name] = almost or (_identifier(name) if repeated else many)
            return None
        kinds.remarks.append(
            f"{name!r} of {file.name} has {len(own.words):,} different words; the {len(often)} most frequent ones are "
            "told apart, and the others count as one."
        )
    if almost:
        kinds.remarks.append(f"{name!r} of {file.name} is taken for words: {almost}.")
    kinds.remarks += spelling_remarks(own.words, f"{name!r} of {file.name}")
    return WordColumn(name, tuple(sorted(own.words)))


def almost_numbers(own: Entries) -> str:
    """Say what keeps a column from being numbers if at least half of its entries are; else return nothing.

    Entries that begin with digits and end in ever other ways, as uuids and addresses do, are not numbers with units.
    """
    sign = max(own.parts, key=lambda sign: len(own.parts[sign]))
    read = own.parts[sign]
    counts = own.values[own.values != ""].value_counts()
    numbers = int(counts[counts.index.isin(read)].sum())
    units = sorted({part.unit for part in read.values()} - {""})
    if 2 * numbers < counts.sum() or len(units) > max(_FEW_UNITS, len(read) // 4):
        return ""
    others = [word for word in counts.index if word not in read and word.casefold() not in GAP_WORDS]
    if others:
        return (
            f"numbers, but for {counts.sum() - numbers:,} entries such as {others[0]!r}; write a number there, or "
            "leave the entry empty"
        )
    bare = " and some have none" if any(not part.unit for part in read.values()) else ""
    listed = ", ".join(map(repr, units[:3])) + (", ..." if len(units) > 3 else "")
    return f"numbers with several units or endings ({listed}{bare}); bring them to one, or write numbers alone"


def not_numbers(own: Entries) -> str:
    """Say why a column isn't one of numbers."""
    if not len(own.words):
        return "it is empty"
    return almost_numbers(own) or f"it holds words such as {own.words.iloc[0]!r}"


def spelling_remarks(words: Iterable[str], where: str) -> list[str]:
    """Name words that differ in capital letters only.

    Parameters
    ----------
    words
        Different words.
    where
        What the sentence calls their place.

    Returns
    -------
    list of str
        One sentence, or none.
    """
    alike: dict[str, list[str]] = {}
    for word in words:
        alike.setdefault(word.casefold(), []).append(word)
    several = [" and ".join(map(repr, sorted(group))) for group in alike.values() if len(group) > 1]
    if not several:
        return []
    return [f"{where} has words that differ in capital letters only: {'; '.join(several)}. They count as different."]
