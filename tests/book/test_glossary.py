"""A technical word is linked to the glossary where a chapter first uses it."""

import re

import pytest

from tools import ROOT
from tools.contents import chapters

WORDS = {
    "adversarial example": r"adversarial (?:attack|example)s?",
    "batch normalisation": r"batch normalisation",
    "cross-validation": r"cross-validation",
    "epoch": r"epochs?",
    "logistic function": r"sigmoids?|logistic function",
    "max-pooling": r"(?:max-)?pooling",
    "regularisation": r"regularisation",
    "simulation-based calibration": r"simulation-based calibration",
    "skewness": r"skewness",
    "vmap": r"vmap",
}
"""Entries of the glossary, and how the chapters write them."""

NOT_PROSE = re.compile(r"\A---.*?^---$|^```\{(?!note)[\w-]+\}.*?^```$|^\$\$.*?^\$\$|^#.*?$", re.MULTILINE | re.DOTALL)


def prose(page: str) -> str:
    """Read a chapter without its cells, quoted sources, equations and headings."""
    return NOT_PROSE.sub("", (ROOT / "book" / f"{page}.myst.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", chapters())
def test_words_are_linked_at_first_use(page):
    text = prose(page)
    unlinked = []
    for entry, written in WORDS.items():
        first = re.search(rf"\b(?:{written})\b", text, re.IGNORECASE)
        link = re.search(rf"\{{term\}}`(?:[^`<]*<)?{entry}>?`", text, re.IGNORECASE)
        if first and not (link and link.start() < first.end()):
            unlinked.append(f"{entry}: ... {text[max(0, first.start() - 60) : first.end() + 20]!r}")
    assert not unlinked, "link their first use with {term}`word <entry>`:\n" + "\n".join(unlinked)


def test_these_words_stand_in_the_glossary():
    glossary = (ROOT / "book" / "reference" / "glossary.md").read_text(encoding="utf-8")
    assert [entry for entry in WORDS if f"\n{entry}\n  " not in glossary] == []
