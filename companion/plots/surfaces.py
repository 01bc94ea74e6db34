"""Figures of probability and of uncertainty over a plane of two features.

Explained in the chapter `book/pymc/moons`, sections "What the network has learned" and "What the uncertainty surface
means"; single networks in its section "The model", and in the chapter `book/pymc/moons_posterior`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from companion.datasets import Observations
from companion.errors import ModelError
from companion.plots.data import scatter_classes
from companion.plots.language import say
from companion.plots.style import (
    CLASS_COLORS,
    INK,
    legend_below,
    new_axes,
    probability_map,
    share_labels,
    uncertainty_map,
)
from companion.prediction import Grid, check_probabilities, mean_probabilities

__all__ = ["decision_lines", "probability_surface", "uncertainty_panels", "uncertainty_surface"]

_SIZE = (7.2, 5.2)
_NAMES = ("class 0", "class 1")


def probability_surface(
    grid: Grid,
    probabilities: np.ndarray,
    *,
    data: Observations | None = None,
    label: str = "posterior predictive probability of class 1",
    class_names: Sequence[str] | None = None,
    feature_names: Sequence[str] = ("x1", "x2"),
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the posterior predictive probability of class 1 over the grid, with the line where it is one half.

    Parameters
    ----------
    grid
        Grid of n by n points.
    probabilities
        Class probabilities at the points of the grid, (draws, n * n, 2).
    data
        Observations to lay over the surface, in the colours of their labels.
    label
        Label of the colour bar.
    class_names
        Names of the two classes, for a legend; by default there is none.
    feature_names
        Names of the two features, at the axes.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities at the points of the grid.
    """
    p = mean_probabilities(probabilities)[:, 1]
    image, ax = grid.image(p), new_axes(ax, _SIZE)
    _bar(_filled(ax, grid, image, np.linspace(0, 1, 21), probability_map()), label, [ax])
    _half(ax, grid, p, colors=INK, linewidths=1.2)
    return _finish(ax, grid, data, feature_names, title, class_names=class_names)


