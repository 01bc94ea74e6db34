"""Converts a PyTensor graph to one torch function, which is differentiable and vectorisable, in one floating dtype.

PyTensor's PYTORCH mode knows most Ops; this adds those that it lacks, replaces those that `torch.vmap` or autograd
can't take, and keeps every number in the dtype and on the device of the fit. Explained in
`book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
import torch
from pymc.logprob.utils import local_check_parameter_to_ninf_switch
from pytensor import scalar as ps
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.mode import PYTORCH
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.ifelse import IfElse
from pytensor.link.pytorch.dispatch.basic import pytorch_funcify
from pytensor.link.utils import fgraph_to_python
from pytensor.raise_op import CheckAndRaise
from pytensor.scan.op import Scan
from pytensor.tensor.basic import Alloc, AllocEmpty, ARange, ExtractDiag, Eye, MakeVector
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import Reshape, SpecifyShape
from pytensor.tensor.subtensor import indices_from_subtensor

from companion.bridge.branches import guard_branches
from companion.bridge.counterparts import ELEMENTWISE, LINEAR_ALGEBRA, backwards, dimshuffle, log_erfc
from companion.bridge.loops import chosen, scan
from companion.bridge.ops import TorchOp, is_float
from companion.bridge.sources import is_tensor
from companion.bridge.special import spline
from companion.compat import op_kind, thawed
from companion.errors import ModelError

__all__ = ["LoweringError", "lower"]

Torch = Callable[..., Any]
Graph = Any  # a pytensor.Variable, whose type parameters say nothing here


# Powers stay powers: nested squares would be one Op with a graph inside, which PYTORCH mode can't convert. The
# logarithm of erfc stays one: PyTensor's series for it holds from a number on that is right in float64 alone.
_MODE = PYTORCH.excluding("local_pow_to_nested_squaring", "local_log_erfc")
_REWRITES = _MODE.optimizer
# What an Op such as PyTensor 3's LogSumExp consists of must not be taken for that very Op again, without end.
_INSIDE = _MODE.excluding("symbolic_op_recognition").optimizer

# Relative rounding that a check of a parameter must bear, in units of the dtype's epsilon.
_ROUNDING = 1024

# Ops that write into a part of an array, by name as well.
_INCREMENTS = frozenset({"IncSubtensor", "AdvancedIncSubtensor", "AdvancedIncSubtensor1"})


class LoweringError(ModelError):
    """Something in a model's graph has no torch counterpart."""


def lower(
    inputs: Sequence[Graph],
    outputs: Sequence[Graph],
    *,
    dtype: torch.dtype,
    device: torch.device,
    inside: bool = False,
) -> Torch:
    """Convert a graph to a torch function.

    Parameters
    ----------
    inputs, outputs
        Inputs and outputs of the graph. Everything else that it reads must be a constant.
    dtype
        Dtype of every floating number in it.
    device
        Device on which its constants lie.
    inside
        Whether the graph is that inside an Op.

    Returns
    -------
    callable
        A function of one tensor per input, which gives a tuple of one tensor per output.

    Raises
    ------
    LoweringError
        If an Op has no torch counterpart; the message names it, the variable that it computes and what to do.
    """
    graph = FunctionGraph(list(inputs), list(outputs), clone=True)
    _without_raising(graph, torch.finfo(dtype).eps * _ROUNDING)
    (_INSIDE if inside else _REWRITES).rewrite(graph)
    _with_log_erfc(graph)
    guard_branches(graph)

    def convert(op: Any, *, node: Apply[Any] | None = None, **kwargs: Any) -> Torch:
        if node is None:
            return pytorch_funcify(op, node=node, **kwargs)
        if isinstance(op, TorchOp):
            return _module(op, dtype, device)
        if isinstance(op, Scan):
            if op.info.as_while:
                raise _refusal(op, node)
            step = thawed(op.fgraph)
            return scan(op, lower(step.inputs, step.outputs, dtype=dtype, device=device))
        if isinstance(op, OpFromGraph):
            own = thawed(op.fgraph)
            whole = lower(own.inputs, own.outputs, dtype=dtype, device=device, inside=True)
            return whole if len(own.outputs) > 1 else lambda *tensors: whole(*tensors)[0]
        if op_kind(op) == "SplineWrapper":
            return spline(op.spline, dtype, device)
        if isinstance(op, MakeVector) and node.outputs[0].type.dtype == "bool":  # conditions, some of them constants
            return lambda *xs: torch.stack([torch.as_tensor(x, device=device) for x in xs])
        if isinstance(op, MakeVector) and _is_a_shape(graph, node.outputs[0]):
            return lambda *sizes: tuple(int(n) for n in sizes)
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
    lowered = fgraph_to_python(graph, convert, type_conversion_fn=typify, fgraph_name="lowered")
    return lambda *tensors: tuple(lowered(*tensors))


