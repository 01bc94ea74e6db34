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
    """The boxes of the names in pixels, of the words without the line to the dot."""
    ax.figure.canvas.draw()
    return {text.get_text(): Text.get_window_extent(text) for text in ax.texts if text.get_text() in methods}


GOOD = [f"method {k}" for k in range(8)]
CASES = {
    "a few": (BOUND, ACCURACY, ["tempered"]),
    "many that are all good": (
        dict(zip(GOOD, np.linspace(0.24, 0.28, 8), strict=True)) | {"bad": 4.0},
        dict(zip(GOOD, np.linspace(0.985, 0.988, 8), strict=True)) | {"bad": 0.8},
        [],
    ),
}
for chapter in ("mnist_dense", "mnist_convolutional"):
    scores = shelf.load_result(chapter).median().dropna(subset="negative elbo")
    CASES[chapter] = (
        scores["negative elbo"].to_dict(),
        scores["test accuracy"].to_dict(),
        list(scores.index[scores["temperature"] < 1]),
    )


@pytest.mark.parametrize("case", CASES)
def test_a_name_covers_no_other_name_no_dot_and_no_line_and_stays_within_the_axes(case):
    bound, accuracy, tempered = CASES[case]
    ax = plots.bound_against_accuracy(bound, accuracy, tempered=tempered, guessing=np.log(10), title="no name up here")
    boxes, frame = names_of(ax, bound), ax.get_window_extent()
    assert sorted(boxes) == sorted(bound)
    dots = ax.transData.transform([(bound[name], 100 * accuracy[name]) for name in bound])
    line = ax.transData.transform((np.log(10), 0))[0]
    for name, box in boxes.items():
        assert frame.x0 <= box.x0 < box.x1 <= ax.figure.bbox.x1
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1
        assert not [other for other, its in boxes.items() if other != name and box.overlaps(its)]
        assert not any(box.contains(*dot) for dot in dots)
        assert not box.x0 <= line <= box.x1


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
