"""The syllabus on the first page names every chapter, and no exercise that there isn't."""

import re

import pytest

from tools import ROOT
from tools.contents import chapters

NAMED = re.compile(r"\{doc\}`(?:[^`<]*<)?([\w/]+)>?` ?(?:\(([\d, ]+)\))?")
EXERCISE = re.compile(r"^\*\*(\d+)\.\*\*", flags=re.MULTILINE)


def syllabus():
    """Page and exercises of each chapter that the column "read" names, in its order."""
    text = (ROOT / "book" / "intro.md").read_text(encoding="utf-8")
    table = text.partition("(syllabus)=")[2].partition("\n:::\n")[0]
    rows = [row.split("|")[2] for row in table.splitlines() if re.match(r"\| \d", row)]
    assert len(rows) == 8
    return [
        (page, [int(n) for n in numbers.split(",")] if numbers else [])
        for row in rows
        for page, numbers in NAMED.findall(row)
    ]


def test_every_chapter_is_read_once():
    assert sorted(page for page, _ in syllabus()) == sorted(chapters())


@pytest.mark.parametrize(("page", "numbers"), syllabus())
def test_its_exercises_are_there(page, numbers):
    text = (ROOT / "book" / f"{page}.myst.md").read_text(encoding="utf-8")
    own = {int(number) for number in EXERCISE.findall(text)}
    assert set(numbers) <= own
    assert numbers or page == "beyond/symptoms"  # which has none
