"""Figures of scores: calibration, risk against coverage, decisions against a price, and comparisons of methods.

Explained in the chapter `book/pymc/breast_cancer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from companion.errors import ModelError
from companion.plots.language import say
from companion.plots.style import INK, new_axes
from companion.uncertainty import Estimate, Reliability, RiskCoverage

__all__ = ["decision_curves", "interval_plot", "reliability_diagram", "risk_coverage"]

_MARKERS, _LINES = "os^Dv", ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))  # for readers who can't tell the colours
_LOGIT_ENDS = 0.001  # where axes of log-odds end: a share of 0 has none


def reliability_diagram(
    curves: Mapping[str, Reliability],
    *,
    xlabel: str = "stated probability",
    ylabel: str = "share for which it came true",
    title: str | None = None,
    logit: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often statements came true against their stated probabilities; on the diagonal, the two agree.

    The area of a marker grows with the number of points in its bin. A bar is the interval that `reliability` computed:
    a bin whose bar crosses the diagonal doesn't show miscalibration.

    Parameters
    ----------
    curves
        Mapping from the name of each method to its result of `companion.uncertainty.reliability`.
    xlabel, ylabel
        Labels of the axes.
    title
        Title of the axes.
    logit
        Whether the axes are even in log-odds, which spreads what lies near 0 and near 1. Shares of 0 and of 1 are drawn
        on the frame.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If there are no curves.
    """
    if not curves:
        raise ModelError("no curve to draw; expected a mapping from names to `reliability` results.")
    ax = new_axes(ax, (5.2, 4.8))
    ends = (_LOGIT_ENDS, 1 - _LOGIT_ENDS) if logit else (0.0, 1.0)
    ax.plot(ends, ends, color=INK, linestyle="--", linewidth=1)
    for k, (name, curve) in enumerate(curves.items()):
        stated, happened = (np.clip(values, *ends) for values in (curve.stated, curve.happened))
        if curve.low is not None and curve.high is not None:
            bars = np.clip([happened - curve.low, curve.high - happened], 0, None)
            bars[0] = np.minimum(bars[0], happened - ends[0] / 2)  # no end of a bar where log-odds are infinite
            ax.errorbar(stated, happened, bars, color=f"C{k}", linewidth=1.2, alpha=0.5, linestyle=_LINES[k % 5])
        size = 12 + 220 * curve.count / curve.count.sum()
        style = {"s": size, "color": f"C{k}", "marker": _MARKERS[k % 5], "edgecolor": "white", "alpha": 0.85}
        ax.scatter(stated, happened, **style, zorder=3, clip_on=False, label=say(name))
    ax.set(xlabel=say(xlabel), ylabel=say(ylabel), title=title or "")
    if logit:
        ax.set(xscale="logit", yscale="logit", xlim=ends, ylim=ends)
        ax.minorticks_off()
    else:
        ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    ax.legend(loc="upper left", markerscale=0.7)
    return ax


def decision_curves(
    curves: Mapping[str, Estimate],
    x: Sequence[float] | np.ndarray,
    *,
    xlabel: str,
    ylabel: str,
    mark: float | None = None,
    log: bool = False,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what decisions cost, or bring, against a price or a threshold: a line for each method, with its interval.

    Parameters
    ----------
    curves
        Mapping from the name of each method to its means and intervals, each (points on the line,), as
        `companion.uncertainty.group_bootstrap` gives them.
    x
        Prices or thresholds, (points on the line,).
    xlabel, ylabel
        Labels of the axes, with their units.
    mark
        Price or threshold at which to draw a dashed line, such as the one that a decision uses.
    log
        Whether equal factors of the price are drawn equally long.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If there are no curves, or one has another number of points than `x`.
    """
    if not curves:
        raise ModelError("no curve to draw; expected a mapping from names to `group_bootstrap` results.")
    places = np.asarray(x, dtype=float)
    ax = new_axes(ax)
    for k, (name, curve) in enumerate(curves.items()):
        if np.shape(curve.value) != places.shape:
            raise ModelError(
                f"the curve of {name!r} has shape {np.shape(curve.value)}; expected {places.shape}, as `x` has."
            )
        ax.fill_between(places, curve.low, curve.high, color=f"C{k}", alpha=0.15, linewidth=0)
        ax.plot(places, curve.value, color=f"C{k}", linestyle=_LINES[k % 5], linewidth=1.6, label=say(name))
    if mark is not None:
        ax.axvline(mark, color=INK, linestyle="--", linewidth=1)
    ax.set(xlabel=say(xlabel), ylabel=say(ylabel), title=title or "", xlim=(places.min(), places.max()))
    if log:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
    ax.legend()
    return ax


def risk_coverage(curves: Mapping[str, RiskCoverage], *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the share of errors against the share of points that are answered, those with the least doubt first.

    Parameters
    ----------
    curves
        Mapping from the name of each method to its result of `companion.uncertainty.risk_coverage`.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If there are no curves.
    """
    if not curves:
        raise ModelError("no curve to draw; expected a mapping from names to `risk_coverage` results.")
    ax = new_axes(ax)
    for k, (name, curve) in enumerate(curves.items()):
        ax.plot(curve.coverage, curve.risk, color=f"C{k}", linestyle=_LINES[k % 5], label=say(name))
    ax.set(
        xlabel=say("coverage: share of points that are answered"),
        ylabel=say("risk: share of errors among them"),
        title=title or "",
        xlim=(0, 1),
        ylim=(0, None),
    )
    ax.legend(loc="upper left")
    return ax


def interval_plot(
    values: Mapping[str, Sequence[float] | np.ndarray],
    *,
    xlabel: str,
    mark: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw repeated results of several methods as dots, their median as a line and their middle nine tenths as a bar.

    Parameters
    ----------
    values
        Mapping from the name of each method to its results, (repetitions,); the first method comes on top.
    xlabel
        Name of the result, with its unit.
    mark
        Value at which to draw a dashed line, such as a published result.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If there is nothing to draw, or a result is NaN.
    """
    if not values or not all(len(v) for v in values.values()):
        raise ModelError("no results to draw; expected a mapping from names to one or more numbers.")
    ax = new_axes(ax, (7.2, 0.9 + 0.42 * len(values)))
    for row, (name, repetitions) in enumerate(values.items()):
        results = np.asarray(repetitions, dtype=float)
        if np.isnan(results).any():
            raise ModelError(
                f"results of {name!r} hold NaN; expected numbers. Leave those repetitions out, and say so."
            )
        low, median, high = np.quantile(results, [0.05, 0.5, 0.95])
        jitter = row + 0.22 * np.linspace(-1, 1, len(results)) * (len(results) > 1)
        ax.plot([low, high], [row, row], color="C0", linewidth=5, alpha=0.25, solid_capstyle="butt")
        ax.scatter(results, jitter, s=8, color=INK, alpha=0.45, linewidth=0)
        ax.plot([median, median], [row - 0.3, row + 0.3], color="C1", linewidth=2.5)
    if mark is not None:
        ax.axvline(mark, color=INK, linestyle="--", linewidth=1)
    ax.set(xlabel=say(xlabel), title=title or "", ylim=(len(values) - 0.4, -0.6))
    ax.set_yticks(range(len(values)), [say(name) for name in values])
    ax.tick_params(axis="y", length=0)
    return ax
