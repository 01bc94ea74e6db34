"""The errors and warnings of the companion: each says what was given, what was expected and what to do next.

All errors derive from `CompanionError`, so that ``except CompanionError`` catches every error that the companion raises
on purpose, and nothing else. Listed on the page `book/reference/api/others`, section "Errors and warnings".
"""

from __future__ import annotations

import sys
import warnings

__all__ = [
    "CompanionError",
    "CompanionWarning",
    "DataError",
    "DataUnavailableError",
    "InferenceError",
    "ModelError",
    "class_and_line",
    "first_line",
    "notice",
]


class CompanionError(Exception):
    """The base class of all errors that the companion raises on purpose."""


class DataError(CompanionError, ValueError):
    """Observations that can't be used: NaN, labels outside the classes, lengths that differ, a bad file."""


class DataUnavailableError(CompanionError, OSError):
    """A data file that was found in no folder, not in the cache and on no mirror."""


class ModelError(CompanionError, ValueError):
    """A model, a posterior, a prediction or a setting that can't be used as was asked."""


class InferenceError(CompanionError, RuntimeError):
    """A fit that could not go on: a loss that became NaN or diverged, a lost process, a checkpoint of another fit.

    Attributes
    ----------
    posterior
        Posterior that was fitted up to the last good step; None if there is nothing to keep.
    """

    def __init__(self, message: str, posterior: object | None = None) -> None:
        super().__init__(message)
        self.posterior = posterior


class CompanionWarning(UserWarning):
    """Something was done differently from what was asked for; the message says what and why."""


def notice(message: str) -> None:
    """Warn with `CompanionWarning`, as if the line that called the companion had warned.

    Parameters
    ----------
    message
        Message that says what was done differently from what was asked for, and why.
    """
    level = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
        level += 1
    warnings.warn(message, CompanionWarning, stacklevel=level)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class where the message is empty.

    A sentence goes on after it, so the message's own full stop is left out.

    Parameters
    ----------
    error
        An error of any library.

    Returns
    -------
    str
        One line, not empty, without spaces around it.
    """
    return _first_line(error) or type(error).__name__


def class_and_line(error: BaseException) -> str:
    """Return the class of an error and the first line of its message, such as "ValueError: no such row".

    Parameters
    ----------
    error
        An error of any library.

    Returns
    -------
    str
        One line; the class alone where the message is empty.
    """
    said = _first_line(error)
    return type(error).__name__ + (f": {said}" if said else "")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip().rstrip(".")


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "companion"
