"""Curves with their bands: what a regression predicts, and how sure it is; inputs and intervals in, axes out.

Explained in the chapter `book/bayes_by_backprop/regression`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from companion.datasets import Measurements
from companion.errors import ModelError
from companion.plots.language import say
from companion.plots.style import INK, new_axes
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
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a predicted curve, the bands around it, and the measurements it was learned from.

    Dotted lines mark where the measurements end: beyond them the network is on its own.

    Parameters
    ----------
    x
        Inputs (points,) or (points, 1), rising.
    center
        The curve, (points,).
    bands
        What each band says to its ends, the widest first; each is drawn darker than the one before.
    data
        Measurements along one input.
    truth
        The curve that the measurements scatter around, (points,).
    color, label
        Of the curve.
    ylim
        Limits of y; those of what is drawn by default.
    title, ax
        Head and axes.

    Raises
    ------
    ModelError
        If the inputs don't rise, or a curve or a band doesn't have one finite number for each of them.

    Notes
    -----
    Explained in the chapter `book/bayes_by_backprop/regression`.
    """
    if not isinstance(bands, Mapping) or not all(isinstance(band, Interval) for band in bands.values()):
        raise ModelError(
            f"bands is a {type(bands).__name__}; expected a mapping of names to intervals, such as "
            "{'95 %': uncertainty.interval(draws)}."
        )
    if data is not None and not isinstance(data, Measurements):
        raise ModelError(f"data is a {type(data).__name__}; expected companion.datasets.Measurements(x, y).")
    at = np.asarray(x, dtype=float).reshape(-1)
    if not len(at) or not np.isfinite(at).all() or (np.diff(at) < 0).any():
        raise ModelError("x is empty, holds NaN or infinity, or falls; expected finite inputs, sorted to rise.")
    curves: dict[str, Any] = {"center": center, "truth": at if truth is None else truth}
    curves |= {f"the end of {name!r}": end for name, band in bands.items() for end in (band.low, band.high)}
    for name, curve in curves.items():
        if np.shape(curve) != at.shape:
            raise ModelError(f"{name} has shape {np.shape(curve)}; expected {at.shape}, one number for each input.")
        if not np.isfinite(np.asarray(curve, dtype=float)).all():
            raise ModelError(f"{name} holds NaN or infinity; expected finite numbers.")
    if data is not None and data.x.shape[1] != 1:
        raise ModelError(f"the measurements have {data.x.shape[1]} inputs each; expected one, to draw along it.")
    ax = new_axes(ax)
    for k, (name, band) in enumerate(bands.items(), start=1):
        ax.fill_between(at, band.low, band.high, color=color, alpha=0.12 + 0.1 * k, linewidth=0, label=say(name))
    if truth is not None:
        ax.plot(at, truth, color=INK, linestyle="--", linewidth=1.1, label=say("truth"))
    ax.plot(at, center, color=color, linewidth=2, label=say(label))
    if data is not None:
        ax.scatter(data.x[:, 0], data.y, s=16, color=INK, edgecolor="white", linewidth=0.5, zorder=3, label=say("data"))
        for end in (data.x.min(), data.x.max()):
            ax.axvline(end, color=INK, linestyle=":", linewidth=0.8)
    ax.set(xlabel=say("x"), ylabel=say("y"), title=title or "", xlim=(at.min(), at.max()), ylim=ylim)
    ax.legend(loc="upper left")
    return ax
