"""Settings that are plain numbers: a name and what came in, a number out or an error that says what was expected.

Explained in the chapter `book/mnist/dense`, whose fits are asked for by such numbers.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from companion.errors import CompanionError, ModelError

__all__ = ["is_number", "positive", "whole"]


def is_number(value: Any) -> bool:
    """Whether it is one real number of Python or NumPy; a truth value is none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def positive(name: str, value: Any, expected: str = "such as 1.0", owner: object = None) -> float:
    """Make a positive, finite number Python's.

    Parameters
    ----------
    name
        Of the setting, for the message.
    value
        What came.
    expected
        The rest of the message's "expected a positive, finite number, ...".
    owner
        Whose setting it is; its class is named.

    Raises
    ------
    ModelError
        If it is anything else.
    """
    if not is_number(value) or not 0 < value < float("inf"):
        where = "" if owner is None else f" in {type(owner).__name__}"
        raise ModelError(f"{name}={value!r}{where}; expected a positive, finite number, {expected}.")
    return float(value)


def whole(name: str, value: Any, least: int, *, error: type[CompanionError] = ModelError) -> int:
    """Make NumPy's whole numbers Python's, which a checkpoint can hold.

    Parameters
    ----------
    name
        Of the setting.
    value
        What came.
    least
        The smallest that is fine.
    error
        To be raised: `DataError` where the number is one of rows.

    Raises
    ------
    ModelError
        If it is none, or less than `least`; or the `error` that was named.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise error(f"{name}={value!r}; expected a whole number, {least} or more.")
    return int(value)
