"""A PyTensor graph in, one torch function out: differentiable, vectorisable by `torch.vmap`, in one floating dtype.

PyTensor's PYTORCH mode knows most Ops; this adds those that it lacks, replaces those that `torch.vmap` or autograd
can't take, and keeps every number in the dtype and on the device of the fit. Explained in the chapter
`book/mnist/dense`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from pymc.logprob.utils import local_check_parameter_to_ninf_switch
from pytensor import scalar as ps
from pytensor.compile.mode import PYTORCH
from pytensor.graph.basic import Apply
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.traversal import ancestors
from pytensor.link.pytorch.dispatch.basic import pytorch_funcify
from pytensor.link.utils import fgraph_to_python
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor.basic import Alloc, AllocEmpty, ARange, ExtractDiag, Eye, MakeVector
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import SpecifyShape
from torch.nn import functional

from companion.bridge.ops import TorchOp, is_float
from companion.compat import op_kind
from companion.errors import ModelError

__all__ = ["lower"]

Torch = Callable[..., Any]
Graph = Any  # a pytensor.Variable, whose type parameters say nothing here


# Torch's softplus turns linear from a threshold on, 20 by default; the exact one never does.
_NEVER_LINEAR = 1e9


def _log1mexp(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x < -math.log(2), torch.log1p(-torch.exp(x)), torch.log(-torch.expm1(x)))


# Elementwise Ops whose own conversion is missing, loops over elements, or branches on a tensor's value.
_ELEMENTWISE: dict[type, Torch] = {
    ps.Switch: lambda c, a, b: torch.where(torch.as_tensor(c).bool(), a, b),
    ps.Clip: lambda x, low, high: torch.minimum(torch.maximum(x, low), high),
    ps.EQ: torch.eq,  # PyTensor takes torch.equal, which compares whole tensors
    ps.NEQ: torch.ne,
    ps.Identity: lambda x: x,
    ps.Second: lambda a, b: torch.broadcast_tensors(a, b)[1],
    ps.Mod: torch.remainder,
    ps.Pow: torch.pow,
    ps.Reciprocal: torch.reciprocal,
    ps.Sqr: torch.square,
    ps.Add: lambda *xs: sum(xs[1:], start=xs[0]),
    ps.Mul: lambda *xs: _product(xs),
    ps.AND: torch.logical_and,
    ps.OR: torch.logical_or,
    ps.XOR: torch.logical_xor,
    ps.math.Sigmoid: torch.sigmoid,
    ps.math.Softplus: lambda x: functional.softplus(x, threshold=_NEVER_LINEAR),
    ps.math.GammaLn: torch.lgamma,
    ps.math.Psi: torch.digamma,
    ps.math.Erf: torch.erf,
    ps.math.Erfc: torch.erfc,
    ps.math.Log1mexp: _log1mexp,
}

# Powers stay powers: nested squares would be one Op with a graph inside, which PYTORCH mode can't convert.
_REWRITES = PYTORCH.excluding("local_pow_to_nested_squaring").optimizer

# Linear algebra that PyTensor's PYTORCH mode lacks, by the name of the Op's class.
_LINEAR_ALGEBRA: dict[str, Callable[[Any], Torch]] = {
    "Solve": lambda op: lambda a, b: _by_columns(torch.linalg.solve, op, a, b),
    "Cholesky": lambda op: lambda a: torch.linalg.cholesky(a, upper=not op.lower),
    "SolveTriangular": lambda op: (
        lambda a, b: _by_columns(
            partial(torch.linalg.solve_triangular, upper=not op.lower, unitriangular=op.unit_diagonal), op, a, b
        )
    ),
}

# Ops that write into a part of an array, by name as well.
_INCREMENTS = frozenset({"IncSubtensor", "AdvancedIncSubtensor", "AdvancedIncSubtensor1"})


def lower(inputs: Sequence[Graph], outputs: Sequence[Graph], *, dtype: torch.dtype, device: torch.device) -> Torch:
    """Convert a graph to a torch function.

    Parameters
    ----------
    inputs, outputs
        Of the graph. Everything else that it reads must be a constant.
    dtype
        Of every floating number in it.
    device
        Where its constants lie.

    Returns
    -------
    callable
        Tensors, one an input, to a tuple of tensors, one an output.

    Raises
    ------
    ModelError
        If an Op has no torch counterpart; the message names it, the variable that it computes and what to do.
    """
    graph = FunctionGraph(list(inputs), list(outputs), clone=True)
    for node in graph.toposort():
        if isinstance(node.op, CheckAndRaise):  # branching on a tensor breaks vmap and compilation
            instead = local_check_parameter_to_ninf_switch.transform(graph, node)  # as `model.compile_logp` does
            graph.replace(node.outputs[0], instead[0] if instead else node.inputs[0], reason="no raising in torch")
    _REWRITES.rewrite(graph)

    def convert(op: Any, *, node: Apply[Any] | None = None, **kwargs: Any) -> Torch:
        if node is None:
            whole: Torch = pytorch_funcify(op, node=node, **kwargs)
            return whole
        if isinstance(op, TorchOp):
            return _module(op, dtype, device)
        if isinstance(op, MakeVector) and node.outputs[0].type.dtype == "bool":  # conditions, some of them constants
            return lambda *xs: torch.stack([torch.as_tensor(x, device=device) for x in xs])
        found = _counterpart(op, node, dtype, kwargs)
        return _placed(found, dtype, device) if isinstance(op, AllocEmpty | ARange | Eye) else found

    def typify(data: Any, **kwargs: Any) -> Any:
        if not isinstance(data, np.ndarray | np.generic):
            return data
        array = np.array(data)
        if array.dtype.kind == "f":
            return torch.from_numpy(array).to(device, dtype)
        return torch.from_numpy(array).to(device if array.ndim else "cpu")  # a size is read without waiting for a GPU

    if not outputs:
        return lambda *tensors: ()
    function = fgraph_to_python(graph, convert, type_conversion_fn=typify, fgraph_name="lowered")
    return lambda *tensors: tuple(function(*tensors))


def _counterpart(op: Any, node: Apply[Any], dtype: torch.dtype, kwargs: dict[str, Any]) -> Torch:
    """Find the torch function for one node."""
    if isinstance(op, Elemwise):
        scalar = op.scalar_op
        if isinstance(scalar, ps.Cast):
            to = getattr(torch, scalar.o_type.dtype)
            kind = dtype if to.is_floating_point else to
            return lambda x: x.to(kind)
        found = next((_ELEMENTWISE[kind] for kind in type(scalar).__mro__ if kind in _ELEMENTWISE), None)
        if found is None:
            found = _converted(op, node, kwargs)
        mixed = is_float(node.outputs[0]) and not all(map(is_float, node.inputs))
        return _with_floats(found, dtype) if mixed and not isinstance(scalar, ps.Switch) else found
    if isinstance(op, Alloc):
        return lambda value, *shape: value.expand(tuple(int(n) for n in shape))
    if isinstance(op, SpecifyShape):  # comparing would wait for a GPU; a wrong shape fails where it matters
        return lambda x, *shape: x
    if isinstance(op, ExtractDiag):
        return lambda a: torch.diagonal(a, op.offset, op.axis1, op.axis2)
    if isinstance(op, MakeVector):
        return lambda *xs: torch.stack([torch.as_tensor(x) for x in xs])
    if isinstance(op, DimShuffle):
        return lambda x: _dimshuffle(x, op)
    core = op.core_op if isinstance(op, Blockwise) else op  # torch takes batches of matrices as they are
    if isinstance(core, Dot):
        return _with_floats(torch.matmul, dtype) if is_float(node.outputs[0]) else torch.matmul
    if (known := _LINEAR_ALGEBRA.get(op_kind(core))) is not None:
        return known(core)
    found = _converted(op, node, kwargs)
    if op_kind(op) in _INCREMENTS:
        # vmap can't write a batch into what has none: the sum of zeros gives it one
        return lambda x, y, *at: found(x + torch.zeros_like(y).sum().to(x.dtype), y, *at)
    return found


def _module(op: TorchOp, dtype: torch.dtype, device: torch.device) -> Torch:
    """Take a wrapped function as it is, its frozen parameters in the dtype and on the device of the rest."""
    function = op.function.to(device, dtype)

    def call(*tensors: torch.Tensor) -> Any:
        outputs = tuple(o.to(dtype) if o.is_floating_point() else o for o in function(*tensors))
        return outputs[0] if len(outputs) == 1 else outputs

    return call


def _placed(create: Torch, dtype: torch.dtype, device: torch.device) -> Torch:
    """Make a new tensor one of this computation: PyTensor would take its own dtype, and the host."""

    def place(*sizes: Any) -> Any:
        tensor = create(*sizes)
        return tensor.to(device, dtype if tensor.is_floating_point() else None)

    return place


def _converted(op: Any, node: Apply[Any], kwargs: dict[str, Any]) -> Torch:
    """Take PyTensor's own conversion."""
    try:
        function: Torch = pytorch_funcify(op, node=node, **kwargs)
    except (NotImplementedError, AttributeError) as error:
        raise _refusal(op, node) from error
    return function


