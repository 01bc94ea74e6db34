"""Products of many small matrices, written as sums that a compiler fuses with what comes before and after.

A library of matrix products is called for each of them, and its result goes through the memory. Explained in
`book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["SMALL_PRODUCTS"]

_SMALL = 64  # largest product of the two smaller sides; beyond, sums were measured to be slower


def _product(first: torch.Tensor, second: torch.Tensor) -> Any:
    """Multiply matrices (count, rows, inner) and (count, inner, columns), one by one."""
    sides = sorted((*first.shape[1:], second.shape[2]))
    if sides[0] * sides[1] > _SMALL:
        return NotImplemented  # torch's own is faster
    if first.shape[1] > second.shape[2]:  # the longest side goes last, so that the processor takes several at once
        return _product(second.transpose(1, 2), first.transpose(1, 2)).transpose(1, 2)
    return (first.unsqueeze(3) * second.unsqueeze(1)).sum(2)


SMALL_PRODUCTS = {torch.ops.aten.bmm.default: _product}
"""What `companion.machine.traced` writes in the place of products of small matrices."""
