"""Where the draws of chains are kept: in memory or, where they don't fit, in files that are mapped into it.

Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import torch

from companion.errors import InferenceError

__all__ = ["Store", "empty_array"]

_VALUES, _STATS = "draws.npy", "stats.npy"

# What a system answers that has no way to reserve room.
_CANNOT_RESERVE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP)

# Draws that are held back, so that a GPU isn't waited for at each, and bytes that they may take.
_AT_ONCE, _HELD_BYTES = 100, 2**26


class Store:
    """Draws and their statistics, in the order in which they were made.

    Parameters
    ----------
    draws, chains, size
        Numbers of draws to come, of chains, and of values.
    dtype
        Dtype of the values.
    memory
        Bytes of memory that the values may take; where they need more, they go to a file.
    folder
        Folder of the files, which stay there; ``None`` for memory or, where they don't fit, a temporary folder that
        goes with the draws.

    Attributes
    ----------
    count
        Number of draws of each chain.
    seal
        Checksum of all values so far.
    names
        Names of the statistics.
    """

    def __init__(
        self, draws: int, chains: int, size: int, dtype: torch.dtype, memory: int, folder: Path | None
    ) -> None:
        self.count, self.seal, self.names = 0, 0, list[str]()
        self._shape, self._dtype = (draws, chains, size), torch.empty(0, dtype=dtype).numpy().dtype
        self._folder, self._memory = folder, memory
        self._values: np.ndarray | None = None
        self._stats: np.ndarray | None = None
        self._held: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._at_once = min(_AT_ONCE, max(1, _HELD_BYTES // (chains * size * self._dtype.itemsize)))

    def add(self, position: torch.Tensor, stats: Mapping[str, torch.Tensor]) -> None:
        """Take one draw of each chain, (chains, size), and its statistics, (chains,) each."""
        if not self.names:
            self.names = list(stats)
        self._held.append((position, torch.stack([stats[name].double() for name in self.names], dim=1)))
        if len(self._held) >= self._at_once:
            self.flush()

    @property
    def taken(self) -> int:
        """Number of draws of each chain, with those that are held back."""
        return self.count + len(self._held)

    def flush(self) -> None:
        """Put the draws that are held back in their place, and on the disk where they go there.

        Raises
        ------
        InferenceError
            If there is no room on the disk.
        """
        if not self._held:
            return
        values = torch.stack([position for position, _ in self._held]).cpu().numpy()
        stats = torch.stack([found for _, found in self._held]).cpu().numpy()
        at = slice(self.count, self.count + len(values))
        with _writing(self._folder or Path(tempfile.gettempdir())):
            self._open()
            assert self._values is not None
            assert self._stats is not None
            self._values[at], self._stats[at] = values, stats
            self._to_disk()
        self.seal = crc32(np.ascontiguousarray(values).data, self.seal)
        self.count = at.stop
        self._held = []

    def resume(self, count: int, seal: int, names: Sequence[str]) -> None:
        """Go on behind the draws that are in the files.

        Raises
        ------
        InferenceError
            If the files are missing, or aren't what was written.
        """
        self._held, self.names = [], list(names)
        if count:
            found = 0
            for draw in self._opened_again()[:count]:
                found = crc32(np.ascontiguousarray(draw).data, found)
            if found != seal:
                raise _damaged(self._folder, "its content isn't what the checkpoint says")
        self.count, self.seal = count, seal

    def values(self) -> np.ndarray:
        """Give the draws so far, (draws, chains, size); those on disk as a map of the file."""
        self.flush()
        return np.empty((0, *self._shape[1:]), self._dtype) if self._values is None else self._values[: self.count]

    def stats(self) -> dict[str, np.ndarray]:
        """Give the statistics so far: name to array (draws, chains)."""
        self.flush()
        stats = np.empty((0, self._shape[1], len(self.names))) if self._stats is None else self._stats[: self.count]
        return {name: np.array(stats[:, :, k]) for k, name in enumerate(self.names)}

    def prepare(self) -> None:
        """Make room for the values, before time is spent on them.

        Raises
        ------
        InferenceError
            If there is no room on the disk.
        """
        if self._values is not None:
            return
        if self._folder is None:
            self._values = empty_array(self._shape, self._dtype, self._memory)
            return
        with _writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._values = _mapped(self._folder / _VALUES, self._dtype, self._shape)

    def _open(self) -> None:
        """Make the arrays, when the first draw is there."""
        if self._stats is not None:
            return
        self.prepare()
        shape = self._shape_of_stats()
        self._stats = (
            np.empty(shape) if self._folder is None else _mapped(self._folder / _STATS, np.dtype(float), shape)
        )

    def _opened_again(self) -> np.ndarray:
        """Open the files of chains that go on, with room for what is still empty; give the values."""
        assert self._folder is not None
        places = self._folder / _VALUES, self._folder / _STATS
        try:
            self._values, self._stats = (np.load(place, "r+") for place in places)
            if self._values.shape != self._shape or self._stats.shape != self._shape_of_stats():
                raise ValueError(f"it has shapes {self._values.shape} and {self._stats.shape}")
        except (OSError, ValueError) as error:
            raise _damaged(self._folder, error) from error
        with _writing(self._folder):  # an earlier version made no room, and copying may have lost it
            for place in places:
                _reserve(place)
        return self._values

    def _shape_of_stats(self) -> tuple[int, int, int]:
        return (*self._shape[:2], len(self.names))

    def _to_disk(self) -> None:
        for array in (self._values, self._stats):
            if isinstance(array, np.memmap):
                array.flush()


def empty_array(shape: tuple[int, ...], dtype: np.dtype, memory: int) -> np.ndarray:
    """Make an array in memory or, where it takes more bytes than it may, in a temporary file that goes with it.

    Raises
    ------
    InferenceError
        If there is no room on the disk.
    """
    if np.prod(shape, dtype=float) * dtype.itemsize <= memory:
        return np.empty(shape, dtype)
    folder = Path(tempfile.mkdtemp(prefix="draws-"))
    try:
        with _writing(folder.parent):
            found = _mapped(folder / _VALUES, dtype, shape)
    except InferenceError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
    return found


def _mapped(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.memmap:
    """Make a file of an array, with room for all of it on the disk.

    Room that is only promised is looked for when a page is written, and where there is none, the process is killed.
    """
    try:
        found = np.lib.format.open_memmap(path, "w+", dtype, shape)
        _reserve(path)
    except OSError:
        with contextlib.suppress(PermissionError):  # Windows removes no file that is mapped
            path.unlink(missing_ok=True)
        raise
    return found


def _reserve(path: Path) -> None:
    """Ask the disk for room for all of a file, or where the system can't, look whether there is some."""
    about = path.stat()
    if hasattr(os, "posix_fallocate"):
        try:
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, about.st_size)
            return
        except OSError as error:
            if error.errno not in _CANNOT_RESERVE:
                raise
    taken = 512 * about.st_blocks if hasattr(about, "st_blocks") else about.st_size  # Windows gives it at once
    if shutil.disk_usage(path.parent).free < about.st_size - taken:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say what to do where the disk refuses to be written to."""
    try:
        yield
    except OSError as error:
        raise InferenceError(
            f"the draws can't be written to {folder} ({error}); give `checkpoint` a folder on a disk with room, or a "
            "larger thin=."
        ) from error


def _damaged(folder: Path | None, why: object) -> InferenceError:
    return InferenceError(
        f"the draws in {folder} can't be read ({why}). They were changed after they were written: restore them from a "
        "copy, or remove the folder to start anew."
    )
