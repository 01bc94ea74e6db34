"""Figures of a regression: the predicted curve, and bands that show how sure it is.

Explained in the chapter `book/bayes_by_backprop/band`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from companion.datasets import Measurements
from companion.errors import ModelError
from companion.plots.language import say
from companion.plots.style import INK, legend_below, new_axes, share_labels
from companion.uncertainty import Interval

__all__ = ["regression_band"]


def regression_band(
    x: np.ndarray,
    center: np.ndarray,
    bands: Mapping[str, Interval],
    *,
    data: Measurements | None = None,
    truth: np.ndarray | None = None,
    color: str = "C0",
    label: str = "mean of the draws",
    ylim: tuple[float, float] | None = None,
    legend: bool = True,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a predicted curve, the bands around it, and the measurements it was learned from.

    Dotted lines mark where the measurements end; beyond them no measurement guides the network. The legend stands below
    the axes: curves and bands go from edge to edge, and leave it no room inside.

    Parameters
    ----------
    x
        Inputs in rising order, (points,) or (points, 1).
    center
        Predicted curve, (points,).
    bands
        Mapping from what each band means to the interval that it spans, the widest first; each is drawn darker than the
        one before.
    data
        Measurements along one input.
    truth
        True curve, around which the measurements scatter, (points,).
    color
        Colour of the curve and of its bands.
    label
        Name of the curve in the legend.
    ylim
        Limits of the vertical axis; by default, all that is drawn fits in.
    legend
        Whether the axes have a legend; panels of one figure may share one.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If the inputs don't rise, a curve or a band doesn't have one finite number for each of them, or the measurements
        have several inputs.
    """
    if not isinstance(bands, Mapping) or not all(isinstance(band, Interval) for band in bands.values()):
        raise ModelError(
            f"bands is a {type(bands).__name__}; expected a mapping of names to intervals, such as "
            "{'95 %': uncertainty.interval(draws)}."
        )
    if data is not None and not isinstance(data, Measurements):
        raise ModelError(f"data is a {type(data).__name__}; expected companion.datasets.Measurements(x, y).")
    inputs = np.asarray(x, dtype=float).reshape(-1)
    if not len(inputs) or not np.isfinite(inputs).all() or (np.diff(inputs) < 0).any():
        raise ModelError("x is empty, holds NaN or infinity, or falls; expected finite inputs, sorted to rise.")
    curves: dict[str, Any] = {"center": center, "truth": inputs if truth is None else truth}
    curves |= {f"the end of {name!r}": end for name, band in bands.items() for end in (band.low, band.high)}
    for name, curve in curves.items():
        if np.shape(curve) != inputs.shape:
            raise ModelError(f"{name} has shape {np.shape(curve)}; expected {inputs.shape}, one number for each input.")
        if not np.isfinite(np.asarray(curve, dtype=float)).all():
            raise ModelError(f"{name} holds NaN or infinity; expected finite numbers.")
    if data is not None and data.x.shape[1] != 1:
        raise ModelError(f"the measurements have {data.x.shape[1]} inputs each; expected one, to draw along it.")
    ax = new_axes(ax)
    for k, (name, band) in enumerate(bands.items(), start=1):
        ax.fill_between(inputs, band.low, band.high, color=color, alpha=0.12 + 0.1 * k, linewidth=0, label=say(name))
    if truth is not None:
        ax.plot(inputs, truth, color=INK, linestyle="--", linewidth=1.1, label=say("truth"))
    ax.plot(inputs, center, color=color, linewidth=2, label=say(label))
    if data is not None:
        ax.scatter(data.x[:, 0], data.y, s=16, color=INK, edgecolor="white", linewidth=0.5, zorder=3, label=say("data"))
        for end in (data.x.min(), data.x.max()):
            ax.axvline(end, color=INK, linestyle=":", linewidth=0.8)
    ax.set(xlabel=say("x"), ylabel=say("y"), title=title or "", xlim=(inputs.min(), inputs.max()), ylim=ylim)
    share_labels(ax)
    if legend:
        legend_below(ax)
    return ax
