"""Sketches that explain a model or a method, without data: a network's layers, and how a random draw is differentiated.

Explained in the chapter `book/pymc/moons`, sections "The model" and "ADVI".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from scipy.stats import norm

from companion.errors import ModelError
from companion.plots.style import CLASS_COLORS, INK, head, new_axes

__all__ = ["network_sketch", "reparameterisation_sketch"]


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
    if axes is None:
        figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.6))
        head(figure, title or "")
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
    axes[1].set(xlabel=r"$\theta = \mu + \sigma\,\varepsilon$", ylim=(0, None))
    axes[1].legend()
    return axes
