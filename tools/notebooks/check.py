"""Check the notebooks as they are stored, without running them: `make lint`.

No linter of others knows these rules: what a page shows must have been executed in order, be fit for print (no progress
bars, no folders of one machine, every figure with its alt text, on the pages of `CAPTIONED` with its caption) and
assert its claims. Whether a notebook and its text twin agree is left to jupytext. The notebooks named are checked, or
all of them; each problem is printed in a line, ``file: cell n: what, what to do``.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import jupytext
from jupytext.compare import NotebookDifference, compare_notebooks
from nbformat import NotebookNode

from tools import ROOT
from tools.contents import page_of
from tools.notebooks import MYST, chosen, code_cells, colab, pair, read, words

CAPTIONED = (
    "pymc/moons",
    "pymc/moons_posterior",
    "pymc/breast_cancer",
    "pymc/breast_cancer_decisions",
    "pymc/breast_cancer_hedging",
    "pymc/zh",
    "mnist/dense",
    "mnist/pruning",
    "mnist/posterior",
    "mnist/hierarchical",
    "mnist/convolutional",
    "mnist/strange_images",
    "mnist/league",
    "bayes_by_backprop/regression",
    "bayes_by_backprop/band",
    "bayes_by_backprop/lenet",
    "bayes_by_backprop/lenet_refusing",
    "bayes_by_backprop/design_choices",
    "bayes_by_backprop/design_rivals",
    "beyond/symptoms",
)
"""Pages of which every figure has a caption; a page joins when its captions are written."""

LARGEST = 1_500_000  # bytes; larger ones make slow pages and a slow clone

# Frames of progress bars: a carriage return, tqdm's and rich's bars and tqdm's rates (never spaced), HTML bars.
CLUTTER = re.compile(r"\r(?!\n)|\dit/s|\ds/it|\d+%\||━{3,}|[█▏▎▍▌▋▊▉]{2,}|<progress\b")
MACHINE_PATH = re.compile(r"(?<![\w./:-])/(?:work|root|tmp|home|Users|private|opt|mnt)/[\w.-]+")
FUNCTION = re.compile(r"^\s*(?:async\s+)?def\s+\w+", re.MULTILINE)
ASSERTION = re.compile(r"^\s*assert\b", re.MULTILINE)
VERSIONS = re.compile(r"\d+\.\d+")
# Chinese writes no spaces: two characters count as a word.
WORDS = re.compile(r"[\u4e00-\u9fff]{2}|[^\W\u4e00-\u9fff]+")


def problems(path: Path) -> list[str]:
    """Return what is wrong with one stored notebook, a line for each problem; empty when all is well."""
    path = path.resolve()
    name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    try:
        notebook = read(path)
    except (OSError, ValueError) as error:
        return [f"{name}: cannot be read as a notebook ({error})"]
    found = [*_size(path), *_pairing(path, notebook)]
    for check in (_metadata, _colab, _execution, _outputs, _claims, _folding):
        found += check(notebook)
    found += _captions(notebook, page_of(path) if path.is_relative_to(ROOT / "book") else path.stem)
    return [f"{name}: {line}" for line in found]


def _size(path: Path) -> Iterator[str]:
    size = path.stat().st_size
    if size > LARGEST:
        yield f"{size / 1e6:.1f} MB, draw figures with a lower dpi until it is under {LARGEST / 1e6:.1f} MB"


def _pairing(path: Path, notebook: NotebookNode) -> Iterator[str]:
    twin = pair(path)
    if not twin.exists():
        yield f"has no {twin.name} beside it, run: jupytext --set-formats ipynb,.myst.md:myst {path.name}"
        return
    try:
        compare_notebooks(jupytext.read(twin, fmt=MYST), notebook, fmt=MYST, compare_outputs=False)
    except NotebookDifference as difference:
        yield f"differs from {twin.name} ({' '.join(str(difference).split())[:200]}), run: make execute NB=..."


def _metadata(notebook: NotebookNode) -> Iterator[str]:
    kernel = notebook.metadata.get("kernelspec", {}).get("name")
    if kernel != "python3":
        yield f"kernelspec is {kernel!r}, set it to python3 so that it opens everywhere"
    if "widgets" in notebook.metadata:
        yield "stores widget state, clear it: a page would load the widgets' code from another host"
    for n, cell in enumerate(notebook.cells, 1):
        if "execution" in cell.metadata:
            yield f"cell {n}: stores execution times, run: make execute NB=..."


def _colab(notebook: NotebookNode) -> Iterator[str]:
    if not notebook.cells or not colab.stands(notebook):
        yield "cell 1: isn't the one that installs the companion in Colab, run: python -m tools colab"


def _execution(notebook: NotebookNode) -> Iterator[str]:
    # nbval compares nothing where the count is missing: a stripped notebook would pass in silence.
    for expected, (n, cell) in enumerate(code_cells(notebook), start=1):
        if cell.execution_count is None:
            yield f"cell {n}: was never executed, run: make execute NB=..."
        elif cell.execution_count != expected:
            yield f"cell {n}: ran as number {cell.execution_count}, not {expected}, run: make execute NB=..."
            return


def _outputs(notebook: NotebookNode) -> Iterator[str]:
    for n, cell in code_cells(notebook):
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        for output in cell.outputs:
            picture = any(kind.startswith("image/") for kind in output.get("data", {}))
            said = words(output)
            if output.output_type == "error":
                yield f"cell {n}: its output is an error ({output.ename}), mend the cell and execute again"
            if picture and len(WORDS.findall(str(alt))) < 4:
                yield f"cell {n}: a figure without alt text, describe it in the metadata mystnb.image.alt"
            if CLUTTER.search(said):
                yield f"cell {n}: a progress bar is stored in its output, switch it off in the cell"
            elif output.get("name") == "stderr":
                yield f"cell {n}: prints to standard error, silence it in the cell"
            if place := MACHINE_PATH.search(said):
                yield f"cell {n}: names a folder of one machine ({place.group()}), print something shorter"


def _captions(notebook: NotebookNode, page: str) -> Iterator[str]:
    for n, cell in code_cells(notebook) if page in CAPTIONED else []:
        picture = any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {}))
        said = str(cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", ""))
        if picture and len(WORDS.findall(said)) < 4:
            yield f"cell {n}: a figure without a caption, say how to read it in the metadata mystnb.figure.caption"


def _claims(notebook: NotebookNode) -> Iterator[str]:
    cells = code_cells(notebook)
    if not cells:
        yield "has no code cells, write it as a .md page"
        return
    for n, cell in cells:
        if FUNCTION.search(cell.source) and "model" not in cell.metadata.get("tags", []):  # a Pyro model is a function
            yield f"cell {n}: defines a function, move it into the companion and show it with literalinclude"
    if not any(ASSERTION.search(cell.source) for _, cell in cells):
        yield "asserts nothing, assert at least one of its claims"
    n, last = cells[-1]
    if not VERSIONS.search("\n".join(words(output) for output in last.outputs)):
        yield f"cell {n}: the last code cell must print the versions and the machine"


def only_asserts(cell: NotebookNode) -> bool:
    """Say whether a cell does little but assert, and shows nothing: at least half of its statements are assertions.

    Statements within an ``if``, a ``for`` or a ``with`` count, and not the line above them.
    """
    if cell.outputs or not ASSERTION.search(cell.source):
        return False
    try:
        statements = list(_simple(ast.parse(cell.source).body))
    except SyntaxError:  # a magic of IPython
        return False
    return 2 * sum(isinstance(statement, ast.Assert) for statement in statements) >= len(statements)


def _simple(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Give the statements of a block, those of the blocks in it among them."""
    for statement in body:
        if isinstance(statement, ast.If | ast.For | ast.With):
            yield from _simple([*statement.body, *getattr(statement, "orelse", [])])
        else:
            yield statement


def _folding(notebook: NotebookNode) -> Iterator[str]:
    for n, cell in code_cells(notebook):
        if only_asserts(cell) and not {"hide-input", "hide-cell", "remove-cell"} & set(cell.metadata.get("tags", [])):
            yield f"cell {n}: asserts and shows nothing, give it the tag hide-input so that it folds"


def main(arguments: list[str]) -> int:
    """Check the notebooks named, or all of them; print the problems and return the exit status."""
    paths = chosen(arguments)
    found = [line for path in paths for line in problems(path)]
    print("\n".join(found) or f"{len(paths)} notebooks: nothing to mend")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
