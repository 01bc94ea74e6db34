"""What the companion offers is documented in the book, and points to the page that speaks of it."""

import ast
import importlib
import inspect
import re
import sys

import pytest
from pointers import Module, faults, modules, places, pointers_in

import companion
from tools import ROOT
from tools.contents import pages

PAGES = ROOT / "book" / "reference" / "api"
# The command line has its own help; these are not for readers.
NOT_FOR_READERS = {"checks", "cli", "compat", "logs", "moved"}


def rooms():
    entries = (ROOT / "companion").iterdir()
    names = {entry.stem for entry in entries if entry.suffix == ".py" or (entry / "__init__.py").is_file()}
    return sorted(name for name in names if not name.startswith("_"))


def documented():
    """Every room that a page of the book documents."""
    text = "".join(page.read_text(encoding="utf-8") for page in sorted(PAGES.glob("*.md")))
    return re.findall(r"```\{room\} companion\.([a-z_]+)", text)


def offered():
    """Every public function and class, with its room."""
    for room in documented():
        module = importlib.import_module(f"companion.{room}")
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isfunction(thing) or inspect.isclass(thing):
                yield pytest.param(thing, id=f"{room}.{name}")


def test_every_room_has_its_place_in_the_book_once():
    assert sorted(documented()) == [room for room in rooms() if room not in NOT_FOR_READERS]


@pytest.mark.parametrize("room", documented())
def test_every_room_is_reached_by_its_name(room):
    assert companion.__getattr__(room) is importlib.import_module(f"companion.{room}")
    assert room in dir(companion)


@pytest.mark.parametrize("room", sorted(NOT_FOR_READERS))
def test_what_is_not_for_readers_is_not_offered(room):
    with pytest.raises(AttributeError, match=f"no attribute '{room}'"):
        companion.__getattr__(room)


def test_every_page_is_in_the_contents():
    assert {f"reference/api/{page.stem}" for page in PAGES.glob("*.md")} <= set(pages())


@pytest.mark.parametrize("thing", list(offered()))
def test_everything_says_what_it_is_and_which_page_explains_it(thing):
    own = inspect.getdoc(thing) or ""
    assert own, "has no docstring"
    if thing.__name__.endswith(("Error", "Warning")):
        module = sys.modules["companion.errors"]
    else:
        module = inspect.getmodule(thing)
    assert pointers_in(own) or pointers_in(module.__doc__ or ""), f"neither it nor {module.__name__} names a page"
    for pointer in pointers_in(own):
        assert None not in places(pointer).values(), pointer


@pytest.mark.parametrize("module", [m for m in modules() if m.pointers], ids=lambda module: module.name)
def test_the_place_that_a_module_points_to_speaks_of_it(module):
    assert faults(module) == []


@pytest.mark.parametrize("path", sorted((ROOT / "companion").rglob("*.py")), ids=lambda path: path.stem)
def test_nothing_repeats_where_its_module_says_that_it_is_explained(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {pointer.page for pointer in pointers_in(ast.get_docstring(tree) or "")}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            own = {pointer.page for pointer in pointers_in(ast.get_docstring(node) or "")}
            assert not own & said, f"{node.name}: its module names {own & said} already"


@pytest.mark.parametrize(
    ("says", "fault"),
    [
        ("Explained in `book/reference/no_such_page`.", "there is no book/reference/no_such_page"),
        ('Explained in `book/reference/glossary`, section "Lowering".', 'there is no section "Lowering"'),
        ("Explained in `book/pymc/zh`.", "book/pymc/zh says none of"),
        (
            'Explained in `book/reference/how_a_fit_works`, sections "Seeds" and "Checkpoints".',
            'section "Seeds" of book/reference/how_a_fit_works says none of',
        ),
    ],
)
def test_a_pointer_that_is_not_true_is_found(says, fault):
    (found,) = faults(Module("training.checkpoints", f"Files of a fit.\n\n{says}\n", ("Checkpoint", "write_whole")))
    assert fault in found


def test_a_pointer_is_true_by_a_public_name_or_by_the_stem_of_a_name():
    says = 'Explained in `book/reference/how_a_fit_works`, section "Checkpoints".'
    for name, offers in (("training.other", ("Checkpoint",)), ("training.checkpointing", ()), ("x.files", ("seals",))):
        assert faults(Module(name, says, offers)) == []
    assert faults(Module("training.zebra", says, ("Chec", "heckpoint"))) != []


def test_types_are_shipped():
    assert (ROOT / "companion" / "py.typed").is_file()
    assert "Typing :: Typed" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
