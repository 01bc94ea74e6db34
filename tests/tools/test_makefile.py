"""Each target of the Makefile is explained, sets up what it runs, and prints nothing but its answer."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import ROOT
from tools.__main__ import COMMANDS
from tools.contents import chapters
from tools.release import lock
from tools.workflows.check import targets

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
QUIET = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}


def make(*words, cwd=ROOT):
    return subprocess.run(["make", *words], cwd=cwd, env=QUIET, capture_output=True, text=True)


def test_every_target_is_explained_once_to_people_or_to_continuous_integration():
    people, _, ci = make("help").stdout.partition("continuous integration")
    explained = [re.findall(r"^  ([a-z-]+)  ", part, flags=re.MULTILINE) for part in (people, ci)]
    assert {"book", "test", "unit", "notebooks", "lint", "english"} <= set(explained[0])
    assert {"chapters", "changed", "dist", "try", "report", "gpu"} <= set(explained[1])
    assert sorted(explained[0] + explained[1]) == sorted(targets())
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for target in ("unit", "notebooks", "measure", "pages", "dist", "try", "links", "gpu", "english"):
        assert f"make {target}" in contributing, target


def test_every_test_of_the_rendered_book_runs_where_the_book_is_rendered():
    """In ci.yml the job that runs all tests has no book, and skips these; the job of the book runs `make site`."""
    folder = ROOT / "tests" / "site"
    need_it = {file.name for file in folder.glob("test_*.py") if "BOOK_RENDERED" in file.read_text(encoding="utf-8")}
    assert need_it
    recipe = re.search(r"^site:.*\n((?:\t.*\n)+)", MAKEFILE, flags=re.MULTILINE)[1]
    assert need_it == set(re.findall(r"tests/site/(test_\w+\.py)", recipe))


def test_every_target_is_phony():
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)", MAKEFILE, flags=re.MULTILINE)
    assert set(phony[1].replace("\\\n", " ").split()) == targets()


@pytest.mark.parametrize("target", sorted(targets() - {"help", "clean"}))
def test_in_a_fresh_clone_a_target_first_makes_the_environment_that_it_uses(target, tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy2(ROOT / name, tmp_path / name)
    planned = make("--dry-run", target, cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    lines = planned.stdout.splitlines()
    uses = [
        n
        for n, line in enumerate(lines)
        if re.search(r"\.venv/bin/python -m (?:tools|pytest)|\.venv/bin/[a-oq-z]|\.venv/biome/.*/biome lint", line)
    ]
    makes = [n for n, line in enumerate(lines) if "tools/environment.sh" in line]
    assert makes, f"{target} leans on an environment that something else has made"
    assert uses, f"{target} runs nothing"
    assert makes[0] < uses[0]


def test_what_is_handed_on_is_not_mixed_with_what_set_up_says(tmp_path):
    """`make --silent chapters >> "$GITHUB_OUTPUT"` on a fresh machine, where everything that sets up is talkative."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy2(ROOT / name, tmp_path / name)
    (tmp_path / "tools").mkdir()
    python = '#!/bin/sh\\ncase "$*" in *pip*) echo pip talks ;; *) echo the answer ;; esac\\n'
    (tmp_path / "tools" / "environment.sh").write_text(
        f"echo making .venv\nmkdir -p .venv/bin\nprintf '{python}' > .venv/bin/python\nchmod +x .venv/bin/python\n"
    )
    ran = make("--silent", "chapters", cwd=tmp_path)
    assert ran.stdout == "the answer\n", ran.stderr
    assert "pip talks" in ran.stderr
    assert "making .venv" in ran.stderr


# --- what each environment holds ------------------------------------------------------------------------


def group(name):
    """Requirements of a dependency group, with those of the groups that it includes."""
    for line in PROJECT["dependency-groups"][name]:
        yield from [line] if isinstance(line, str) else group(line["include-group"])