def _with_floats(function: Torch, dtype: torch.dtype) -> Torch:
    """Cast integers first: torch would take a function of integers in its default dtype."""

    def cast(*xs: Any) -> Any:
        tensors = [torch.as_tensor(x) for x in xs]
        return function(*(t if t.is_floating_point() else t.to(dtype) for t in tensors))

    return cast


def _refusal(op: Any, node: Apply[Any]) -> ModelError:
    """Name the Op, the variable and what to use instead."""
    out = node.outputs[0]
    named = out.name or next((v.name for v in ancestors([out]) if v.name and v is not out), None)
    where = f"variable {named!r}" if out.name or not named else f"variable computed from {named!r}"
    return ModelError(
        f"the Op {op} ({op_kind(op)}), which computes the {where} of shape {out.type.shape}, has no torch "
        "counterpart. Express it with elementwise functions, sums and matrix products, put it into a torch.nn.Module "
        "with companion.bridge.wrap_torch, or fit the model with pymc.fit or companion.inference.fit_advi instead."
    )


def _product(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    product = tensors[0]
    for tensor in tensors[1:]:
        product = product * tensor
    return product


def _by_columns(solve: Torch, op: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Solve for a vector as for a matrix of one column; without the dimension, vmap couldn't tell the two apart."""
    x: torch.Tensor = solve(a, b.unsqueeze(-1) if op.b_ndim == 1 else b)
    return x.squeeze(-1) if op.b_ndim == 1 else x


def _dimshuffle(x: torch.Tensor, op: DimShuffle) -> torch.Tensor:
    """Permute, drop and add dimensions without a reshape, which would copy under `torch.vmap`."""
    x = x.squeeze(op.drop) if op.drop else x
    x = x.permute(list(op.shuffle)) if not op.drop else x.permute(_ranks(op.shuffle))
    for at in op.augment:
        x = x.unsqueeze(at)
    return x


def _ranks(shuffle: Sequence[int]) -> list[int]:
    """Renumber the kept dimensions after others were dropped."""
    order = sorted(shuffle)
    return [order.index(i) for i in shuffle]
