"""A traced graph computed with the rows of its matrices last in memory.

A network computes with matrices (rows, units) of many rows and few units. Laid out with the rows last, all of its loops
go along the rows, as processors do best. Explained in `book/reference/how_a_fit_works`, section "The machine".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.node import map_aggregate

__all__ = ["held", "rows_last"]

Function = Callable[..., Any]

_MANY = 64  # rows of a matrix that is worth turning
_FEW = 4  # units, below which loops beside other work are faster than a call of a matrix product
_CLASSES = 16  # units among which an entry of each row is found by comparing

_aten = torch.ops.aten
_POINTWISE = {
    _aten.abs.default, _aten.add.Tensor, _aten.clamp.default, _aten.clamp_min.default, _aten.div.Tensor,
    _aten.elu.default, _aten.elu_backward.default, _aten.eq.Tensor, _aten.exp.default, _aten.ge.Scalar, _aten.ge.Tensor,
    _aten.gelu.default, _aten.gelu_backward.default, _aten.gt.Scalar, _aten.gt.Tensor, _aten.le.Scalar, _aten.le.Tensor,
    _aten.log.default, _aten.lt.Scalar, _aten.lt.Tensor, _aten.maximum.default, _aten.minimum.default, _aten.mul.Scalar,
    _aten.mul.Tensor, _aten.neg.default, _aten.pow.Tensor_Scalar, _aten.relu.default, _aten.rsub.Scalar,
    _aten.sigmoid.default, _aten.sigmoid_backward.default, _aten.silu.default, _aten.silu_backward.default,
    _aten.softplus.default, _aten.softplus_backward.default, _aten.sub.Tensor, _aten.tanh.default,
    _aten.tanh_backward.default, _aten.threshold_backward.default, _aten.where.self,
}  # fmt: skip
_REDUCTIONS = {_aten.sum.dim_IntList, _aten.mean.dim, _aten.all.dims, _aten.amax.default}
_ALONG = {_aten._softmax.default: 1, _aten._log_softmax.default: 1, _aten._log_softmax_backward_data.default: 2,
          _aten._softmax_backward_data.default: 2}  # fmt: skip
_PRODUCTS = {_aten.mm.default, _aten.bmm.default, _aten.addmm.default}


def rows_last(graph: GraphModule) -> Function:
    """Make a function that computes what a graph does, but for rounding, with the rows of its matrices last.

    Parameters
    ----------
    graph
        Traced graph that changes none of its arguments. A product that has many rows is computed as the transpose,
        and so is what follows from it; products with few units become loops. It is there to be traced again.
    """
    if any("convolution" in str(node.target) for node in graph.graph.nodes):
        return graph  # it wants its own layout
    return lambda *arguments: _RowsLast(graph).run(*arguments)


def held(values: torch.Tensor) -> torch.Tensor:
    """Have a compiled graph keep values in memory, where it would compute them anew at each use."""
    values = values.contiguous()
    return values.as_strided(values.shape, values.stride())


class _Turned:
    """A matrix (..., rows, units), by the matrix (..., units, rows) that is in memory."""

    def __init__(self, units_first: torch.Tensor) -> None:
        self.units_first = units_first

    @property
    def plain(self) -> torch.Tensor:
        return self.units_first.mT.contiguous()


class _RowsLast(Interpreter):
    """Call the operations of a graph, with turned matrices where an operation knows what to do with them."""

    def __init__(self, graph: GraphModule) -> None:
        super().__init__(graph)
        self._narrow: dict[Node, torch.Tensor] = {}

    def run_node(self, n: Node) -> Any:
        self._node = n
        return super().run_node(n)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        found = NotImplemented if kwargs and target not in _POINTWISE else self._turned(target, args, kwargs)
        return super().call_function(target, _plain(args), _plain(kwargs)) if found is NotImplemented else found

    def output(self, target: Any, args: Any, kwargs: Any) -> Any:
        return super().output(target, _plain(args), kwargs)

    def _turned(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Carry an operation out on turned matrices, if it is one of those that can be."""
        if target in _PRODUCTS:
            return self._product(target, *args)
        if target is _aten.t.default or target is _aten.transpose.int:
            return _transposed(*args)
        if target is _aten.index_put.default:
            return self._put(*args)
        if not any(isinstance(a, _Turned) for a in args):
            return NotImplemented
        if target in _POINTWISE:
            return _Turned(target(*map(_aligned, args), **kwargs))
        if target in _ALONG:
            at = _ALONG[target]
            dim = _other(args[at], _dims(args[0]))
            return _Turned(target(*(_units_first(a) for a in args[:at]), dim, *args[at + 1 :]))
        if target in _REDUCTIONS:
            return _reduced(target, *args)
        if target is _aten.expand.default and isinstance(args[0], _Turned):
            *before, rows, units = args[1]
            return _Turned(args[0].units_first.expand(*before, units, rows))
        if target is _aten.index.Tensor:
            return self._taken(*args)
        return NotImplemented

    def _product(self, target: Any, *args: Any) -> Any:
        bias, a, b = args if target is _aten.addmm.default else (None, *args)
        rows, inner = _shape(a)[-2:]
        units = _shape(b)[-1]
        if rows >= _MANY and rows > units:
            found = _of_units(self._units_first(a, -2), _plain(b))
            if bias is None:
                return _Turned(found)
            return _Turned(found + _aligned(bias)) if bias.ndim == 1 else NotImplemented
        if bias is None and inner >= _MANY and inner > max(rows, units):
            return _over_rows(_plain(a), self._units_first(b, -1))
        return NotImplemented

    def _units_first(self, matrix: Any, at: int) -> torch.Tensor:
        """Give a factor of a product with its units first; narrow ones are copied, once."""
        if isinstance(matrix, _Turned):
            return matrix.units_first
        if matrix.shape[-1] > _FEW:
            return matrix.mT
        node = self._node.args[at]
        assert isinstance(node, Node)
        if node not in self._narrow:
            same = matrix.ndim > 2 and not any(matrix.stride()[:-2])  # for all that lie side by side
            one = held((matrix[(0,) * (matrix.ndim - 2)] if same else matrix).mT)
            self._narrow[node] = one.expand(matrix.mT.shape)
        return self._narrow[node]

    def _taken(self, matrix: Any, index: Any) -> Any:
        """Take one entry of each row."""
        if not isinstance(matrix, _Turned) or not self._one_of_each_row(matrix, index):
            return NotImplemented
        chosen = _chosen(index[-1], _shape(matrix)[-1])
        return torch.where(chosen, matrix.units_first, 0).sum(-2)[..., None]

    def _put(self, matrix: Any, index: Any, values: Any, accumulate: bool = False) -> Any:
        """Add to one entry of each row."""
        if not accumulate or _dims(matrix) < 2 or not self._one_of_each_row(matrix, index):
            return NotImplemented
        chosen = _chosen(index[-1], _shape(matrix)[-1])
        return _Turned(_units_first(matrix) + torch.where(chosen, _plain(values).mT, 0))

    def _one_of_each_row(self, matrix: Any, index: Any) -> bool:
        """Tell whether an index of rows and units, both (rows, 1), takes all rows in their order."""
        rows, units = _shape(matrix)[-2:]
        given: Any = self._node.args[1]
        return (
            len(index) == _dims(matrix)
            and all(i is None for i in index[:-2])
            and rows >= _MANY
            and units <= _CLASSES
            and all(isinstance(i, torch.Tensor) and i.shape == (rows, 1) for i in index[-2:])
            and given[-2].op == "get_attr"  # a constant
            and np.array_equal(index[-2].numpy()[:, 0], np.arange(rows))
        )