def closure(requirements):
    """Names of the distributions that come with some requirements here."""
    found, waiting = set(), [Requirement(line) for line in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        try:
            waiting += map(Requirement, importlib.metadata.requires(name) or [])
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


IMPORT_WITH = """
import importlib, json, sys, traceback

commands, allowed = json.loads(sys.argv[1]), sys.argv[2:]

class Missing:
    def find_spec(name, path=None, target=None):
        root = name.partition(".")[0]
        if root not in sys.stdlib_module_names and root not in allowed:
            raise ModuleNotFoundError(f"{name} is not in this environment", name=name)

sys.meta_path.insert(0, Missing)
failed = {}
for command, module in commands.items():
    try:
        importlib.import_module(module)
    except Exception:
        failed[command] = traceback.format_exc()
print(json.dumps(failed))
"""
NEEDS = {
    "english": "tools", "chapters": "tools", "changed": "tools", "lock": "tools", "rendered": "book",
    "dist": None, "try": None, "report": None,
}  # fmt: skip


@cache
def failures(environment):
    """What goes wrong where the commands that need no more are imported in an environment; one process for them all."""
    allowed = closure(group(environment)) if environment else set()
    owners = importlib.metadata.packages_distributions()
    modules = [module for module, names in owners.items() if allowed & {canonicalize_name(name) for name in names}]
    commands = {command: COMMANDS[command] for command, needs in NEEDS.items() if needs == environment}
    words = [sys.executable, "-c", IMPORT_WITH, json.dumps(commands), "tools", *modules]
    return json.loads(subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("command", NEEDS)
def test_a_command_needs_no_more_than_its_target_has_installed(command):
    """Here everything is installed, so that nothing would be missed; each job of continuous integration is bare."""
    assert failures(NEEDS[command]).get(command) is None


def test_the_published_package_has_no_extras():
    assert "optional-dependencies" not in PROJECT["project"]


def test_every_group_is_in_the_lock():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", text, flags=re.MULTILINE)}
    for name in PROJECT["dependency-groups"]:
        assert {canonicalize_name(Requirement(line).name) for line in group(name)} <= pinned, name


def test_the_lock_is_made_from_every_group():
    words = lock.command()
    given = {words[place + 1] for place, word in enumerate(words) if word == "--group"}
    assert given == set(PROJECT["dependency-groups"])


def test_every_group_that_the_makefile_installs_is_there():
    assert set(re.findall(r"--group (\w+)", MAKEFILE)) == set(PROJECT["dependency-groups"])


# --- commands -------------------------------------------------------------------------------------------


def test_every_command_that_the_makefile_calls_is_there():
    called = set(re.findall(r"\$\(TOOLS\) (\w+)", MAKEFILE))
    assert called <= set(COMMANDS)
    assert called >= set(COMMANDS) - {"colab"}  # `make execute` does the same


def test_an_unknown_command_is_answered_with_the_known_ones():
    ran = subprocess.run([sys.executable, "-m", "tools", "englsh"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "english" in ran.stderr


def test_every_chapter_gets_a_job():
    ran = subprocess.run(
        [sys.executable, "-m", "tools", "chapters"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    name, _, value = ran.stdout.strip().partition("=")
    assert name == "chapters"
    assert json.loads(value) == [f"book/{page}.ipynb" for page in chapters()]
    assert "book/pymc/moons.ipynb" in json.loads(value)


def test_the_linters_see_every_shell_script():
    recipe = re.findall(r"shellcheck (.+)", MAKEFILE)[0].split()
    scripts = [path for place in (".ci", "tools") for path in (ROOT / place).rglob("*") if path.suffix in ("", ".sh")]
    shell = {
        path.relative_to(ROOT).as_posix()
        for path in [*scripts, ROOT / "postBuild"]
        if path.is_file() and path.read_bytes().startswith(b"#!")
    }
    assert set(recipe) == shell


OLD_PLACE = re.compile(r"(?<![\w/])[.]ci/(?!run\b)")


def test_only_run_is_left_of_the_folder_in_which_the_tools_were():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a checkout")
    named = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and not name.endswith((".ipynb", ".npz", ".safetensors", ".gz", ".png")):
            lines = path.read_text(encoding="utf-8", errors="ignore").splitlines()
            named += [f"{name}:{n}" for n, line in enumerate(lines, start=1) if OLD_PLACE.search(line)]
    assert named == []
    assert [path.name for path in (ROOT / ".ci").iterdir()] == ["run"]
