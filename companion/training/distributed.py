"""Many processes, one fit: what `torchrun` started averages its gradients.

Each process draws its own rows and its own noise; gradients are averaged, so all keep the same parameters. What one
decides (to stop, to compile, where to go on) all decide.
Explained in `book/reference/how_a_fit_works`, section "Processes".
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import math
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist

from companion.errors import InferenceError, first_line
from companion.machine import slices
from companion.training.checkpoints import differences

__all__ = ["Processes", "processes"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

_PIECE_BYTES = 2**26  # of an array that travels from one process to another

# The groups that a fit of this process has joined: one at most, which lasts as long as the process.
_joined: list[str] = []
# The hosts of that group's processes, in their order.
_hosts: list[str] = []


@dataclass(frozen=True)
class Processes:
    """The processes of a fit.

    All methods are to be called by every process, in the same order. They raise an `InferenceError` if another process
    has gone, which names the step.

    Attributes
    ----------
    rank, world
        Number of this process, and how many there are.
    device
        Device of the tensors that they exchange.
    hosts
        Name of each one's host; empty where the processes were joined by somebody else.
    """

    rank: int = 0
    world: int = 1
    device: str | torch.device = "cpu"
    hosts: tuple[str, ...] = ()

    @property
    def first(self) -> bool:
        """Whether this one reads and writes checkpoints and shows progress."""
        return self.rank == 0

    def named(self, *ranks: int) -> str:
        """Name processes, with their hosts where these are known: "process 1 of 2 (on that-host)"."""
        place = [f" (on {self.hosts[rank]})" if self.hosts else "" for rank in ranks]
        if len(ranks) == 1:
            return f"process {ranks[0]} of {self.world}{place[0]}"
        return f"processes {', '.join(f'{rank}{at}' for rank, at in zip(ranks, place, strict=True))} of {self.world}"

    def average(self, tensors: Sequence[torch.Tensor], step: int) -> None:
        """Average tensors over the processes, in place."""
        if self.world > 1:
            with self._together(step):
                for tensor in tensors:
                    dist.all_reduce(tensor)
                    tensor /= self.world

    def agree(self, asked: Mapping[str, Any], step: int = 0) -> None:
        """Make sure that all were asked for the same as the first one, before they wait for one another.

        Raises
        ------
        InferenceError
            If this process was asked for something else.
        """
        if different := differences(self.share(asked, step), asked):
            raise InferenceError(
                f"process {self.rank} of {self.world} was asked for another fit than process 0: {different}. Give all "
                "the same model, data and settings."
            )

    def same(self, tensor: torch.Tensor, step: int = 0) -> torch.Tensor:
        """Give the first one's tensor to all: a CPU's, of the same shape in each."""
        if self.world > 1:
            with self._together(step):
                there = tensor.to(self.device)
                dist.broadcast(there, 0)
                return there.to(tensor.device)
        return tensor

    def share(self, value: T, step: int = 0) -> T:
        """Give the first one's value to all."""
        if self.world == 1:
            return value
        box = [value]
        with self._together(step):
            dist.broadcast_object_list(box, device=torch.device(self.device))
        return box[0]

    def from_first(self, work: Callable[[], T], step: int) -> T:
        """Let the first one do something, and give its result, or its error, to all."""
        result: T | None = None
        error: InferenceError | None = None
        if self.first:
            try:
                result = work()
            except InferenceError as failed:
                error = failed
        found: tuple[T, InferenceError | None] = self.share((result, error), step)  # type: ignore[assignment]
        if found[1] is not None:
            raise found[1]
        return found[0]

    def collect(self, value: T) -> list[T | None]:
        """Give everyone's value to the first one, which goes on without those that have gone: ``None`` stands for them.

        The others get their own value back, alone.
        """
        if self.world == 1:
            return [value]
        place = torch.device("cpu")
        if not self.first:
            with self._together():
                dist.send_object_list([value], dst=0, device=place)
            return [value]
        found: list[T | None] = [value]
        for rank in range(1, self.world):
            box: list[T | None] = [None]
            try:
                dist.recv_object_list(box, src=rank, device=place)
            except RuntimeError as error:
                _log.error("%s is lost (%s)", self.named(rank), _first_line(error))
                box = [None]
            found += box
        return found

    def send_rows(self, array: np.ndarray) -> None:
        """Send an array, which may lie on a disk, to the first one, which takes some rows at a time by `rows_of`."""
        with self._together():
            for at in _pieces(array.shape, array.dtype):
                dist.send(torch.from_numpy(np.array(array[at])), dst=0)

    def rows_of(self, rank: int, shape: tuple[int, ...], dtype: np.dtype) -> Iterator[tuple[slice, np.ndarray]]:
        """Take the array that another process sends by `send_rows`: some of its rows, and where they stand in it.

        Raises
        ------
        InferenceError
            If that process has gone.
        """
        for at in _pieces(shape, dtype):
            rows = np.empty((len(range(*at.indices(shape[0]))), *shape[1:]), dtype)
            try:
                dist.recv(torch.from_numpy(rows), src=rank)
            except RuntimeError as error:
                raise InferenceError(f"{self.named(rank)} is lost ({_first_line(error)})") from error
            yield at, rows

    def all(self, flag: bool, step: int) -> bool:
        """Say whether it is true in every process."""
        share = torch.tensor([float(flag)], device=self.device)
        self.average([share], step)
        return bool(share == 1)

    @contextlib.contextmanager
    def _together(self, step: int = 0) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            message = (
                f"process {self.rank} of {self.world} lost another one at step {step:,} ({_first_line(error)}). It was "
                "killed or failed: see its own message. Start all again, with the same checkpoint to go on from there."
            )
            _log.error(message)  # at once: torchrun may end this process before its traceback is printed
            raise InferenceError(message) from error


