"""What the pages on the companion's names make of its docstrings, before Sphinx reads them."""

import pytest

from tools.play.alone import extension

SAID = """A table.

Parameters
----------
low, high
    Ends.

Attributes
----------
train, test
    Parts of the data.

    Of two paragraphs.
name
    Its name.

Raises
------
DataError, ModelError
    Never.
"""


@pytest.fixture(scope="module")
def pages():
    return extension("companion_api")


def test_attributes_that_share_a_line_get_an_entry_each_and_nothing_else_changes(pages):
    said = "    Parts of the data.\n\n    Of two paragraphs.\n"
    assert pages._one_by_one(SAID) == SAID.replace(f"train, test\n{said}", f"train\n{said}test\n{said}")
    assert pages._one_by_one("A sentence, and\nanother, one\n") == "A sentence, and\nanother, one\n"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Whether it can: always, since it is.", "Whether it can. Always, since it is."),
        ("The `a: b` of it: more.", "The `a: b` of it: more."),
        ("Its name.\n\nMore: x.", "Its name.\n\nMore: x."),
    ],
)
def test_a_first_line_is_not_taken_for_a_type(pages, said, shown):
    assert pages._in_sentences(said) == shown