def _plain(values: Any) -> Any:
    return map_aggregate(values, lambda v: v.plain if isinstance(v, _Turned) else v)


def _shape(matrix: Any) -> tuple[int, ...]:
    if isinstance(matrix, _Turned):
        *before, units, rows = matrix.units_first.shape
        return (*before, rows, units)
    return tuple(matrix.shape)


def _dims(matrix: Any) -> int:
    return len(_shape(matrix))


def _units_first(matrix: Any) -> torch.Tensor:
    return matrix.units_first if isinstance(matrix, _Turned) else matrix.mT


def _aligned(value: Any) -> Any:
    """Give an operand as it meets a turned matrix."""
    if isinstance(value, torch.Tensor) and value.ndim == 1:
        return value[:, None]
    matrix = isinstance(value, _Turned) or (isinstance(value, torch.Tensor) and value.ndim > 1)
    return _units_first(value) if matrix else value


def _other(dim: int, dims: int) -> int:
    """Say where one of the last two dimensions lies in a turned matrix; others stay."""
    dim %= dims
    return {dims - 1: dims - 2, dims - 2: dims - 1}.get(dim, dim)


def _transposed(matrix: Any, *which: int) -> Any:
    dims = _dims(matrix)
    if dims < 2 or {d % dims for d in which or (0, 1)} != {dims - 2, dims - 1}:
        return NotImplemented
    if isinstance(matrix, _Turned):
        return matrix.units_first
    units, rows = matrix.shape[-2:]
    return _Turned(matrix) if rows >= _MANY and rows > units else NotImplemented


def _reduced(target: Any, matrix: Any, dims: Any = (), keep: bool = False, **how: Any) -> Any:
    count = _dims(matrix)
    turned = [_other(d, count) for d in dims] if dims else list(range(count))
    if all(d < count - 2 for d in turned):  # what is left is a matrix still
        return NotImplemented
    found = target(matrix.units_first, turned, keep)
    return found.mT if keep else found


def _of_units(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Multiply a (..., inner, rows), units first, by b (..., inner, units); gives (..., units, rows)."""
    inner, units = b.shape[-2:]
    if inner <= _FEW:
        parts = [b[..., k, :, None] * a[..., k, None, :] for k in range(inner)]
        return sum(parts[1:], start=parts[0])
    if units <= _FEW:
        return (b.mT[..., None] * a[..., None, :, :]).sum(-2)
    return _matrix_product(b.mT, a)


def _over_rows(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Multiply a (..., m, rows) by b (..., n, rows), both with their rows last, to (..., m, n)."""
    if min(a.shape[-2], b.shape[-2]) <= _FEW:
        return (a[..., :, None, :] * b[..., None, :, :]).sum(-1)
    return _matrix_product(a, b.mT)


def _matrix_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.mm(a, b) if a.ndim == 2 else torch.bmm(a, b)


def _chosen(unit: torch.Tensor, units: int) -> torch.Tensor:
    """Say which of the units (units, rows) is that of each row (rows, 1)."""
    unit = torch.where(unit < 0, unit + units, unit)  # counted from the end
    return torch.arange(units, dtype=unit.dtype)[:, None] == unit.mT
