"""Run notebooks and store their new outputs. Called by `make execute`; arguments: notebooks, or none for all.

Comes in: a chapter's inputs, from its .myst.md or its .ipynb, whichever was edited last (jupytext decides).
Goes out: the .ipynb with outputs and execution counts, but only when every cell ran; and its twin to match.

What a cell prints is stored as it is: nbval compares it with what the cell prints next time. A progress bar
or a warning has to be silenced in the cell, not wiped away here, and the checks at the end name each one.
"""

import sys
import time
from datetime import date
from pathlib import Path

import colab
import nbformat
from check_notebooks import ROOT, notebooks, pair, problems
from jupytext.cli import jupytext
from nbclient import NotebookClient


def execute(path: Path) -> None:
    """Run one notebook in its own folder and write it back; if a cell fails, the file stays as it was."""
    if path.exists():
        jupytext(["--quiet", "--set-formats", "ipynb,.myst.md:myst", "--sync", str(path)])
    else:  # a new chapter may begin as text
        jupytext(["--quiet", "--set-formats", "ipynb,.myst.md:myst", "--sync", str(pair(path))])
    notebook = nbformat.read(path, as_version=4)
    colab.put(notebook)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    resources = {"metadata": {"path": str(path.parent)}}
    begun = time.monotonic()
    # No time limit: the reader waits, and can stop it. No timestamps: they would make every run a change.
    NotebookClient(notebook, timeout=None, kernel_name="python3", resources=resources, record_timing=False).execute()
    # The page on what each chapter takes says when and how long; the last cell says where.
    notebook.metadata["companion"] = {"executed": f"{date.today()}", "seconds": round(time.monotonic() - begun)}
    nbformat.write(notebook, path)
    jupytext(["--quiet", "--sync", str(path)])


def main(arguments: list[str]) -> int:
    """Execute the notebooks named, or all of them; return 1 when what they print cannot be committed."""
    chosen = [Path(name).resolve() for name in arguments] or notebooks()
    found = []
    for number, path in enumerate(chosen, start=1):
        print(f"[{number}/{len(chosen)}] {path.relative_to(ROOT)} ...", flush=True)
        start = time.monotonic()
        execute(path)
        print(f"    executed in {time.monotonic() - start:.0f} s", flush=True)
        found += problems(path)
    print("\n".join(found) or "outputs stored; now run: make pages, and see the change with: git diff --stat")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
