"""Observations and labels in the plane: data in, axes out. Explained in the chapter `book/pymc/moons`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from companion.datasets import Observations
from companion.errors import DataError
from companion.plots.language import say
from companion.plots.style import CLASS_COLORS, INK, new_axes

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
        ``x`` of shape (rows, 2), labels 0 and 1.
    class_names, feature_names, title, size
        For the legend, the axes, the head, and the area of a marker in square points.
    ax
        To draw on; new ones by default.

    Raises
    ------
    DataError
        If the data don't have two features.
    """
    ax = new_axes(ax)
    scatter_classes(ax, data.x, data.y, class_names, size)
    ax.set(xlabel=feature_names[0], ylabel=feature_names[1], title=title or "")
    ax.legend(loc="best")
    return ax


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
        ``x`` of shape (rows, 2), true labels 0 and 1.
    labels
        Predicted labels (rows,).
    class_names, feature_names, title, ax
        As in `data_scatter`.

    Raises
    ------
    DataError
        If there isn't one label for each row, or the data don't have two features.
    """
    labels = np.asarray(labels)
    if labels.shape != data.y.shape:
        raise DataError(f"{labels.shape} predicted labels for {len(data.y)} rows; expected one label a row.")
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
    ax.legend(loc="best")
    return ax


def scatter_classes(ax: Axes, x: np.ndarray, labels: np.ndarray, names: Sequence[str], size: float) -> None:
    """Scatter each class with its colour and its marker."""
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
