"""Static shapes: a torch function and PyTensor inputs in, the types of the outputs out, without computing a value.

The function runs on torch's meta device, where tensors have a shape and a dtype and nothing else. Explained in the
chapter `book/mnist/dense`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.tensor.type import TensorType

from companion.bridge.functions import ModuleCall, Shape, TorchFunction
from companion.errors import ModelError

__all__ = ["example_outputs", "module_call", "output_types"]

# For rows whose number nobody knows, and how far to move a size to see what moves with it.
_GUESS, _MOVE = 7, 11

Outputs = list[tuple[Shape, torch.dtype]]


def output_types(function: TorchFunction, inputs: Sequence[Any]) -> list[TensorType]:
    """Infer the outputs' types.

    A dimension of an output is static unless it moves with an unknown dimension of an input.

    Raises
    ------
    ModelError
        If the function refuses inputs of these shapes.
    """
    meta = function.to("meta")
    dtypes = [v.type.dtype for v in inputs]
    known = [
        tuple(e if n is None else n for n, e in zip(v.type.shape, example, strict=True))
        for v, example in zip(inputs, function.example, strict=True)
    ]
    base = _run(meta, dtypes, known)
    moved = [[False] * len(shape) for shape, _ in base]
    for change in _changes(inputs, known):
        try:
            other = _run(meta, dtypes, change)
        except ModelError:
            continue  # these dimensions can't change, or not without others
        for flags, (shape, _), (new, _) in zip(moved, base, other, strict=True):
            flags[:] = [flag or n != m for flag, n, m in zip(flags, shape, new, strict=True)]
    return [
        TensorType(
            str(dtype).removeprefix("torch."), shape=tuple(None if m else n for m, n in zip(flags, shape, strict=True))
        )
        for flags, (shape, dtype) in zip(moved, base, strict=True)
    ]


def example_outputs(function: TorchFunction, inputs: Sequence[Any]) -> tuple[Shape, ...]:
    """Infer the shapes of a function's outputs for its example, with inputs of these variables' dtypes."""
    return tuple(shape for shape, _ in _run(function.to("meta"), [v.type.dtype for v in inputs], function.example))


def module_call(module: torch.nn.Module, names: Sequence[str], inputs: Sequence[Any], weights: Sequence[Shape]) -> Any:
    """Wrap a module as a function of these inputs and weights, with an example of shapes that it accepts.

    Sizes that PyTensor doesn't know are those of the data behind the variable, if there are any; otherwise the last
    dimension is tried with every size that the weights have.

    Raises
    ------
    ModelError
        If none of them is accepted.
    """
    call = ModuleCall.of(module, names, ())
    meta = call.to("meta")
    dtypes = [v.type.dtype for v in inputs] + ["float32"] * len(weights)
    refusal = None
    for shapes in _candidates(inputs, sorted({n for shape in weights for n in shape})):
        example = [*shapes, *weights]
        try:
            _run(meta, dtypes, example)
        except ModelError as error:
            refusal = refusal or error
        else:
            return ModuleCall.of(module, names, example)
    raise refusal or ModelError("a module with no inputs")


def _candidates(inputs: Sequence[Any], sizes: Sequence[int]) -> Iterator[list[Shape]]:
    """List shapes of the inputs to try, the likeliest first."""
    yield [_shape_of(v, _GUESS) for v in inputs]
    if any(v.type.shape and v.type.shape[-1] is None for v in inputs):
        yield from ([_shape_of(v, n) for v in inputs] for n in sizes)


def _shape_of(variable: Any, last: int) -> Shape:
    """Give a variable's shape: static sizes, those of the data behind it, a guess for the rest."""
    static = variable.type.shape
    if isinstance(variable, SharedVariable):
        return tuple(variable.get_value(borrow=True).shape)
    guess = [_GUESS] * (len(static) - 1) + [last]
    return tuple(g if n is None else n for n, g in zip(static, guess[-len(static) :], strict=True)) if static else ()


def _changes(inputs: Sequence[Any], known: Sequence[Shape]) -> list[list[Shape]]:
    """List what to try: each unknown size changed alone, then all of one size together, as rows of two inputs are."""
    unknown = [(i, d) for i, v in enumerate(inputs) for d, n in enumerate(v.type.shape) if n is None]
    together = [[(i, d) for i, d in unknown if known[i][d] == size] for size in {known[i][d] for i, d in unknown}]
    groups = [[at] for at in unknown] + [group for group in together if len(group) > 1]
    changed = []
    for group in groups:
        sizes = [list(shape) for shape in known]
        for i, d in group:
            sizes[i][d] += _MOVE
        changed.append([tuple(shape) for shape in sizes])
    return changed


def _run(meta: TorchFunction, dtypes: Sequence[str], shapes: Sequence[Shape]) -> Outputs:
    """Run the function on the meta device."""
    tensors = [_empty(meta, dtype, shape) for dtype, shape in zip(dtypes, shapes, strict=True)]
    try:
        with torch.no_grad():
            return [(tuple(o.shape), o.dtype) for o in meta(*tensors)]
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"{meta.label} refuses inputs of shapes {list(shapes)}: {str(error).splitlines()[0].rstrip('.')}. "
            "Check the shapes. Sizes that are None in PyTensor were guessed: give them with pytensor.tensor."
            "specify_shape, or use pm.Data. Where the module asks a tensor for its values (.item(), if x > 0), "
            "write that with torch.where."
        ) from error


def _empty(meta: TorchFunction, dtype: str, shape: Shape) -> torch.Tensor:
    kind = getattr(torch, dtype)
    return torch.empty(shape, dtype=meta.dtype if kind.is_floating_point else kind, device="meta")
