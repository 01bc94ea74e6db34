"""Lines of one figure are told apart by every reader."""

import base64
import io
import itertools
import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from coloraide import Color
from PIL import Image

from companion import plots
from companion.errors import ModelError
from companion.plots.style import LINE_COLORS, tint_map
from companion.uncertainty import Estimate, risk_coverage
from tools import ROOT
from tools.contents import chapters, notebook_of
from tools.notebooks import code_cells, read

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


def test_the_palette_says_how_far_its_colours_are_apart():
    smallest = min(apart(*pair) for pair in itertools.combinations(LINE_COLORS, 2))
    source = (ROOT / "companion" / "plots" / "style.py").read_text(encoding="utf-8")
    assert f"smallest distance by CIEDE2000 is {smallest:.1f} in the three ways" in source


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
    assert len({(mpl.colors.to_hex(line.get_color()), dashes_of(line)) for line in lines}) == 7


# --- dark pages -----------------------------------------------------------------------------------------

DARK = "#121212"  # the theme's paper


def in_the_dark(colour):
    """A colour of a figure as a dark page shows it: by the three steps of `book/_static/book.css`."""
    red, green, blue = 1 - np.array(mpl.colors.to_rgb(colour))  # invert(1)
    grey = np.array([0.213, 0.715, 0.072]) @ (red, green, blue)
    turned = np.clip(2 * grey - (red, green, blue), 0, 1)  # hue-rotate(180deg), as the standard on filters defines it
    return mpl.colors.to_hex(1 - (1 - turned) * (1 - np.array(mpl.colors.to_rgb(DARK))))  # screen


def test_a_dark_page_turns_figures_by_the_steps_that_are_measured_here():
    style = (ROOT / "book" / "_static" / "book.css").read_text(encoding="utf-8")
    assert "filter: invert(1) hue-rotate(180deg) !important;\n  mix-blend-mode: screen;" in style
    assert in_the_dark("white") == DARK
    assert in_the_dark("black") == "#ffffff"


def contrasts(ink, paper="white"):
    """The contrasts of two colours, in a light page and in a dark one."""
    return Color(ink).contrast(paper), Color(in_the_dark(ink)).contrast(in_the_dark(paper))


@pytest.mark.parametrize("colour", LINE_COLORS)
def test_every_line_stands_out_from_light_and_dark_paper(colour):
    assert min(contrasts(colour)) >= 3


@pytest.mark.parametrize("label", [0, 1])
def test_black_words_can_be_read_on_every_tint_in_both_themes(label):
    for tint in tint_map(label)(np.linspace(0, 1, 50)):
        assert min(contrasts("black", mpl.colors.to_hex(tint))) >= 4.5


def test_a_tint_of_no_class_is_refused():
    with pytest.raises(ModelError, match="label=2; expected 0"):
        tint_map(2)


def test_the_measure_finds_words_that_only_a_light_page_shows():
    light, dark = contrasts("black", "#c8553d")
    assert light >= 4.5 > dark


