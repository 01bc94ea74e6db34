"""The code that a page shows is there: every `literalinclude` names a file, and words that stand in it."""

import re

import pytest

from tools import ROOT

INCLUDED = re.compile(r"```\{literalinclude\} (\S+)\n((?::[^\n]*\n)*)```")
PATTERN = re.compile(r"^:(start-at|start-after|end-at|end-before): \"?(.*?)\"?$", re.MULTILINE)
PAGES = [p for p in sorted((ROOT / "book").rglob("*.md")) if "{literalinclude}" in p.read_text(encoding="utf-8")]


def missing(text, folder):
    """List what the directives of a page name that isn't there."""
    found = []
    for place, options in INCLUDED.findall(text):
        file = (folder / place).resolve()
        if not file.is_file():
            found.append(place)
            continue
        code = file.read_text(encoding="utf-8")
        at = 0
        for option, words in re.findall(
            r"^:(start-at|start-after|end-at|end-before): \"?(.*?)\"?$", options, re.MULTILINE
        ):
            words = words.replace('\\"', '"')
            at = code.find(words, at)
            if at < 0:
                found.append(f"{place}: {option} {words!r}")
                break
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_that_a_page_shows_is_there(page):
    text = page.read_text(encoding="utf-8")
    assert len(INCLUDED.findall(text)) == text.count("{literalinclude}")
    assert not missing(text, page.parent)


def test_what_is_not_there_is_found(tmp_path):
    (tmp_path / "a.py").write_text("one\ntwo\n")
    page = '```{literalinclude} a.py\n:start-at: "two"\n:end-at: "one"\n```\n```{literalinclude} b.py\n```\n'
    assert missing(page, tmp_path) == ["a.py: end-at 'one'", "b.py"]
