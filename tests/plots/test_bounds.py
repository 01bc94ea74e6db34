"""Bound against accuracy: a dot for each method where its scores say, full or open, with a label that can be read."""

import numpy as np
import pytest
from matplotlib.text import Text

from companion import plots, shelf
from companion.errors import ModelError

BOUND = {"fifty units": 0.29, "wide": 0.68, "wide, longer": 0.66, "one draw": 0.79, "tempered": 6.0, "mixture": 21.0}
ACCURACY = {"fifty units": 0.9705, "wide": 0.9522, "wide, longer": 0.9525, "one draw": 0.9523, "tempered": 0.984,
            "mixture": 0.981}  # fmt: skip


pytestmark = pytest.mark.usefixtures("close_figures")


def test_each_method_stands_where_its_scores_say_and_tempered_ones_are_open():
    ax = plots.bound_against_accuracy(BOUND, ACCURACY, tempered=["tempered", "mixture"], guessing=np.log(10), title="x")
    dots = {line.get_label(): line for line in ax.lines if line.get_marker() == "o"}
    assert list(dots) == list(BOUND)
    for name, dot in dots.items():
        np.testing.assert_allclose(dot.get_xydata(), [[BOUND[name], 100 * ACCURACY[name]]])
        assert dot.get_fillstyle() == ("none" if name in ("tempered", "mixture") else "full")
    assert ax.get_xscale() == "log"
    assert [line.get_xdata()[0] for line in ax.lines if line.get_marker() != "o"] == [np.log(10)]
    assert ax.get_xlim()[0] < min(BOUND.values())
    assert max(BOUND.values()) < ax.get_xlim()[1]
    ax.figure.canvas.draw()
    assert {"1", "10"} <= {tick.get_text() for tick in ax.get_xticklabels()}


def names_of(ax, methods):
    """The boxes of the names in pixels, of the words without the line to the dot; a name may stand on two lines."""
    ax.figure.canvas.draw()
    found = {text.get_text().replace("\n", " "): Text.get_window_extent(text) for text in ax.texts}
    return {name: box for name, box in found.items() if name in methods}


def places_of(ax, bound, accuracy):
    """Find the places of the dots, in pixels."""
    return {name: ax.transData.transform((bound[name], 100 * accuracy[name])) for name in bound}


def away(box, dot):
    """How far a box is from a dot, in pixels."""
    return np.hypot(*(np.clip(dot, box.min, box.max) - dot))


GOOD = [f"method {k}" for k in range(8)]
CASES = {
    "a few": (BOUND, ACCURACY, ["tempered"]),
    "many that are all good": (
        dict(zip(GOOD, np.linspace(0.24, 0.28, 8), strict=True)) | {"bad": 4.0},
        dict(zip(GOOD, np.linspace(0.985, 0.988, 8), strict=True)) | {"bad": 0.8},
        [],
    ),
}
for result, left_out in (
    ("mnist_dense", None),
    ("mnist_convolutional", None),
    ("mnist_convolutional", "and start|post's start"),
):
    scores = shelf.load_result(result).median().dropna(subset="negative elbo")
    if left_out is not None:  # as the chapter does, to which the others lie close together
        scores = scores[~scores.index.str.contains(left_out)]
    CASES[f"{result} without {left_out}"] = (
        scores["negative elbo"].to_dict(),
        scores["test accuracy"].to_dict(),
        list(scores.index[scores["temperature"] < 1]),
    )
WIDE = 10  # a dot and its rim, in pixels: of dots that lie on each other, none can be told from the others


@pytest.mark.parametrize("case", CASES)
def test_a_name_covers_no_other_name_no_dot_and_no_line_and_stays_within_the_axes(case):
    bound, accuracy, tempered = CASES[case]
    ax = plots.bound_against_accuracy(bound, accuracy, tempered=tempered, guessing=np.log(10), title="no name up here")
    boxes, frame = names_of(ax, bound), ax.get_window_extent()
    assert sorted(boxes) == sorted(bound)
    dots = places_of(ax, bound, accuracy).values()
    line = ax.transData.transform((np.log(10), 0))[0]
    for name, box in boxes.items():
        assert frame.x0 <= box.x0 < box.x1 <= ax.figure.bbox.x1
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1
        assert not [other for other, its in boxes.items() if other != name and box.overlaps(its)]
        assert not any(box.contains(*dot) for dot in dots)
        assert not box.x0 <= line <= box.x1


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("mnist")])
@pytest.mark.parametrize("guessing", [None, np.log(10)])
def test_no_other_dot_is_nearer_to_a_name_than_its_own(case, guessing):
    bound, accuracy, tempered = CASES[case]
    ax = plots.bound_against_accuracy(bound, accuracy, tempered=tempered, guessing=guessing, title="no name up here")
    boxes, dots = names_of(ax, bound), places_of(ax, bound, accuracy)
    for name, box in boxes.items():
        apart = {other: away(box, dot) for other, dot in dots.items() if np.hypot(*(dot - dots[name])) > WIDE}
        assert away(box, dots[name]) < min(apart.values()), (
            f"{name!r} stands by the dot of {min(apart, key=apart.get)!r}"
        )


def test_the_axis_reaches_to_guessing_where_all_methods_are_better():
    ax = plots.bound_against_accuracy({"one": 0.3, "two": 0.5}, {"one": 0.9, "two": 0.8}, guessing=np.log(10))
    assert ax.get_xlim()[1] > np.log(10)


def test_a_long_name_is_written_on_two_lines_where_one_has_no_room():
    names = [f"a method with a long name, number {k}" for k in range(6)]
    bound = dict(zip(names, np.geomspace(0.5, 0.7, 6), strict=True)) | {"far": 200.0}
    accuracy = dict(zip(names, (0.95, 0.953, 0.947, 0.956, 0.944, 0.95), strict=True)) | {"far": 0.91}
    ax = plots.bound_against_accuracy(bound, accuracy, guessing=np.log(10))
    boxes, dots = names_of(ax, bound), places_of(ax, bound, accuracy)
    assert sorted(boxes) == sorted(bound)
    assert any("\n" in text.get_text() for text in ax.texts)
    for name, box in boxes.items():
        assert not [other for other, its in boxes.items() if other != name and box.overlaps(its)]
        assert min(dots, key=lambda other: away(box, dots[other])) == name


def test_a_name_stands_beside_its_dot_where_nothing_is_in_its_way():
    ax = plots.bound_against_accuracy({"one": 0.3, "two": 5.0}, {"one": 0.9, "two": 0.8})
    boxes = names_of(ax, ("one", "two"))
    one, two = ax.transData.transform([(0.3, 90), (5.0, 80)])
    assert boxes["one"].x0 > one[0] > boxes["one"].x0 - 25
    assert boxes["two"].x1 < two[0] < boxes["two"].x1 + 25
    for name, dot in (("one", one), ("two", two)):
        assert boxes[name].y0 < dot[1] < boxes[name].y1


@pytest.mark.parametrize(
    ("bound", "accuracy", "tempered"),
    [
        ({}, {}, []),
        ({"a": 1.0}, {"b": 0.9}, []),
        ({"a": 1.0}, {"a": 0.9}, ["b"]),
        ({"a": 0.0}, {"a": 0.9}, []),
        ({"a": np.nan}, {"a": 0.9}, []),
        ({"a": 1.0}, {"a": 90.0}, []),
    ],
)
def test_bad_input_is_named(bound, accuracy, tempered):
    with pytest.raises(ModelError, match="expected"):
        plots.bound_against_accuracy(bound, accuracy, tempered=tempered)
