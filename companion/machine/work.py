"""How much work torch does inside a context: operations, and the memory that their results hold at once.

Explained in the chapter `book/beyond/symptoms`, sections "Out of memory" and "Slower than expected".
"""

from __future__ import annotations

from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

__all__ = ["Work"]


class Work(TorchDispatchMode):
    """Count the work that torch does on this thread inside a ``with`` block.

    It counts what is asked of torch, and neither seconds nor what the process takes: the figures are the same on every
    machine, as long as the same operations are asked for. What existed before the block, and what NumPy holds, don't
    count. Compiled code shows as it is traced, so count without compilation.

    Attributes
    ----------
    operations
        Number of operations, views included.
    computed_bytes
        Sum of the sizes of all results, in bytes, whether they were kept or not; a view counts, too.
    peak_bytes
        Largest size that results held at one time, in bytes; a view shares the memory of what it shows.

    Examples
    --------
    >>> import torch
    >>> from companion.machine import Work
    >>> with Work() as work:
    ...     _ = torch.ones(1000).exp().sum()
    >>> work.operations, work.peak_bytes
    (3, 8000)
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0
        self.computed_bytes = 0
        self.peak_bytes = 0
        self._held: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Carry an operation out, and count it."""
        before = {StorageWeakRef(t.untyped_storage()) for t in tree_flatten((args, kwargs))[0] if _has_memory(t)}
        out = func(*args, **(kwargs or {}))
        self.operations += 1
        for tensor in filter(_has_memory, tree_flatten(out)[0]):
            self.computed_bytes += tensor.nbytes
            storage = tensor.untyped_storage()
            place = StorageWeakRef(storage)
            if place not in before:  # a view, or a result written into an argument, takes none
                self._held[place] = storage.nbytes()
        self._held = {place: size for place, size in self._held.items() if not place.expired()}
        self.peak_bytes = max(self.peak_bytes, sum(self._held.values()))
        return out


def _has_memory(value: Any) -> bool:
    """Tell whether a value is a tensor with memory of its own, so that its storage can be asked for."""
    return isinstance(value, torch.Tensor) and value.layout is torch.strided and not value.is_meta
