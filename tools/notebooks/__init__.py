"""Read the book's notebooks: where they lie, what their cells say, and the text file that stands beside each."""

from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools import ROOT

__all__ = ["MYST", "chosen", "code_cells", "pair", "plain", "read", "stored", "words", "write"]

MYST = "md:myst"
"""Format of the text twins, as jupytext names it."""


def stored() -> list[Path]:
    """List every notebook of the book, in the order of the paths."""
    return sorted(path for path in (ROOT / "book").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


def chosen(names: Iterable[str]) -> list[Path]:
    """Return the notebooks that are named, or all of the book's where none is."""
    return [Path(name).resolve() for name in names] or stored()


def pair(notebook: Path) -> Path:
    """Return the text twin of a notebook: ``moons.ipynb`` has ``moons.myst.md``."""
    return notebook.with_suffix(".myst.md")


def read(path: Path) -> NotebookNode:
    """Read a notebook.

    Raises
    ------
    OSError, ValueError
        If there is no such file, or it does not hold a notebook.
    """
    notebook: NotebookNode = nbformat.read(path, as_version=4)
    return notebook


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook, making its folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def code_cells(notebook: NotebookNode) -> list[tuple[int, NotebookNode]]:
    """List the code cells that are not empty, each with its place in the notebook, counted from 1."""
    return [(n, cell) for n, cell in enumerate(notebook.cells, 1) if cell.cell_type == "code" and cell.source.strip()]


def plain(output: NotebookNode) -> str:
    """Return what an output says as plain text: what was printed, or the value of the last line."""
    return str(output.get("text") or output.get("data", {}).get("text/plain", ""))


def words(output: NotebookNode) -> str:
    """Return whatever an output says in words, in HTML or otherwise; pictures are left out."""
    data = output.get("data", {})
    parts = [output.get("text", "")] + [data[kind] for kind in data if kind.startswith("text/")]
    return "\n".join("".join(part) for part in parts)
