"""Example inputs of a module: a few real rows where a variable of the model has data behind it, made-up ones elsewhere.

Explained in `book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import torch
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant
from pytensor.graph.traversal import ancestors

from companion.bridge.functions import Shape
from companion.bridge.sources import behind_batch, held

__all__ = ["data_behind", "example_rows"]

Graph = Any  # a pytensor.Variable, whose type parameters say nothing here


def data_behind(variable: Graph) -> np.ndarray | None:
    """Give the data that a variable holds, or that it is drawn or computed from; ``None`` where it is anything else."""
    variable = behind_batch(variable)
    if (found := held(variable)) is not None:
        return found
    roots = [v for v in ancestors([variable]) if v.owner is None]
    if not all(isinstance(v, SharedVariable | Constant) and hasattr(v.type, "numpy_dtype") for v in roots):
        return None
    return np.asarray(pm.compile([], variable, mode="FAST_COMPILE")())


def example_rows(inputs: Sequence[Graph], shapes: Sequence[Shape], *, every: bool = False) -> list[torch.Tensor]:
    """Give examples of a module's inputs.

    Parameters
    ----------
    inputs
        The model's variables.
    shapes
        A shape that the module accepts for each.
    every
        Whether to take all rows of real data instead of a few.

    Returns
    -------
    list of torch.Tensor
        The first two rows of real data, and those with the smallest and the largest number of each input: an index
        that is out of range is among them. All inputs have the same rows. Where there is no data, normal numbers, or
        zeros of a whole-number or truth type.
    """
    arrays = [data_behind(v) for v in inputs]
    counts = {len(a) for a in arrays if a is not None and a.ndim and a.size}
    rows = None
    if len(counts) == 1:
        real = [a for a in arrays if a is not None and a.size]
        rows = list(range(min(counts))) if every else _telling_rows(real, min(counts))
    rng = np.random.default_rng(0)
    found = []
    for variable, array, shape in zip(inputs, arrays, shapes, strict=True):
        if array is None:
            size = (len(rows), *shape[1:]) if rows is not None and shape[:1] == (*counts,) else shape
            array = rng.normal(size=size) if variable.type.numpy_dtype.kind == "f" else np.zeros(size)
        elif rows is not None and array.ndim:
            array = array[rows]
        found.append(torch.from_numpy(np.array(array, dtype=variable.type.dtype)))
    return found


def _telling_rows(arrays: Sequence[np.ndarray], count: int) -> list[int]:
    """Choose the rows: the first two, and those with the extreme values of each array."""
    chosen = {0, 1} & set(range(count))
    for array in arrays:
        if array.ndim and array.dtype.kind in "fiub":
            each = array.reshape(count, -1)
            chosen |= {int(pick(each)) // each.shape[1] for pick in (np.argmin, np.argmax)}
    return sorted(chosen)
