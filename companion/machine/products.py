"""Products of many small matrices, written as sums that a compiler fuses with what comes before and after.

A library of matrix products is called for each of them, and its result goes through the memory. Explained in
`book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.fx import GraphModule

from companion.machine.tracing import traced

__all__ = ["products_as_sums"]

# Largest smallest side of a product, and largest product of its two smaller sides. Where a graph has larger ones, as
# that of a network with two layers has, sums were measured to be slower: the compiler computes what goes into them anew
# for each number that comes out.
_THIN, _SMALL = 4, 128


def products_as_sums(graph: GraphModule, arguments: Sequence[torch.Tensor]) -> GraphModule:
    """Write the products of matrices side by side as sums, where all of them are small.

    Parameters
    ----------
    graph
        Traced graph of torch's own operations, with the shapes of its nodes.
    arguments
        Example of its arguments.

    Returns
    -------
    torch.fx.GraphModule
        The graph as it is, or one that computes the same.
    """
    products = [node for node in graph.graph.nodes if node.target is torch.ops.aten.bmm.default]
    shapes = [tuple(operand.meta["val"].shape for operand in node.args) for node in products]
    if not products or not all(_is_small(*pair) for pair in shapes):
        return graph
    return traced(graph, arguments, {torch.ops.aten.bmm.default: _as_sum})


def _is_small(first: Sequence[int], second: Sequence[int]) -> bool:
    sides = sorted((*first[1:], second[2]))
    return sides[0] <= _THIN and sides[0] * sides[1] <= _SMALL


def _as_sum(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Multiply matrices (count, rows, inner) and (count, inner, columns), one by one."""
    if first.shape[1] > second.shape[2]:  # the longer side goes last, so that the processor takes several at once
        return _as_sum(second.transpose(1, 2), first.transpose(1, 2)).transpose(1, 2)
    return (first.unsqueeze(3) * second.unsqueeze(1)).sum(2)
