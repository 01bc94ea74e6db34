"""Mini-batches from a generator into PyMC's own ADVI, by a callback.

A generator can take its rows from anywhere, a file or a database, so the data need not fit in memory. (The engine,
`companion.inference.fit`, streams from a `torch.utils.data.Dataset` instead.) Explained in the chapter `book/pymc/zh`,
section "小批量 ADVI：数据不必装进内存".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pymc as pm

from companion.errors import DataError, ModelError

__all__ = ["feed", "minibatches"]

Batch = Mapping[str, np.ndarray]


def minibatches(data: Mapping[str, Any], batch_size: int, seed: int = 0) -> Iterator[dict[str, np.ndarray]]:
    """Draw batches of rows without end, the same rows from every array.

    Parameters
    ----------
    data
        Name to array (rows, ...): anything that NumPy's way of taking rows works on, such as a memory-mapped file.
    batch_size
        Number of rows in a batch, drawn with replacement.
    seed
        Seed of the choice of rows.

    Yields
    ------
    dict
        Name to array (batch_size, ...).

    Raises
    ------
    DataError
        If there are no arrays, or their numbers of rows differ.
    ModelError
        If `batch_size` is out of range.
    """
    lengths = {name: len(array) for name, array in data.items()}
    if len(set(lengths.values())) != 1:
        raise DataError(f"rows: {lengths}; expected one or more arrays with the same number of rows.")
    rows = next(iter(lengths.values()))
    if not 1 <= batch_size <= rows:
        raise ModelError(f"batch_size={batch_size}; expected 1 to {rows}, the number of rows.")
    return _drawn(data, rows, batch_size, np.random.default_rng(seed))


def _drawn(
    data: Mapping[str, Any], rows: int, batch_size: int, rng: np.random.Generator
) -> Iterator[dict[str, np.ndarray]]:
    while True:
        chosen = rng.integers(rows, size=batch_size)  # one draw for all arrays: inputs keep their labels
        yield {name: np.asarray(array[chosen]) for name, array in data.items()}


def feed(model: pm.Model, batches: Iterator[Batch]) -> Callable[[Any, Any, int], None]:
    """Put the next batch into a model's `pymc.Data` before each step of a fit.

    Parameters
    ----------
    model
        Model whose likelihood has a ``total_size``, so that a batch counts for all rows it stands for.
    batches
        Batches, each a mapping from the names of the model's data to arrays. The first is put in at once.

    Returns
    -------
    callable
        Function for ``callbacks=[...]``. When the batches run out, the fit stops there and keeps what it has.

    Raises
    ------
    ModelError
        If there is no batch, or one doesn't fill the model's data.
    """
    names = {variable.name for variable in model.data_vars}
    first = next(batches, None)
    if first is None:
        raise ModelError("there is no batch to begin with; expected a generator that has not run out.")
    _put(model, first, names)

    def after_step(approximation: Any, losses: Any, step: int) -> None:
        _put(model, next(batches), names)  # a StopIteration ends the fit, as PyMC's own callbacks do

    return after_step


def _put(model: pm.Model, batch: Batch, names: set[str]) -> None:
    if set(batch) != names:
        raise ModelError(f"a batch has {sorted(batch)}; expected the model's data, {sorted(names)}.")
    try:
        for name, rows in batch.items():
            held = model[name]
            if np.shape(rows) == held.get_value(borrow=True).shape:
                held.set_value(np.asarray(rows, dtype=held.dtype))  # quicker: there is no dimension to resize
            else:
                pm.set_data({name: rows}, model=model)
    except (TypeError, ValueError) as error:
        raise ModelError(f"a batch doesn't fit the model's data: {error}") from error