def decision_lines(
    grid: Grid,
    probabilities: np.ndarray,
    *,
    average: bool = True,
    data: Observations | None = None,
    class_names: Sequence[str] | None = None,
    feature_names: Sequence[str] = ("x1", "x2"),
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw where each single network has its decision line, and where their average has it.

    The probability of class 1 is one half on such a line. Thin lines belong to single networks, the thick one to the
    average of them all. Where the thin lines lie on top of each other, the networks agree; a network that says the same
    class everywhere has no line.

    Parameters
    ----------
    grid
        Grid of n by n points.
    probabilities
        Class probabilities at the points of the grid, (draws, n * n, 2): a line for each draw, so a few dozen will do.
    average
        Whether to draw the line of the average, too.
    data
        Observations to lay under the lines, in the colours of their labels.
    class_names
        Names of the two classes, for a legend; by default there is none.
    feature_names
        Names of the two features, at the axes.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If `probabilities` aren't probabilities of two classes at the points of the grid.
    """
    of_each = check_probabilities(probabilities)
    if of_each.shape[2] != 2:
        raise ModelError(f"probabilities of {of_each.shape[2]} classes; a decision line is one between two classes.")
    ax = new_axes(ax, (5.2, 5.0))
    _finish(ax, grid, data, feature_names, title, size=8, class_names=class_names)
    for p in of_each[..., 1]:
        _half(ax, grid, p, colors=CLASS_COLORS[0], linewidths=0.7, alpha=0.45)
    if average:
        _half(ax, grid, of_each[..., 1].mean(axis=0), colors=INK, linewidths=2.2)
    return ax


def uncertainty_surface(
    grid: Grid,
    values: np.ndarray,
    *,
    label: str,
    maximum: float = 0.5,
    data: Observations | None = None,
    line: np.ndarray | None = None,
    feature_names: Sequence[str] = ("x1", "x2"),
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw an uncertainty over the grid, on a scale from 0 to `maximum`; `uncertainty_panels` draws several on one.

    Parameters
    ----------
    grid
        Grid of n by n points.
    values
        Uncertainty at the points of the grid, (n * n,).
    label
        Label of the colour bar, which says which uncertainty it is, and its unit.
    maximum
        End of the scale; one half is the largest standard deviation that a probability can have.
    data
        Observations to lay over the surface, in the colours of their labels.
    line
        Probability of class 1 at the points of the grid, (n * n,): a white line is drawn where it is one half.
    feature_names
        Names of the two features, at the axes.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If there isn't one value for each point of the grid, or one exceeds the scale.
    """
    ax = new_axes(ax, _SIZE)
    _bar(_uncertain(ax, grid, values, maximum, line), label, [ax])
    return _finish(ax, grid, data, feature_names, title)


def uncertainty_panels(
    grid: Grid,
    panels: Mapping[str, np.ndarray],
    *,
    label: str,
    maximum: float = 0.5,
    data: Observations | None = None,
    lines: np.ndarray | Mapping[str, np.ndarray] | None = None,
    class_names: Sequence[str] | None = None,
    feature_names: Sequence[str] = ("x1", "x2"),
) -> Figure:
    """Draw uncertainties side by side over the same plane, on one scale with one colour bar.

    Parameters
    ----------
    grid
        Grid of n by n points.
    panels
        Title of each panel to the uncertainty at the points of the grid, (n * n,).
    label
        Label of the colour bar, which says which uncertainty it is, and its unit.
    maximum
        End of the scale; one half is the largest standard deviation that a probability can have.
    data
        Observations to lay over each surface, in the colours of their labels.
    lines
        Probability of class 1 at the points of the grid, (n * n,): a white line is drawn where it is one half. A
        mapping from the titles if the panels differ in it.
    class_names
        Names of the two classes, for a legend in the first panel; by default there is none.
    feature_names
        Names of the two features, at the axes.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, with an axes for each panel and one for the colour bar.

    Raises
    ------
    ModelError
        If there is no panel, one has no line while others do, there isn't one value for each point of the grid, or one
        exceeds the scale.
    """
    if not panels:
        raise ModelError("no panel to draw; expected a mapping from a title to the uncertainty at the grid's points.")
    if isinstance(lines, Mapping) and (missing := [title for title in panels if title not in lines]):
        raise ModelError(f"no line for the panels {missing}; expected one for each, or one array for all.")
    count = len(panels)
    figure, axes = plt.subplots(1, count, figsize=(7.6, 7.0 / count + 0.3), sharey=True, squeeze=False)
    for k, (ax, (title, values)) in enumerate(zip(axes[0], panels.items(), strict=True)):
        line = lines[title] if isinstance(lines, Mapping) else lines
        filled = _uncertain(ax, grid, values, maximum, line)
        _finish(ax, grid, data, feature_names, title, size=7, class_names=None if k else class_names)
        ax.set_box_aspect(1)
        ax.label_outer()
    _bar(filled, label, list(axes[0]))
    return figure


def _uncertain(ax: Axes, grid: Grid, values: np.ndarray, maximum: float, line: np.ndarray | None) -> QuadContourSet:
    """Fill the surface of an uncertainty, with the decision line over it."""
    image = grid.image(values)
    if image.max() > maximum:
        raise ModelError(f"values reach {image.max():.3g}, and the scale ends at maximum={maximum}; raise the maximum.")
    filled = _filled(ax, grid, image, np.linspace(0, maximum, 21), uncertainty_map())
    if line is not None:
        drawn = _half(ax, grid, line, colors="white", linewidths=1.1)
        drawn.set_path_effects([withStroke(linewidth=2.4, foreground=INK)])
    return filled


def _half(ax: Axes, grid: Grid, p: np.ndarray, **how: Any) -> QuadContourSet:
    """Draw the line where a probability is one half; there is none where it never is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No contour levels were found")
        return ax.contour(grid.x1, grid.x2, grid.image(p), levels=[0.5], **how)


def _filled(ax: Axes, grid: Grid, image: np.ndarray, levels: np.ndarray, cmap: Colormap) -> QuadContourSet:
    return ax.contourf(grid.x1, grid.x2, image, levels=levels, cmap=cmap)


def _bar(filled: QuadContourSet, label: str, axes: Sequence[Axes]) -> None:
    """Set the colour bar of a surface beside the axes that share it."""
    bar = axes[0].figure.colorbar(filled, ax=axes, ticks=np.asarray(filled.levels)[::4], shrink=0.95)
    bar.set_label(say(label))
    bar.outline.set_visible(False)


def _finish(
    ax: Axes,
    grid: Grid,
    data: Observations | None,
    feature_names: Sequence[str],
    title: str | None,
    *,
    size: float = 16,
    class_names: Sequence[str] | None = None,
) -> Axes:
    """Lay the observations over the surface, with a legend if the classes have names, and name the axes."""
    if data is not None:
        scatter_classes(ax, data.x, data.y, class_names or _NAMES, size)
    ax.set(
        xlabel=feature_names[0],
        ylabel=feature_names[1],
        title=title or "",
        xlim=(grid.x1.min(), grid.x1.max()),
        ylim=(grid.x2.min(), grid.x2.max()),
    )
    share_labels(ax)
    if data is not None and class_names:
        legend_below(ax, fontsize=8, markerscale=1.5)
    return ax
