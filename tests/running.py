"""Run the cells of a notebook in the process of the tests, without a kernel; the machine of a new user; torchrun."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest

from tools import ROOT


def first_run(folder: Path) -> dict[str, str]:
    """The environment of a user who has run nothing yet: whatever libraries keep, they keep in an empty folder."""
    kept = ("XDG_", "MPL", "IPYTHON", "PYTENSOR", "COMPANION_CACHE")
    bare = {name: value for name, value in os.environ.items() if not name.startswith(kept)}
    ours = {"PYTHONPATH": str(ROOT), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    return bare | ours | {"HOME": str(folder), "PYTENSOR_FLAGS": "mode=FAST_COMPILE,blas__ldflags="}


def with_torchrun(test: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run ``under_torchrun()`` of a file of tests in two processes, each with the folder as its argument."""
    file = Path(test)
    script = folder / "processes.py"
    script.write_text(f"import {file.stem}\n\n{file.stem}.under_torchrun()\n")
    path = os.pathsep.join([str(file.parent), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", script, folder],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )


def _draw() -> None:
    """Draw all figures, as a notebook would: names that matplotlib stumbles over are found here alone."""
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


def run(notebook: Path, monkeypatch: pytest.MonkeyPatch, steps: int = 2) -> dict[str, object]:
    """Run a notebook's cells in this process, with few steps: after its cell of parameters, as papermill does it."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    monkeypatch.setattr(plt, "show", _draw)
    short = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for cell in nbformat.read(notebook, as_version=4).cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, f"{notebook.name}, {cell.id}", "exec"), namespace)
            if "parameters" in cell.metadata.get("tags", []):
                namespace["STEPS"] = steps
                short += 1
    assert short == 1, "a notebook has one cell of parameters"
    return namespace
