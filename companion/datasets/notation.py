"""How people write numbers: decimal commas, thousands, percent, currencies and units, read as floats.

The rules are told in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Notation", "Parts", "parts"]

_CURRENCIES = (
    r"(?:US|A|C|R|HK|NZ|S)?[$€£¥₹₩₽₺₪฿₫₱]|Rs\.?|kr\.?|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|BRL|ZAR"
)
_ENTRY = re.compile(
    rf"(?P<open>\()?\s*(?P<minus>[-+]?)\s*(?P<before>{_CURRENCIES})?\s*(?P<sign>[-+]?)\s*"
    r"(?P<number>[.,]?\d(?:[\d.,']|\s(?=\d{3}))*(?:[eE][-+]?\d+)?)"
    r"\s*(?P<after>(?:[^\W\d_]|[%‰°$€£¥₹₩₽₺₪฿₫₱]).*?)?\s*(?(open)\))"
)
_NUMBER = {
    decimal: re.compile(
        rf"(?P<whole>[1-9]\d{{0,2}}(?P<by>{thousands})\d{{3}}(?:(?P=by)\d{{3}})*|\d*)"
        rf"(?:{re.escape(decimal)}(?P<part>\d*))?(?P<power>[eE][-+]?\d+)?"
    )
    for decimal, thousands in ((".", r"[,\s']"), (",", r"[.\s']"))
}
_OTHER = {".": ",", ",": "."}


@dataclass(frozen=True)
class Notation:
    """One way of writing the numbers of a column.

    Attributes
    ----------
    decimal
        Sign between the whole and the fractional part, `"."` or `","`.
    unit
        Currency, percent sign or unit that stands beside each number; empty where there is none.
    grouped
        Whether the other one of the two signs, a space or an apostrophe separates thousands.
    """

    decimal: str = "."
    unit: str = ""
    grouped: bool = False

    def read(self, text: str) -> float | None:
        """Read one entry.

        Parameters
        ----------
        text
            Entry as it stands in the file.

        Returns
        -------
        float or None
            Number without its unit, so 12.0 for "12 %"; None where the entry is not written in this notation.
        """
        found = parts(text, self.decimal)
        if found is None or found.unit != self.unit:
            return None
        if found.grouped and not self.grouped and parts(text, _OTHER[self.decimal]) is not None:
            return None  # "1,234" in a column that never separated thousands may be meant as 1.234
        return found.value


class Parts(NamedTuple):
    """One entry taken apart: its number, its unit, and whether its thousands are separated."""

    value: float
    unit: str
    grouped: bool


def parts(text: str, decimal: str) -> Parts | None:
    """Take an entry apart.

    Parameters
    ----------
    text
        Entry as it stands in the file.
    decimal
        Decimal sign, `"."` or `","`. The other one of the two may separate thousands, as may spaces and apostrophes.

    Returns
    -------
    Parts or None
        None where the entry is not a finite number with at most one unit.
    """
    # NFKC turns wide digits and fixed spaces into common ones; a minus sign and a curled apostrophe stay.
    text = unicodedata.normalize("NFKC", text).replace("\N{MINUS SIGN}", "-")
    entry = _ENTRY.fullmatch(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").strip())
    if entry is None or (entry["minus"] and entry["sign"]):
        return None
    number = _NUMBER[decimal].fullmatch(entry["number"])
    if number is None or not (number["whole"] or number["part"]):
        return None
    if entry["before"] and entry["after"]:
        return None
    whole = re.sub(r"\D", "", number["whole"])
    value = float(f"{whole or 0}.{number['part'] or 0}{number['power'] or ''}")
    if not math.isfinite(value):
        return None
    # Accountants write (5) for -5.
    negative = (entry["minus"] or entry["sign"]) == "-" or bool(entry["open"])
    unit = (entry["before"] or entry["after"] or "").strip()
    return Parts(-value if negative else value, unit, bool(number["by"]))
