"""Denormal numbers, computed with as zeros in every thread of torch.

Standard deviations of almost zero become denormal numbers, which take a processor ten to a hundred times as long.
Explained in `book/reference/how_a_fit_works`, section "The machine".
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

import torch
from threadpoolctl import threadpool_info

__all__ = ["denormals_flushed"]

_HARD = 2  # omp_pause_hard of OpenMP 5: all threads end


@contextlib.contextmanager
def denormals_flushed() -> Iterator[None]:
    """Treat denormal numbers as zeros inside the context, and restore the former state afterwards.

    `torch.set_flush_denormal` acts on the thread that calls it, and new threads inherit it. GNU's OpenMP keeps its
    threads from one parallel loop to the next, so they are ended here, before and after: the next loop starts new ones.
    Other OpenMP libraries pass the caller's state on by themselves.
    """
    kept = _flushing()
    _set(True)
    try:
        yield
    finally:
        _set(kept)


def _flushing() -> bool:
    """Tell whether this thread treats denormal numbers as zeros already."""
    tiny = torch.tensor(1e-310, dtype=torch.float64)
    return not bool(tiny * 0.5 != 0)


def _set(flush: bool) -> None:
    torch.set_flush_denormal(flush)
    if torch.get_num_threads() == 1:
        return  # there are no threads to end; in a forked process they are gone, which OpenMP doesn't know
    for library in threadpool_info():
        if library["prefix"] == "libgomp":
            pause = getattr(ctypes.CDLL(library["filepath"]), "omp_pause_resource_all", None)
            if pause is not None:  # it came with GCC 9
                pause(_HARD)
