"""Figures of what the bound says and what the score says.

Explained in the chapter `book/mnist/pruning`, section "What mends it".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from companion.errors import ModelError
from companion.plots.language import say
from companion.plots.style import CLASS_COLORS, INK, new_axes
from companion.plots.ticks import plain_numbers

__all__ = ["bound_against_accuracy"]

_SIZE = 8  # of the names' letters, in points
_BESIDE, _DOT = 14, 8  # from a dot to its name, and half the width of the place that a dot takes, in pixels
_WORSE = 10  # how much worse it is to cover something than to have the line to the dot cross it
_RIGHT = 0.55  # dots further right than this share of the axes have their names on their left, where there is room


def bound_against_accuracy(
    bound: Mapping[str, float],
    accuracy: Mapping[str, float],
    *,
    tempered: Collection[str] = (),
    guessing: float | None = None,
    xlabel: str = "negative ELBO (nats an image): lower is better",
    ylabel: str = "accuracy on test images (%)",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the accuracy of several methods against their bounds, each as a dot with its name.

    Methods that paid the divergence in full are filled; tempered ones, which did not, are open.

    Parameters
    ----------
    bound
        Mapping from the name of each method to its negative ELBO at T = 1, in the unit of `xlabel`; drawn on a
        logarithmic axis.
    accuracy
        Mapping from the same names to accuracies between 0 and 1.
    tempered
        Names of the methods whose divergence was weighed down.
    guessing
        Negative ELBO of guessing, at which to draw a dashed line, such as the logarithm of the number of classes.
    xlabel, ylabel
        Labels of the axes.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If there are no methods, a bound is not positive, an accuracy is not between 0 and 1, or the names differ.
    """
    names = list(bound)
    if not names or set(names) != set(accuracy) or not set(tempered) <= set(names):
        raise ModelError(
            f"bounds of {names}, accuracies of {list(accuracy)}, tempered {list(tempered)}; expected a bound and an "
            "accuracy for every method, and tempered ones among them."
        )
    x, y = (np.array([values[name] for name in names], dtype=float) for values in (bound, accuracy))
    if not (np.isfinite(x) & (x > 0) & (y >= 0) & (y <= 1)).all():
        raise ModelError(f"bounds {x}, accuracies {y}; expected positive bounds, and accuracies from 0 to 1.")
    ax = new_axes(ax)
    ax.set(xscale="log", xlim=_limits(x, log=True), ylim=_limits(100 * y), xlabel=say(xlabel), ylabel=say(ylabel))
    ax.set_title(title or "")
    plain_numbers(ax)
    if guessing is not None:
        ax.axvline(guessing, color=INK, linestyle="--", linewidth=1)
        ax.annotate(say("guessing"), (guessing, 0), (3, 3), xycoords=("data", "axes fraction"),
                    textcoords="offset points", fontsize=_SIZE)  # fmt: skip
    for k, name in enumerate(names):
        own = name in tempered
        ax.plot(x[k], 100 * y[k], "o", color=CLASS_COLORS[own], fillstyle="none" if own else "full", label=name)
    _name_dots(ax, names, np.column_stack([x, 100 * y]), guessing)
    return ax


def _name_dots(ax: Axes, names: Sequence[str], dots: np.ndarray, guessing: float | None) -> None:
    """Write the name of each dot beside it, where it covers neither a dot, nor a line, nor another name."""
    ax.figure.canvas.figure.draw_without_rendering()  # only then the axes have their size
    frame, places = ax.get_window_extent(), ax.transData.transform(dots)
    taken = [Bbox.from_extents(*(place - _DOT), *(place + _DOT)) for place in places]
    if guessing is not None:
        at = ax.transData.transform((guessing, dots[0, 1]))[0]
        taken.append(Bbox.from_extents(at - _DOT / 2, frame.y0, at + _DOT / 2, frame.y1))
        taken += [text.get_window_extent() for text in ax.texts]
    sizes = []
    for name in names:
        text = ax.text(0, 0, say(name), fontsize=_SIZE)
        sizes.append(text.get_window_extent())
        text.remove()
    tries = []
    for order in (np.argsort(by, kind="stable") for by in (-places[:, 1], places[:, 1], -places[:, 0], places[:, 0])):
        cost, written = np.zeros(2), dict[int, Bbox]()
        for k in order:
            of_this, written[k] = _nearest(places[k], sizes[k], frame, taken, list(written.values()))
            cost += of_this
        tries.append((tuple(cost), written))
    for k, box in min(tries, key=lambda found: found[0])[1].items():
        ends = (np.clip(places[k], box.min, box.max) - box.min) / box.size
        ax.annotate(
            say(names[k]), tuple(dots[k]), tuple(ax.transAxes.inverted().transform((box.x0, (box.y0 + box.y1) / 2))),
            fontsize=_SIZE, textcoords="axes fraction", va="center",
            arrowprops={"arrowstyle": "-", "color": "0.75", "linewidth": 0.6, "shrinkB": 4, "relpos": tuple(ends)},
        )  # fmt: skip


def _nearest(
    dot: np.ndarray, size: Bbox, frame: Bbox, taken: Sequence[Bbox], written: Sequence[Bbox]
) -> tuple[tuple[float, float], Bbox]:
    """Find the nearest place for a name around its dot that covers the least, all in pixels; and what it costs."""
    width, height = size.width + 2, size.height + 2
    left = dot[0] > frame.x0 + _RIGHT * frame.width
    beside = [-width - _BESIDE, _BESIDE] if left else [_BESIDE, -width - _BESIDE]
    ways = []
    for rank, shift in enumerate([*beside, -width / 2, -width / 4, -3 * width / 4, 3 * _BESIDE, -width - 3 * _BESIDE]):
        for lines in range(-14, 15):
            x, y = dot[0] + shift, dot[1] + (lines - 1) * height / 2
            box = Bbox.from_extents(x, y, x + width, y + height)
            if frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1:
                way = np.hypot(*(np.clip(dot, box.min, box.max) - dot)) + rank + (0 if rank < 2 and not lines else _DOT)
                ways.append((float(way), box))
    ways.sort(key=lambda found: found[0])
    least, best = (np.inf, np.inf), ways[0][1]
    for way, box in ways:
        path = Path([dot, np.clip(dot, box.min, box.max)])
        crossed = sum(path.intersects_bbox(other) for other in [*taken, *written]) - 1  # of them, one is its own dot
        covered = _WORSE * sum(map(box.overlaps, [*taken, *written])) + crossed
        if (covered, way) < least:
            least, best = (covered, way), box
        if not covered:
            break
    return least, best


def _limits(values: np.ndarray, *, log: bool = False) -> tuple[float, float]:
    """Give limits of an axis a little beyond the values."""
    ends = np.log(values) if log else values
    margin = 0.08 * max(np.ptp(ends), 0.1)
    low, high = float(ends.min() - margin), float(ends.max() + margin)
    return (float(np.exp(low)), float(np.exp(high))) if log else (low, high)
