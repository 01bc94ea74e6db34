"""Figures of scores: calibration, risk against coverage, decisions against a price, and comparisons of methods.

Explained in the chapter `book/pymc/breast_cancer_decisions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from companion.errors import ModelError
from companion.plots.language import say
from companion.plots.style import INK, dashes, legend_below, new_axes, share_labels
from companion.plots.ticks import plain_numbers
from companion.uncertainty import Estimate, Reliability, RiskCoverage

__all__ = ["decision_curves", "interval_plot", "reliability_diagram", "risk_coverage"]

_MARKERS = "os^Dv"  # for readers who can't tell the colours, as are the dashes
_BESIDE = (0, (9, 2))  # dashes of lines that no method makes
_LOGIT_ENDS = 0.001  # where axes of log-odds end: a share of 0 has none
_LOGIT_TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)


def reliability_diagram(
    curves: Mapping[str, Reliability],
    *,
    xlabel: str = "stated probability",
    ylabel: str = "share for which it came true",
    title: str | None = None,
    logit: bool = False,
    legend: bool = True,
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
    legend
        Whether the axes have a legend; panels of one figure may share one.
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
            ax.errorbar(stated, happened, bars, color=f"C{k}", linewidth=1.2, alpha=0.7, linestyle=dashes(k))
        size = 12 + 220 * curve.count / curve.count.sum()
        style = {"s": size, "color": f"C{k}", "marker": _MARKERS[k % 5], "edgecolor": "white", "alpha": 0.85}
        ax.scatter(stated, happened, **style, zorder=3, clip_on=False, label=say(name))
    ax.set(xlabel=say(xlabel), ylabel=say(ylabel), title=title or "")
    if logit:
        ax.set(xscale="logit", yscale="logit", xlim=ends, ylim=ends)
        ax.minorticks_off()
        named = [f"{place:g}" for place in _LOGIT_TICKS]
        ax.set_xticks(_LOGIT_TICKS, named)
        ax.set_yticks(_LOGIT_TICKS, named)
    else:
        ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    if legend:
        ax.legend(loc="upper left", markerscale=0.7)
    return share_labels(ax)


def decision_curves(
    curves: Mapping[str, Estimate],
    x: Sequence[float] | np.ndarray,
    *,
    xlabel: str,
    ylabel: str,
    mark: float | None = None,
    beside: Mapping[str, Sequence[float] | np.ndarray] | None = None,
    log: bool = False,
    legend: bool = True,
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
    beside
        Mapping from names to lines that no method makes, such as what treating everybody brings, (points on the line,);
        they are dark, with long dashes, and have no interval.
    log
        Whether equal factors of the price are drawn equally long.
    legend
        Whether the axes have a legend; panels of one figure may share one.
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
    lines: dict[str, Sequence[float] | np.ndarray] = {name: curve.value for name, curve in curves.items()}
    lines.update(beside or {})
    for name, line in lines.items():
        if np.shape(line) != places.shape:
            raise ModelError(f"the curve of {name!r} has shape {np.shape(line)}; expected {places.shape}, as `x` has.")
    ax = new_axes(ax)
    for k, (name, curve) in enumerate(curves.items()):
        ax.fill_between(places, curve.low, curve.high, color=f"C{k}", alpha=0.15, linewidth=0)
        ax.plot(places, curve.value, color=f"C{k}", linestyle=dashes(k), linewidth=1.6, label=say(name))
    for name, line in (beside or {}).items():
        ax.plot(places, line, color=INK, linestyle=_BESIDE, linewidth=1.2, label=say(name))
    if mark is not None:
        ax.axvline(mark, color=INK, linestyle="--", linewidth=1)
    ax.set(xlabel=say(xlabel), ylabel=say(ylabel), title=title or "", xlim=(places.min(), places.max()))
    if log:
        ax.set_xscale("log")
        plain_numbers(ax)
    if legend:
        ax.legend()
    return share_labels(ax)


def risk_coverage(
    curves: Mapping[str, RiskCoverage],
    *,
    least: float = 0.0,
    mark: float | None = None,
    legend: bool = True,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of errors against the share of points that are answered, those with the least doubt first.

    Parameters
    ----------
    curves
        Mapping from the name of each method to its result of `companion.uncertainty.risk_coverage`.
    least
        Coverage at which the axis begins, from 0 to below 1. At small coverages a curve jumps with every single error.
    mark
        Coverage at which to draw a dashed line, such as one that the text speaks of.
    legend
        Whether the axes have a legend, below them; panels of one figure may share one.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If there are no curves, or the axis would begin outside of 0 to 1.
    """
    if not curves:
        raise ModelError("no curve to draw; expected a mapping from names to `risk_coverage` results.")
    if not 0 <= least < 1:
        raise ModelError(f"least={least}; expected a coverage from 0 to below 1, such as 0.2.")
    ax = new_axes(ax)
    highest = 0.0
    for k, (name, curve) in enumerate(curves.items()):
        ax.plot(curve.coverage, curve.risk, color=f"C{k}", linestyle=dashes(k), label=say(name))
        highest = max(highest, curve.risk[curve.coverage >= least].max())
    if mark is not None:
        ax.axvline(mark, color=INK, linestyle="--", linewidth=1)
    ax.set(
        xlabel=say("coverage: share of points that are answered"),
        ylabel=say("risk: share of errors among them"),
        title=title or "",
        xlim=(least, 1),
        ylim=(0, 1.05 * highest or None),
    )
    share_labels(ax)
    if legend:
        legend_below(ax)
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
        ax.plot([low, high], [row, row], color="C0", linewidth=5, alpha=0.35, solid_capstyle="butt")
        ax.scatter(results, jitter, s=8, color=INK, alpha=0.6, linewidth=0)
        ax.plot([median, median], [row - 0.3, row + 0.3], color="C1", linewidth=2.5)
    if mark is not None:
        ax.axvline(mark, color=INK, linestyle="--", linewidth=1)
    ax.set(xlabel=say(xlabel), title=title or "", ylim=(len(values) - 0.4, -0.6))
    ax.set_yticks(range(len(values)), [say(name) for name in values])
    ax.tick_params(axis="y", length=0)
    return ax
