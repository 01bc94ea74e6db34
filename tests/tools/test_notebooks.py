"""What must hold of every chapter as it is stored; nbval runs them beside this file."""

import json
import re
import subprocess
import sys
from collections import Counter

import jupytext
import nbformat
import pytest
import yaml

import companion
from tools import ROOT
from tools.contents import chapters, first, notebook_of, page_of, pages, repository
from tools.notebooks import MYST, check, colab, pair, read, stored, write
from tools.notebooks.check import problems

PAGES = [first(), *pages()]
CHAPTERS = chapters()


def test_every_page_of_the_contents_exists():
    missing = [p for p in PAGES if not notebook_of(p).exists() and not (ROOT / "book" / p).with_suffix(".md").exists()]
    assert not missing


def test_every_notebook_is_in_the_contents():
    found = {page_of(path) for path in stored()}
    assert found == set(CHAPTERS)
    assert "pymc/moons" in found


@pytest.mark.parametrize("page", CHAPTERS)
def test_nothing_to_mend_in_the_stored_notebook(page):
    assert problems(notebook_of(page)) == []


@pytest.fixture(scope="module")
def collected():
    """Number of cells that nbval collects of each chapter, by its page; the chapters are given as `make` gives them."""
    paths = [notebook_of(page) for page in CHAPTERS]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "--collect-only", "-q", *map(str, paths)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    found = Counter(re.findall(r"^(.+)\.ipynb::Cell \d+$", run.stdout, re.M))
    return {
        page: found[path.relative_to(ROOT).with_suffix("").as_posix()]
        for page, path in zip(CHAPTERS, paths, strict=True)
    }


@pytest.mark.parametrize("page", CHAPTERS)
def test_nbval_collects_every_code_cell_and_one_asserts(page, collected):
    notebook = read(notebook_of(page))
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    assert sum(bool(re.search(r"^\s*assert\b", c.source, re.M)) for c in cells) >= 1
    skipped = {"nbval-skip", "nbval-raises-exception"}
    assert not [c.source for c in cells if skipped & set(c.metadata.get("tags", []))]
    assert collected[page] == len(cells)


BREAKAGES = {
    "no cell for Colab": (lambda nb: nb.cells.pop(0), "installs the companion in Colab"),
    "another cell for Colab": (lambda nb: nb.cells[0].update(source="import os"), "installs the companion in Colab"),
    "a cell that was never executed": (lambda nb: nb.cells[2].update(execution_count=None), "never executed"),
    "an error in an output": (
        lambda nb: nb.cells[2].outputs.append(nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])),
        "output is an error",
    ),
    "a figure without alt text": (lambda nb: nb.cells[3].metadata.pop("mystnb"), "without alt text"),
    "a progress bar": (
        lambda nb: nb.cells[2].outputs.append(nbformat.v4.new_output("stream", text="50%|█████     | 1/2")),
        "progress bar",
    ),
    "a folder of one machine": (
        lambda nb: nb.cells[2].outputs.append(nbformat.v4.new_output("stream", text="/" + "home/me/x.py")),
        "folder of one machine",
    ),
    "a claim that is not asserted": (lambda nb: nb.cells[2].update(source="x = 1"), "asserts nothing"),
    "assertions that are not folded": (lambda nb: nb.cells[2].metadata.pop("tags"), "the tag hide-input"),
    "assertions in blocks that are not folded": (
        lambda nb: nb.cells[2].update(source="a = 1\nif a:\n    for b in (1, 2):\n        assert b", metadata={}),
        "the tag hide-input",
    ),
    "a helper in the notebook": (lambda nb: nb.cells[2].update(source="def f():\n    assert 1"), "defines a function"),
    "outputs that are too large": (lambda nb: nb.metadata.update(padding="x" * 1_600_000), "1.6 MB"),
}


