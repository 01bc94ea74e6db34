"""Our Ops in PyTensor's linkers other than C and Python.

Numba runs them in object mode, as it would by itself, but without a warning that the user can do nothing about.
PyTensor's PYTORCH mode gets the torch function itself.

Explained in `book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from pytensor.graph.basic import Apply
from pytensor.graph.replace import _vectorize_node
from pytensor.link.numba.dispatch.basic import generate_fallback_impl, numba_funcify
from pytensor.link.pytorch.dispatch.basic import pytorch_funcify

from companion.bridge.functions import TorchFunction, Vjp, Vmapped
from companion.bridge.ops import TorchOp, TorchVjpOp
from companion.bridge.weighing import Weighted

__all__: list[str] = []


@numba_funcify.register(TorchOp)
@numba_funcify.register(TorchVjpOp)
@numba_funcify.register(Weighted)
def _numba(op: TorchOp | TorchVjpOp | Weighted, node: Apply[Any], **kwargs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Numba will use object mode", UserWarning)
        return generate_fallback_impl(op, node, **kwargs)


@pytorch_funcify.register(TorchOp)
def _pytorch(op: TorchOp, **kwargs: Any) -> Callable[..., Any]:
    function = _cast(op.function)

    def call(*tensors: torch.Tensor) -> Any:
        outputs = function(*tensors)
        if op.tape:  # torch's own autograd does what the handle is for
            return (*outputs, torch.zeros((), dtype=torch.int64))
        return outputs[0] if len(outputs) == 1 else outputs

    return call


@pytorch_funcify.register(TorchVjpOp)
def _pytorch_gradient(op: TorchVjpOp, node: Apply[Any], **kwargs: Any) -> Callable[..., Any]:
    function = _cast(Vjp(op.function, op.inputs))
    dtypes = [getattr(torch, out.type.dtype) for out in node.outputs]

    def call(handle: torch.Tensor, *tensors: torch.Tensor) -> Any:
        outputs = tuple(o.to(dtype) for o, dtype in zip(function(*tensors), dtypes, strict=True))
        return outputs[0] if len(outputs) == 1 else outputs

    return call


def _cast(function: TorchFunction) -> Callable[..., Any]:
    """Cast floating inputs to the function's dtype, as the Op does."""

    def cast(*tensors: torch.Tensor) -> Any:
        return function(*(t.to(function.dtype) if t.is_floating_point() else t for t in tensors))

    return cast


@_vectorize_node.register(TorchOp)
def _vectorize(op: TorchOp, node: Apply[Any], *batched: Any) -> Any:
    """Vectorise over draws with `torch.vmap`: one pass for all of them."""
    ndims = tuple(b.type.ndim - v.type.ndim for b, v in zip(batched, node.inputs, strict=True))
    if not any(ndims):
        return op.make_node(*batched)
    if op.tape:
        raise NotImplementedError(
            "a recorded forward pass can't be vectorised; vectorise the value, then differentiate"
        )
    return TorchOp(Vmapped(op.function, ndims)).make_node(*batched)
