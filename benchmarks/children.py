"""Measurements that need a process of their own: peak memory, and what a first fit costs on a bare machine."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

MIB = 2**20


def in_child(function: Callable[..., Any], *args: Any, env: Mapping[str, str] | None = None, **kwargs: Any) -> Any:
    """Call a module's function in a new interpreter, with more variables in its environment."""
    before = dict(os.environ)
    os.environ.update(env or {})
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            return pool.submit(function, *args, **kwargs).result()
    finally:
        os.environ.clear()
        os.environ.update(before)


def peak_of(prepare: Callable[..., Callable[[], Any]], *args: Any, **kwargs: Any) -> dict[str, float]:
    """Measure the memory that a call takes at its peak; to be called in a child.

    Parameters
    ----------
    prepare
        Maker of what is to be called.

    Returns
    -------
    dict
        Memory in MiB: "before", what the process held after the preparation; "peak" while it ran; "taken", the
        difference. Where the system can't forget an earlier peak, that of the preparation is in it.
    """
    import torch

    from companion.machine import denormals_flushed

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    with denormals_flushed():
        call = prepare(*args, **kwargs)
        _tidy()
        before = _status("VmRSS") or _highest()
        call()
    peak = _status("VmHWM") or _highest()
    return {"before": before / MIB, "peak": peak / MIB, "taken": (peak - before) / MIB}


def _tidy() -> None:
    """Give freed memory back to the system, and let Linux count the peak of this process anew."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5", encoding="ascii")


def _status(name: str) -> int | None:
    """Read one of Linux's counts of this process's memory, in bytes."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    found = [line for line in status.read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:")]
    return int(found[0].split()[1]) * 1024 if found else None


def _highest() -> int:
    """Give the highest memory of this process ever, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# --- starting costs on the moons ------------------------------------------------------------------------


def start_engine(steps: int) -> dict[str, float]:
    """Time the import of the engine, a first short fit, and a second one, in seconds."""
    found, clock = {}, _Clock()
    from companion import datasets
    from companion.inference import fit
    from companion.models import binary_classifier

    found["import"] = clock()
    data = datasets.moons(n_samples=1000, noise=0.2, seed=0).train
    for name in ("first fit", "second fit"):
        clock()
        fit(binary_classifier(data), steps, restarts=16, machine="cpu", elbo_draws=2, progressbar=False)
        found[name] = clock()
    return found


def start_pymc(steps: int) -> dict[str, float]:
    """Time the import of PyMC, a first short fit, and a second one, in seconds."""
    found, clock = {}, _Clock()
    import pymc as pm

    found["import"] = clock()
    from companion import datasets
    from companion.models import binary_classifier

    data = datasets.moons(n_samples=1000, noise=0.2, seed=0).train
    for name in ("first fit", "second fit"):
        clock()
        with binary_classifier(data):
            pm.fit(steps, progressbar=False, random_seed=0)
        found[name] = clock()
    return found


class _Clock:
    """Seconds since it was last read."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def __call__(self) -> float:
        now = time.perf_counter()
        self._last, passed = now, now - self._last
        return passed
