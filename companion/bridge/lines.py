"""Which line of a reader's own module an error, or a call, comes from.

Explained in `book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

import linecache
import sys
import sysconfig
from pathlib import Path
from types import FrameType, TracebackType

import numpy as np
import torch

import companion

__all__ = ["line_of_error", "line_of_now", "stack_level"]

# Code that is not a reader's own: these packages, and Python's own library without what was installed into it.
_NOT_THEIRS = tuple(str(Path(package.__file__ or "").parent) for package in (np, torch, companion))
_PYTHONS = sysconfig.get_path("stdlib")


def line_of_error(error: BaseException) -> str:
    """Name the innermost line of the reader's own code that an error passed through; empty where there is none."""
    found: FrameType | None = None
    number = 0
    at: TracebackType | None = error.__traceback__
    while at is not None:
        if _is_theirs(at.tb_frame):
            found, number = at.tb_frame, at.tb_lineno
        at = at.tb_next
    return "" if found is None else _named(found, number)


def line_of_now(outermost: FrameType | None = None) -> str:
    """Name the innermost line of the reader's own code that is running; empty where there is none.

    Parameters
    ----------
    outermost
        Frame to stop at: what called it isn't part of a module.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame is not outermost:
        if _is_theirs(frame):
            return _named(frame, frame.f_lineno)
        frame = frame.f_back
    return ""


def stack_level() -> int:
    """Count the frames up to the reader's own line, for a warning that the caller of this function gives."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and not _is_theirs(frame):
        level, frame = level + 1, frame.f_back
    return level


def _is_theirs(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    pythons = file.startswith(("<frozen", _PYTHONS)) and "site-packages" not in file
    return not pythons and not file.startswith(_NOT_THEIRS)


def _named(frame: FrameType, number: int) -> str:
    file = frame.f_code.co_filename
    code = linecache.getline(file, number, frame.f_globals).strip()
    return f"line {number} of {Path(file).name}" + (f" (`{code}`)" if code else "")
