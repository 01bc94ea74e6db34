"""The page "How a fit works": its examples run as they stand, and its drawings show the house as it is."""

import ast
import re

import pytest
import torch
from pytensor import tensor as pt
from pytensor.graph.traversal import ancestors
from test_rooms import MODULES, PLACE, room_of, rooms_entered

from companion import bridge, inference
from tools import ROOT
from tools.pages import bridges, rooms
from tools.pages.boxes import WIDTH
from tools.pages.picture import examples
from tools.pages.rooms import ARROWS, BOXES, FRAME, drawing

PAGE = ROOT / "book" / "reference" / "how_a_fit_works.md"
# What the text under the drawing names instead.
SMALL = {
    "errors",
    "checks",
    "compat",
    "logs",
    "versions",
    "originals",
    "book",
    "cli",
    "moved",
    "sampling",
    "bench",
    "estimators",
    "infinite_width",
}
ROOMS = {room for room in PLACE if not room.startswith("_")}


def test_the_examples_run_as_they_stand_one_after_another(capsys):
    named = {}
    for number, example in enumerate(examples(PAGE)):
        exec(compile(example, f"example {number} of {PAGE.name}", "exec"), named)
    said = capsys.readouterr().out
    assert "-0.7258" in said
    assert "bit for bit: True" in said
    assert "stopped by the callback after step 150 of 300 [50, 100, 150]" in said


def test_every_room_is_in_the_drawing_or_under_it():
    drawn = {box.name for box in (*BOXES, FRAME)}
    assert drawn | SMALL == ROOMS
    text = PAGE.read_text(encoding="utf-8")
    for room in SMALL:
        assert f"`{room}`" in text or f"`companion.{room}`" in text, room
    for room in drawn:
        assert f">{room}</text>" in drawing()


def know_each_other(one, other):
    """Say whether the source of either room imports the other."""
    for room, asked in ((one, other), (other, one)):
        for path in MODULES:
            if room_of(path) == room and asked in rooms_entered(ast.parse(path.read_text(encoding="utf-8"))):
                return True
    return False


@pytest.mark.parametrize("arrow", ARROWS, ids=lambda arrow: f"{arrow.start} to {arrow.end}")
def test_an_arrow_stands_between_rooms_of_which_one_asks_the_other(arrow):
    by_the_reader = {("networks", "models")}  # a model takes any torch module
    assert know_each_other(arrow.start, arrow.end) or (arrow.start, arrow.end) in by_the_reader


def test_the_bridges_have_the_names_of_the_package():
    drawn = {box.name for box in bridges.BOXES}
    assert {"LogDensity", "Response"} == {name for name in drawn if hasattr(bridge, name)}
    assert "fit" in drawn
    assert callable(inference.fit)
    assert all(hasattr(bridge, arrow.says) for arrow in bridges.ARROWS if "torch" in arrow.says)
    weights = {"weight": pt.zeros((1, 2)), "bias": pt.zeros(1)}
    wrapped = bridge.wrap_torch(torch.nn.Linear(2, 1))(pt.zeros((3, 2)), weights)
    ops = {type(node.owner.op).__name__ for node in ancestors([wrapped]) if node.owner}
    assert drawn & ops == {"TorchOp"}


DRAWINGS = pytest.mark.parametrize("of", [rooms, bridges], ids=["rooms", "bridges"])


@DRAWINGS
def test_arrows_begin_and_end_at_their_boxes_which_stay_apart(of):
    at = {box.name: box for box in (*of.BOXES, of.FRAME)}
    for arrow in of.ARROWS:
        for name, (x, y) in ((arrow.start, arrow.points[0]), (arrow.end, arrow.points[-1])):
            box = at[name]
            assert box.x - 3 <= x <= box.x + box.width + 3, arrow
            assert box.y - 3 <= y <= box.y + box.height + 3, arrow
    for box in of.BOXES:
        assert box.x >= 0
        assert box.x + box.width <= WIDTH
        assert box.y + box.height <= of.HEIGHT
        for other in of.BOXES:
            apart = box.x + box.width <= other.x or box.y + box.height <= other.y
            assert apart or box is other or other.x + other.width <= box.x or other.y + other.height <= box.y


@DRAWINGS
def test_a_drawing_is_for_phones_both_themes_and_people_who_do_not_see_it(of):
    text = of.drawing()
    assert WIDTH <= 360
    assert min(map(float, re.findall(r"font-size: ([\d.]+)px", text))) >= 11
    colours = re.findall(r"(?:fill|stroke): ([^;]+);", text)
    assert all(colour == "none" or colour.startswith("var(--pst-") for colour in colours)
    assert 'role="img"' in text
    (named,) = re.findall(r'aria-labelledby="([^"]+)"', text)
    for mark in named.split():
        assert f'id="{mark}"' in text
    (words,) = re.findall(r"<desc[^>]*>([^<]+)</desc>", text)
    for box in (*of.BOXES, of.FRAME):
        assert box.name in words


def test_every_citation_and_formula_is_of_the_book():
    text = PAGE.read_text(encoding="utf-8")
    bibliography = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    for keys in re.findall(r"\{cite:[pt]\}`([^`]+)`", text):
        for key in keys.split(","):
            assert f"{{{key}," in bibliography, key
    sections = re.findall(r"^## .+$", text, flags=re.MULTILINE)
    assert len(sections) == 19
