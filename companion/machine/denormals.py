"""Denormal numbers as zeros, in every thread that torch computes with.

Standard deviations of almost zero become denormal numbers, which take a processor ten to a hundred times as long.
Explained in the chapter `book/mnist/dense`.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

import torch
from threadpoolctl import threadpool_info

__all__ = ["denormals_flushed"]

_HARD = 2  # omp_pause_hard of OpenMP 5: the threads are given back


@contextlib.contextmanager
def denormals_flushed() -> Iterator[None]:
    """Compute with denormal numbers as zeros, and as before afterwards.

    `torch.set_flush_denormal` acts on the thread that calls it, and threads inherit it when they are made. GNU's OpenMP
    keeps its threads from one parallel loop to the next, so those are given back before and after: the next loop makes
    them anew. Other OpenMP libraries hand the caller's state on by themselves.
    """
    kept = _flushing()
    _set(True)
    try:
        yield
    finally:
        _set(kept)


def _flushing() -> bool:
    """Say whether this thread flushes already."""
    tiny = torch.tensor(1e-310, dtype=torch.float64)
    return not bool(tiny * 0.5 != 0)


def _set(flush: bool) -> None:
    torch.set_flush_denormal(flush)
    if torch.get_num_threads() == 1:
        return  # no threads to give back; and in a forked process they would be gone, which OpenMP doesn't know
    for library in threadpool_info():
        if library["prefix"] == "libgomp":
            pause = getattr(ctypes.CDLL(library["filepath"]), "omp_pause_resource_all", None)
            if pause is not None:  # it came with GCC 9
                pause(_HARD)
