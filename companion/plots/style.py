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
from matplotlib.transforms import ScaledTranslation

from companion.errors import ModelError
from companion.plots.language import speak

__all__ = [
    "CLASS_COLORS",
    "DASHES",
    "LINE_COLORS",
    "dashes",
    "head",
    "legend_below",
    "new_axes",
    "new_panels",
    "probability_map",
    "share_labels",
    "tint_map",
    "uncertainty_map",
    "use_style",
]

CLASS_COLORS = ("#1f5f8b", "#c8553d")
"""Blue for class 0 and red for class 1; they differ in lightness too, for readers who can't tell the hues apart."""

LINE_COLORS = (*CLASS_COLORS, "#439e8e", "#8c7dfa", "#2b2b2b")
"""Colours of lines in their order: any two differ for all readers, those with deuteranopia or protanopia among them.

Their smallest distance by CIEDE2000 is 21.7 in the three ways of seeing; `tests/plots/test_style.py` measures it by the
matrices of Machado, Oliveira and Fernandes (2009), "A Physiologically-Based Model for Simulation of Color Vision
Deficiency". Each has a contrast of 3 or more with white paper, and with a dark page, which turns light into dark and
keeps the hues. There some colours come closer to each other: `DASHES` tell them apart.
"""

DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
"""Dashes of lines in their order, for readers who can't tell the colours, and for dark pages.

One more than there are colours: a sixth line has the first colour again, and not its dashes.
"""

INK = "#22303c"

_TINTS = ("#5fa5e0", "#f08c74")  # of the classes' colours, those on which black words can still be read
_GAP = 0.06  # from the words of an axis to the legend below them, in inches
_WIDER = 1.15  # at least so much the layout widens axes that are still where matplotlib put them first


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


def legend_below(ax: Axes, **more: Any) -> None:
    """Set the legend of some axes below them, where it covers nothing that is drawn, in as many columns as fit.

    Parameters
    ----------
    ax
        Axes whose lines have labels, and whose horizontal axis has its own already.
    more
        Settings of `matplotlib.axes.Axes.legend`.
    """
    words = ax.xaxis.get_tightbbox()
    inches = 0.0 if words is None else (ax.bbox.y0 - words.y0) / ax.figure.dpi
    place = ax.transAxes + ScaledTranslation(0, -inches - _GAP, ax.figure.dpi_scale_trans)
    for columns in range(max(1, len(ax.get_legend_handles_labels()[1])), 0, -1):
        legend = ax.legend(
            loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=place, borderaxespad=0, ncols=columns, **more
        )
        if legend.get_window_extent().width <= _WIDER * ax.bbox.width:
            break


def share_labels(ax: Axes) -> Axes:
    """Take away the labels that a panel has in common with another one on its left, or below it.

    Parameters
    ----------
    ax
        Axes with labels, alone or among the panels of a figure. An axis that isn't shared keeps its label.
    """
    own = ax.get_subplotspec()
    if own is not None:
        left, below = (
            [spec for other in group.get_siblings(ax) if (spec := other.get_subplotspec())]
            for group in (ax.get_shared_y_axes(), ax.get_shared_x_axes())
        )
        if any(spec.rowspan == own.rowspan and spec.colspan.start < own.colspan.start for spec in left):
            ax.set_ylabel("")
        if any(spec.colspan == own.colspan and spec.rowspan.start > own.rowspan.start for spec in below):
            ax.set_xlabel("")
    return ax


def probability_map() -> Colormap:
    """Make the colour map of probabilities: from a tint of class 0's colour over near-white to a tint of class 1's.

    Near-white stands at one half, and points in the colours of the classes stand out on the tints.
    """
    return LinearSegmentedColormap.from_list("probability", ["#86adc9", "#faf8f3", "#e6a594"])


def tint_map(label: int) -> Colormap:
    """Make the colour map of counts and shares that are written into their cells: from near-white to a class's tint.

    Black words have a contrast of 4.5 or more with every colour of the map, in light pages and in dark ones, which turn
    both around. No map that goes on to full colours has an ink for its middle that does so in both.

    Parameters
    ----------
    label
        Label of the class whose tint it ends with, 0 or 1.

    Raises
    ------
    ModelError
        If the label is another.
    """
    if label not in (0, 1):
        raise ModelError(f"label={label!r}; expected 0 for the map that ends in blue, or 1 for the one in red.")
    return LinearSegmentedColormap.from_list("tint", ["#f5f4f2", _TINTS[label]])


def uncertainty_map() -> Colormap:
    """Make the colour map of uncertainty: light for certain, dark for uncertain, in steps that look even."""
    return sns.color_palette("mako_r", as_cmap=True)
