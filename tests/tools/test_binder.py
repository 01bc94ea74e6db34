"""What Binder installs is what the lock says, and nothing besides."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tools import ROOT

ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
LOCK = (ROOT / "constraints.txt").read_text(encoding="utf-8")
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")

# What conda brings, and the name by which the lock knows it; None for what is not a Python package.
CONDA = {"python": None, "pip": None, "gxx": None, "pytorch-cpu": "torch"}


def pinned(name):
    """The lock's version of a package, on the Python that Binder gets."""
    python = conda()["python"]
    for line in LOCK.splitlines():
        if line.startswith(f"{name}=="):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"python_full_version": f"{python}.0"}):
                return next(iter(requirement.specifier)).version
    raise AssertionError(f"constraints.txt does not pin {name}")


def conda():
    """Conda's packages and their versions, "" where any will do."""
    lines = [line for line in ENVIRONMENT["dependencies"] if isinstance(line, str)]
    return {name: version for name, _, version in (line.partition("=") for line in lines)}


def pip():
    (section,) = [line["pip"] for line in ENVIRONMENT["dependencies"] if isinstance(line, dict)]
    return section


def test_conda_brings_the_lock_s_versions_and_no_other_package():
    assert set(conda()) == set(CONDA), "say in CONDA what a new package is in the lock"
    for name, version in conda().items():
        if CONDA[name] is not None:
            assert version == pinned(CONDA[name]), f"environment.yml has {name} {version}"


def test_python_is_one_that_the_project_supports():
    version = conda()["python"]
    assert version == "3.12"
    (required,) = re.findall(r'requires-python = "(.+)"', PROJECT)
    assert SpecifierSet(required).contains(f"{version}.0")
    assert f"Programming Language :: Python :: {version}" in PROJECT


def test_pip_installs_the_companion_by_the_lock_and_each_other_package_is_in_it():
    assert pip()[0] == "-c constraints.txt", "before anything is installed"
    assert "." in pip()
    for line in pip()[1:]:
        if line != ".":
            assert Requirement(line).specifier == SpecifierSet(), "versions stand in the lock alone"
            pinned(Requirement(line).name)


def test_every_package_that_the_companion_needs_is_in_the_lock():
    for line in tomllib.loads(PROJECT)["project"]["dependencies"]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pinned(requirement.name), prereleases=True), line


def test_only_conda_forge_and_nothing_that_needs_a_gpu():
    assert ENVIRONMENT["channels"] == ["conda-forge"]
    assert not re.search(r"cuda|gpu|nvidia", " ".join(conda()))


def test_nothing_takes_precedence_over_the_environment():
    """Binder reads a folder binder/ or a Dockerfile instead of environment.yml, where there is one."""
    for name in ("binder", ".binder", "Dockerfile", "Pipfile", "requirements.txt", "setup.py", "runtime.txt"):
        assert not (ROOT / name).exists(), name
    assert (ROOT / "postBuild").stat().st_mode & 0o100


TOOL = shutil.which("jupyter-repo2docker", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


@pytest.mark.skipif(TOOL is None, reason="jupyter-repo2docker is not installed: make binder")
def test_binder_s_own_tool_picks_it_up():
    run = subprocess.run([TOOL, "--no-build", "--debug", "."], cwd=ROOT, capture_output=True, text=True, timeout=120)
    printed = run.stdout + run.stderr
    assert run.returncode == 0, printed[-2000:]
    assert 'env update -p ${NB_PYTHON_PREFIX} --file "environment.yml"' in printed
    assert "environment.py-3.12" in printed.replace("-2d", "-").replace("-2e", ".")
    assert "RUN ./postBuild" in printed
