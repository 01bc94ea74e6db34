"""``companion new`` never writes a notebook that stops at an error on data that it accepted."""

import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
from messy import FOLDERS, TABLES, write_folder

from companion.cli import main


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


@pytest.mark.parametrize("name", TABLES)
def test_a_notebook_on_a_table_that_was_accepted_runs_to_its_end(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("messy.csv").write_text(TABLES[name], encoding="utf-8")
    assert main(["new", "messy.csv", "--target", "kind"]) == 0
    done = run(Path("messy.ipynb"), monkeypatch)
    assert len(done["p"]) == 200, "the last figures are those of the new rows"
    assert Path("messy.safetensors").is_file()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_notebook_on_a_folder_that_was_accepted_runs_to_its_end(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path, name)
    assert main(["new", name]) == 0
    done = run(Path(f"{name}.ipynb"), monkeypatch)
    assert done["data"].train.x.std() > 0.01, "something is to be seen"
    assert Path(f"{name}.safetensors").is_file()
