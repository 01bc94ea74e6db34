"""Mini-batches: which rows a step sees, and where they come from.

Which rows a step sees follows from the seed and the step alone. Every epoch is a new permutation of all rows, and each
process of a distributed fit takes its own part of it; or every step draws its rows anew.
Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from companion.bridge import LogDensity
from companion.errors import DataError, ModelError
from companion.machine import Generators

__all__ = [
    "FEW", "Batches", "Resident", "Rows", "Streamed", "Whole", "batches_for", "batches_of", "no_rows", "row_data",
]  # fmt: skip

Data = dict[str, torch.Tensor]
Tensors = tuple[torch.Tensor, ...]

FEW = 16
"""Number of rows on which a model is looked at before the first step."""


class Batches(Protocol):
    """Rows by step."""

    def at(self, step: int) -> Data:
        """Give the data of one step, on the device."""
        ...

    def drawn(self, step: int) -> Tensors:
        """Give what `data_of` makes the data of one step of."""
        ...

    def data_of(self, drawn: Sequence[torch.Tensor]) -> Data:
        """Make data of what was drawn: by operations of torch alone, which a compiled step takes in."""
        ...

    def parts(self, most: int = 2000) -> Iterator[Data]:
        """Give all rows once, in parts of at most so many."""
        ...


@dataclass(frozen=True)
class Whole:
    """All rows at every step."""

    data: Data

    def at(self, step: int) -> Data:
        return self.data

    def drawn(self, step: int) -> Tensors:
        return tuple(self.data.values())

    def data_of(self, drawn: Sequence[torch.Tensor]) -> Data:
        return dict(zip(self.data, drawn, strict=True))

    def parts(self, most: int = 2000) -> Iterator[Data]:
        yield self.data  # in one part: a likelihood need not be a sum over rows


@dataclass
class Rows:
    """Which rows: the permutation of each epoch, dealt to the processes batch by batch; or rows drawn at every step.

    Attributes
    ----------
    total, batch
        Number of all rows, and of those of a step.
    independent
        Whether a step draws its rows whatever other steps saw, each row once at most.
    """

    total: int
    batch: int
    seed: int
    rank: int = 0
    world: int = 1
    independent: bool = False
    _epoch: tuple[int, np.ndarray] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        own = ("independent rows", self.rank) if self.independent else ("rows",)
        self._generators = Generators(self.seed, *own)

    def at(self, step: int) -> np.ndarray:
        """Give the rows (batch,) of one step."""
        if self.independent:
            return self._generators.at(step).choice(self.total, self.batch, replace=False, shuffle=False)
        first = (step * self.world + self.rank) * self.batch
        past = first + self.batch
        parts = [
            self._permutation(e)[max(first - e * self.total, 0) : past - e * self.total]
            for e in range(first // self.total, (past - 1) // self.total + 1)
        ]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def _permutation(self, epoch: int) -> np.ndarray:
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, self._generators.at(epoch).permutation(self.total)
        return self._epoch[1]


@dataclass(frozen=True)
class Resident:
    """Rows of data that lie on the device as a whole."""

    data: Data
    names: tuple[str, ...]
    rows: Rows

    def at(self, step: int) -> Data:
        return self.data_of(self.drawn(step))

    def drawn(self, step: int) -> Tensors:
        own = tuple(self.data.values())
        return (torch.from_numpy(self.rows.at(step)).to(own[0].device), *own)

    def data_of(self, drawn: Sequence[torch.Tensor]) -> Data:
        at, *own = drawn
        named = zip(self.data, own, strict=True)
        return {name: a.index_select(0, at) if name in self.names else a for name, a in named}

    def parts(self, most: int = 2000) -> Iterator[Data]:
        return _parts(self.data, self.names, most)


class Streamed:
    """Rows that a `torch.utils.data.Dataset` reads, for data that don't fit into memory.

    Parameters
    ----------
    dataset
        Map-style: ``dataset[i]`` is one row, a mapping from the names of the model's data to arrays, or a tuple of them
        in the order of `names`.
    names
        Names of the data that have rows.
    data
        The model's own data: the rows of the dataset take their shapes, dtypes and device; those without rows are
        used as they are.
    rows
        Which rows a step takes.
    workers
        Number of processes that read ahead.
    """

    def __init__(self, dataset: Any, names: Sequence[str], data: Data, rows: Rows, workers: int) -> None:
        self._dataset, self._names, self._rows, self._workers = dataset, tuple(names), rows, workers
        self._data = data
        self._next: int | None = None
        self._stream: Iterator[Any] = iter(())

    def at(self, step: int) -> Data:
        if step != self._next:
            sampler = _Steps(self._rows, step)
            self._stream = iter(self._loader(batch_sampler=sampler))
        self._next = step + 1
        return self._data | self._named(next(self._stream))

    def drawn(self, step: int) -> Tensors:
        return tuple(self.at(step).values())

    def data_of(self, drawn: Sequence[torch.Tensor]) -> Data:
        return dict(zip(self._data, drawn, strict=True))

    def parts(self, most: int = 2000) -> Iterator[Data]:
        self._next, self._stream = None, iter(())  # the steps' readers have done their work
        size = min(most, self._rows.batch * 10)
        for batch in self._loader(batch_size=size):
            yield self._data | self._named(batch)

    def _loader(self, **order: Any) -> DataLoader[Any]:
        return DataLoader(self._dataset, num_workers=self._workers, worker_init_fn=_leave_interrupts, **order)

    def _named(self, batch: Any) -> Data:
        named = isinstance(batch, Mapping)
        if (set(batch) != set(self._names)) if named else (len(batch) != len(self._names)):
            raise DataError(
                f"a row of the dataset has {sorted(batch) if named else f'{len(batch)} entries'}; the model reads "
                f"{list(self._names)}. Give each row as a mapping with these names, or as a tuple in this order."
            )
        items = batch if named else dict(zip(self._names, batch, strict=True))
        return {name: self._like_the_models(name, torch.as_tensor(items[name])) for name in self._names}

    def _like_the_models(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        own = self._data[name]
        if rows.shape[1:] != own.shape[1:]:
            raise DataError(
                f"{name!r} of a row of the dataset has shape {tuple(rows.shape[1:])}; the model's has "
                f"{tuple(own.shape[1:])}."
            )
        if rows.is_floating_point() and not own.is_floating_point() and bool((rows != rows.round()).any()):
            raise DataError(
                f"{name!r} of a row of the dataset has fractions; the model's own are whole ({own.dtype}). Give the "
                f"model floating data: pm.Data({name!r}, values.astype(float))."
            )
        return rows.to(own.device, own.dtype)


def _leave_interrupts(worker: int) -> None:
    """Let Ctrl-C end the fit, not the workers that it still reads from."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Steps(Sampler[list[int]]):
    """The rows of every step from one on, without end."""

    def __init__(self, rows: Rows, step: int) -> None:
        self._rows, self._step = rows, step

    def __iter__(self) -> Iterator[list[int]]:
        step = self._step
        while True:
            yield self._rows.at(step).tolist()
            step += 1