@pytest.fixture
def sound(tmp_path):
    """A small notebook with nothing to mend, and its twin."""
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    figure = nbformat.v4.new_output("display_data", data={"image/png": "iVBORw0KGgo="})
    alt = {"mystnb": {"image": {"alt": "A line that rises with x."}}}
    notebook.cells = [
        nbformat.v4.new_code_cell(colab.SOURCE, execution_count=1, metadata=colab.METADATA),
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell("assert True", execution_count=2, metadata={"tags": ["hide-input"]}),
        nbformat.v4.new_code_cell("plot()", execution_count=3, outputs=[figure], metadata=alt),
        nbformat.v4.new_code_cell(
            "versions()", execution_count=4, outputs=[nbformat.v4.new_output("stream", text="python 3.11")]
        ),
    ]
    path = tmp_path / "chapter.ipynb"
    write(notebook, path)
    jupytext.write(notebook, pair(path), fmt=MYST)
    return path


def test_a_sound_notebook_passes(sound):
    assert problems(sound) == []


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_the_check_names_what_is_broken(sound, breakage):
    breaks, words = BREAKAGES[breakage]
    notebook = read(sound)
    breaks(notebook)
    sound.write_text(json.dumps(notebook), encoding="utf-8")
    assert any(words in line for line in problems(sound))


def test_a_page_with_captions_has_one_for_every_figure(sound, monkeypatch):
    missing = "a figure without a caption"
    assert not [said for said in problems(sound) if missing in said]
    monkeypatch.setattr(check, "CAPTIONED", ("chapter",))
    assert [said for said in problems(sound) if missing in said]
    notebook = read(sound)
    notebook.cells[3].metadata["mystnb"]["figure"] = {"caption": "Follow the line from left to right."}
    write(notebook, sound)
    jupytext.write(notebook, pair(sound), fmt=MYST)
    assert problems(sound) == []


DIFFERENCES = {
    "another line": lambda twin: twin.replace("assert True", "assert 1"),
    "another alt text": lambda twin: twin.replace("A line that rises", "A line that falls"),
    "a cell more": lambda twin: twin + "\nAnd another thing.\n",
    "a tag more": lambda twin: twin.replace(":tags: [colab,", ":tags: [colab, nbval-skip,"),
}


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_the_check_sees_twins_that_differ(sound, difference):
    twin = pair(sound)
    before = twin.read_text(encoding="utf-8")
    twin.write_text(DIFFERENCES[difference](before), encoding="utf-8")
    assert twin.read_text(encoding="utf-8") != before
    assert any("differs from chapter.myst.md" in line for line in problems(sound))


def test_a_model_may_be_written_in_a_notebook(sound):
    notebook = read(sound)
    notebook.cells[2].update(source="def model(x):\n    assert x", metadata={"tags": ["model"]})
    sound.write_text(json.dumps(notebook), encoding="utf-8")
    assert not [said for said in problems(sound) if "defines a function" in said]


def test_a_newer_jupytext_makes_no_difference(sound):
    twin = pair(sound)
    text = twin.read_text(encoding="utf-8").replace("jupytext_version: ", "jupytext_version: 9")
    twin.write_text(text, encoding="utf-8")
    assert "jupytext_version: 9" in text
    assert problems(sound) == []


def test_version_and_repository_agree_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == companion.__version__
    assert f"## {companion.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    url = repository()
    assert citation["repository-code"] == url
    for page in ("book/intro.md", "README.md", "pyproject.toml"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert url in text
        for link in re.findall(r"https://github\.com/bnn[\w./-]*[\w]", text):
            assert link == url or (ROOT / link.removeprefix(f"{url}/blob/main/")).is_file(), link
    organisation, name = url.split("/")[-2:]
    for page in ("README.md", "pyproject.toml"):  # where publish.yml puts the book
        assert f"https://{organisation}.github.io/{name}/" in (ROOT / page).read_text(encoding="utf-8")


def test_links_of_the_readme_lead_somewhere_wherever_it_is_shown():
    """The package index shows the same text, and has no files beside it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https://")] == []
