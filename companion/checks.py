"""Checks of settings that are plain numbers: each returns Python's own number, or refuses the setting by its name."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from companion.errors import CompanionError, DataError, ModelError, first_line

__all__ = ["choice", "counted", "fraction", "is_number", "mapping", "numbers", "positive", "whole"]

E = TypeVar("E", bound=StrEnum)


def is_number(value: Any) -> bool:
    """Say whether a value is one real number of Python or NumPy; truth values don't count as numbers."""
    return isinstance(value, Real) and not isinstance(value, bool)


def positive(name: str, value: Any, expected: str = "such as 1.0", owner: object = None) -> float:
    """Return a positive, finite number as Python's float.

    Parameters
    ----------
    name
        Name of the setting, for the message.
    value
        Value that the setting was given.
    expected
        End of the message's "expected a positive, finite number, ...".
    owner
        Object whose setting it is; the message names its class.

    Raises
    ------
    ModelError
        If the value is anything else.
    """
    if not is_number(value) or not 0 < value < float("inf"):
        raise ModelError(f"{name}={value!r}{_inside(owner)}; expected a positive, finite number, {expected}.")
    return float(value)


def fraction(name: str, value: Any, expected: str = "such as 0.5", owner: object = None) -> float:
    """Return a share between 0 and 1, both excluded, as Python's float.

    Parameters
    ----------
    name
        Name of the setting, for the message.
    value
        Value that the setting was given.
    expected
        End of the message's "expected a share between 0 and 1, both excluded, ...".
    owner
        Object whose setting it is; the message names its class.

    Raises
    ------
    ModelError
        If the value is anything else.
    """
    if not is_number(value) or not 0 < value < 1:
        raise ModelError(
            f"{name}={value!r}{_inside(owner)}; expected a share between 0 and 1, both excluded, {expected}."
        )
    return float(value)


def choice(kinds: type[E], name: str, value: Any, also: str = "") -> E:
    """Return the member of an enumeration that a word names.

    Parameters
    ----------
    kinds
        Enumeration of the words that are allowed.
    name
        Name of the setting, for the message.
    value
        Word that the setting was given, or a member of `kinds`.
    also
        What else the setting takes, for the end of the message, such as "or a mapping".

    Raises
    ------
    ModelError
        If there is no such word.
    """
    try:
        return kinds(value)
    except ValueError:
        more = f", {also}" if also else ""
        raise ModelError(f"{name}={value!r}; expected one of {[k.value for k in kinds]}{more}.") from None


def whole(name: str, value: Any, least: int, *, error: type[CompanionError] = ModelError) -> int:
    """Return a whole number as Python's int, which a checkpoint can hold, unlike NumPy's.

    Parameters
    ----------
    name
        Name of the setting, for the message.
    value
        Value that the setting was given.
    least
        Smallest value that is allowed.
    error
        Class of the error to raise, such as `DataError` for a number of rows.

    Raises
    ------
    ModelError
        If the value isn't a whole number or is below `least`; another error if `error` names one.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise error(f"{name}={value!r}; expected a whole number, {least} or more.")
    return int(value)


def counted(name: str, given: Any, expected: str) -> np.ndarray:
    """Return a table of whole numbers of 0 or more, such as labels or counts.

    Parameters
    ----------
    name
        Name of the table, for the message.
    given
        Table with two axes, and not empty.
    expected
        What its axes are and what gives such a table, for the message.

    Raises
    ------
    DataError
        If it is anything else.
    """
    table = np.asarray(given)
    if table.ndim != 2 or not table.size:
        raise DataError(f"{name} have shape {table.shape}; expected {expected}.")
    if table.dtype.kind not in "iu" or table.min() < 0:
        raise DataError(f"{name} are {table.dtype} from {table.min()} on; expected whole numbers of 0 or more.")
    return table


def numbers(name: str, given: Any, expected: str = "an array of real numbers") -> np.ndarray:
    """Return an array of real numbers, of any shape.

    Parameters
    ----------
    name
        Words that the array is called by, for the message.
    given
        Array, or what becomes one: a number, a list, a tensor on the processor.
    expected
        End of the message's "expected ...".

    Raises
    ------
    ModelError
        If it is anything else: words, complex numbers, or lists of different lengths.
    """
    try:
        array = np.asarray(given)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"{name} can't become an array ({first_line(error)}); expected {expected}.") from error
    if array.dtype.kind == "O" and all(isinstance(entry, Real | Decimal) for entry in array.flat):
        array = array.astype(float)
    if array.dtype.kind not in "fiub":
        raise ModelError(f"{name} has the dtype {array.dtype} ({reprlib.repr(given)}); expected {expected}.")
    return array


def mapping(name: str, given: Any, expected: str) -> None:
    """Refuse what isn't a mapping, such as a posterior in the place of its draws.

    Parameters
    ----------
    name
        Words that the mapping is called by, for the message.
    given
        What should be a mapping.
    expected
        End of the message's "expected a mapping ...".

    Raises
    ------
    ModelError
        If it is anything else.
    """
    if not isinstance(given, Mapping):
        raise ModelError(f"{name} is a {type(given).__name__}; expected a mapping {expected}.")


def _inside(owner: object) -> str:
    """Name the class of the object whose setting is refused, as the message continues."""
    return "" if owner is None else f" in {type(owner).__name__}"