def _parts(data: Data, names: Sequence[str], most: int) -> Iterator[Data]:
    total = len(data[names[0]]) if names else 0
    for start in range(0, max(total, 1), most):
        yield {name: a[start : start + most] if name in names else a for name, a in data.items()}


def batches_for(
    density: LogDensity,
    batch_size: int | None,
    dataset: Any,
    seed: int,
    rank: int,
    world: int,
    workers: int,
    independent: bool = False,
) -> tuple[Batches, int | None]:
    """Choose how a fit of a lowered model reads its rows, and count them.

    Parameters
    ----------
    independent
        Whether each step draws its rows anew, in place of a permutation for each epoch.

    Raises
    ------
    ModelError
        If mini-batches are asked for and the model's rows aren't in `pymc.Data`, or the batch size is out of range.
    """
    names, total = row_data(density)
    if density.minibatch is not None:
        if batch_size not in (None, density.minibatch):
            raise ModelError(
                f"batch_size={batch_size}; the model's own pm.Minibatch draws {density.minibatch} rows. Leave "
                "batch_size out, or build the model with pm.Data."
            )
        batch_size = density.minibatch
    if batch_size is not None and total is None and dataset is None:
        raise ModelError(
            f"batch_size={batch_size}, but the model's observations are plain arrays. Put inputs and observations into "
            "pm.Data, so that rows of them can be drawn: x = pm.Data('x', X)."
        )
    return batches_of(density.data, names, total, batch_size, dataset, seed, rank, world, workers, independent)


def batches_of(
    data: Data,
    names: tuple[str, ...],
    total: int | None,
    batch_size: int | None,
    dataset: Any,
    seed: int,
    rank: int,
    world: int,
    workers: int,
    independent: bool = False,
) -> tuple[Batches, int | None]:
    """Choose how a fit reads its rows, and count them.

    Parameters
    ----------
    data
        Name to tensor, on the device.
    names
        Names of the data that have one entry per row.
    total
        Number of rows.
    independent
        See `batches_for`.
    """
    if dataset is not None:
        _check_dataset(dataset, batch_size, names)
        rows = Rows(len(dataset), _checked(batch_size, len(dataset)), seed, rank, world, independent)
        return Streamed(dataset, names, data, rows, workers), len(dataset)
    if batch_size is None or total is None:
        return Whole(data), total
    rows = Rows(total, _checked(batch_size, total), seed, rank, world, independent)
    return Resident(data, names, rows), total


def row_data(density: LogDensity) -> tuple[tuple[str, ...], int | None]:
    """Find the data that have one entry per row, and the number of rows."""
    lengths = {o.rows: len(density.data[o.rows]) for o in density.observed if o.rows is not None}
    if not lengths:
        return (), None
    if len(set(lengths.values())) > 1:
        raise ModelError(
            f"the observed data differ in length: {lengths}. One fit draws one set of rows; give them the same rows."
        )
    total = next(iter(lengths.values()))
    if not total:
        raise no_rows(lengths)
    read = set().union(*(o.data for o in density.observed))
    names = tuple(n for n, a in density.data.items() if n in read and a.ndim > 0 and len(a) == total)
    return names, total


def no_rows(names: Iterable[str]) -> ModelError:
    """Make the error of a model whose data have no rows."""
    return ModelError(
        f"the data {sorted(names)} have no rows; expected one or more. Set them with pm.set_data, or build the model "
        "of data that have some. Without observations altogether, a model gives its prior."
    )


def _checked(batch_size: int | None, total: int) -> int:
    if not isinstance(batch_size, int | np.integer) or not 1 <= batch_size <= total:
        raise ModelError(f"batch_size={batch_size}; expected 1 to {total:,}, the number of rows.")
    return int(batch_size)


def _check_dataset(dataset: Any, batch_size: int | None, names: Sequence[str]) -> None:
    if isinstance(dataset, IterableDataset) or not isinstance(dataset, Dataset) or not hasattr(dataset, "__len__"):
        raise ModelError(
            f"dataset is a {type(dataset).__name__}; expected a map-style torch.utils.data.Dataset with a length, "
            "which a killed fit can go on reading where it stopped."
        )
    if batch_size is None:
        raise ModelError("a dataset was given without batch_size; expected the number of rows of one step.")
    if not names:
        raise ModelError(
            "a dataset was given, but the model's observations are not in pm.Data, which its rows could fill."
        )
