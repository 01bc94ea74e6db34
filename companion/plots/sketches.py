"""Sketches that explain a model or a method, without data: a network's layers, a draw that is differentiated, flipout.

Explained in the chapters `book/pymc/moons`, sections "The model" and "ADVI", and
`book/bayes_by_backprop/design_choices`, section "Three gradients".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from scipy.stats import norm

from companion.errors import ModelError
from companion.plots.style import CLASS_COLORS, INK, new_axes, new_panels

__all__ = ["flipout_sketch", "network_sketch", "reparameterisation_sketch"]


def network_sketch(
    widths: Sequence[int],
    names: Sequence[str],
    *,
    weights: ArrayLike | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the units of a dense network as circles, layer by layer, and each weight as a line between two of them.

    On its line a weight may have its number, as in a plain network, or its normal density, as in a Bayesian one. The
    densities share one scale: the foot of each reaches from -3 to 3, and the tick on it is at zero.

    Parameters
    ----------
    widths
        Number of units of each layer, inputs and outputs included.
    names
        Name of each layer, written above it.
    weights
        What stands on the lines: a number for each (weights,), or its mean and standard deviation (weights, 2). Their
        order is that of the lines: layer by layer, unit by unit from below, and from its lowest line to its highest.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If there are fewer than two layers, a layer has no unit, names and layers differ in number, or the weights
        aren't as many as the lines, not finite, or have a standard deviation that isn't positive.

    Notes
    -----
    Blundell et al. (2015), "Weight Uncertainty in Neural Networks", figure 1.
    """
    if len(widths) < 2 or min(widths) < 1 or len(names) != len(widths):
        raise ModelError(
            f"widths {list(widths)} and names {list(names)}; expected at least two layers of one unit or more, with a "
            "name for each."
        )
    tallest = max(widths)
    places = [[(k, tallest * (unit + 0.5) / width - 0.5) for unit in range(width)] for k, width in enumerate(widths)]
    lines = np.array([(a, b) for layer, following in pairwise(places) for a in layer for b in following], dtype=float)
    on_lines = _on_lines(weights, len(lines))
    ax = new_axes(ax, (5.6, 2.6))
    for start, end in lines:
        ax.plot(*zip(start, end, strict=True), color=CLASS_COLORS[0], linewidth=0.8, zorder=1)
    for name, layer in zip(names, places, strict=True):
        across, up = zip(*layer, strict=True)
        ax.scatter(across, up, s=220, facecolor="white", edgecolor=INK, linewidth=1.2, zorder=2)
        ax.annotate(name, (across[0], tallest - 1), (0, 12), textcoords="offset points", ha="center", fontsize=9)
    if on_lines is not None:
        for place, weight in zip(_clear_places(lines), on_lines, strict=True):
            mark = _density if len(weight) == 2 else _number
            mark(ax, place, *weight)
    ax.set(title=title or "", xlim=(-0.4, len(widths) - 0.6), ylim=(-0.4, tallest - 0.4))
    ax.set_axis_off()
    return ax


def _on_lines(weights: ArrayLike | None, lines: int) -> np.ndarray | None:
    """Read what stands on the lines: numbers (weights, 1), or means and standard deviations (weights, 2)."""
    if weights is None:
        return None
    found = np.asarray(weights, dtype=float)
    if found.shape not in ((lines,), (lines, 2)) or not np.isfinite(found).all():
        raise ModelError(
            f"weights of shape {found.shape} for {lines} lines; expected a finite number for each, or a mean and a "
            "standard deviation."
        )
    if found.ndim == 2 and found[:, 1].min() <= 0:
        raise ModelError(f"the smallest standard deviation is {found[:, 1].min()}; expected positive numbers.")
    return found.reshape(lines, -1)


