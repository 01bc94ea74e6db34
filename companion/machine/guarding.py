"""One guard around long computations, which restores the state of the reader's session afterwards.

Explained in `book/reference/how_a_fit_works`, section "The machine".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from companion.machine.denormals import denormals_flushed
from companion.machine.malloc import memory_kept

__all__ = ["guard"]


@contextmanager
def guard() -> Iterator[None]:
    """Flush denormals and keep freed memory inside the context; restore torch's random state and threads afterwards."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    threads = torch.get_num_threads()
    with denormals_flushed(), memory_kept(), torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            torch.set_num_threads(threads)
