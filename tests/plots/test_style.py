"""Lines of one figure are told apart by every reader."""

import itertools
import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from coloraide import Color

from companion import plots
from companion.plots.style import LINE_COLORS
from tools import ROOT

APART = 20
WAYS = (None, "protan", "deutan")


def seen(colour, way):
    """A colour as a reader without one kind of cone sees it, by the matrices of Machado and others (2009)."""
    return Color(colour) if way is None else Color(colour).filter(way, method="machado").convert("srgb").clip()


def apart(first, second):
    """The smallest distance of two colours, by CIEDE2000, over the ways of seeing."""
    return min(seen(first, way).delta_e(seen(second, way), method="2000") for way in WAYS)


def test_any_two_lines_of_the_palette_differ_for_every_reader():
    plots.use_style()
    drawn = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    assert [mpl.colors.to_hex(c) for c in drawn] == list(LINE_COLORS)
    for first, second in itertools.combinations(LINE_COLORS, 2):
        assert apart(first, second) >= APART, (first, second)


def test_every_line_stands_out_from_the_paper():
    assert min(Color(colour).contrast("white") for colour in LINE_COLORS) > 2.7


def test_the_measure_finds_colours_that_some_readers_confuse():
    assert apart("#c8553d", "#6b8f71") < APART  # red and green, of one lightness
    assert Color("#c8553d").delta_e(Color("#6b8f71"), method="2000") > 2 * APART


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_two_colours_of_the_pieces_differ_in_both_themes(theme):
    style = (ROOT / "book" / "_static" / "play.css").read_text(encoding="utf-8")
    block = re.search(rf'html\[data-theme="{theme}"\] \{{(.*?)\}}', style, flags=re.DOTALL)[1]
    first, second = (re.search(rf"--play-{name}: (#\w+)", block)[1] for name in ("first", "second"))
    assert apart(first, second) >= APART


def test_a_sixth_loss_is_dashed_because_its_colour_comes_again():
    plots.use_style()
    rng = np.random.default_rng(0)
    ax = plots.elbo_history({f"start {k}": rng.normal(100, 1, 200) for k in range(7)}, window=10)
    lines = [line for line in ax.get_lines() if not line.get_label().startswith("_")]
    drawn = [(mpl.colors.to_hex(line.get_color()), line.get_linestyle()) for line in lines]
    assert len(set(drawn)) == 7
    plt.close("all")
