"""The cell that installs the companion in Colab: there in every chapter, and of no effect anywhere else."""

import subprocess
import sys

import jupytext
import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tools import ROOT
from tools.contents import repository
from tools.notebooks import MYST, colab, pair, read, stored


def notebook_of(*cells):
    return nbformat.v4.new_notebook(
        cells=[*cells], metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )


@pytest.fixture
def executed():
    result = nbformat.v4.new_output("execute_result", data={"text/plain": "2"}, execution_count=1)
    return notebook_of(
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell("1 + 1", execution_count=1, outputs=[result]),
        nbformat.v4.new_code_cell("print(3)", execution_count=2),
    )


@pytest.mark.parametrize("path", stored(), ids=lambda path: path.stem)
def test_every_chapter_and_its_twin_begin_with_the_cell(path):
    assert colab.stands(read(path))
    twin = jupytext.read(pair(path), fmt=MYST)
    assert twin.cells[0].source.strip() == colab.SOURCE


@pytest.mark.parametrize("tag", [None, "release-colab-20260101"])
def test_it_installs_in_colab_and_nowhere_else(tag, monkeypatch):
    """The cell as IPython runs it, with a shell that notes the magics it is asked for."""
    asked = []

    class Shell:
        def run_line_magic(self, name, line):
            asked.append(f"%{name} {line}")

    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    if tag:
        monkeypatch.setenv("COLAB_RELEASE_TAG", tag)
    code = TransformerManager().transform_cell(colab.SOURCE)
    exec(compile(code, "cell", "exec"), {"get_ipython": Shell})
    assert asked == ([f'%pip install -q "bnn-companion @ git+{repository()}"'] if tag else [])


def test_the_cell_comes_first_and_nothing_else_changes(executed):
    before = [dict(cell) for cell in executed.cells]
    assert colab.put(executed)
    assert colab.stands(executed)
    assert [cell.get("execution_count") for cell in executed.cells] == [1, None, 2, 3]
    assert executed.cells[2].outputs[0].execution_count == 2
    assert executed.cells[2].outputs[0].data == {"text/plain": "2"}
    assert [cell.source for cell in executed.cells[1:]] == [cell["source"] for cell in before]
    assert not colab.put(executed), "a second time there is nothing to do"


def test_an_older_wording_is_replaced_not_doubled(executed):
    colab.put(executed)
    executed.cells[0].source = "!pip install companion"
    assert not colab.stands(executed)
    assert colab.put(executed)
    assert [colab.TAG in cell.metadata.get("tags", []) for cell in executed.cells] == [True, False, False, False]
    assert [cell.get("execution_count") for cell in executed.cells] == [1, None, 2, 3]


def test_a_cell_that_was_never_executed_stays_so(executed):
    executed.cells[2].execution_count = None
    colab.put(executed)
    assert executed.cells[3].execution_count is None, "the checks must still find it"


def test_the_command_writes_both_files(executed, tmp_path):
    path = tmp_path / "chapter.ipynb"
    nbformat.write(executed, path)
    subprocess.run([sys.executable, "-m", "tools", "colab", str(path)], cwd=ROOT, check=True, capture_output=True)
    assert colab.stands(read(path))
    assert colab.SOURCE in pair(path).read_text(encoding="utf-8")