@contextlib.contextmanager
def processes(device: torch.device, patience: timedelta = timedelta(minutes=10)) -> Iterator[Processes]:
    """Join the processes that `torchrun` started; alone where there are none.

    They stay together for the fits to come, until one of them fails.

    Parameters
    ----------
    device
        Device of the fit: NCCL connects GPUs, gloo CPUs.
    patience
        Time to wait for a process that is alive and silent.

    Raises
    ------
    InferenceError
        If the others can't be reached.
    """
    together = dist.is_available() and dist.is_initialized()  # by an earlier fit, or by the user
    if not together and (int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ):
        yield Processes()
        return
    if not together:
        _join(patience)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size(), device, tuple(_hosts))
    except BaseException:
        if _joined:
            dist.destroy_process_group()  # so that the others don't wait
        raise


def _join(patience: timedelta) -> None:
    name = f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']}"
    if _joined:
        raise InferenceError(f"{name} left the others when a fit failed, and can't come back. Start all again.")
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    try:
        dist.init_process_group(backend, timeout=patience)
        hosts = [""] * dist.get_world_size()
        dist.all_gather_object(hosts, socket.gethostname())
    except (RuntimeError, ValueError) as error:
        raise InferenceError(
            f"{name} can't reach the others at {os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')} "
            f"({_first_line(error)}). Start all with torchrun; or unset RANK and WORLD_SIZE to fit in "
            "this process alone."
        ) from error
    _joined.append(backend)
    _hosts[:] = hosts
    atexit.register(lambda: dist.is_initialized() and dist.destroy_process_group())


def _pieces(shape: tuple[int, ...], dtype: np.dtype) -> Iterator[slice]:
    """Cut the rows of an array into pieces that fit in memory, the same in each process."""
    return slices(shape[0], max(1, _PIECE_BYTES // max(1, math.prod(shape[1:]) * dtype.itemsize)))


def _first_line(error: Exception) -> str:
    """Cut an error of torch's down to what it says, without where in torch's source."""
    return re.sub(r"^\[\S+:\d+\] ", "", first_line(error))[:160]
