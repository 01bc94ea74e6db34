"""Figures of probability and of uncertainty over a plane of two features.

Explained in the chapter `book/pymc/moons`, sections "What the network has learned" and "What the uncertainty surface
means".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap

from companion.datasets import Observations
from companion.errors import ModelError
from companion.plots.data import scatter_classes
from companion.plots.language import say
from companion.plots.style import INK, new_axes, probability_map, uncertainty_map
from companion.prediction import Grid, mean_probabilities

__all__ = ["probability_surface", "uncertainty_surface"]

_SIZE = (7.2, 5.2)


def probability_surface(
    grid: Grid,
    probabilities: np.ndarray,
    *,
    data: Observations | None = None,
    label: str = "posterior predictive probability of class 1",
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
    image = grid.image(mean_probabilities(probabilities)[:, 1])
    ax = _surface(grid, image, np.linspace(0, 1, 21), probability_map(), label, ax)
    ax.contour(grid.x1, grid.x2, image, levels=[0.5], colors=INK, linewidths=1.2)
    return _finish(ax, grid, data, feature_names, title)


def uncertainty_surface(
    grid: Grid,
    values: np.ndarray,
    *,
    label: str,
    maximum: float = 0.5,
    data: Observations | None = None,
    feature_names: Sequence[str] = ("x1", "x2"),
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw an uncertainty over the grid, on a scale from 0 to `maximum` that panels can share.

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
    image = grid.image(values)
    if image.max() > maximum:
        raise ModelError(f"values reach {image.max():.3g}, and the scale ends at maximum={maximum}; raise the maximum.")
    ax = _surface(grid, image, np.linspace(0, maximum, 21), uncertainty_map(), label, ax)
    return _finish(ax, grid, data, feature_names, title)


def _surface(grid: Grid, image: np.ndarray, levels: np.ndarray, cmap: Colormap, label: str, ax: Axes | None) -> Axes:
    """Fill the contours of an image and set its colour bar."""
    ax = new_axes(ax, _SIZE)
    filled = ax.contourf(grid.x1, grid.x2, image, levels=levels, cmap=cmap)
    bar = ax.figure.colorbar(filled, ax=ax, ticks=levels[::4], shrink=0.95)
    bar.set_label(say(label))
    bar.outline.set_visible(False)
    return ax


def _finish(ax: Axes, grid: Grid, data: Observations | None, feature_names: Sequence[str], title: str | None) -> Axes:
    """Lay the observations over the surface and name the axes."""
    if data is not None:
        scatter_classes(ax, data.x, data.y, ("class 0", "class 1"), 16)
    ax.set(
        xlabel=feature_names[0],
        ylabel=feature_names[1],
        title=title or "",
        xlim=(grid.x1.min(), grid.x1.max()),
        ylim=(grid.x2.min(), grid.x2.max()),
    )
    return ax
