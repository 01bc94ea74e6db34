"""In: a message. Out: a `CompanionWarning` that points at the reader's own line, not at ours.

Explained in the book's data page (``book/reference/data``).
"""

import sys
import warnings

from companion.errors import CompanionWarning

__all__ = ["notice"]


def notice(message: str) -> None:
    """Warn with `CompanionWarning`, as if the line that called the companion had warned.

    Parameters
    ----------
    message
        What was done differently from what was asked for, and why.
    """
    level = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "companion":
        frame = frame.f_back
        level += 1
    warnings.warn(message, CompanionWarning, stacklevel=level)
