"""Torch functions as PyTensor Ops: one forward pass serves the value and the gradient.

`TorchOp` computes the value. Its gradient asks for a second output, a handle, under which the autograd graph of the
forward pass is kept until `TorchVjpOp` walks it backwards; both Ops are plain functions of their inputs all the same,
because a handle that is no longer known makes the backward Op repeat the forward pass. Explained in
`book/reference/how_a_fit_works`, section "Lowering"; the shape of this file follows PyTensor's own
`pytensor.link.jax.ops`.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
import torch
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import node_rewriter
from pytensor.tensor.rewriting.basic import register_canonicalize, register_specialize
from pytensor.tensor.shape import Shape_i

from companion.bridge.functions import TorchFunction, Vjp
from companion.bridge.shapes import example_outputs, output_types
from companion.compat import node_and_shapes, with_both_gradient_names

__all__ = ["TorchOp", "TorchVjpOp", "is_float"]

Graph = Any  # a pytensor.Variable, whose type parameters say nothing here

# How many forward passes are kept: few, since each holds its activations in memory.
_TAPES = 8


class _Tape(NamedTuple):
    """A forward pass whose autograd graph is still there."""

    leaves: list[torch.Tensor]
    outputs: tuple[torch.Tensor, ...]


class _Tapes:
    """The last few forward passes by handle."""

    def __init__(self, limit: int = _TAPES) -> None:
        self._kept: OrderedDict[int, _Tape] = OrderedDict()
        self._count = itertools.count(1)
        self._limit = limit
        self._lock = Lock()

    def keep(self, tape: _Tape) -> int:
        with self._lock:
            handle = next(self._count)
            self._kept[handle] = tape
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        return handle

    def take(self, handle: int) -> _Tape | None:
        with self._lock:
            return self._kept.pop(handle, None)


_tapes = _Tapes()


@with_both_gradient_names
class TorchOp(Op):
    """A torch function as an Op: PyTensor hands it NumPy arrays, and gets NumPy arrays back.

    Parameters
    ----------
    function
        The torch function. Floating inputs are cast to its dtype and moved to its device.
    tape
        Whether the autograd graph is kept for the gradient; the handle to it is then the last output.
    """

    __props__ = ("function", "tape")

    def __init__(self, function: TorchFunction, tape: bool = False) -> None:
        self.function = function
        self.tape = tape

    def __str__(self) -> str:
        return f"Torch{{{self.function.label}}}"

    def make_node(self, *inputs: Graph) -> Apply[Any]:
        """Find the outputs' shapes and dtypes by a run on the meta device, which computes no values."""
        inputs = tuple(pt.as_tensor_variable(v) for v in inputs)
        outputs = [kind() for kind in output_types(self.function, inputs)]
        return Apply(self, list(inputs), [*outputs, pt.lscalar()] if self.tape else outputs)

    def perform(self, node: Apply[Any], inputs: Sequence[np.ndarray], output_storage: list[list[Any]]) -> None:
        """Run the function; with a tape, on leaves that autograd watches."""
        tensors = [_to_torch(a, self.function) for a in inputs]
        if not self.tape:
            with torch.no_grad():
                outputs = self.function(*tensors)
        else:
            tape = _record(self.function, tensors)
            outputs = tape.outputs
            output_storage[-1][0] = np.asarray(_tapes.keep(tape), dtype=np.int64)
        for storage, tensor, variable in zip(output_storage, outputs, node.outputs, strict=False):
            # Copied: what PyTensor does in place must reach neither saved activations nor the module's tensors.
            storage[0] = _to_numpy(tensor, variable.type.dtype).copy()

    def connection_pattern(self, node: Apply[Any]) -> list[list[bool]]:
        """Say that labels and indices have no gradient, and that none flows through the handle."""
        values = len(node.outputs) - self.tape
        return [[is_float(v)] * values + [False] * self.tape for v in node.inputs]

    def infer_shape(self, *arguments: Any) -> list[tuple[Any, ...]]:
        """Give the static shapes; dimensions that are unknown are read off the output."""
        node, _ = node_and_shapes(arguments)
        return [
            tuple(pt.constant(n, dtype="int64") if n is not None else Shape_i(i)(out) for i, n in enumerate(shape))
            for out in node.outputs
            for shape in [out.type.shape]
        ]

    def do_constant_folding(self, fgraph: Any, node: Apply[Any]) -> bool:
        """Refuse with a tape: a handle means something only while a function runs."""
        return not self.tape

    def L_op(self, inputs: Sequence[Graph], outputs: Sequence[Graph], output_grads: Sequence[Graph]) -> Any:
        """Build the gradient: a `TorchVjpOp` of a forward pass with a tape."""
        values = [out for out in outputs if not (self.tape and out is outputs[-1])]
        cotangents = [
            pt.zeros_like(out) if isinstance(g.type, DisconnectedType) else g
            for out, g in zip(values, output_grads, strict=False)
        ]
        handle = TorchOp(self.function, tape=True).make_node(*inputs).outputs[-1]
        gradients = iter(TorchVjpOp(self.function, len(inputs)).make_node(handle, *inputs, *cotangents).outputs)
        return [next(gradients) if is_float(v) else DisconnectedType()() for v in inputs]


