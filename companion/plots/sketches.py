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
    widths: Sequence[int], names: Sequence[str], *, title: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the units of a dense network as circles, layer by layer, and each weight as a line between two of them.

    Parameters
    ----------
    widths
        Number of units of each layer, inputs and outputs included.
    names
        Name of each layer, written above it.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If there are fewer than two layers, a layer has no unit, or names and layers differ in number.
    """
    if len(widths) < 2 or min(widths) < 1 or len(names) != len(widths):
        raise ModelError(
            f"widths {list(widths)} and names {list(names)}; expected at least two layers of one unit or more, with a "
            "name for each."
        )
    ax = new_axes(ax, (7.2, 3.0))
    tallest = max(widths)
    places = [[(k, (tallest - width) / 2 + unit) for unit in range(width)] for k, width in enumerate(widths)]
    for layer, following in pairwise(places):
        for start in layer:
            for end in following:
                ax.plot(*zip(start, end, strict=True), color=CLASS_COLORS[0], linewidth=0.8, zorder=1)
    for name, layer in zip(names, places, strict=True):
        across, up = zip(*layer, strict=True)
        ax.scatter(across, up, s=220, facecolor="white", edgecolor=INK, linewidth=1.2, zorder=2)
        ax.text(across[0], tallest - 0.3, name, ha="center", va="bottom", fontsize=9)
    ax.set(title=title or "", xlim=(-0.4, len(widths) - 0.6), ylim=(-0.6, tallest + 0.5))
    ax.set_axis_off()
    return ax


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
