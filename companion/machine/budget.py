"""How much fits into memory at once: a function and an example in, numbers of draws and points out.

Explained in the chapter `book/mnist/dense`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

__all__ = ["BUDGET_BYTES", "draws_at_once", "slices"]

Tensors = Mapping[str, torch.Tensor]

# What prediction may take for its activations: enough to be fast, and small beside the memory of a laptop.
BUDGET_BYTES = 512 * 2**20


class _Bytes(TorchDispatchMode):
    """Adds up the sizes of everything that is computed: more than is alive at once, and so a safe bound."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.total += sum(t.nbytes for t in tree_flatten(out)[0] if isinstance(t, torch.Tensor))
        return out


def draws_at_once(
    function: Callable[[Tensors, Tensors], torch.Tensor], draw: Tensors, data: Tensors, budget: int = BUDGET_BYTES
) -> tuple[int, int]:
    """Measure one draw on a few points, and divide the budget by it.

    Parameters
    ----------
    function
        Of one draw and the data.
    draw
        An example (1, ...) of each variable.
    data
        All points, each (points, ...).
    budget
        Bytes.

    Returns
    -------
    draws, points
        Numbers to compute at once; each 1 or more.
    """
    points = len(next(iter(data.values())))
    few = min(points, 16)
    with _Bytes() as counted:
        function({name: a[0] for name, a in draw.items()}, {name: a[:few] for name, a in data.items()})
    weights = sum(a[0].nbytes for a in draw.values())
    per_point = max(1, counted.total / few)
    rows = int(min(points, max(1, budget / per_point)))
    return int(max(1, budget / (per_point * rows + weights))), rows


def slices(count: int, size: int) -> Iterator[slice]:
    """Cut ``count`` things into parts of at most ``size``."""
    return (slice(first, first + size) for first in range(0, count, size))
