"""What the book found is what its chapters print and assert, or the page can't be made."""

import re

import nbformat
import pytest

from tools.contents import pages
from tools.pages import findings
from tools.pages.findings import FINDINGS, Finding, section
from tools.pages.scoreboard import NotFoundError


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.sentence[:40])
def test_each_finding_is_printed_and_asserted_in_its_section(finding):
    assert finding.page in pages()
    figures = sum(re.compile(pattern).groups for pattern in finding.patterns)
    assert figures == finding.sentence.count("{}") > 0
    assert "{}" not in finding.written()
    assert finding.assertion().startswith("assert ")


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.sentence[:40])
def test_the_figures_of_a_finding_are_those_that_its_assertion_speaks_of(finding):
    assert finding.holds is not None, "say what the assertion says of the figures, in `holds`"
    assert finding.holds(*finding.numbers()), f"{finding.figures()} against: {finding.assertion()}"


@pytest.fixture
def chapter(monkeypatch):
    """A chapter of three sections, in place of any that is read."""
    code = nbformat.v4.new_code_cell("assert loss < 5\n", execution_count=1)
    code.outputs = [nbformat.v4.new_output("stream", text="loss 4.2 of 7\nloss 9.9 of 9\n")]
    deeper = nbformat.v4.new_code_cell("    assert all(below)", execution_count=2)
    deeper.outputs = [nbformat.v4.new_output("stream", text="below: 3\n")]
    other = nbformat.v4.new_code_cell("assert other", execution_count=3)
    other.outputs = [nbformat.v4.new_output("stream", text="after: 1\n")]
    text = nbformat.v4.new_markdown_cell
    cells = [
        text("# Page\n```\n(mine)=\n## no heading\n```\n\n(mine)=\n## My part"),
        code,
        text("### deeper"),
        deeper,
        text("## Next"),
        other,
    ]
    monkeypatch.setattr(findings, "read", lambda path: nbformat.v4.new_notebook(cells=cells))
    section.cache_clear()
    yield "any"
    section.cache_clear()


def test_a_section_holds_what_is_below_its_heading_and_ends_at_the_next(chapter):
    found = section(chapter, "mine")
    assert found.title == "My part"
    assert "below: 3" in found.printed
    assert "after" not in found.printed
    assert "assert other" not in found.code


def test_figures_are_written_as_they_are_printed_and_the_first_place_counts(chapter):
    finding = Finding(chapter, "mine", "{} of {}, and {}.", (r"^loss ([\d.]+) of (\d)", r"^below: (\d)"), "loss < 5")
    assert finding.written() == "4.2 of 7, and 3."
    assert finding.assertion() == "assert loss < 5"


def test_a_figure_that_is_not_the_one_that_is_asserted_is_an_error(chapter):
    right, wrong = (
        Finding(chapter, "mine", "{}.", (rf"^loss ([\d.]+) of {rows}",), "loss < 5", lambda loss: loss < 5)
        for rows in (7, 9)
    )
    assert right.written() == "4.2."
    assert right.numbers() == [4.2]
    with pytest.raises(NotFoundError, match=r"figures \['9.9'\].*assert loss < 5"):
        wrong.written()


def test_several_numbers_that_are_printed_as_one_are_a_list(chapter, monkeypatch):
    several = Finding(chapter, "mine", "{}.", (r"^loss (.*) of",), "loss < 5")
    monkeypatch.setattr(Finding, "figures", lambda self: ["3.6, 3.9", "1,250"])
    assert several.numbers() == [[3.6, 3.9], 1250.0]


@pytest.mark.parametrize(
    ("label", "pattern", "asserted", "words"),
    [
        ("mine", r"^gain ([\d.]+)", "loss < 5", "prints nothing like"),
        ("mine", r"^after: (\d)", "loss < 5", "prints nothing like"),  # another section prints it
        ("mine", r"^loss ([\d.]+)", "loss < 4", "doesn't assert 'loss < 4'"),
        ("mine", r"^loss ([\d.]+)", "other", "doesn't assert 'other'"),
        ("gone", r"^loss ([\d.]+)", "loss < 5", "no section labelled 'gone'"),
    ],
)
def test_a_figure_or_an_assertion_that_is_gone_is_an_error(chapter, label, pattern, asserted, words):
    finding = Finding(chapter, label, "{}.", (pattern,), asserted)
    with pytest.raises(NotFoundError, match=words):
        finding.written() and finding.assertion()


def test_the_page_links_each_finding_to_its_section_and_shows_the_assertion():
    text = findings.findings_page("% made")
    for finding in FINDINGS:
        assert finding.written() in text
        assert f"<{finding.label}>`" in text
        assert finding.assertion() in text
