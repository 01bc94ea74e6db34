"""Other libraries' loggers, held back where what they say would be stored in a notebook's output."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["held_back"]


@contextmanager
def held_back(logger: logging.Logger, level: int = logging.ERROR) -> Iterator[None]:
    """Let `logger` say only what is at least as grave as `level`, for as long as the context lasts."""
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
