"""The memory budget of predictions: how many draws and points are computed at once.

Explained in `book/reference/how_a_fit_works`, section "Prediction".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch

from companion.machine.work import Work

__all__ = ["BUDGET_BYTES", "draws_at_once", "slices"]

Tensors = Mapping[str, torch.Tensor]

# Memory that prediction may take for activations: enough to be fast, and small beside the memory of a laptop.
BUDGET_BYTES = 512 * 2**20


def draws_at_once(
    function: Callable[[Tensors, Tensors], torch.Tensor], draw: Tensors, data: Tensors, budget: int = BUDGET_BYTES
) -> tuple[int, int]:
    """Measure the memory of one draw on a few points, and divide the budget by it.

    Parameters
    ----------
    function
        Function of one draw and the data.
    draw
        Name of each variable to an example (1, ...).
    data
        Name of each input to all its points (points, ...).
    budget
        Memory to use, in bytes.

    Returns
    -------
    draws, points
        Numbers of draws and of points to compute at once, each 1 or more.
    """
    points = len(next(iter(data.values())))
    few = min(points, 16)
    with Work() as counted:  # everything that is computed is more than is held at once, and so a safe bound
        function({name: a[0] for name, a in draw.items()}, {name: a[:few] for name, a in data.items()})
    weights = sum(a[0].nbytes for a in draw.values())
    per_point = max(1, counted.computed_bytes / few)
    rows = int(min(points, max(1, budget / per_point)))
    return int(max(1, budget / (per_point * rows + weights))), rows


def slices(count: int, size: int) -> Iterator[slice]:
    """Cut the numbers from 0 to ``count`` into slices of at most ``size``."""
    return (slice(first, first + size) for first in range(0, count, size))