def _clear_places(lines: np.ndarray) -> list[np.ndarray]:
    """Find a place on each line (lines, ends, 2) that is far from the other lines and from the places found before."""
    along = np.linspace(0.25, 0.75, 51)
    found: list[np.ndarray] = []
    for k, (start, end) in enumerate(lines):
        candidates = start + along[:, None] * (end - start)
        others = np.delete(lines, k, axis=0)
        beside = others[others[:, 0, 0] == start[0]]
        heights = beside[:, 0, 1] + along[:, None] * (beside[:, 1, 1] - beside[:, 0, 1])
        room = np.abs(heights - candidates[:, 1:]).min(axis=1, initial=1.0)
        for place in found:
            room = np.minimum(room, 0.5 * np.abs((candidates - place) * (2, 1)).max(axis=1))
        found.append(candidates[np.argmax(np.minimum(room, 0.4) - 0.1 * np.abs(along - 0.5))])
    return found


def _number(ax: Axes, place: np.ndarray, weight: float) -> None:
    """Write a weight on its line."""
    box = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
    words = f"{weight:.1f}".replace("-", "\N{MINUS SIGN}")
    ax.text(place[0], place[1], words, ha="center", va="center", fontsize=10, bbox=box)


def _density(ax: Axes, place: np.ndarray, mean: float, sd: float) -> None:
    """Draw the density of a weight on its line, its foot from -3 to 3."""
    wide, high = 0.22, 0.34
    at = np.linspace(-3, 3, 121)
    across, foot = place[0] + wide * at / 6, place[1] - high / 2
    up = foot + high * norm.pdf(at, mean, sd)
    ax.fill_between(across, foot, up, color="white", zorder=3)
    ax.fill_between(across, foot, up, color=CLASS_COLORS[1], alpha=0.3, linewidth=0, zorder=3)
    ax.plot(across, up, color=CLASS_COLORS[1], linewidth=1.6, zorder=4)
    ax.plot(across[[0, -1]], [foot, foot], color=INK, linewidth=0.8, zorder=4)
    ax.plot(place[[0, 0]], [foot - 0.06, foot + 0.06], color=INK, linewidth=0.8, zorder=4)


def reparameterisation_sketch(
    before: tuple[float, float],
    after: tuple[float, float],
    *,
    noise: Sequence[float] = (-1.2, 0.3, 1.5),
    symbol: str = r"\theta",
    title: str | None = None,
    axes: Sequence[Axes] | None = None,
) -> Sequence[Axes]:
    r"""Draw the same noise :math:`\varepsilon` under two settings of :math:`\theta = \mu + \sigma \varepsilon`.

    Each draw moves along with the mean and the standard deviation, by an amount that ordinary differentiation gives:
    1 for the mean and :math:`\varepsilon` for the standard deviation.

    Parameters
    ----------
    before, after
        Mean and standard deviation of the two normal distributions.
    noise
        Values of the noise.
    symbol
        What the drawn value is called, in TeX.
    title
        Title of the new figure, if no axes are given.
    axes
        Two axes to draw on, for the noise and the draws; those of a new figure by default.

    Raises
    ------
    ModelError
        If a standard deviation is not positive.

    Notes
    -----
    Kingma and Welling (2014), "Auto-Encoding Variational Bayes", section 2.4.
    """
    if min(before[1], after[1]) <= 0:
        raise ModelError(f"standard deviations {before[1]} and {after[1]}; expected positive numbers.")
    axes = new_panels(axes, title, 2, (7.2, 2.6))
    laws = [(axes[0], (0.0, 1.0), INK, "-", "noise"), (axes[1], before, CLASS_COLORS[0], "-", "before a step"),
            (axes[1], after, CLASS_COLORS[1], "--", "after it")]  # fmt: skip
    for ax, (mean, sd), color, style, name in laws:
        along = np.linspace(mean - 3.5 * sd, mean + 3.5 * sd, 200)
        ax.plot(along, norm.pdf(along, mean, sd), color=color, linestyle=style, label=name)
        drawn = mean + sd * np.asarray(noise, dtype=float)
        height = norm.pdf(drawn, mean, sd)
        ax.vlines(drawn, 0, height, color=color, linestyle=style, linewidth=0.8)
        for number, (place, top) in enumerate(zip(drawn, height, strict=True), start=1):
            ax.plot(place, top, "o", color=color)
            ax.annotate(str(number), (place, top), xytext=(4, 4), textcoords="offset points", fontsize=9)
    axes[0].set(xlabel=r"$\varepsilon$, drawn once", ylabel="density", ylim=(0, None))
    axes[1].set(xlabel=rf"${symbol} = \mu + \sigma\,\varepsilon$", ylim=(0, None))
    axes[1].legend()
    return axes


