"""What a reader asks of every method: its formula, its cost, when not to use it, and who found it."""

import importlib
import inspect
import re

import pytest

from companion import bayes_by_backprop, inference
from companion.sampling import SamplerName, sampler_named
from companion.training import Ivon, WindowedAdagrad
from companion.variational import FamilyName, family_named
from tools.pages.methods import COSTS, WORDS

DOORS = [
    thing
    for thing in (getattr(inference, name) for name in inference.__all__)
    if inspect.isfunction(thing) and str(thing.__annotations__.get("return")).endswith("Posterior")
]
METHODS = [
    *DOORS,
    bayes_by_backprop.fit,
    *(type(sampler_named(name)) for name in SamplerName),
    *(type(family_named(name)) for name in FamilyName),
    Ivon,
    WindowedAdagrad,
]
HEADS = ("Cost", "When not to use it", "Sources")
FORMULA = re.compile(r"\.\. math::|:math:`[^`]*(=|\\leftarrow|\\propto|\\sim)[^`]*`")
YEAR, TITLE = re.compile(r"\((19|20)\d\d\)"), re.compile(r'"[^"]{10,}"')


def missing(docstring):
    """Say what a docstring lacks."""
    found = []
    if not FORMULA.search(docstring):
        found.append("a formula")
    _, _, notes = docstring.partition("Notes\n-----\n")
    pieces = re.split(rf"\*\*({'|'.join(HEADS)})\.\*\*", notes)
    own = dict(zip(pieces[1::2], (re.sub(r"\s+", " ", p) for p in pieces[2::2]), strict=True))
    found += [f"the paragraph **{head}.** in its notes" for head in HEADS if head not in own]
    cost, sources = own.get("Cost", "gradients memory"), own.get("Sources", '(2000), "a title of a paper"')
    found += [f"the {word} that it costs" for word in ("gradient", "memory") if word not in cost.lower()]
    if not (YEAR.search(sources) and TITLE.search(sources)):
        found.append("a source with its year and its title")
    return found


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.__module__}.{method.__name__}")
def test_a_method_says_its_formula_its_cost_when_not_to_use_it_and_who_found_it(method):
    assert missing(inspect.cleandoc(method.__doc__)) == []


@pytest.mark.parametrize("method", [m for m, w in WORDS.items() if w.formula])
def test_the_page_of_methods_leads_to_a_docstring_with_the_formula(method):
    room, _, name = WORDS[method].formula.partition(".")
    thing = getattr(importlib.import_module(f"companion.{room}"), name)
    assert thing in METHODS


FULL = r"""Do it.

It is :math:`y = x`.

Notes
-----
**Cost.** A gradient, and memory for a number.

**When not to use it.** At night.

**Sources.** Someone (1999), "A long title of a paper".
"""


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        (":math:`y = x`", "a formula"),
        ("**Cost.**", "the paragraph **Cost.** in its notes"),
        ("gradient", "the gradient that it costs"),
        ("memory", "the memory that it costs"),
        ("**When not to use it.**", "the paragraph **When not to use it.** in its notes"),
        (" (1999)", "a source with its year and its title"),
        ('"A long title of a paper"', "a source with its year and its title"),
    ],
)
def test_what_is_left_out_is_named(left_out, said):
    assert missing(FULL) == []
    assert missing(FULL.replace(left_out, "something else")) == [said]


def test_the_page_of_methods_says_where_what_it_calls_is_imported_from():
    (lines,) = re.findall(r"```python\n(.*?)```", COSTS, re.DOTALL)
    offered: dict[str, object] = {}
    exec(lines, offered)
    called = {name for words in WORDS.values() for name in re.findall(r"(?<![.\w])(\w+)\(", words.call)}
    assert called == offered.keys() - {"__builtins__"}
