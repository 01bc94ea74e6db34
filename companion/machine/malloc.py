"""Memory that a training step needs again and again, kept instead of given back.

glibc's malloc asks the kernel for every large block anew, and gives it back when it is freed; the kernel then fills it
with zeros, page by page. For a convolutional network on a CPU that took a third of the time. Explained in
the chapter `book/mnist/dense`.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator

__all__ = ["memory_kept"]

# From <malloc.h>, and what glibc's own rule comes to once blocks of 32 MiB have been freed.
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
