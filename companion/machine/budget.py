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
    function: Callable[[Tensors, Tensors], torch.Tensor],
    draw: Tensors,
    data: Tensors,
    budget: int = BUDGET_BYTES,
    *,
    shared: bool = False,
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
    shared
        Whether a part of the function doesn't depend on the draw, and is computed once for all draws by `torch.vmap`.
        Half of the budget is for that part then.

    Returns
    -------
    draws, points
        Numbers of draws and of points to compute at once, each 1 or more.
    """
    points = len(next(iter(data.values())))
    few = min(points, 16)
    some = {name: a[:few] for name, a in data.items()}
    whole = own = _computed(function, {name: a[0] for name, a in draw.items()}, some)
    if shared:
        own = _of_a_draw(function, draw, some) or whole
        budget = budget // 2
    weights = sum(a[0].nbytes for a in draw.values())
    rows = int(min(points, max(1, budget / max(1, whole / few))))
    return int(max(1, budget / (max(1, own / few) * rows + weights))), rows


def _computed(function: Callable[[Tensors, Tensors], torch.Tensor], draw: Tensors, data: Tensors) -> int:
    """Count the bytes that are computed: more than is held at once, and so a safe bound."""
    with Work() as counted:
        function(draw, data)
    return counted.computed_bytes


def _of_a_draw(function: Callable[[Tensors, Tensors], torch.Tensor], draw: Tensors, data: Tensors) -> int | None:
    """Count what one more draw adds; ``None`` where `torch.vmap` can't compute the function."""
    several = torch.vmap(function, (0, None))
    same = [{name: a[:1].repeat_interleave(number, dim=0) for name, a in draw.items()} for number in (1, 2)]
    try:
        one, two = (_computed(several, own, data) for own in same)
    except Exception:  # torch's many ways to say that it can't
        return None
    return two - one


def slices(count: int, size: int) -> Iterator[slice]:
    """Cut the numbers from 0 to ``count`` into slices of at most ``size``."""
    return (slice(first, first + size) for first in range(0, count, size))