@with_both_gradient_names
class TorchVjpOp(Op):
    """The vector-Jacobian product of a `TorchOp`.

    It takes a handle, the inputs and the cotangents, and gives the gradients of the floating inputs.

    Parameters
    ----------
    function
        The function that was run forward.
    inputs
        Number of its inputs; what follows them are the cotangents of its outputs.
    """

    __props__ = ("function", "inputs")

    def __init__(self, function: TorchFunction, inputs: int) -> None:
        self.function = function
        self.inputs = inputs

    def __str__(self) -> str:
        return f"TorchGradient{{{self.function.label}}}"

    def make_node(self, *inputs: Graph) -> Apply[Any]:
        """Give each gradient its input's own type."""
        handle, *rest = map(pt.as_tensor_variable, inputs)
        return Apply(self, [handle, *rest], [v.type() for v in rest[: self.inputs] if is_float(v)])

    def perform(self, node: Apply[Any], inputs: Sequence[np.ndarray], output_storage: list[list[Any]]) -> None:
        """Walk the kept autograd graph backwards; record it anew where it is gone."""
        handle, *arrays = inputs
        tape = _tapes.take(int(handle))
        if tape is None:
            tape = _record(self.function, [_to_torch(a, self.function) for a in arrays[: self.inputs]])
        cotangents = [
            _to_torch(a, self.function).to(o.dtype) for a, o in zip(arrays[self.inputs :], tape.outputs, strict=True)
        ]
        used = [(o, c) for o, c in zip(tape.outputs, cotangents, strict=True) if o.requires_grad]
        if used:
            gradients: Sequence[torch.Tensor] = torch.autograd.grad(
                [o for o, _ in used], tape.leaves, [c for _, c in used], allow_unused=True, materialize_grads=True
            )
        else:  # the outputs depend on no floating input
            gradients = [torch.zeros_like(leaf) for leaf in tape.leaves]
        seen = list(cotangents)
        for storage, gradient, variable in zip(output_storage, gradients, node.outputs, strict=True):
            array = _to_numpy(gradient, variable.type.dtype)
            shared = {t.untyped_storage().data_ptr() for t in seen}
            alone = gradient.is_contiguous() and gradient.untyped_storage().data_ptr() not in shared
            storage[0] = array if alone else array.copy()
            seen.append(gradient)

    def connection_pattern(self, node: Apply[Any]) -> list[list[bool]]:
        """Connect every floating input with every gradient, and the handle with none."""
        return [[i > 0 and is_float(v)] * len(node.outputs) for i, v in enumerate(node.inputs)]

    def infer_shape(self, *arguments: Any) -> list[Any]:
        """Give each gradient its input's shape."""
        node, shapes = node_and_shapes(arguments)
        own = slice(1, 1 + self.inputs)
        return [shape for v, shape in zip(node.inputs[own], shapes[own], strict=True) if is_float(v)]

    def L_op(self, inputs: Sequence[Graph], outputs: Sequence[Graph], output_grads: Sequence[Graph]) -> Any:
        """Differentiate once more, through `torch.func.vjp`."""
        _, *rest = inputs
        shapes = example_outputs(self.function, rest[: self.inputs])
        again = TorchOp(Vjp(self.function, self.inputs, shapes)).make_node(*rest)
        # The derivative at these arguments alone: what the cotangents depend on is PyTensor's part.
        return [DisconnectedType()(), *again.op.L_op(again.inputs, again.outputs, output_grads)]


@register_canonicalize
@register_specialize
@node_rewriter([TorchOp])  # type: ignore[untyped-decorator]
def share_forward_pass(fgraph: Any, node: Apply[Any]) -> list[Graph] | None:
    """Take the value of a function that is computed with a tape as well, of the same inputs."""
    if node.op.tape or not node.inputs:
        return None
    taped = TorchOp(node.op.function, tape=True)
    for client, _ in fgraph.clients[node.inputs[0]]:
        if client.op == taped and client.inputs == node.inputs:
            return list(client.outputs[:-1])
    return None


def _record(function: TorchFunction, tensors: Sequence[torch.Tensor]) -> _Tape:
    """Run a function forward under autograd."""
    with torch.enable_grad():
        tracked = [t.detach().requires_grad_() if t.is_floating_point() else t for t in tensors]
        outputs = function(*tracked)
    return _Tape([t for t in tracked if t.is_floating_point()], outputs)


def is_float(variable: Graph) -> bool:
    """Say whether a variable holds floating numbers, and so has a gradient."""
    return bool(variable.type.numpy_dtype.kind == "f")


def _to_torch(array: Any, function: TorchFunction) -> torch.Tensor:
    """Take an array over without a copy where that is possible, and cast it to the function's dtype."""
    array = np.asarray(array)
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    tensor = torch.from_numpy(array)
    return tensor.to(function.device, function.dtype if tensor.is_floating_point() else None)


def _to_numpy(tensor: torch.Tensor, dtype: str) -> np.ndarray:
    """Hand a result back; it may share the tensor's memory."""
    return np.asarray(tensor.detach().cpu().numpy()).astype(dtype, copy=False)
