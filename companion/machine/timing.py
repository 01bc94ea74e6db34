"""The time that one call of a function takes.

Explained in `book/reference/how_a_fit_works`, section "The machine".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

__all__ = ["fastest_of"]


def fastest_of(function: Callable[..., Any], arguments: Sequence[torch.Tensor], repeats: int = 5) -> float:
    """Time a function, in seconds: the fastest of a few calls, after two to warm up."""
    devices = {t.device for t in arguments if t.is_cuda}
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        function(*arguments)
        for device in devices:
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[2:])
