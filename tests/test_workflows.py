"""The workflows call what can be called by hand, and the checks on them find what is wrong."""

import importlib.util
import json
import re
import subprocess
from pathlib import Path

import changed
import check_workflows
import nbformat
import pytest
import yaml

ROOT = check_workflows.ROOT
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_nothing_to_mend(path):
    assert check_workflows.problems(path) == []


def test_all_four_are_there():
    assert [path.stem for path in WORKFLOWS] == ["ci", "gpu", "publish", "weekly"]


BREAKAGES = {
    "an action by its tag": ("checkout@" + "a" * 40 + " # v6.0.2", "checkout@v6", "pin the action"),
    "a hash without its version": (" # v6.0.2", "", "pin the action"),
    "rights for everybody": ("permissions: {}", "permissions: write-all", "say `permissions: {}`"),
    "a job without rights": ("    permissions:\n      contents: read\n", "", "states no permissions"),
    "a job without an end": ("    timeout-minutes: 5\n", "", "no timeout-minutes"),
    "runs that pile up": ("concurrency:\n  group: x\n", "", "no concurrency group"),
    "a command of its own": ("make lint", "pip install ruff && ruff check .", "make it a target"),
    "a target that is not there": ("make lint", "make linnt", "`make linnt`, which the Makefile does not have"),
    "a shell's slip": ("make lint", "make notebooks NB=$CHAPTER", "SC2086"),
}
SOUND = f"""\
name: Sound
on: push
permissions: {{}}
concurrency:
  group: x
jobs:
  lint:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    permissions:
      contents: read
    steps:
      - uses: actions/checkout@{"a" * 40} # v6.0.2
      - run: make lint
"""


def test_a_sound_workflow_passes(tmp_path):
    path = tmp_path / "sound.yml"
    path.write_text(SOUND, encoding="utf-8")
    assert check_workflows.main([str(path)]) == 0


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_the_check_names_what_is_broken(breakage, tmp_path, capsys):
    old, new, words = BREAKAGES[breakage]
    assert old in SOUND
    path = tmp_path / "broken.yml"
    path.write_text(SOUND.replace(old, new), encoding="utf-8")
    assert check_workflows.main([str(path)]) == 1
    assert words in capsys.readouterr().out


def test_the_gpu_runner_is_never_lent_to_a_fork():
    gpu = yaml.safe_load((ROOT / ".github" / "workflows" / "gpu.yml").read_text(encoding="utf-8"))
    (job,) = gpu["jobs"].values()
    assert "pull_request_target" not in gpu[True]
    assert job["if"] == (
        "github.event_name != 'pull_request' || github.event.pull_request.head.repo.full_name == github.repository"
    )
    assert "vars.GPU_RUNNER ||" in job["runs-on"]
    runs = [step["run"].split(" #")[0] for step in job["steps"] if "run" in step]
    assert runs[0] == "make gpu", "whether the GPU is used is asked before an hour is spent"


def test_every_chapter_gets_a_job():
    run = subprocess.run(["make", "--silent", "chapters"], cwd=ROOT, capture_output=True, text=True, check=True)
    name, _, value = run.stdout.strip().partition("=")
    assert name == "chapters"
    contents = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    pages = re.findall(r"- file: (\S+)", contents)
    assert json.loads(value) == [f"book/{page}.ipynb" for page in pages if (ROOT / "book" / f"{page}.ipynb").exists()]


def test_a_contents_page_without_notebooks_is_an_error(tmp_path):
    (tmp_path / "_toc.yml").write_text("root: intro\n", encoding="utf-8")
    run = subprocess.run(["sh", str(ROOT / ".ci" / "chapters")], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1, "an empty list would be a run that tests nothing, and green"


def test_changed_pages_are_listed_once_with_their_kind():
    files = {"book/pymc/moons.ipynb": "M", "book/pymc/moons.myst.md": "M", "book/intro.md": "A", "README.md": "M"}
    assert changed.changed(files) == ["- new: `intro.html`", "- changed: `pymc/moons.html`"]
    assert changed.changed({"README.md": "M"}) == ["- none"]
    assert "every page" in changed.changed({"_config.yml": "M"})[0]


def test_changed_refuses_a_commit_that_is_not_there(capsys):
    assert changed.main("no-such-commit") == 1
    assert "no-such-commit" in capsys.readouterr().err


def make_help() -> str:
    return subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_every_target_is_explained():
    explained = set(re.findall(r"^  ([a-z]+)  ", make_help(), flags=re.MULTILINE))
    assert explained == check_workflows.targets()
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for target in ("unit", "notebooks", "measure", "pages", "dist", "try", "links", "gpu"):
        assert f"make {target}" in contributing, target


def test_the_linters_see_every_shell_script():
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8")
    listed = set(re.findall(r"shellcheck (.+)", recipe)[0].split())
    scripts = [path for path in (ROOT / ".ci").iterdir() if path.is_file() and path.suffix == ""]
    shell = {f".ci/{path.name}" for path in scripts if path.read_text(encoding="utf-8").startswith("#!")} | {
        "postBuild"
    }
    assert listed == shell


def test_the_gpu_check_fails_without_one(capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert gpu_check().main([]) == 1
    assert "sees no GPU" in capsys.readouterr().err


def gpu_check():
    spec = importlib.util.spec_from_file_location("gpu_check", Path(check_workflows.__file__).with_name("gpu.py"))
    gpu = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gpu)
    return gpu


ON_GPU = "2,500 steps in 3 s on cuda\n", "python 3.13\nmachine  Some Processor, Linux, NVIDIA H200\n"


@pytest.mark.parametrize(
    ("printed", "problem"),
    [
        (ON_GPU, None),
        ((ON_GPU[0], "machine  Some Processor, Linux, no GPU\n"), "ran on Some Processor"),
        (("2,500 steps in 103 s on cpu, compiled: True\n", ON_GPU[1]), "on cpu"),
        (ON_GPU[:1], "did not run to its end"),
    ],
)
def test_an_executed_notebook_tells_whether_it_used_the_gpu(printed, problem, tmp_path, capsys):
    cells = [
        nbformat.v4.new_code_cell("run()", outputs=[nbformat.v4.new_output("stream", text=text)]) for text in printed
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "chapter.ipynb")
    assert gpu_check().main([str(tmp_path)]) == (problem is not None)
    said = capsys.readouterr()
    assert (problem or "every notebook used the GPU") in said.out + said.err


def test_a_folder_without_executed_notebooks_proves_nothing(tmp_path, capsys):
    assert gpu_check().main([str(tmp_path)]) == 1
    assert "holds no executed notebooks" in capsys.readouterr().err
