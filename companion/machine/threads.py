"""How many of the processor's threads a computation is worth.

A parallel loop on small tensors costs more than it saves: its threads are woken for each operation, wait for each other
in between, and where another process holds a core they wait for that, too. Explained in
`book/reference/how_a_fit_works`, section "The machine".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch

from companion.checks import whole
from companion.errors import ModelError
from companion.machine.timing import fastest_of

__all__ = ["checked_threads", "threads_worth"]

_log = logging.getLogger(__name__)

# Torch splits elementwise loops over as many numbers as this between threads.
_GRAIN = 2**15

# A fit shorter than this has nothing to gain from the measurement. It uses one thread, whose pace hardly depends on
# what else the machine does, unless its tensors are so large that several threads are surely worth it.
_WORTH_IT_S = 2.0
_LARGE = 2**18

# Several threads must be faster than one by this factor. Around the gradient they cost more than in it, and the library
# that is built beside a fit wants a core, too: 501 weights with eight restarts, whose gradient took 1.11 times as long
# on one thread as on two, were fitted in 7.9 s on one and in 10.9 s on two.
_AHEAD = 1.3


def checked_threads(threads: int | str) -> int | str:
    """Check a setting of threads: "auto", or a number of them.

    Raises
    ------
    ModelError
        If it is neither.
    """
    if threads == "auto":
        return threads
    if isinstance(threads, str):
        raise ModelError(f"threads={threads!r}; expected 'auto' or a number of threads.")
    return whole("threads", threads, 1)


def threads_worth(
    function: Callable[..., Any],
    arguments: Sequence[torch.Tensor],
    *,
    largest: int,
    setting: int | str,
    steps: int,
    measurable: bool = True,
) -> int:
    """Choose how many threads a function is called with: one, unless several are measured to be faster.

    Parameters
    ----------
    function
        Function that each step calls.
    arguments
        Example of its arguments.
    largest
        Number of elements of the largest tensor in it. Where torch wouldn't split even that one, nothing is measured.
    setting
        Number of threads, which decides, or "auto".
    steps
        Number of steps to come. A short fit isn't worth the measurement: with small tensors it uses one thread, with
        large ones those that torch would.
    measurable
        Whether the function may be called without a consequence; where it may not, nothing is measured either.

    Returns
    -------
    int
        Number of threads. On a GPU it is that which torch would use.
    """
    most = torch.get_num_threads()
    if setting != "auto":
        return int(setting)
    if most == 1 or any(t.device.type != "cpu" for t in arguments):
        return most
    if largest < _GRAIN:
        return 1
    if not measurable or fastest_of(function, arguments, repeats=1) * steps < _WORTH_IT_S:
        return most if largest >= _LARGE else 1
    seconds = {1: float("inf"), most: float("inf")}
    try:
        for _ in range(2):  # in turn, so that whatever else the machine does hits both
            for count in seconds:
                torch.set_num_threads(count)
                seconds[count] = min(seconds[count], fastest_of(function, arguments))
    finally:
        torch.set_num_threads(most)
    _log.info("a gradient takes %.2f ms on one thread, %.2f ms on %d", 1e3 * seconds[1], 1e3 * seconds[most], most)
    return most if seconds[most] * _AHEAD < seconds[1] else 1
