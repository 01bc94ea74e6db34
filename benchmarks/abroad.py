"""Contestants that live in another environment, whose Python the option ``--peers`` or ``BENCH_PEERS`` names.

Their libraries need newer ones than the companion's lock, and would start threads in this process. So each contestant
is a process of its own (`elsewhere/serve.py`), which waits while others take their turn.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from problem import Problem

VARIABLE = "BENCH_PEERS"
SCRIPT = Path(__file__).parent / "elsewhere" / "serve.py"


class Abroad:
    """A contestant in a process of its own.

    Parameters
    ----------
    module, name
        Its class, in a module of the folder ``elsewhere``.
    settings
        What the class is called with, as JSON holds it.
    """

    def __init__(self, module: str, name: str, **settings: Any) -> None:
        python = os.environ.get(VARIABLE)
        if not python:
            pytest.skip(f"{VARIABLE} names no Python with this peer; see benchmarks/README.md")
        self._process = subprocess.Popen(
            [python, "-u", str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env=os.environ | {"JAX_PLATFORMS": "cpu"},
        )  # fmt: skip
        weakref.finalize(self, self._process.kill)
        self.ask("make", module=module, name=name, **settings)

    def ask(self, call: str, **given: Any) -> Any:
        """Call one of its methods, and wait for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"call": call, **given}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {call!r} ended with {self._process.wait()}")
        answer = json.loads(line)
        if "missing" in answer:
            pytest.skip(f"the Python of {VARIABLE} lacks it: {answer['missing']}")
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["found"]

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


class AbroadStep:
    """A fit or a chain under way in another environment.

    Parameters
    ----------
    name
        Its class in `elsewhere/steps.py`.
    """

    def __init__(self, problem: Problem, device: torch.device, *, name: str, **settings: Any) -> None:
        if device.type != "cpu":
            pytest.skip("this peer is compared on processors only")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "problem.npz"
            np.savez(file, **_handed_over(problem))
            self._there = Abroad("steps", name, file=str(file), **settings)

    def steps(self, n: int) -> None:
        self._there.ask("steps", n=n)

    def losses(self, n: int) -> np.ndarray:
        return np.array(self._there.ask("losses", n=n))

    def log_densities(self, n: int) -> np.ndarray:
        return np.array(self._there.ask("log_densities", n=n))


def _handed_over(problem: Problem) -> Mapping[str, Any]:
    """Lay a problem out as arrays."""
    start = {
        f"start/layer_{name}".replace(".", "_"): w.numpy() for name, w in problem.start(torch.device("cpu")).items()
    }
    names = ("x", "y", "batch", "prior", "scale", "rate", "seed")
    return start | {name: getattr(problem, name) for name in names}
