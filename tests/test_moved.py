"""Import lines that readers knew: they work, and say what the new line is."""

import ast
import importlib
import re
import sys
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import companion
from companion import moved
from companion.training import old_words
from tools import ROOT

PLACES = (
    "book/**/*.md",
    "companion/cli/notebooks/*.md",
    "README.md",
    "studies/*.py",
    "benchmarks/*.py",
    "tools/**/*.py",
)
FITS = {"fit", "fit_pyro"}
NAMES = [(room, name) for room, names in moved.MOVED_NAMES.items() for name in names]


@pytest.mark.parametrize(("room", "name"), NAMES)
def test_a_name_that_moved_is_the_same_thing_in_its_new_room(room, name):
    with pytest.warns(DeprecationWarning, match=f"from {moved.MOVED_NAMES[room][name]} import {name}"):
        old = getattr(importlib.import_module(room), name)
    assert old is getattr(importlib.import_module(moved.MOVED_NAMES[room][name]), name)


def before():
    """Give each module of the package as it was before the rooms were laid out anew, with the names it offered."""
    for line in (Path(__file__).parent / "old_names.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            module, *names = line.split()
            yield pytest.param(module, names, id=module)


def place_exists(place):
    """Tell whether a dotted name is something that can be imported."""
    module, _, name = place.rpartition(".")
    return hasattr(importlib.import_module(module), name)


@pytest.mark.filterwarnings("ignore:.* moved:DeprecationWarning")
@pytest.mark.parametrize(("module", "names"), [*before()])
def test_an_old_import_line_gives_the_thing_or_an_error_that_says_where_to_look(module, names):
    for name in names:
        line, given = f"from {module} import {name}", {}
        try:
            exec(line, given)
        except ImportError as error:
            places = re.findall(r"companion\.[\w.]+\w", str(error).replace(module, ""))
            assert any(place_exists(place) for place in places), line
        else:
            thing = given[name]
            new = moved._RENAMED.get(module, {}).get(name, name)
            assert not isinstance(thing, type | FunctionType) or thing.__name__ == new, line
            assert not isinstance(thing, ModuleType) or f"{module}.{name}" not in moved.MOVED_MODULES, line


@pytest.mark.filterwarnings("ignore:.* moved:DeprecationWarning")
@pytest.mark.parametrize("old", ["inference.trend", "priors.parameters", "datasets.download"])
def test_an_old_module_leaves_the_function_of_its_name_where_it_is(old):
    room, _, name = f"companion.{old}".rpartition(".")
    sys.modules.pop(f"companion.{old}", None)
    function = getattr(importlib.import_module(room), name)
    module = importlib.import_module(f"companion.{old}")
    assert getattr(module, name) is function
    assert getattr(importlib.import_module(room), name) is function


def test_results_load_as_they_did():
    sys.modules.pop("companion.results", None)
    with pytest.warns(DeprecationWarning, match="shelf"):
        results = importlib.import_module("companion.results")
    assert results.load("breast_cancer").arrays


def test_a_name_that_never_was_is_an_attribute_error():
    for module in (companion, companion.shelf, importlib.import_module("companion.inference")):
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            module.nothing  # noqa: B018


@pytest.mark.parametrize("name", companion.__all__)
def test_the_front_door_opens(name):
    assert getattr(companion, name) is not None
    assert name in dir(companion)


def code_in(path):
    """Give the Python of a file: all of it, or the cells and folded solutions of a page, without IPython's commands."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return text
    blocks = re.findall(r"^```(?:\{code-cell\} ipython3|python)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    blocks = [re.sub(r"\A(?:---\n.*?\n---\n|(?::.*\n)+)", "", block, flags=re.DOTALL) for block in blocks]
    return re.sub(r"^( *)%.*$|(?:\{\{\w+\}\})+", r"\1...", "\n".join(blocks), flags=re.MULTILINE)


def is_old(full):
    """Tell whether a name is that of an old module, and not of something that a room offers now."""
    room, _, name = full.rpartition(".")
    return full in moved.MOVED_MODULES and name not in importlib.import_module(room).__all__


def old_ways(code):
    """Name the old import lines and keywords that code uses."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [alias.name for alias in node.names]
            gone = [*moved.MOVED_NAMES.get(node.module, ()), *(n for room, n in moved.GONE if room == node.module)]
            if node.module in moved.MOVED_MODULES:
                yield node.module
            found = {name: f"{node.module}.{name}" for name in names}
            yield from (full for name, full in found.items() if name in gone or is_old(full))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in moved.MOVED_MODULES)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            words = [word.arg for word in node.keywords if called in FITS]
            yield from (f"{called}({word}=...)" for word in words if word in (*old_words._NEW, "snapshots"))


@pytest.mark.parametrize("path", [p for place in PLACES for p in sorted(ROOT.glob(place))], ids=lambda p: str(p.name))
def test_nothing_here_uses_old_ways(path):
    assert not [*old_ways(code_in(path))]


def test_old_ways_are_seen():
    code = (
        "from companion import results\nfrom companion.inference import trend, Fit\nfit(model, device='cpu', steps=3)"
    )
    seen = ["companion.results", "companion.inference.trend", "companion.inference.Fit", "fit(device=...)"]
    assert [*old_ways(code)] == seen
