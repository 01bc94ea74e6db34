"""The look of the book's figures: one style, one colour for each class, one colour map for each kind of surface.

Every chapter sets the style once, at its top, beginning with `book/pymc/moons`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from companion.plots.language import speak

__all__ = [
    "CLASS_COLORS",
    "DASHES",
    "LINE_COLORS",
    "dashes",
    "head",
    "new_axes",
    "new_panels",
    "probability_map",
    "uncertainty_map",
    "use_style",
]

CLASS_COLORS = ("#1f5f8b", "#c8553d")
"""Blue for class 0 and red for class 1; they differ in lightness too, for readers who can't tell the hues apart."""

LINE_COLORS = (*CLASS_COLORS, "#439e8e", "#9e8eef", "#2b2b2b")
"""Colours of lines in their order: any two differ for all readers, those with deuteranopia or protanopia among them.

Their smallest distance by CIEDE2000 is 21 in the three ways of seeing; `tests/plots/test_style.py` measures it by the
matrices of Machado, Oliveira and Fernandes (2009), "A Physiologically-Based Model for Simulation of Color Vision
Deficiency". In a dark page, which turns light into dark and keeps the hues, some come closer: `DASHES` tell them apart.
"""

DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
"""Dashes of lines in their order, for readers who can't tell the colours, and for dark pages.

One more than there are colours: a sixth line has the first colour again, and not its dashes.
"""

INK = "#22303c"


def use_style(language: str = "en") -> None:
    """Set matplotlib's defaults for this session to the book's style.

    Parameters
    ----------
    language
        Language of the words that figures add by themselves, "en" or "zh". Where no font has Chinese characters,
        figures stay English, with a `CompanionWarning`.

    Raises
    ------
    ModelError
        If the language is another.
    """
    sns.set_theme(
        style="ticks",
        palette=LINE_COLORS,
        rc={
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.linewidth": 0.8,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlecolor": INK,
            "axes.titlelocation": "left",
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.labelsize": 10,
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "figure.figsize": (7.2, 4.4),
            "font.size": 10,
            "legend.fontsize": 9,
            "legend.frameon": False,
            "savefig.facecolor": "white",
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
        },
    )
    if speak(language) == "zh":  # the companion's font has no bold, and half-bold titles look broken
        mpl.rcParams["axes.titleweight"] = "normal"


def dashes(line: int) -> Any:
    """Give the dashes of a line by its number in the figure."""
    return DASHES[line % len(DASHES)]


def new_axes(ax: Axes | None, figsize: tuple[float, float] | None = None) -> Axes:
    """Return the axes given, or those of a new figure."""
    return plt.subplots(figsize=figsize)[1] if ax is None else ax


def head(figure: Figure, title: str) -> None:
    """Write the title of a figure of several axes at the left, where single axes have theirs."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight=mpl.rcParams["axes.titleweight"])


def new_panels(
    axes: Sequence[Axes] | None, title: str | None, columns: int, size: tuple[float, float], rows: int = 1, **more: Any
) -> Sequence[Axes]:
    """Return the axes given, or those of a new figure with a title, row by row.

    Parameters
    ----------
    axes
        Axes to draw on; ``None`` makes a figure.
    title
        Title of the figure.
    columns, rows
        Numbers of columns and rows of its panels.
    size
        Width and height of the figure, in inches.
    more
        Settings of `matplotlib.pyplot.subplots`.
    """
    if axes is not None:
        return axes
    figure, panels = plt.subplots(rows, columns, figsize=size, squeeze=False, **more)
    head(figure, title or "")
    return list(panels.ravel())


def probability_map() -> Colormap:
    """Make the colour map of probabilities: from a tint of class 0's colour over near-white to a tint of class 1's.

    Near-white stands at one half, and points in the colours of the classes stand out on the tints.
    """
    return LinearSegmentedColormap.from_list("probability", ["#86adc9", "#faf8f3", "#e6a594"])


def uncertainty_map() -> Colormap:
    """Make the colour map of uncertainty: light for certain, dark for uncertain, in steps that look even."""
    return sns.color_palette("mako_r", as_cmap=True)
