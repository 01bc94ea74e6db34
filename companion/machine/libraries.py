"""Traced graphs as shared libraries, built in a process of their own and kept for later calls and processes.

What `torch.compile` gives is called through Python, which costs a small model several times its arithmetic. A library
is called once for all of a graph. Explained in `book/reference/how_a_fit_works`, section "The machine".
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch.fx import GraphModule

from companion.datasets import cache_dir

__all__ = ["Awaited", "Library", "LibraryError"]

Function = Callable[[list[torch.Tensor]], list[torch.Tensor]]

_BUILDER = Path(__file__).with_name("building.py")
_KEPT = 100  # libraries, of about 100 KiB each
_ERROR = re.compile(r"[\w.]*(Error|Exception)\b")
_ASK_EVERY = 20  # times
_LEFT_S = 3600.0  # age at which the folder of a builder was left behind by one that was killed
_under_way: list[subprocess.Popen[bytes]] = []  # Python complains of a process that is forgotten before it ended


class LibraryError(Exception):
    """The library can't be built or loaded here; the message says why."""


class Library:
    """The shared library of a graph: found among those that were kept, or built beside whatever goes on.

    Building takes a quarter of a minute of one core. It ends by itself, also after the process that asked for it, so
    that the next one finds the library.

    Parameters
    ----------
    graph
        Traced graph of torch's own operations, whose output is a tuple. It may change its arguments in place.
    arguments
        Example of its arguments. The library is for their shapes, strides and dtypes, and checks none of them.
    threads
        Number of threads that it computes with.
    beside
        Whether it is built beside something else, and so with a low priority.
    carried
        Where the graph is to be repeated: the number of arguments, after a count (), that it gives anew. The library
        then takes the end of the count as another argument, the second one.
    """

    def __init__(
        self,
        graph: GraphModule,
        arguments: Sequence[torch.Tensor],
        threads: int,
        *,
        beside: bool = False,
        carried: int | None = None,
    ) -> None:
        folder = cache_dir() / "compiled"
        self._place = folder / f"{_key(graph, arguments, threads, carried)}.so"
        self._process: subprocess.Popen[bytes] | None = None
        self._work: Path | None = None
        if self._place.exists():
            return
        priority = "beside" if beside else "first"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _make_room(folder)
            self._work = Path(tempfile.mkdtemp(prefix="building-", dir=folder))
            like = [t.detach().to("meta") for t in arguments]
            torch.save((graph, like, threads, carried), self._work / "graph.pt")
            with (self._work / "errors.txt").open("wb") as errors:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", str(_BUILDER), str(self._work), str(self._place), priority],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                    start_new_session=True,  # a Ctrl-C ends the fit, not this
                )  # fmt: skip
            _under_way[:] = [self._process, *(p for p in _under_way if p.poll() is None)]
        except OSError as error:
            raise LibraryError(f"{type(error).__name__}: {error}") from error

    def done(self) -> bool:
        """Say whether it is built, or will never be."""
        return self._process is None or self._process.poll() is not None

    def load(self) -> Function:
        """Load it, once it is built.

        Returns
        -------
        callable
            Function of a list of arguments, which gives a list of outputs.

        Raises
        ------
        LibraryError
            If it could not be built, or not be loaded.
        """
        if self._process is not None:
            self._process.wait()
        why = self._last_words()
        if not self._place.exists():
            raise LibraryError(why or "its process ended without a word")
        try:
            os.utime(self._place)  # those that are not used go first
            run: Function = torch._C._aoti.AOTIModelContainerRunnerCpu(str(self._place), 1).run
        except (AttributeError, OSError, RuntimeError) as error:
            self._place.unlink(missing_ok=True)
            raise LibraryError(f"{type(error).__name__}: {error}") from error
        return run

    def _last_words(self) -> str:
        """Give the last error that the building process wrote, and remove its folder."""
        if self._work is None:
            return ""
        try:
            lines = (self._work / "errors.txt").read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        shutil.rmtree(self._work, ignore_errors=True)
        self._work = None
        errors = [line for line in lines if _ERROR.match(line)]
        return (errors or lines or [""])[-1]


class Awaited:
    """A library that is asked for at every step, until it is there.

    Parameters
    ----------
    library
        The library.
    """

    def __init__(self, library: Library) -> None:
        self._library: Library | None = library
        self._run: Function | None = None
        self._asked = 0

    def ready(self, *, wait: bool = False) -> bool:
        """Say whether it can be called.

        Parameters
        ----------
        wait
            Whether to wait until the library is built.

        Raises
        ------
        LibraryError
            If the library could not be built.
        """
        if self._run is None and self._library is not None:
            self._asked += 1
            if wait or (self._asked % _ASK_EVERY == 1 and self._library.done()):
                self._run, self._library = self._library.load(), None
        return self._run is not None

    def __call__(self, arguments: list[torch.Tensor]) -> list[torch.Tensor]:
        """Call it, once it is ready."""
        assert self._run is not None
        return self._run(arguments)


def _key(graph: GraphModule, arguments: Sequence[torch.Tensor], threads: int, carried: int | None) -> str:
    """Name a library by all that it depends on: operations, constants, arguments, torch, and the processor."""
    digest = hashlib.sha256(_BUILDER.read_bytes())
    digest.update(graph.code.encode())
    for name, constant in sorted(dict(graph.named_buffers()).items()) + sorted(_constants(graph).items()):
        digest.update(f"{name} {constant.dtype} {tuple(constant.shape)}".encode())
        digest.update(constant.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    kinds = [(str(t.dtype), tuple(t.shape), t.stride()) for t in arguments]
    instructions = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    processor = torch.backends.cpu.get_cpu_capability(), sorted(instructions.items())
    digest.update(repr((kinds, threads, carried, torch.__version__, sys.version_info[:2], processor)).encode())
    return digest.hexdigest()[:32]


def _constants(graph: GraphModule) -> dict[str, torch.Tensor]:
    """Find the tensors that a traced graph holds beside its buffers."""
    return {name: value for name, value in vars(graph).items() if isinstance(value, torch.Tensor)}


def _make_room(folder: Path) -> None:
    """Remove the libraries that were not used for longest, and what killed builders left behind."""
    libraries = sorted(folder.glob("*.so"), key=lambda path: path.stat().st_mtime)
    for path in libraries[: -_KEPT or None]:
        path.unlink(missing_ok=True)
    for path in folder.glob("building-*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _LEFT_S:
                shutil.rmtree(path, ignore_errors=True)
