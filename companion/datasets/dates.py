"""Dates and times of day: how they are written, and the features that they become.

A date becomes the days since the first one, and its places in the year, in the week and in the day, each as sine and
cosine, so that December lies beside January. The rules are told in the book's data page (`book/reference/data`),
section "Your own data".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

import numpy as np
import pandas as pd

from companion.datasets.columns import at_angle, circle, is_gap

__all__ = ["Cycle", "DateColumn", "Written", "date_format"]

_DAY_FORMATS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y"),
    *("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%d-%b-%y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_TIMES_OF_DAY = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p")
_ISO = "ISO8601"
_TIME_OF_DAY = r"\d{1,2}:\d\d(:\d\d)?( [AaPp][Mm])?"
_MIGHT_BE = re.compile(r".*\d.*[-/.: ].*\d.*", re.DOTALL)
_SWAPPED = {"%m/%d": "%d/%m", "%m-%d": "%d-%m"}
_SECONDS_OF_A_DAY = 86400


class Cycle(StrEnum):
    """What a date is a place in."""

    YEAR = "year"
    """Place of the day in its year: the seasons."""
    WEEK = "week"
    """Place in the week, which begins on Monday."""
    DAY = "day"
    """Time of the day."""


_LEAST_DAYS = {Cycle.YEAR: 360.0, Cycle.WEEK: 7.0, Cycle.DAY: 1.0}
"""Days that a table has to span before a place in the cycle is anything else than the days themselves."""


@dataclass(frozen=True)
class Written:
    """How the dates of a column are written.

    Attributes
    ----------
    format
        Format as `datetime.strptime` has it, or "ISO8601".
    guessed
        Whether day and month could also be the other way round.
    """

    format: str
    guessed: bool = False


def date_format(words: Iterable[str]) -> Written | None:
    """Find how dates or times of day are written.

    Parameters
    ----------
    words
        Different entries, without gaps.

    Returns
    -------
    Written or None
        None where the entries are not all dates, or all times of day, in one and the same way.
    """
    given = pd.Series(list(words), dtype=object)
    if not len(given) or not given.str.fullmatch(_MIGHT_BE).all():
        return None
    times = _TIMES_OF_DAY if given.str.fullmatch(_TIME_OF_DAY).all() else ()
    for own in (*times, *(day + time for day in _DAY_FORMATS for time in _TIMES), _ISO):
        if own == _ISO and not given.str.match(r"\d{4}-\d\d").all():
            continue  # pandas takes any number for a year
        if _parsed(given.iloc[:1], own).notna().all() and _parsed(given, own).notna().all():
            other = next((own.replace(a, b) for a, b in _SWAPPED.items() if a in own), None)
            return Written(own, other is not None and bool(_parsed(given, other).notna().all()))
    return None


@dataclass(frozen=True)
class DateColumn:
    """Column of dates, or of times of day.

    Attributes
    ----------
    name
        Name in the file.
    format
        Format as `datetime.strptime` has it, or "ISO8601".
    start
        First date of the rows to learn from, in ISO format; empty for times of day.
    cycles
        Names of `Cycle` that the rows go through, each of which is two features.
    gaps
        Words that stand for a missing date.
    """

    name: str
    format: str
    start: str = ""
    cycles: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """Name of the column with "days" and with each cycle."""
        days = (f"{self.name} (days)",) if self.start else ()
        return (*days, *(f"{self.name} ({cycle}, {of})" for cycle in self.cycles for of in ("sine", "cosine")))

    @property
    def about(self) -> str:
        """What is done to the column, in words."""
        parts = [f"the days since {self.start[:10]}"] if self.start else []
        if self.cycles:
            parts.append(f"sine and cosine of the place in the {' and the '.join(self.cycles)}")
        return f"{', and '.join(parts)}, of dates such as {self.example}"

    @property
    def example(self) -> str:
        """A date as the column writes it."""
        return self._written(pd.Series([pd.Timestamp(self.start or "2024-01-31 14:30")])).iloc[0]

    def times(self, entries: pd.Series) -> pd.Series:
        """Read entries (points,): written as the column's or in ISO format, NaT where they are not dates."""
        if pd.api.types.is_numeric_dtype(entries):
            return pd.Series(pd.NaT, index=entries.index, dtype="datetime64[ns]")
        found = _parsed(entries, self.format)
        iso = found.isna() & entries.astype(str).str.match(r"\d{4}-\d\d")
        return found.where(~iso, _parsed(entries.where(iso), _ISO)) if iso.any() else found

    def encode(self, entries: pd.Series) -> np.ndarray:
        """Return the features `(points, features)`, NaN where an entry is not a date."""
        times = self.times(entries)
        parts = []
        if self.start:
            parts.append(((times - pd.Timestamp(self.start)) / pd.Timedelta(days=1)).to_numpy(dtype=float)[:, None])
        parts += [circle(_turns(times, Cycle(cycle))) for cycle in self.cycles]
        return np.concatenate(parts, axis=1)

    def decode(self, values: np.ndarray) -> pd.Series:
        """Return the dates as the column writes them, in the nearest second; without time, the nearest day."""
        if self.start:
            days = values[:, 0] if "H" in self._shown or "I" in self._shown else np.rint(values[:, 0])
            seconds = np.rint(days * _SECONDS_OF_A_DAY)
            times = pd.Series(pd.Timestamp(self.start) + pd.to_timedelta(seconds, unit="s"))
        else:
            seconds = np.rint(at_angle(values[:, :2]) * _SECONDS_OF_A_DAY) % _SECONDS_OF_A_DAY
            times = pd.Series(pd.Timestamp("1900-01-01") + pd.to_timedelta(seconds, unit="s"))
        return self._written(times).rename(self.name)

    def learned(self, entries: pd.Series) -> Self:
        """Return the column with its first date, and with the cycles that these rows go through."""
        if self.format in _TIMES_OF_DAY:
            return replace(self, cycles=(str(Cycle.DAY),))
        times = self.times(entries[~is_gap(self, entries)]).dropna()
        if not len(times):
            return replace(self, start="1970-01-01T00:00:00", cycles=())
        first = times.min().normalize()
        span = (times.max() - times.min()) / pd.Timedelta(days=1)
        own = [c for c in Cycle if span >= _LEAST_DAYS[c] and np.ptp(_turns(times, c)) > 0]
        return replace(self, start=first.isoformat(), cycles=tuple(map(str, own)))

    def typical(self, values: np.ndarray) -> np.ndarray:
        """Return the median of the days, and the middle of each circle."""
        found = np.zeros(values.shape[1])
        if self.start and np.isfinite(values[:, 0]).any():
            found[0] = np.nanmedian(values[:, 0])
        return found

    @property
    def _shown(self) -> str:
        return "%Y-%m-%dT%H:%M:%S" if self.format == _ISO else self.format

    def _written(self, times: pd.Series) -> pd.Series:
        return times.dt.strftime(self._shown)


def _parsed(entries: pd.Series, own: str) -> pd.Series:
    """Read dates in one format, NaT for all others; those with a time zone in that of Greenwich."""
    found = pd.to_datetime(entries, format=own, errors="coerce", utc=True)
    return found.dt.tz_localize(None).astype("datetime64[ns]")


def _turns(times: pd.Series, cycle: Cycle) -> np.ndarray:
    """Return the place of each time in a cycle, `(points,)`, in turns; of a year, the share of its days."""
    day = (times - times.dt.normalize()) / pd.Timedelta(days=1)
    if cycle is Cycle.DAY:
        return day.to_numpy(dtype=float)
    if cycle is Cycle.WEEK:
        return ((times.dt.day_of_week + day) / 7).to_numpy(dtype=float)
    days = 365 + times.dt.is_leap_year.astype(float)
    return ((times.dt.day_of_year - 1 + day) / days).to_numpy(dtype=float)
