"""Figures of scores: calibration, risk against coverage, and comparisons of methods.

Explained in the chapter `book/pymc/breast_cancer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from companion.errors import ModelError
from companion.plots.language import say
from companion.plots.style import INK, new_axes
from companion.uncertainty import Reliability, RiskCoverage

__all__ = ["interval_plot", "reliability_diagram", "risk_coverage"]


def reliability_diagram(
    curves: Mapping[str, Reliability],
    *,
    xlabel: str = "stated probability",
    ylabel: str = "share for which it came true",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often statements came true against their stated probabilities; on the diagonal, the two agree.

    The area of a marker grows with the number of points in its bin. A bar reaches two standard errors of a share to
    each side: a bin whose bar crosses the diagonal doesn't show miscalibration.

    Parameters
    ----------
    curves
        Mapping from the name of each method to its result of `companion.uncertainty.reliability`.
    xlabel, ylabel
        Labels of the axes.
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
        raise ModelError("no curve to draw; expected a mapping from names to `reliability` results.")
    ax = new_axes(ax, (5.2, 4.8))
    ax.plot([0, 1], [0, 1], color=INK, linestyle="--", linewidth=1)
    for k, (name, curve) in enumerate(curves.items()):
        # Agresti and Coull: a share of 0 or of 1 is not certain either
        adjusted = (curve.happened * curve.count + 2) / (curve.count + 4)
        error = 2 * np.sqrt(adjusted * (1 - adjusted) / (curve.count + 4))
        ends = np.clip([adjusted - error, adjusted + error], 0, 1)
        bars = np.clip([curve.happened - ends[0], ends[1] - curve.happened], 0, None)
        ax.errorbar(curve.stated, curve.happened, bars, color=f"C{k}", linewidth=1.2, alpha=0.5)
        size = 12 + 220 * curve.count / curve.count.sum()
        ax.scatter(curve.stated, curve.happened, s=size, color=f"C{k}", edgecolor="white", zorder=3, label=say(name))
    ax.set(xlabel=say(xlabel), ylabel=say(ylabel), title=title or "", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    ax.legend(loc="upper left", markerscale=0.7)
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
        ax.plot(curve.coverage, curve.risk, color=f"C{k}", label=say(name))
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
