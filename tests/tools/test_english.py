"""The check of our English finds the turns that CONTRIBUTING.md forbids, and leaves plain sentences alone."""

import subprocess
import sys

import pytest

from tools import english


def judged(tmp_path, text, name="module.py"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return english.problems(path)


def documented(section, description):
    return f'''
def f(a):
    """Do it.

    {section}
    {"-" * len(section)}
    a : int
        {description}
    """
'''


@pytest.mark.parametrize("section", ["Parameters", "Attributes", "Returns", "Yields"])
@pytest.mark.parametrize(
    "description",
    ["Of the optimiser.", "In the model.", "From `priors`.", "Behind `elbo`.", "At most.", "For both.", "Was measured.",
     "Makes the network.", "Where.", "Which; all by default.", "Theirs.", "As for `fit`.", "Which of the two.",
     "What it is, in words.", "How it is called."],
)  # fmt: skip
def test_an_entry_that_is_not_a_noun_phrase_is_found_at_its_line(tmp_path, section, description):
    (problem,) = judged(tmp_path, documented(section, description))
    assert problem.startswith(f"{tmp_path / 'module.py'}:8: an entry ")
    assert description.split()[0] in problem


@pytest.mark.parametrize(
    ("section", "description"),
    [
        ("Parameters", "Number of optimiser steps."),
        ("Parameters", "In-memory rows."),
        ("Parameters", "Whether it is drawn."),
        ("Parameters", "What `pymc.fit` returned."),
        ("Returns", "Draws (draws, points)."),
        ("Parameters", "Where, and in which dtype, tensors are made."),
        ("Raises", "If there is none."),
        ("Raises", "As `from_csv` says."),
        ("Raises", "Is raised where the file is missing."),
        ("Notes", "Of the optimiser."),
    ],
)
def test_entries_that_stand_alone_pass(tmp_path, section, description):
    assert judged(tmp_path, documented(section, description)) == []


def test_a_description_below_an_attribute_is_an_entry_too(tmp_path):
    text = 'class Kind:\n    """A kind."""\n\n    ONE = "one"\n    """Of the first kind."""\n'
    (problem,) = judged(tmp_path, text)
    assert ':5: an entry begins with "Of"' in problem


@pytest.mark.parametrize(
    "sentence",
    ["it is no number", "they are no digits", "a truth value is none", "x is no `Prior`", "it was no posterior",
     "one vector a restart", "one draw a step", "2 points a side", "one an input", "an entry a row",
     "one vector of unconstrained values a restart", "three seeds a method"],
)  # fmt: skip
@pytest.mark.parametrize(
    "form", ['"""Do it: {}."""\n', "x = 1  # {}\n", 'raise ValueError("{}")\n', 'raise ValueError(f"{{1}}: {}")\n']
)
def test_a_phrase_is_found_in_docstrings_comments_and_errors(tmp_path, form, sentence):
    assert len(judged(tmp_path, form.format(sentence))) == 1


def test_a_phrase_is_found_across_lines_and_named_by_the_line_where_it_begins(tmp_path):
    (problem,) = judged(tmp_path, "x = 1\n# what follows is\n# no number\n")
    assert ':2: "is no number"' in problem


@pytest.mark.parametrize(
    "error",
    ['f"{x!r} is no {kind}"', 'f"{x!r} is no `{kind}`"', 'f"{x!r} "\n    f"is no {kind}"', 'f"it\'s no {kind}"',
     'f"x is still no {kind}"', 'f"x={x!r} is no number, it is {kind}"'],
)  # fmt: skip
def test_a_phrase_is_found_around_the_values_of_an_error(tmp_path, error):
    (problem,) = judged(tmp_path, f"raise ValueError(\n    {error}\n)\n")
    assert ':2: "' in problem


@pytest.mark.parametrize("error", ['f"there is no {kind}"', 'f"{n} is no larger than {most}"', 'f"is {no} number"'])
def test_an_error_with_values_as_people_write_it_passes(tmp_path, error):
    assert judged(tmp_path, f"raise ValueError({error})\n") == []


@pytest.mark.parametrize("name", ["test_what_is_no_number_is_refused", "test_rows_that_are_no_numbers_are_refused"])
def test_the_names_of_tests_are_sentences_too(tmp_path, name):
    (problem,) = judged(tmp_path, f"x = 1\n\n\ndef {name}():\n    pass\n")
    assert ':4: "' in problem


def test_other_names_are_not_read(tmp_path):
    assert judged(tmp_path, "def it_is_no_number():\n    is_no_test = 1\n") == []


@pytest.mark.parametrize(
    "sentence",
    ["there is no number", "there can be no number", "there has been no number", "there is still no number",
     "there's no number", "it's no longer one", "it is no longer one", "it is no more", "it is no larger than 1",
     "unless it is None", "all 500 cost a few seconds", "those printed as one are a list",
     "60 steps a second", "once a week", "two at a time", "one of a kind", "one is a GPU", "give a module a prior",
     "one minus a share", "one in a hundred"],
)  # fmt: skip
def test_how_people_write_passes(tmp_path, sentence):
    assert judged(tmp_path, f'"""Do it: {sentence}."""\n# {sentence}\n') == []


@pytest.mark.parametrize(
    "first",
    [
        "Models: data in, a model out.",
        "A model in, its sites out, or an error.",
        "Scores in; a threshold out.",
        "Pages.\n\nComes in: a file.",
    ],
)
def test_a_module_that_begins_with_a_formula_is_found(tmp_path, first):
    (problem,) = judged(tmp_path, f'"""{first}"""\n')
    assert "formula" in problem


def test_a_function_that_begins_as_a_thing_does_is_found(tmp_path):
    text = 'class A:\n{}    def f(self):\n        """Whether it is drawn."""\n'
    (problem,) = judged(tmp_path, text.format(""))
    assert ':3: a function begins with "Whether"' in problem
    assert judged(tmp_path, text.format("    @property\n")) == []
    assert judged(tmp_path, text.format("").replace("Whether", "Say whether")) == []


def test_the_title_of_a_section_is_as_it_is(tmp_path):
    assert judged(tmp_path, '"""See the page, section "What is no digit".\n\nIt is read."""\n') == []
    (problem,) = judged(tmp_path, '"""See section "What is no digit" and\n"one vector a restart".\n\nIt is none."""\n')
    assert ':4: "is none"' in problem


def test_the_text_of_markdown_and_the_comments_of_other_files_are_read_too(tmp_path):
    text = "One folder a part.\n\n```\nit is no number\n```\n\nIt is no number.\n"
    assert [p.rpartition(".md:")[2][:2] for p in judged(tmp_path, text, "page.md")] == ["1:", "7:"]
    (problem,) = judged(tmp_path, "test:  ## this is no test\n\techo this is no comment\n", "Makefile")
    assert ":1:" in problem


def test_a_line_that_must_can_say_so(tmp_path):
    assert judged(tmp_path, "# what is no number  (english: as it is)\n") == []


def test_folders_and_files_can_be_named_and_the_status_tells(tmp_path):
    (tmp_path / "rooms").mkdir()
    (tmp_path / "rooms" / "bad.py").write_text("# it is no number\n", encoding="utf-8")
    (tmp_path / "good.py").write_text("# it is not a number\n", encoding="utf-8")

    def run(*places):
        command = [sys.executable, english.__file__, *places]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert run("good.py").returncode == 0
    ran = run("good.py", "rooms")
    assert ran.returncode == 1
    assert "rooms/bad.py:1: " in ran.stdout.replace("\\", "/")


def test_its_own_sources_pass():
    assert english.main(["tools"]) == 0
