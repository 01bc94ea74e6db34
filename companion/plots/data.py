"""Figures of observations and of their labels in the plane of two features.

Explained in the chapter `book/pymc/moons`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from companion.datasets import Observations
from companion.errors import DataError
from companion.plots.language import say
from companion.plots.style import CLASS_COLORS, INK, legend_below, new_axes, share_labels

__all__ = ["data_scatter", "predicted_labels", "scatter_classes"]

_MARKERS = ("o", "^")


def data_scatter(
    data: Observations,
    *,
    class_names: Sequence[str] = ("class 0", "class 1"),
    feature_names: Sequence[str] = ("x1", "x2"),
    title: str | None = None,
    size: float = 22,
    ax: Axes | None = None,
) -> Axes:
    """Scatter the observations of two classes over their two features.

    Parameters
    ----------
    data
        Observations of two features, (rows, 2), with labels 0 and 1.
    class_names
        Names of the two classes, in the legend.
    feature_names
        Names of the two features, at the axes.
    title
        Title of the axes.
    size
        Area of a marker, in square points (1/72 inch).
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    DataError
        If the data don't have two features, or a label is neither 0 nor 1.
    """
    ax = new_axes(ax)
    scatter_classes(ax, data.x, data.y, class_names, size)
    ax.set(xlabel=feature_names[0], ylabel=feature_names[1], title=title or "")
    ax.legend(loc="best")
    return share_labels(ax)


def predicted_labels(
    data: Observations,
    labels: np.ndarray,
    *,
    class_names: Sequence[str] = ("class 0", "class 1"),
    feature_names: Sequence[str] = ("x1", "x2"),
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Scatter observations in the colours of their predicted labels and ring those that are wrong.

    Parameters
    ----------
    data
        Observations of two features, (rows, 2), with true labels 0 and 1.
    labels
        Predicted labels, (rows,).
    class_names
        Names of the two classes, in the legend.
    feature_names
        Names of the two features, at the axes.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    DataError
        If there isn't one predicted label for each row, the data don't have two features, or a label is neither 0
        nor 1.
    """
    labels = np.asarray(labels)
    if labels.shape != data.y.shape:
        raise DataError(f"{labels.shape} predicted labels for {len(data.y)} rows; expected one for each row.")
    ax = new_axes(ax)
    scatter_classes(ax, data.x, labels, [say("predicted {}", say(name)) for name in class_names], 22)
    wrong = data.x[labels != data.y]
    ax.scatter(
        wrong[:, 0],
        wrong[:, 1],
        s=90,
        facecolor="none",
        edgecolor=INK,
        linewidth=1.2,
        label=say("wrong ({})", len(wrong)),
    )
    ax.set(xlabel=feature_names[0], ylabel=feature_names[1], title=title or "")
    share_labels(ax)
    legend_below(ax)  # points are everywhere
    return ax


def scatter_classes(ax: Axes, x: np.ndarray, labels: np.ndarray, names: Sequence[str], size: float) -> None:
    """Scatter the points of both classes on some axes, each class with its own colour and marker."""
    if x.ndim != 2 or x.shape[1] != 2:
        raise DataError(f"x has shape {x.shape}; a scatter in the plane expects (rows, 2).")
    strange = np.setdiff1d(labels, (0, 1))
    if strange.size:
        raise DataError(f"labels outside 0 and 1: {strange[:5].tolist()}; this scatter shows two classes.")
    for label, (color, marker) in enumerate(zip(CLASS_COLORS, _MARKERS, strict=True)):
        rows = labels == label
        ax.scatter(
            x[rows, 0],
            x[rows, 1],
            s=size,
            color=color,
            marker=marker,
            edgecolor="white",
            linewidth=0.5,
            label=say(names[label]),
        )
