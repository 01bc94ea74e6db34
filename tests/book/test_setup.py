"""A chapter's set-up cell prints nothing, even on a machine where no library has run before."""

import ast
import os
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from running import first_run

from tools import ROOT

CHAPTERS = sorted(path for path in (ROOT / "book").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


def cells_with_code(path):
    """The code of a chapter, without the cell for Colab, which does nothing elsewhere."""
    cells = nbformat.read(path, as_version=4).cells
    return [c.source for c in cells if c.cell_type == "code" and "colab" not in c.metadata.get("tags", [])]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_is_set_up_before_it_imports_another_library(path):
    for statement in ast.parse(cells_with_code(path)[0]).body:
        code = ast.unparse(statement)
        if code == "book.setup()":
            return
        imported = getattr(statement, "module", None) or statement.names[0].name
        assert code == "from companion import book" or imported in sys.stdlib_module_names, code
    pytest.fail("the first cell doesn't call book.setup()")


NOTICES = """
import threading
import pymc as pm
from matplotlib import font_manager
from pytensor.link.c import cmodule
from tools import ROOT

try:
    from pytensor.tensor.blas.c_code.blas_headers import blas_header_text
except ModuleNotFoundError:  # PyTensor 2
    from pytensor.tensor.blas_headers import blas_header_text

timer = threading.Timer
threading.Timer = lambda seconds, say: timer(0, say)  # as if the fonts took longer than matplotlib waits
font_manager.FontManager()
threading.Timer = timer
cmodule.try_blas_flag = lambda flags: ""  # as if there were no BLAS
cmodule.default_blas_ldflags()
blas_header_text()
with pm.Model():
    pm.Normal("x")
    pm.sample(2, tune=2, chains=1, cores=1, step=pm.Metropolis(), progressbar=False, compute_convergence_checks=False)
"""
KEPT_OUT = (
    "building the font cache",
    "could not link to a BLAS",
    "NumPy C-API based implementation",
    "Sequential sampling",
)
WARNINGS = """
import warnings
from companion.errors import CompanionWarning

warnings.warn("something of ours", CompanionWarning)
warnings.warn("another library's", FutureWarning)
font_manager.findfont("no such font")
"""
HEARD = ("Only 2 samples per chain", "something of ours", "another library's", "no such font")


def said(code, folder):
    """What a fresh process prints to standard error."""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, env=first_run(folder)
    )
    assert run.returncode == 0, run.stderr
    return run.stderr


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The outputs of every chapter's set-up cell, and then of a cell that makes libraries speak."""
    cells = [nbformat.v4.new_code_cell(cells_with_code(path)[0]) for path in CHAPTERS]
    cells.append(nbformat.v4.new_code_cell(NOTICES + WARNINGS))
    resources = {"metadata": {"path": str(ROOT)}}
    client = NotebookClient(nbformat.v4.new_notebook(cells=cells), timeout=300, resources=resources)
    client.execute(env=first_run(tmp_path_factory.mktemp("home")))
    return [cell.outputs for cell in cells]


def test_set_up_cells_print_nothing_on_a_first_run(executed):
    printed = {path.stem: outputs for path, outputs in zip(CHAPTERS, executed[:-1], strict=True) if outputs}
    assert printed == {}


def test_notices_are_kept_out_and_warnings_are_heard(executed):
    text = "".join(output.get("text", "") for output in executed[-1])
    assert [words for words in KEPT_OUT if words in text] == []
    assert [words for words in HEARD if words not in text] == []


@pytest.mark.skipif("CI" not in os.environ, reason="it takes a minute of a core: continuous integration runs it")
def test_a_whole_chapter_runs_on_a_machine_where_nothing_has_run_before(tmp_path):
    """The cheapest one, held against its stored outputs as `make notebooks` does."""
    chapter = ROOT / "book" / "bayes_by_backprop" / "regression.ipynb"
    options = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=600", "-p", "no:cacheprovider", "-q"]
    sanitised = f"--nbval-sanitize-with={ROOT / 'tools' / 'notebooks' / 'nbval-sanitize.cfg'}"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, sanitised, str(chapter)],
        capture_output=True, text=True, check=False, cwd=ROOT, env=first_run(tmp_path),
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-3000:]
    assert (tmp_path / ".cache" / "matplotlib").is_dir(), "it was not the first run"


def test_without_the_set_up_the_notices_are_there(tmp_path):
    text = said(NOTICES, tmp_path)
    assert [words for words in KEPT_OUT if words not in text] == []


def test_setting_up_loads_no_other_library(tmp_path):
    code = "import sys; from companion import book; book.setup(); print(sorted(sys.modules), file=sys.stderr)"
    loaded = ast.literal_eval(said(code, tmp_path))
    assert "companion.book" in loaded
    assert not {"arviz", "matplotlib", "numpy", "pymc", "pyro", "pytensor", "torch"} & set(loaded)
