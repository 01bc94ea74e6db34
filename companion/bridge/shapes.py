"""Static shapes of a torch function's outputs, found without computing a value.

The function runs on torch's meta device, where tensors have a shape and a dtype and nothing else. PyTensor may know
a size as None, such as the number of rows of `pymc.Data`. A network of 3 inputs and 2 outputs, say, gets inputs of
shape (None, 3). It runs once on (7, 3), a guess, and gives (7, 2); and once on (18, 3), and gives (18, 2). The first
size of the output moved with the rows, the second did not, so the output's static shape is (None, 2).

Explained in `book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.type import TensorType

from companion.bridge.functions import ModuleCall, Shape, TorchFunction
from companion.bridge.lines import line_of_error
from companion.errors import ModelError, first_line

__all__ = ["example_outputs", "module_call", "output_types"]

# For rows whose number nobody knows, and how far to move a size to see what moves with it.
_GUESS, _MOVE = 7, 11

# Rows to try a shape with, of data that may have any number of them.
_ROWS = 16

Outputs = list[tuple[Shape, torch.dtype]]


def output_types(function: TorchFunction, inputs: Sequence[Any]) -> list[TensorType]:
    """Infer the outputs' types.

    A dimension of an output is static unless it moves with an unknown dimension of an input.

    Raises
    ------
    ModelError
        If the function refuses inputs of these shapes.
    """
    dtypes = [v.type.dtype for v in inputs]
    known = [
        tuple(e if n is None else n for n, e in zip(v.type.shape, example, strict=True))
        for v, example in zip(inputs, function.example, strict=True)
    ]
    run = _Runner(function, dtypes)
    base = run(known)
    moved = [[False] * len(shape) for shape, _ in base]
    for change in _changes(inputs, known):
        try:
            other = run(change)
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
    return tuple(shape for shape, _ in _Runner(function, [v.type.dtype for v in inputs])(function.example))


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
    run = _Runner(call, [v.type.dtype for v in inputs] + ["float32"] * len(weights))
    refusal = None
    for shapes in _candidates(inputs, sorted({n for shape in weights for n in shape})):
        example = [*shapes, *weights]
        try:
            run(example)
        except ModelError as error:
            refusal = refusal or error
        else:
            return ModuleCall.of(module, names, example)
    raise refusal or ModelError("the module takes no inputs; expected one whose forward takes some.")


def _candidates(inputs: Sequence[Any], sizes: Sequence[int]) -> Iterator[list[Shape]]:
    """List shapes of the inputs to try, the likeliest first: few rows of the data, all of them, guesses."""
    yield [_few_rows(v, _shape_of(v, _GUESS)) for v in inputs]
    yield [_shape_of(v, _GUESS) for v in inputs]
    if any(v.type.shape and v.type.shape[-1] is None for v in inputs):
        yield from ([_shape_of(v, n) for v in inputs] for n in sizes)


def _few_rows(variable: Any, shape: Shape) -> Shape:
    """Take fewer rows where their number may change: what has to be run on zeros is then quick."""
    return (min(shape[0], _ROWS), *shape[1:]) if shape and variable.type.shape[0] is None else shape


def _shape_of(variable: Any, last: int) -> Shape:
    """Give a variable's shape: static sizes, those of the data behind it, a guess for the rest."""
    static = variable.type.shape
    if (data := _shape_of_data(variable)) is not None:
        return data
    guess = [_GUESS] * (len(static) - 1) + [last]
    return tuple(g if n is None else n for n, g in zip(static, guess[-len(static) :], strict=True)) if static else ()


def _shape_of_data(variable: Any) -> Shape | None:
    """Give the shape of the data that a variable holds or is computed from entry by entry; None for anything else."""
    if isinstance(variable, SharedVariable):
        return tuple(variable.get_value(borrow=True).shape)
    if None not in variable.type.shape:
        return tuple(variable.type.shape)
    if variable.owner is None or not isinstance(variable.owner.op, Elemwise):
        return None
    shapes = [shape for v in variable.owner.inputs if (shape := _shape_of_data(v)) is not None]
    return tuple(np.broadcast_shapes(*shapes)) if len(shapes) == len(variable.owner.inputs) else None


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


class _Runner:
    """Runs a function on the meta device and, where that can't be, on zeros.

    Some functions need values though their outputs' shapes don't: a mask that torch looks at, code of the reader's own
    that goes through NumPy.
    """

    def __init__(self, function: TorchFunction, dtypes: Sequence[str]) -> None:
        self._function, self._dtypes = function, dtypes
        self._meta = function.to("meta")

    def __call__(self, shapes: Sequence[Shape]) -> Outputs:
        """Give the shapes and dtypes of the outputs for inputs of these shapes."""
        try:
            return _outputs(self._meta, self._dtypes, shapes)
        except ModelError:
            raise
        except Exception as error:  # a module may fail in any way
            meta = error
        try:
            return _outputs(self._function, self._dtypes, shapes)
        except ModelError:
            raise
        except Exception as error:
            where = line_of_error(error)
            raise ModelError(
                f"{self._function.label} refuses inputs of shapes {list(shapes)}{f', in {where}' if where else ''}: "
                f"{first_line(error)}. Check the shapes. Sizes that are None in PyTensor were guessed: give them with "
                "pytensor.tensor.specify_shape, or use pm.Data."
            ) from meta


def _outputs(function: TorchFunction, dtypes: Sequence[str], shapes: Sequence[Shape]) -> Outputs:
    """Run the function, on zeros where the device has values."""
    kinds = [getattr(torch, dtype) for dtype in dtypes]
    tensors = [
        torch.zeros(shape, dtype=function.dtype if kind.is_floating_point else kind, device=function.device)
        for kind, shape in zip(kinds, shapes, strict=True)
    ]
    with torch.no_grad():
        return [(tuple(o.shape), o.dtype) for o in function(*tensors)]