@pytest.mark.parametrize("most", [0, 1, 8, 60])
@pytest.mark.usefixtures("close_figures")
def test_every_count_of_a_confusion_matrix_can_be_read_in_both_themes(most):
    y = np.repeat(np.arange(10), 100)
    predicted = y.copy()
    for k in range(10):
        predicted[100 * k : 100 * k + most * k // 9] = (k + 1) % 10
    ax = plots.confusion_matrix(y, predicted, class_names=list("0123456789"))
    cells = ax.images[0].to_rgba(ax.images[0].get_array())
    assert len(ax.texts) >= 10
    for text in ax.texts:
        column, row = text.get_position()
        red, green, blue, alpha = cells[row, column]
        cell = mpl.colors.to_hex(alpha * np.array([red, green, blue]) + (1 - alpha))
        assert min(contrasts(mpl.colors.to_hex(text.get_color()), cell)) >= 4.5, (text.get_text(), cell)


@pytest.mark.usefixtures("close_figures")
def test_single_steps_of_a_short_loss_can_be_seen_in_both_themes_and_are_fainter_than_their_mean():
    ax = plots.elbo_history({"fit": np.random.default_rng(0).exponential(size=300)}, window=20)
    steps, mean = ax.lines
    alpha = steps.get_alpha()
    seen_on_paper = alpha * np.array(mpl.colors.to_rgb(steps.get_color())) + (1 - alpha)
    assert 2 <= min(contrasts(mpl.colors.to_hex(seen_on_paper))) < min(contrasts(mpl.colors.to_hex(mean.get_color())))
    assert steps.get_zorder() < mean.get_zorder()


def dashes_of(artist):
    return repr(artist._unscaled_dash_pattern)  # `get_linestyle` gives "--" for all dashes of one's own


def faint(artist):
    return (artist.get_alpha() or 1) <= 0.5  # the single steps under a running mean


def lines_of(figure):
    """Colour and dashes of each line and each outline of a figure."""
    for ax in figure.axes:
        for line in ax.lines:
            if not faint(line):
                yield mpl.colors.to_hex(line.get_color()), dashes_of(line)
        for patch in ax.patches:
            if patch.get_linewidth() and patch.get_edgecolor()[3]:
                yield mpl.colors.to_hex(patch.get_edgecolor()), dashes_of(patch)


SOME = [f"line {k}" for k in range(5)]
RNG = np.random.default_rng(0)
DRAWN = {
    "losses": lambda: plots.elbo_history({name: RNG.normal(100, 1, 300) for name in SOME}, window=10),
    "paths": lambda: plots.parameter_paths(np.ones((9, 5)), np.ones((9, 5)), groups=dict.fromkeys(SOME, 1))[0],
    "ranks": lambda: plots.chain_ranks({"x": RNG.normal(size=(5, 100))})[0],
    "scores": lambda: plots.score_histograms({name: RNG.normal(size=50) for name in SOME}, xlabel="x"),
    "ratios": lambda: plots.snr_histogram({name: RNG.gamma(1, size=50) for name in SOME}),
    "weights": lambda: plots.weight_posteriors(
        {"fit": {name: (RNG.normal(size=50), RNG.gamma(1, size=50)) for name in SOME}}
    ),
    "decisions": lambda: plots.decision_curves(
        {name: Estimate(np.ones(3), np.zeros(3), np.full(3, 2.0)) for name in SOME}, [1, 2, 3], xlabel="x", ylabel="y"
    ),
    "refusals": lambda: plots.risk_coverage(
        {name: risk_coverage(RNG.random(9), RNG.dirichlet([1, 1], (1, 9)), np.arange(9) % 2) for name in SOME}
    ),
}


@pytest.mark.parametrize("figure", DRAWN)
def test_lines_whose_colours_come_close_in_a_dark_page_differ_in_their_dashes(figure):
    plots.use_style()
    found = list(lines_of(DRAWN[figure]().get_figure()))
    plt.close("all")
    styles = {colour: {dash for other, dash in found if other == colour} for colour in LINE_COLORS}
    assert all(styles.values()), "not every colour of the palette was drawn"
    close = [pair for pair in itertools.combinations(LINE_COLORS, 2) if apart(*map(in_the_dark, pair)) < APART]
    assert close
    for first, second in close:
        assert not styles[first] & styles[second], (first, second)


FORMER = (
    (0x6B, 0x8F, 0x71),  # the first green, which some readers took for the red
    (0x9E, 0x8E, 0xEF),  # the first violet, too dark in dark pages
)


def pictures(chapter):
    """The stored figures of a chapter, as pixels (rows, columns, 3)."""
    for _, cell in code_cells(read(notebook_of(chapter))):
        for output in cell.outputs:
            if png := output.get("data", {}).get("image/png"):
                yield np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))


@pytest.mark.parametrize("chapter", chapters())
def test_no_stored_figure_has_a_colour_of_a_former_palette(chapter):
    for number, pixels in enumerate(pictures(chapter)):
        for colour in FORMER:
            assert not (pixels == colour).all(axis=-1).any(), f"figure {number} is older than the palette: make execute"
