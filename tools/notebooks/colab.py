"""Put the first cell into every chapter: in Colab it installs the companion, anywhere else it does nothing.

The notebooks named, or all chapters, get the cell where it is missing or out of date, and so do their text twins. No
other cell changes: stored outputs stay, and execution counts move up by one. `make execute` does the same, so a new
chapter gets the cell by itself; `make lint` finds a chapter without it.
"""

import sys

import jupytext
import nbformat
from nbformat import NotebookNode

from tools.contents import repository
from tools.notebooks import MYST, chosen, pair, read, write

# Colab sets COLAB_RELEASE_TAG in every kernel. Its torch, with its GPU, fits the companion's ranges and stays.
SOURCE = f"""\
# For Colab alone, which has no companion yet; anywhere else this cell does nothing.
import os

if "COLAB_RELEASE_TAG" in os.environ:
    %pip install -q "bnn-companion @ git+{repository()}\""""
TAG = "colab"  # by which an older wording is found and replaced
METADATA = {"tags": [TAG, "remove-cell"]}  # remove-cell: not on the page, where nothing would be run


def stands(notebook: NotebookNode) -> bool:
    """Return whether the notebook begins with the cell, word for word, and has it only there."""
    first, *others = notebook.cells
    right = first.cell_type == "code" and first.source.strip() == SOURCE and dict(first.metadata) == METADATA
    return right and not any(TAG in cell.metadata.get("tags", []) for cell in others)


def put(notebook: NotebookNode) -> bool:
    """Put the cell first, in place of an older one; return whether anything had to change."""
    if notebook.cells and stands(notebook):
        return False
    notebook.cells = [cell for cell in notebook.cells if TAG not in cell.metadata.get("tags", [])]
    notebook.cells.insert(0, nbformat.v4.new_code_cell(SOURCE, metadata=METADATA, id="colab"))
    executed = any(cell.get("execution_count") is not None for cell in notebook.cells)
    if executed:  # counted as if it had been run, which prints nothing
        _renumber(notebook)
    return True


def _renumber(notebook: NotebookNode) -> None:
    """Count code cells from 1; cells that were never executed stay without a number, for the checks to find."""
    number = 0
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        number += 1
        if place and cell.execution_count is None:
            continue
        cell.execution_count = number
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = number


def main(arguments: list[str]) -> int:
    """Put the cell into the notebooks named, or into all chapters."""
    for path in chosen(arguments):
        notebook = read(path)
        if put(notebook):
            write(notebook, path)
            jupytext.write(notebook, pair(path), fmt=MYST)
            print(f"{path}: the cell for Colab now comes first")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
