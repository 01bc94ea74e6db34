"""``companion new`` never writes a notebook that stops at an error on data that it accepted."""

from pathlib import Path

import pytest
from messy import FOLDERS, TABLES, write_folder
from running import run

from companion.cli import main


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
