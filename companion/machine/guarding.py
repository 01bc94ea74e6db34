"""One guard around long computations, which restores the state of the reader's session afterwards.

Explained in `book/reference/how_a_fit_works`, section "The machine".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from companion.machine.denormals import denormals_flushed
from companion.machine.malloc import memory_kept

__all__ = ["guard", "random_kept"]


@contextmanager
def random_kept(*, asleep: bool = False) -> Iterator[None]:
    """Leave torch's own random numbers as they were, those of the processor and of every GPU in use.

    Parameters
    ----------
    asleep
        Whether GPUs that nothing has used yet count as well: what runs inside may be the first to use one.
    """
    used = torch.cuda.is_available() if asleep else torch.cuda.is_initialized()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if used else []):
        yield


@contextmanager
def guard() -> Iterator[None]:
    """Flush denormals and keep freed memory inside the context; restore torch's random state and threads afterwards."""
    threads = torch.get_num_threads()
    with denormals_flushed(), memory_kept(), random_kept(asleep=True):
        try:
            yield
        finally:
            torch.set_num_threads(threads)
