"""Run the cells of a notebook in the process of the tests, which costs no kernel; and the machine of a new user."""

import os
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