def flipout_sketch(
    noise: ArrayLike,
    signs: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    title: str | None = None,
    axes: Sequence[Axes] | None = None,
) -> Sequence[Axes]:
    r"""Draw one matrix of noise :math:`E`, and what each image of a batch gets of it: :math:`E \circ r_n s_n^\top`.

    A square's area is the size of its entry. Positive entries are filled and negative ones open, so what all images
    share, the sizes, and what each has for itself, the signs, are seen at once. The signs stand at the edges.

    Parameters
    ----------
    noise
        The matrix :math:`E` (outputs, inputs).
    signs
        Signs of each image, 1 or -1: :math:`r_n` of the outputs and :math:`s_n` of the inputs.
    title
        Title of the new figure, if no axes are given.
    axes
        Axes to draw on, one for the noise and one for each image; those of a new figure by default.

    Raises
    ------
    ModelError
        If the noise is not a matrix of finite numbers or is zero, there are no images, signs don't fit it or aren't 1
        or -1, or the number of axes is another than that of images and one.

    Notes
    -----
    Wen et al. (2018), "Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches", section 3.1.
    """
    shared = np.asarray(noise, dtype=float)
    if shared.ndim != 2 or not shared.any() or not np.isfinite(shared).all():
        raise ModelError(
            f"noise of shape {shared.shape}; expected a matrix of finite numbers, a row for each output, not all zero."
        )
    flips = [(np.asarray(r, dtype=float), np.asarray(s, dtype=float)) for r, s in signs]
    for r, s in flips:
        if (r.shape, s.shape) != ((shared.shape[0],), (shared.shape[1],)) or np.any(np.abs([*r, *s]) != 1):
            raise ModelError(
                f"signs {r.tolist()} and {s.tolist()} for noise of shape {shared.shape}; expected 1 or -1, one for "
                "each row and one for each column."
            )
    if not flips:
        raise ModelError("no signs; expected a pair of them for each image.")
    columns = 2 if len(flips) == 3 else len(flips) + 1
    rows = (len(flips) + columns) // columns
    axes = new_panels(axes, title, columns, (2.6 * columns, 2.2 * rows), rows)
    if len(axes) != len(flips) + 1:
        raise ModelError(f"{len(axes)} axes for the noise and {len(flips)} images; expected one for each.")
    _squares(axes[0], shared, "one draw of the noise, $E$")
    for number, (ax, (r, s)) in enumerate(zip(axes[1:], flips, strict=True), start=1):
        _squares(ax, shared * np.outer(r, s), f"image {number}")
        for across, sign in enumerate(s):
            ax.text(across, -0.75, _sign(sign), ha="center", va="bottom", fontsize=12)
        for down, sign in enumerate(r):
            ax.text(-0.75, down, _sign(sign), ha="right", va="center", fontsize=12)
    return axes


def _sign(value: float) -> str:
    return "+" if value > 0 else "\N{MINUS SIGN}"


def _squares(ax: Axes, matrix: np.ndarray, name: str) -> None:
    """Draw a matrix by squares of the area of its entries, filled where an entry is positive and open where not."""
    side = 0.85 * np.sqrt(np.abs(matrix) / np.abs(matrix).max())
    for (down, across), entry in np.ndenumerate(matrix):
        size, positive = side[down, across], entry > 0
        color = CLASS_COLORS[0] if positive else CLASS_COLORS[1]
        ax.add_patch(
            Rectangle(
                (across - size / 2, down - size / 2),
                size,
                size,
                linewidth=1.8,
                edgecolor=color,
                facecolor=color if positive else "white",
            )
        )
    rows, columns = matrix.shape
    ax.set_title(name, fontsize=10, fontweight="normal")
    ax.set(xlim=(-1.4, columns - 0.4), ylim=(rows - 0.4, -1.5), aspect="equal")
    ax.set_axis_off()
