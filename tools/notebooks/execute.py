"""Run the notebooks named, or all of them, and store their new outputs: `make execute`.

A chapter's cells are taken from its ``.myst.md`` or its ``.ipynb``, whichever was edited last; jupytext decides. Only
when every cell ran is the ``.ipynb`` written, with outputs and execution counts, and its twin brought up to date.

What a cell prints is stored as it is: nbval compares it with what the cell prints next time. A progress bar or a
warning has to be silenced in the cell, not wiped away here, and the checks at the end name each one. Time and peak
memory of the run, on two cores, go to the results of `make measure`: execute on a quiet machine.
"""

import sys
from pathlib import Path
from typing import Any

from jupytext.cli import jupytext

from tools import ROOT
from tools.contents import page_of
from tools.notebooks import chosen, colab, measure, pair, read, write
from tools.notebooks.check import problems


def execute(path: Path) -> dict[str, Any]:
    """Run one notebook in its own folder and write it back; if a cell fails, the file stays as it was."""
    if path.exists():
        jupytext(["--quiet", "--set-formats", "ipynb,.myst.md:myst", "--sync", str(path)])
    else:  # a new chapter may begin as text
        jupytext(["--quiet", "--set-formats", "ipynb,.myst.md:myst", "--sync", str(pair(path))])
    notebook = read(path)
    colab.put(notebook)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    taken = measure.execute(notebook, path.parent)
    # The page on what each chapter takes says when and how long; the last cell says where.
    notebook.metadata["companion"] = {"executed": taken["date"], "seconds": round(taken["seconds"])}
    write(notebook, path)
    jupytext(["--quiet", "--sync", str(path)])
    return taken


def main(arguments: list[str]) -> int:
    """Execute the notebooks named, or all of them; return 1 when what they print cannot be committed."""
    paths = chosen(arguments)
    found: list[str] = []
    for number, path in enumerate(paths, start=1):
        print(f"[{number}/{len(paths)}] {path.relative_to(ROOT)} ...", flush=True)
        taken = execute(path)
        print(f"    {taken['seconds']:.0f} s, {taken['peak_mb']:,} MB", flush=True)
        measure.keep(page_of(path), taken)
        found += problems(path)
    print("\n".join(found) or "outputs stored; now run: make pages, and see the change with: git diff --stat")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
