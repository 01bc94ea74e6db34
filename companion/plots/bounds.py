"""Figures of what the bound says and what the score says.

Explained in the chapter `book/mnist/pruning`, section "What mends it".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from companion.errors import ModelError
from companion.plots.language import say
from companion.plots.style import CLASS_COLORS, INK, new_axes
from companion.plots.ticks import plain_numbers

__all__ = ["bound_against_accuracy"]

_SIZE = 8  # of the names' letters, in points
_BESIDE, _DOT = 14, 8  # from a dot to its name, and half the width of the place that a dot takes, in pixels
_RIGHT = 0.55  # dots further right than this share of the axes have their names on their left, where there is room
_MARGIN = 0.08  # how far the axes go beyond the dots, as a share of their range
_ROOMS = ((1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (4, 2))  # times as far on the left, and above, until names have room
_FAULT = 1000.0  # what it costs to cover something, or to stand nearer to another dot; beside it, pixels count little
_CLEAR = 8  # how many pixels further away than its own dot all others should be


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
    bounds = x if guessing is None else np.append(x, guessing)
    ax.set(xscale="log", xlim=_limits(bounds, log=True), ylim=_limits(100 * y), xlabel=say(xlabel), ylabel=say(ylabel))
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
    """Write the name of each dot where no other dot is nearer, and where it covers neither dots, lines nor names."""
    ax.figure.canvas.figure.draw_without_rendering()  # only then the axes have their size
    texts = [_forms(say(name)) for name in names]
    sizes = [[_size(ax, text) for text in forms] for forms in texts]
    tries = []
    bounds = dots[:, 0] if guessing is None else np.append(dots[:, 0], guessing)
    for before, above in _ROOMS:
        room = {"xlim": _limits(bounds, log=True, before=before), "ylim": _limits(dots[:, 1], after=above)}
        ax.set(**room)
        cost, placed = _arrange(ax, ax.transData.transform(dots), sizes, guessing)
        tries.append((cost, room, placed))
        if cost < _FAULT:
            break
    _, room, placed = min(tries, key=lambda found: found[0])
    ax.set(**room)
    for dot, place, forms, (form, box) in zip(dots, ax.transData.transform(dots), texts, placed, strict=True):
        ends = (np.clip(place, box[:2], box[2:]) - box[:2]) / (box[2:] - box[:2])
        ax.annotate(
            forms[form], tuple(dot), tuple(ax.transAxes.inverted().transform((box[0], (box[1] + box[3]) / 2))),
            fontsize=_SIZE, textcoords="axes fraction", va="center",
            arrowprops={"arrowstyle": "-", "color": "0.5", "linewidth": 0.6, "shrinkB": 4, "relpos": tuple(ends)},
        )  # fmt: skip


def _forms(name: str) -> list[str]:
    """Give a name on one line and, if it has several words, on two."""
    spaces = [k for k, letter in enumerate(name) if letter == " "]
    if not spaces:
        return [name]
    middle = min(spaces, key=lambda k: abs(2 * k + 1 - len(name)))
    return [name, f"{name[:middle]}\n{name[middle + 1 :]}"]


def _size(ax: Axes, words: str) -> np.ndarray:
    """Measure words in pixels, with a little room around them."""
    text = ax.text(0, 0, words, fontsize=_SIZE)
    box = text.get_window_extent()
    text.remove()
    return np.array([box.width, box.height]) + 2


def _arrange(
    ax: Axes, places: np.ndarray, sizes: Sequence[Sequence[np.ndarray]], guessing: float | None
) -> tuple[float, list[tuple[int, np.ndarray]]]:
    """Find the form and the box of each name that cost the least together, all in pixels; and what they cost."""
    frame = ax.get_window_extent()
    taken = np.hstack([places - _DOT, places + _DOT])
    if guessing is not None:
        at = ax.transData.transform((guessing, 1))[0]
        words = [text.get_window_extent().extents for text in ax.texts]
        taken = np.vstack([taken, [at - _DOT / 2, frame.y0, at + _DOT / 2, frame.y1], *words])
    ways = [_ways(k, places, of_name, frame, taken) for k, of_name in enumerate(sizes)]
    tries = []
    for order in (np.argsort(by, kind="stable") for by in (-places[:, 1], places[:, 1], -places[:, 0], places[:, 0])):
        chosen: dict[int, int] = {}
        for k in [*order, *order, *order]:  # once to find a place, and twice to find a better one among the others
            _, boxes, lines, cost = ways[k]
            others = np.array([ways[j][1][way] for j, way in chosen.items() if j != k]).reshape(-1, 4)
            faults = _covered(boxes, others).sum(axis=1) + _crossed(lines, others).sum(axis=1)
            chosen[k] = int((cost + _FAULT * faults).argmin())
        total = sum(ways[k][3][way] for k, way in chosen.items())
        written, lines = (np.array([ways[k][part][chosen[k]] for k in range(len(places))]) for part in (1, 2))
        both = _covered(written, written) | _crossed(lines, written)
        total += _FAULT * (both.sum() - both.trace())
        tries.append((float(total), [(int(ways[k][0][chosen[k]]), written[k]) for k in range(len(places))]))
    return min(tries, key=lambda found: found[0])


def _ways(
    k: int, places: np.ndarray, sizes: Sequence[np.ndarray], frame: Bbox, taken: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """List the ways to write a name around its dot: form, box, points on the line to it, and cost."""
    dot, ways = places[k], []
    for form, (width, height) in enumerate(sizes):
        left = dot[0] > frame.x0 + _RIGHT * frame.width
        beside = [-width - _BESIDE, _BESIDE] if left else [_BESIDE, -width - _BESIDE]
        above = -width * np.array([0.5, 0.4, 0.6, 0.25, 0.75, 0.1, 0.9])
        for rank, shift in enumerate([*beside, *above, 3 * _BESIDE, -width - 3 * _BESIDE]):
            for lines in range(-14, 15):
                x, y = dot[0] + shift, dot[1] + (lines * sizes[0][1] - height) / 2
                within = frame.x0 <= x and x + width <= frame.x1 and frame.y0 <= y and y + height <= frame.y1
                unusual = _DOT if rank > 1 or lines else 0
                cost = rank + 6 * form + unusual + (0 if within else 100 * _FAULT)
                ways.append((form, x, y, x + width, y + height, cost))
    found = np.array(ways)
    boxes, costs = found[:, 1:5], found[:, 5].copy()
    ends = np.clip(dot, boxes[:, :2], boxes[:, 2:])
    away = np.hypot(*(ends - dot).T)
    costs += away + _FAULT * _covered(boxes, taken).sum(axis=1)
    others = np.delete(places, k, axis=0)
    if len(others):
        gaps = np.clip(others, boxes[:, None, :2], boxes[:, None, 2:]) - others
        clear = np.hypot(gaps[..., 0], gaps[..., 1]).min(axis=1) - away
        costs += _FAULT * (clear <= 0) + 4 * np.clip(_CLEAR - clear, 0, None)
    on_line = dot + np.linspace(0.3, 1, 8)[:, None] * (ends - dot)[:, None]
    costs += _FAULT * _crossed(on_line, np.delete(taken, k, axis=0)).sum(axis=1)
    return found[:, 0], boxes, on_line, costs


def _covered(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Say which boxes (n, 4) overlap which others (m, 4), as (n, m); both hold left, lower, right and upper ends."""
    overlap = (boxes[:, None, :2] < others[:, 2:]) & (boxes[:, None, 2:] > others[:, :2])
    return np.asarray(overlap.all(axis=-1))


def _crossed(lines: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Say which lines, by points on them (n, points, 2), enter which boxes (m, 4), as (n, m)."""
    inside = (others[:, None, :2] < lines[:, None]) & (lines[:, None] < others[:, None, 2:])
    return np.asarray(inside.all(axis=-1).any(axis=-1))


def _limits(values: np.ndarray, *, log: bool = False, before: int = 1, after: int = 1) -> tuple[float, float]:
    """Give limits of an axis a little beyond the values, a number of margins before and after them."""
    ends = np.log(values) if log else values
    margin = _MARGIN * max(np.ptp(ends), 0.1)
    low, high = float(ends.min() - before * margin), float(ends.max() + after * margin)
    return (float(np.exp(low)), float(np.exp(high))) if log else (low, high)
