"""A figure of which classes a model confuses.

Explained in the chapter `book/mnist/dense`, section "Held-out prediction".
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from sklearn import metrics

from companion.datasets import check_labels
from companion.errors import DataError
from companion.plots.language import say
from companion.plots.style import new_axes, share_labels, tint_map

__all__ = ["confusion_matrix"]

_LOUD, _QUIET = "black", "#66717a"
"""Ink for the counts of errors, and grey for those of right answers; both can be read in dark pages, too."""


def confusion_matrix(
    y: np.ndarray,
    predicted: np.ndarray,
    *,
    class_names: Sequence[str],
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how many points of each true class are predicted as each other class.

    Only errors are coloured, because the right answers, on the diagonal, would outnumber them on a common scale. A cell
    without a number holds no points.

    Parameters
    ----------
    y, predicted
        True and predicted labels, both (points,).
    class_names
        Names of the classes, one for each.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    DataError
        If there are no points, there isn't one predicted label for each, or a label has no class.
    """
    y, predicted = np.asarray(y), np.asarray(predicted)
    if y.ndim != 1 or y.shape != predicted.shape or not len(y):
        raise DataError(f"{y.shape} true labels and {predicted.shape} predicted ones; expected (points,) of both.")
    classes = len(class_names)
    check_labels(y, classes)
    check_labels(predicted, classes, where="predicted")
    counts = metrics.confusion_matrix(y, predicted, labels=range(classes))
    right = np.eye(classes, dtype=bool)
    errors = np.where(right, 0, counts)
    ax = new_axes(ax, (5.6, 5.4))
    top = max(1, errors.max())
    ax.imshow(
        np.ma.masked_array(errors, right),
        cmap=tint_map(1),
        vmax=top,
        vmin=0,
    )
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = _QUIET if right[row, column] else _LOUD
            ax.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=color)
    names = [say(name) for name in class_names]
    ax.set_xticks(range(classes), names)
    ax.set_yticks(range(classes), names)
    if max(map(len, names)) > 3:  # long names would run into each other
        plt.setp(ax.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set(xlabel=say("predicted class"), ylabel=say("true class"), title=title or "")
    return share_labels(ax)
