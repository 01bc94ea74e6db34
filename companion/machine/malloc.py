"""Memory that every training step needs again, kept by malloc instead of given back to the kernel.

glibc's malloc asks the kernel for every large block anew and gives it back when it is freed, and the kernel fills each
new one with zeros, page by page. For a convolutional network on a CPU that took a third of the time. Explained in
`book/reference/how_a_fit_works`, section "The machine".
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator

__all__ = ["memory_kept"]

# Options from <malloc.h>, and the values that glibc's own rule reaches once blocks of 32 MiB have been freed.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_KEPT = {_MMAP_THRESHOLD: 2**30, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 64 * 2**20}
_AFTERWARDS = {_MMAP_THRESHOLD: 32 * 2**20, _TRIM_THRESHOLD: 64 * 2**20, _TOP_PAD: 0}


@contextlib.contextmanager
def memory_kept() -> Iterator[None]:
    """Keep freed blocks of up to 1 GiB for the next step, and give everything back afterwards.

    Does nothing where the C library isn't glibc.
    """
    libc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
    if libc is None:
        yield
        return
    for option, value in _KEPT.items():
        libc.mallopt(option, value)
    try:
        yield
    finally:
        for option, value in _AFTERWARDS.items():
            libc.mallopt(option, value)
        libc.malloc_trim(0)
