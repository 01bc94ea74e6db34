"""The house: arrows run down the list of rooms, and a room is entered through its door."""

import ast
import re
from pathlib import Path

import pytest

from tools import ROOT

PACKAGE = ROOT / "companion"

# From top to bottom: a room imports only from rooms above it. Rooms in one line may not use each other.
ROOMS = (
    {"errors", "moved", "versions"},
    {"checks", "logs", "compat"},
    {"book"},
    {"datasets"},
    {"networks"},
    {"priors"},
    {"machine"},
    {"bridge"},
    {"models"},
    {"originals"},
    {"variational"},
    {"training"},
    {"posterior"},
    {"sampling"},
    {"laplace"},
    {"inference"},
    {"bayes_by_backprop", "infinite_width"},
    {"prediction"},
    {"uncertainty"},
    {"estimators"},
    {"plots"},
    {"shelf"},
    {"bench"},
    {"cli"},
    {"__main__", "__init__"},
)
PLACE = {room: place for place, rooms in enumerate(ROOMS) for room in rooms}
OUTSIDE = [p for folder in ("benchmarks", "studies", "tools", ".ci") for p in sorted((ROOT / folder).rglob("*.py"))]
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 60


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py") if path.is_relative_to(PACKAGE) else ""


def imports(tree: ast.AST) -> list[tuple[str, str]]:
    """Every import from the package, wherever in the file: the module, and the name that is taken from it."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write absolute imports, so that this test sees them"
            found += [(node.module or "", alias.name) for alias in node.names]
    return [(module, name) for module, name in found if module.partition(".")[0] == "companion"]


def rooms_entered(tree: ast.AST) -> list[str]:
    entered = [module.split(".")[1] if "." in module else name for module, name in imports(tree)]
    return [room for room in entered if room in PLACE]


def through_the_wall(tree: ast.AST, own: str) -> list[str]:
    """Imports that reach into another room instead of asking at its door."""
    wrong = []
    for module, name in imports(tree):
        parts = module.split(".")
        deep = len(parts) > 2 or (len(parts) == 2 and (PACKAGE / parts[1] / f"{name}.py").is_file())
        if deep and parts[1] != own and not offered(parts[1], name, len(parts)):
            wrong.append(f"{module}.{name}".rstrip("."))
    return wrong


def offered(room: str, name: str, depth: int) -> bool:
    """Say whether a name that is also a module's is a function that the room offers."""
    door = PACKAGE / room / "__init__.py"
    return depth == 2 and door.is_file() and f'    "{name}",' in door.read_text(encoding="utf-8")


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_arrows_run_down(path):
    here = room_of(path)
    assert here in PLACE, f"companion/{here} is a new room: give it a place in ROOMS"
    wrong = [room for room in rooms_entered(parse(path)) if room != here and PLACE[room] >= PLACE[here]]
    assert not wrong, f"{path.name} stands in {here} and imports from {wrong}, which stand below it"


@pytest.mark.parametrize("path", MODULES + OUTSIDE, ids=shown)
def test_a_room_is_entered_through_its_door(path):
    wrong = through_the_wall(parse(path), room_of(path))
    assert not wrong, f"{shown(path)} reaches into {wrong}; import what the room's __init__ offers"


@pytest.mark.parametrize(
    ("line", "up", "deep"),
    [
        ("from companion.plots import use_style", True, False),
        ("import companion.plots", True, False),
        ("from companion.machine.seeds import seed_for", False, True),
        ("from companion.machine import seeds", False, True),
        ("import companion.machine.seeds", False, True),
        ("from companion.machine import seed_for", False, False),
        ("def f():\n    from companion.cli import main", True, False),
    ],
)
def test_both_rules_see_what_they_forbid(line, up, deep):
    tree = ast.parse(line)
    assert any(PLACE[room] > PLACE["training"] for room in rooms_entered(tree)) == up
    assert bool(through_the_wall(tree, "training")) == deep


@pytest.mark.parametrize("room", sorted(p.name for p in PACKAGE.iterdir() if (p / "__init__.py").is_file()))
def test_no_circle_hides_in_a_room(room):
    """Modules of a room can be put in an order in which each imports only earlier ones, type checking included."""
    known = {f"companion.{room}.{p.stem}": p for p in (PACKAGE / room).glob("*.py") if p.stem != "__init__"}
    uses = {}
    for module, path in known.items():
        named = {m for m, _ in imports(parse(path))} | {f"{m}.{n}" for m, n in imports(parse(path))}
        uses[module] = {m for m in named if m in known and m != module}
    while free := [m for m, needs in uses.items() if not needs]:
        uses = {m: needs - set(free) for m, needs in uses.items() if m not in free}
    assert not uses, f"these modules import each other in a circle: {sorted(uses)}"


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_a_function_fits_on_a_screen(path):
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            has_doc = ast.get_docstring(node) is not None
            body = node.body[1:] if has_doc else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= MOST_LINES, f"{node.name} has a body of {lines} lines: it is asking to become two functions"


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_a_module_has_the_name_of_an_idea(path):
    assert path.stem not in {"utils", "helpers", "common", "misc"}


def test_contributing_lists_the_rooms_as_they_stand():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"^  top to bottom: (.*?)\.\n-", text, flags=re.DOTALL | re.MULTILINE)
    named = re.findall(r"`(\w+)`", said)
    assert set(named) <= set(PLACE), "these rooms are gone"
    assert named == sorted(named, key=PLACE.__getitem__)
    assert set(named) >= {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").is_file()}
    for folder in ("studies", "benchmarks", "tools", "tests"):
        assert f"- `{folder}/`" in text or f"`{folder}/` measures" in text
