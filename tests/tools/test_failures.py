"""A run that should fail does fail: a notebook is broken on purpose, and every command that should notice is run.

In a scratch copy of the repository with a single small chapter, and this environment in place of .venv.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml

from tools import ROOT
from tools.notebooks import MYST, colab, pair, write
from tools.release import attempt, dist

CHAPTER = "book/pymc/small.ipynb"
BROKEN = {
    "a claim that is no longer true": "assert answer == 43",
    "an error": "print(1 / 0)\nassert answer == 42",
    "another result than the stored one": 'print("the answer is", answer + 1)\nassert answer == 42',
}
COMMANDS = {
    "make notebooks": ["make", "notebooks"],
    "make notebooks, one chapter": ["make", "notebooks", f"NB={CHAPTER}"],
    "make test": ["make", "test"],
    ".ci/run": ["bash", ".ci/run"],
    "make measure": ["make", "measure", f"NB={CHAPTER}", "RESULTS=_build/chapters.json"],
}


def store(scratch, claim):
    """Put the chapter into the scratch copy, with the outputs that it had when it was sound."""
    cells = [
        nbformat.v4.new_code_cell(colab.SOURCE, execution_count=1, metadata=colab.METADATA),
        nbformat.v4.new_code_cell("answer = 6 * 7", execution_count=2),
        nbformat.v4.new_code_cell(
            claim, execution_count=3, outputs=[nbformat.v4.new_output("stream", text="the answer is 42\n")]
        ),
        nbformat.v4.new_code_cell(
            'print("python 3.11")', execution_count=4, outputs=[nbformat.v4.new_output("stream", text="python 3.11\n")]
        ),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    write(notebook, scratch / CHAPTER)
    jupytext.write(notebook, pair(scratch / CHAPTER), fmt=MYST)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A copy of what the commands need, whose .venv is this environment and counts as set up."""
    place = tmp_path_factory.mktemp("scratch")
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "_config.yml"):
        shutil.copy2(ROOT / name, place / name)
    for name in (".ci", "benchmarks", "companion", "tools"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    (place / "tests").mkdir()
    (place / "tests" / "test_small.py").write_text("def test_small():\n    assert True\n", encoding="utf-8")
    (place / CHAPTER).parent.mkdir(parents=True)
    (place / "_toc.yml").write_text(
        "root: intro\nparts:\n  - caption: One\n    chapters:\n      - file: pymc/small\n", encoding="utf-8"
    )
    (place / "GNUmakefile").write_text("include Makefile\nbook:\n\t@true\n", encoding="utf-8")  # renders nothing
    environment = place / ".venv"
    environment.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if not entry.name.startswith("."):
            (environment / entry.name).symlink_to(entry)
    for stamp in (".made", ".tools", ".book", ".test"):
        (environment / stamp).touch()
    return place


def run(scratch, command):
    """Run a command in the scratch copy."""
    environment = {**os.environ, "PYTHONPATH": str(scratch)}
    for name in ("PYTEST_ADDOPTS", "MAKEFLAGS", "MAKELEVEL", "PYTEST_CURRENT_TEST"):
        environment.pop(name, None)
    return subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True, timeout=300)


@cache
def outcome(scratch, claim, name):
    """What a command ends with where the chapter claims this; each starts a kernel, so none runs twice."""
    store(scratch, claim)
    return run(scratch, COMMANDS[name])


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_each_workflow_runs_a_command_that_is_shown_to_fail_here(path):
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    called = {word for line in runs for word in line.partition("#")[0].split() if "=" not in word}
    shown = {words[1] for words in COMMANDS.values() if words[0] == "make"}
    assert called & shown, f"{path.name} would be green with a broken notebook"


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="not in a virtual environment")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_sound_chapter_passes(scratch, name):
    ran = outcome(scratch, 'print("the answer is", answer)\nassert answer == 42', name)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="not in a virtual environment")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_chapter_whose_claim_is_broken_fails(scratch, name):
    ran = outcome(scratch, BROKEN["a claim that is no longer true"], name)
    assert ran.returncode != 0
    assert "AssertionError" in ran.stdout + ran.stderr


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="not in a virtual environment")
@pytest.mark.parametrize("how", BROKEN)
def test_every_way_to_break_a_chapter_is_noticed(scratch, how):
    assert outcome(scratch, BROKEN[how], "make notebooks").returncode != 0


@pytest.mark.parametrize(("test", "book", "expected"), [(0, 0, 0), (3, 0, 3), (0, 4, 4), (3, 4, 3)])
def test_the_whole_run_fails_with_the_first_part_that_fails(tmp_path, test, book, expected):
    """`.ci/run` pipes one part into `tee` and goes on to the other: neither may hide a failure."""
    (tmp_path / ".ci").mkdir()
    shutil.copy2(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    fake = tmp_path / "bin" / "make"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\n[ "$1" = test ] && exit {test}\nexit {book}\n', encoding="utf-8")
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run(["bash", ".ci/run"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == expected


def test_a_release_with_the_wrong_tag_is_not_built(capsys):
    assert dist.main(["v99.0.0"]) == 1
    assert "expected the tag v" in capsys.readouterr().err


def test_nothing_is_tried_where_nothing_was_built(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(attempt, "ROOT", tmp_path)
    assert attempt.main([]) == 1
    assert "make dist" in capsys.readouterr().err
