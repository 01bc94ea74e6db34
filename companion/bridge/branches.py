"""Choices between values whose gradient is that of the chosen one alone.

Where a density is chosen from several formulas, torch differentiates them all and multiplies those that weren't chosen
by zero; one that is infinite there makes that NaN. PyTensor's own gradient leaves them out. Explained in
`book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor import scalar as ps
from pytensor.graph.basic import Apply
from pytensor.graph.fg import FunctionGraph
from pytensor.tensor.elemwise import Elemwise

__all__ = ["guard_branches"]

Graph = Any  # a pytensor.Variable, whose type parameters say nothing here
Node = Apply[Any]

# Functions that are or have derivatives that are infinite somewhere, and which of their inputs makes them so. All are
# finite at 1.
_INFINITE: dict[type, int] = {
    ps.Log: 0, ps.Log1p: 0, ps.Log2: 0, ps.Log10: 0, ps.Sqrt: 0, ps.Exp: 0, ps.Expm1: 0, ps.Pow: 0, ps.Reciprocal: 0,
    ps.TrueDiv: 1, ps.math.Erfcx: 0, ps.math.GammaLn: 0,
}  # fmt: skip


def guard_branches(graph: FunctionGraph) -> None:
    """Compute each branch of a choice at 1 where it isn't chosen, as far as such functions stand in it.

    Parameters
    ----------
    graph
        The graph, which is changed.
    """
    for node in reversed(graph.toposort()):
        if not (isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, ps.Switch)):
            continue
        for branch in (1, 2):
            for inner in _only_for(graph, node, branch):
                at = _INFINITE.get(type(inner.op.scalar_op))
                if at is not None:
                    _guard(graph, node.inputs[0], branch, inner, at)


def _guard(graph: FunctionGraph, condition: Graph, branch: int, node: Node, at: int) -> None:
    """Give a function the number 1 where its branch isn't chosen."""
    value = node.inputs[at]
    if value.type.numpy_dtype.kind != "f":
        return
    one = pt.constant(np.ones((), value.type.dtype))
    chosen: Graph = pt.switch(condition, value, one) if branch == 1 else pt.switch(condition, one, value)
    if chosen.type.ndim == value.type.ndim and chosen.type.broadcastable == value.type.broadcastable:
        graph.change_node_input(node, at, chosen, reason="guarded branch", import_missing=True, check=False)


def _only_for(graph: FunctionGraph, choice: Node, branch: int) -> list[Node]:
    """List the elementwise nodes that are computed for one branch of a choice and nothing else."""
    inside: list[Node] = []
    waiting = [choice.inputs[branch]]
    while waiting:
        node = waiting.pop().owner
        if node is None or node in inside or not isinstance(node.op, Elemwise):
            continue
        clients = [client for out in node.outputs for client in graph.clients[out]]
        if all(user in inside or (user is choice and i == branch) for user, i in clients):
            inside.append(node)
            waiting += node.inputs
    return inside
