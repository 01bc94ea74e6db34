"""Data flow one way: a room of the companion imports only from rooms to its left."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "companion"

# From left to right; rooms in one line may use each other.
ROOMS = (
    {"errors", "compat", "logs", "versions"},
    {"checks"},
    {"datasets", "results"},
    {"networks"},
    {"priors"},
    {"bridge"},
    {"models"},
    {"originals"},
    {"forward"},
    {"posterior"},
    {"inference"},
    {"bayes_by_backprop"},
    {"released"},
    {"prediction"},
    {"uncertainty"},
    {"plots"},
    {"cli"},
    {"__main__", "__init__"},
)
PLACE = {room: place for place, rooms in enumerate(ROOMS) for room in rooms}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    """Rooms that a module imports from, wherever in the file it does."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: write absolute imports, so that this test sees them"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found += [name.split(".")[1] for name in names if name.startswith("companion.")]
    return [name for name in found if name in PLACE]


MODULES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_come_from_the_left(path):
    here = room_of(path)
    assert here in PLACE, f"companion/{here} is a new room: give it a place in ROOMS"
    wrong = [room for room in imports(path) if PLACE[room] > PLACE[here]]
    assert not wrong, f"{path.name} stands in {here} and imports from {wrong}, to its right"


def test_the_check_sees_imports_at_all():
    assert "datasets" in imports(ROOT / "models.py")
    assert "forward" in imports(ROOT / "posterior.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_one_idea(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 300, f"{path.name} has {lines} lines: it is asking to become two modules"
    assert path.stem not in {"utils", "helpers", "common", "misc"}


def test_importing_the_package_loads_nothing_heavy():
    heavy = "pymc torch pyro pytensor matplotlib sklearn"
    code = f"import sys, companion; print([m for m in '{heavy}'.split() if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