def _without_raising(graph: FunctionGraph, tolerance: float) -> None:
    """Make checks of parameters choices between the density and minus infinity, as `model.compile_logp` does.

    Branching on a tensor would break `torch.vmap` and compilation. Where a check compares with a smaller number than
    the dtype resolves, such as whether values sum to zero, it compares with `tolerance` instead.
    """
    for node in graph.toposort():
        if not isinstance(node.op, CheckAndRaise):
            continue
        value, *conditions = node.inputs
        tiny = [
            v
            for v in ancestors(conditions)
            if isinstance(v, Constant) and is_tensor(v) and is_float(v) and v.data.size == 1 and 0 < v.data < tolerance
        ]
        enough: dict[Graph, Graph] = {v: pt.constant(np.full_like(v.data, tolerance)) for v in tiny}
        checked: Graph = node.op(value, *clone_replace(conditions, enough)) if enough else node.outputs[0]
        instead = local_check_parameter_to_ninf_switch.transform(graph, checked.owner)
        graph.replace(node.outputs[0], instead[0] if instead else value, reason="no raising in torch")


def _with_log_erfc(graph: FunctionGraph) -> None:
    """Compute the logarithm of erfc in one go."""
    for node in graph.toposort():
        inner = node.inputs[0].owner if _is_scalar(node, ps.Log) else None
        if inner is not None and _is_scalar(inner, ps.math.Erfc):
            together: Graph = Elemwise(log_erfc)(inner.inputs[0])
            graph.replace(node.outputs[0], together, reason="log erfc")


def _is_scalar(node: Apply[Any], kind: type) -> bool:
    return isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, kind)


def _is_a_shape(graph: FunctionGraph, vector: Graph) -> bool:
    """Say whether a vector is nothing but shapes to be taken: as numbers they leave the computation one graph."""
    return all(isinstance(node.op, Reshape) and at == 1 for node, at in graph.clients[vector])


def _counterpart(op: Any, node: Apply[Any], dtype: torch.dtype, kwargs: dict[str, Any]) -> Torch:
    """Find the torch function for one node."""
    if isinstance(op, Elemwise):
        scalar = op.scalar_op
        if isinstance(scalar, ps.Cast):
            to = getattr(torch, scalar.o_type.dtype)
            kind = dtype if to.is_floating_point else to
            return lambda x: x.to(kind)
        found = next((ELEMENTWISE[kind] for kind in type(scalar).__mro__ if kind in ELEMENTWISE), None)
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
        return lambda x: dimshuffle(x, op)
    if isinstance(op, IfElse):
        return chosen(op.n_outs)
    core = op.core_op if isinstance(op, Blockwise) else op  # torch takes batches of matrices as they are
    if isinstance(core, Dot):
        return _with_floats(torch.matmul, dtype) if is_float(node.outputs[0]) else torch.matmul
    if (known := LINEAR_ALGEBRA.get(op_kind(core))) is not None:
        return known(core)
    if op_kind(op) == "Subtensor" and (indices := _constant_indices(op, node)) is not None:
        return lambda x, *_: backwards(x, indices)
    found = _converted(op, node, kwargs)
    if op_kind(op) in _INCREMENTS:
        # vmap can't write a batch into what has none: the sum of zeros gives it one
        return lambda x, y, *at: found(x + torch.zeros_like(y).sum().to(x.dtype), y, *at)
    return found


def _constant_indices(op: Any, node: Apply[Any]) -> list[Any] | None:
    """Give the indices of a part of an array where one of them is a slice that goes backwards."""
    if not all(isinstance(v, Constant) for v in node.inputs[1:]):
        return None
    constants: list[Any] = node.inputs[1:]
    numbers: Any = [int(v.data) for v in constants]
    indices = indices_from_subtensor(numbers, op.idx_list)
    backward = any(isinstance(i, slice) and i.step is not None and i.step < 0 for i in indices)
    return list(indices) if backward else None


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


def _refusal(op: Any, node: Apply[Any]) -> LoweringError:
    """Name the Op, the variable and what to use instead."""
    out = node.outputs[0]
    named = out.name or next((v.name for v in ancestors([out]) if v.name and v is not out), None)
    where = f"variable {named!r}" if out.name or not named else f"variable computed from {named!r}"
    return LoweringError(
        f"the Op {op} ({op_kind(op)}), which computes the {where} of shape {out.type.shape}, has no torch "
        "counterpart. Express it with elementwise functions, sums and matrix products, put it into a torch.nn.Module "
        "with companion.bridge.wrap_torch, or fit the model with pymc.fit or companion.inference.fit_advi instead."
    )
