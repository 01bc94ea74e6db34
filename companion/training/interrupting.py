"""Ctrl-C, which ends a loop after the step that it came in and keeps what is there.

Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["interrupts"]


@contextlib.contextmanager
def interrupts(interrupted: threading.Event) -> Iterator[None]:
    """Let Ctrl-C end the loop after the step that it came in; a second one ends it at once.

    Parameters
    ----------
    interrupted
        Event that the first one sets, and the loop asks.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
