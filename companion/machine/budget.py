"""The memory budget of predictions: how many draws and points are computed at once.

Explained in `book/reference/how_a_fit_works`, section "Prediction".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch

from companion.machine.work import Work

__all__ = ["BUDGET_BYTES", "draws_at_once", "points_at_once", "sharing_at_once", "slices"]

Tensors = Mapping[str, torch.Tensor]
Function = Callable[[Tensors, Tensors], torch.Tensor]

# Memory that prediction may take for activations: enough to be fast, and small beside the memory of a laptop.
BUDGET_BYTES = 512 * 2**20


def draws_at_once(function: Function, draw: Tensors, data: Tensors, budget: int = BUDGET_BYTES) -> tuple[int, int]:
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
    points, some = _few(data)
    each = _computed(function, {name: a[0] for name, a in draw.items()}, some) / len(next(iter(some.values())))
    return _divided(budget, points, each, each, draw)


def sharing_at_once(
    function: Function, draw: Tensors, data: Tensors, budget: int = BUDGET_BYTES
) -> tuple[int, int] | None:
    """Do the same for a function of which a part doesn't depend on the draw, and is computed once by `torch.vmap`.

    Half of the budget is for that part.

    Returns
    -------
    draws, points
        Numbers of draws and of points to compute at once; ``None`` where that part is less than three quarters of one
        draw's work, or `torch.vmap` can't compute the function.
    """
    points, some = _few(data)
    several = torch.vmap(function, (0, None))
    same = [{name: a[:1].repeat_interleave(number, dim=0) for name, a in draw.items()} for number in (1, 2)]
    try:
        one, two = (_computed(several, own, some) for own in same)
    except Exception:  # torch's many ways to say that it can't
        return None
    own, count = two - one, len(next(iter(some.values())))
    if own > one / 4:
        return None
    return _divided(budget / 2, points, one / count, own / count, draw)


def points_at_once(function: Callable[[Tensors], object], data: Tensors, budget: int = BUDGET_BYTES) -> int:
    """Measure the memory of one point and of two, and divide the budget by what one more takes.

    Parameters
    ----------
    function
        Function of the data, which may compute something that doesn't depend on them.
    data
        Name of each input to all its points (points, ...).
    budget
        Memory to use, in bytes.

    Returns
    -------
    int
        Number of points to compute at once, 1 or more.
    """
    points = len(next(iter(data.values())))
    if points < 2:
        return 1
    one, two = (_computed(lambda _, own: function(own), {}, {n: a[:k] for n, a in data.items()}) for k in (1, 2))
    each = max(1, two - one)
    return int(min(points, max(1, (budget - max(0, one - each)) // each)))


def _few(data: Tensors) -> tuple[int, Tensors]:
    """Count the points, and take some of them to measure at."""
    points = len(next(iter(data.values())))
    return points, {name: a[: min(points, 16)] for name, a in data.items()}


def _divided(budget: float, points: int, first: float, more: float, draw: Tensors) -> tuple[int, int]:
    """Divide a budget by the bytes that a point takes for the first draw, and for each draw with its weights."""
    weights = sum(a[0].nbytes for a in draw.values())
    rows = int(min(points, max(1, budget / max(1, first))))
    return int(max(1, budget / (max(1, more) * rows + weights))), rows


def _computed(function: Callable[[Tensors, Tensors], object], draw: Tensors, data: Tensors) -> int:
    """Count the bytes that are computed: more than is held at once, and so a safe bound."""
    with Work() as counted:
        function(draw, data)
    return counted.computed_bytes


def slices(count: int, size: int) -> Iterator[slice]:
    """Cut the numbers from 0 to ``count`` into slices of at most ``size``."""
    return (slice(first, first + size) for first in range(0, count, size))
