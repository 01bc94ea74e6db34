"""Figures of how a fit went, and of the weights that it found.

Explained in the chapters `book/pymc/moons`, section "ADVI", and `book/pymc/moons_posterior` (ranks of chains, weights).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from scipy.stats import norm, rankdata

from companion import compat
from companion.errors import ModelError
from companion.plots.language import say
from companion.plots.style import dashes, head, legend_below, new_axes, new_panels, share_labels

__all__ = ["chain_ranks", "elbo_history", "parameter_paths", "weight_intervals", "weight_traces"]

_FAINT = (0.2, 0.5)  # opacity of the loss of single steps: where they are many, they overlap


def elbo_history(
    histories: Mapping[str, np.ndarray],
    *,
    window: int = 200,
    colors: Sequence[str] | None = None,
    ylabel: str = "loss: negative ELBO (nats)",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss, the negative ELBO in nats, over the steps of one or more fits.

    The loss of a step is estimated from one draw and jumps about. It is drawn faintly, with its running mean over it.
    The axis begins a little below the lowest running mean: a log evidence has no natural zero. The steep first part may
    lie above it.

    Parameters
    ----------
    histories
        Mapping from the label of each fit to its loss at each step, (steps,).
    window
        Number of steps in the running mean.
    colors
        Colours of the fits, one for each; those of the style by default.
    ylabel
        Name of the loss, with its unit; another than the default is needed for a loss per image.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If there is no history, or one is shorter than the window or holds NaN.
    """
    if not histories:
        raise ModelError("no history to draw; expected a mapping from a label to the loss at each step.")
    ax = new_axes(ax)
    tops, lowest = [], []
    for k, (name, history) in enumerate(histories.items()):
        history = np.asarray(history, dtype=float)
        if history.ndim != 1 or len(history) < window:
            raise ModelError(f"history {name!r} has shape {history.shape}; expected (steps,), at least {window} steps.")
        if np.isnan(history).any():
            first = int(np.isnan(history).argmax())
            raise ModelError(f"history {name!r} is NaN from step {first} on; expected numbers. Draw the steps before.")
        color = colors[k] if colors else f"C{k}"
        mean = np.convolve(history, np.ones(window) / window, mode="valid")
        every = max(1, len(history) // 3000)  # more points than pixels only make the picture larger
        single = np.arange(0, len(history), every)
        alpha = float(np.clip(12 / np.sqrt(len(single) * len(histories)), *_FAINT))
        ax.plot(single, history[single], color=color, alpha=alpha, linewidth=0.7, zorder=1.5)
        steps = np.arange(window - 1, len(history))
        ax.plot(steps, mean, color=color, linestyle=dashes(k), linewidth=1.8, label=name)
        tops.append(np.quantile(mean, 0.95))
        lowest.append(mean.min())
    ax.set(xlabel=say("step"), ylabel=say(ylabel), title=title or "", ylim=_limits(min(lowest), max(tops)))
    share_labels(ax)
    if len(histories) > 1:
        legend_below(ax)
    return ax


def _limits(low: float, high: float) -> tuple[float, float]:
    """Choose where an axis begins and ends; a loss that is positive gets positive ends, as a log axis needs them."""
    top = high + 0.25 * (abs(high) or 1.0)
    bottom = low - 0.1 * (top - low)
    return (max(bottom, 0.5 * low) if low > 0 else bottom), top


def parameter_paths(
    means: np.ndarray,
    scales: np.ndarray,
    *,
    groups: Mapping[str, int] | None = None,
    moving: np.ndarray | None = None,
    title: str | None = None,
    axes: Sequence[Axes] | None = None,
) -> Sequence[Axes]:
    """Draw the path of each variational parameter over the steps; a line that still drifts has not converged.

    Parameters
    ----------
    means, scales
        Mean and standard deviation of each weight at each step, both (steps, weights).
    groups
        Name of each group of weights, such as a layer, to their number, in the order of the weights: a colour for each,
        named in a legend. By default every weight has the same colour.
    moving
        Whether each weight still moves, (weights,): those that do are drawn with heavy lines, the others with faint
        ones. By default all lines are alike.
    title
        Title of the new figure, if no axes are given.
    axes
        Two axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If the two don't have the same shape (steps, weights), the groups don't hold all weights, or there isn't one
        answer for each weight whether it moves.
    """
    means, scales = np.asarray(means), np.asarray(scales)
    if means.ndim != 2 or means.shape != scales.shape:
        raise ModelError(f"means {means.shape} and scales {scales.shape}; expected the same shape (steps, weights).")
    sizes = dict(groups or {"": means.shape[1]})
    if sum(sizes.values()) != means.shape[1] or min(sizes.values()) < 1:
        raise ModelError(f"groups {sizes} for {means.shape[1]} weights; expected sizes that add up to that number.")
    if moving is not None and np.shape(moving) != means.shape[1:]:
        raise ModelError(f"moving has the shape {np.shape(moving)}; expected one answer for each of the weights.")
    axes = new_panels(axes, title, 2, (7.2, 3.2))
    every = max(1, len(means) // 300)  # more points than pixels only make the picture larger
    steps = np.arange(0, len(means), every)
    for ax, values, label in zip(axes, (means, scales), ("mean of each weight", "scale of each weight"), strict=True):
        first = 0
        for g, (name, size) in enumerate(sizes.items()):
            of_group = ax.plot(
                steps,
                values[::every, first : first + size],
                color=f"C{g}",
                linestyle=dashes(g),
                linewidth=0.8,
                alpha=0.8,
            )
            of_group[0].set_label(name or "_")
            first += size
        ax.set(xlabel=say("step"), ylabel=say(label))
        ax.locator_params(axis="x", nbins=4)
        for line, moves in zip(ax.lines, [] if moving is None else moving, strict=False):
            line.set(linewidth=1.9 if moves else 0.6, alpha=1.0 if moves else 0.6)
    if groups:
        legend_below(axes[1], fontsize=8)
    return axes


def weight_traces(
    posterior: Any, names: Sequence[str] | None = None, *, label: str = "weight", title: str | None = None
) -> Any:
    """Draw each variable's marginal densities and its draws, with ArviZ.

    Parameters
    ----------
    posterior
        Draws in ArviZ's container, as `Posterior.to_arviz` returns them.
    names
        Names of the variables to show; all by default.
    label
        What the variables are; ArviZ 1 labels the axes by itself.
    title
        Title of the figure.

    Returns
    -------
    object
        The return value of ArviZ: axes before ArviZ 1, a collection of plots since.

    Raises
    ------
    ModelError
        If the posterior has no draws of a variable.
    """
    known = list(posterior["posterior"].data_vars)
    missing = [name for name in names or [] if name not in known]
    if missing:
        raise ModelError(f"no draws of {missing}; the posterior has {known}.")
    drawn = compat.plot_trace(posterior, list(names or known), [say(word) for word in (label, "density", "draw")])
    if title is not None:
        head(plt.gcf(), title)
    return drawn


def weight_intervals(
    weights: Mapping[str, np.ndarray],
    *,
    prior_scale: float | None = 1.0,
    share: float = 0.95,
    title: str | None = None,
    axes: Sequence[Axes] | None = None,
) -> Sequence[Axes]:
    """Draw the interval of each weight, unit by unit, over the one that the prior gives it.

    An interval as wide as the shaded one says that the data taught the network nothing about that weight.

    Parameters
    ----------
    weights
        Name of each group of weights to its draws, (draws, ..., units): the last axis counts the units that the weights
        lead to, or come from. One panel each, whose rows are gathered by unit.
    prior_scale
        Standard deviation of the weights' prior, a normal one around zero, whose interval is shaded; None for no shade.
    share
        Share of the draws that an interval holds.
    title
        Title of the new figure, if no axes are given.
    axes
        Axes to draw on, one for each group; those of a new figure by default.

    Raises
    ------
    ModelError
        If there is no group, one isn't of the shape (draws, ..., units), or `share` isn't between 0 and 1.
    """
    arrays = {name: np.asarray(draws) for name, draws in weights.items()}
    wrong = {name: draws.shape for name, draws in arrays.items() if draws.ndim < 2 or not draws.size}
    if not arrays or wrong or not 0 < share < 1:
        raise ModelError(
            f"groups {wrong or list(arrays)}, share={share}; expected draws (draws, ..., units) of at least one group, "
            "and a share between 0 and 1."
        )
    axes = new_panels(axes, title, len(arrays), (7.2, 3.8))
    ends = [(1 - share) / 2, 0.5, (1 + share) / 2]
    for k, (ax, (name, draws)) in enumerate(zip(axes, arrays.items(), strict=True)):
        of_units = draws.reshape(len(draws), -1, draws.shape[-1]).swapaxes(1, 2)  # (draws, units, weights of a unit)
        low, middle, high = np.quantile(of_units, ends, axis=0)
        units, own = middle.shape
        rows = np.arange(units)[:, None] + (np.linspace(-0.3, 0.3, own) if own > 1 else np.zeros(1))
        if prior_scale is not None:
            reach = norm.ppf(ends[2], scale=prior_scale)
            ax.axvspan(-reach, reach, color="0.9", linewidth=0)
        ax.axvline(0, color="0.5", linewidth=0.8)
        ax.hlines(rows, low, high, color=f"C{k}", linewidth=2)
        ax.plot(middle.ravel(), rows.ravel(), "o", color=f"C{k}", markersize=3)
        ax.set(
            title=name,
            xlabel=say("weight"),
            yticks=range(units),
            yticklabels=[say("unit {}", u + 1) for u in range(units)],
        )
        ax.set_ylim(units - 0.5, -0.5)
        ax.tick_params(axis="y", length=0)
    return axes


def chain_ranks(
    draws: Mapping[str, np.ndarray], *, bins: int = 20, title: str | None = None, axes: Sequence[Axes] | None = None
) -> Sequence[Axes]:
    """Draw where the draws of each chain rank among the draws of all chains, one panel for each quantity.

    The ranks of chains that agree are spread evenly: every line stays near the dashed level, within the band that holds
    95 % of the counts of independent draws. Draws that are correlated stray further.

    Parameters
    ----------
    draws
        Name of each quantity to its draws (chains, draws).
    bins
        Number of bins of the ranks.
    title
        Title of the new figure, if no axes are given.
    axes
        Axes to draw on, one for each quantity; those of a new figure by default.

    Raises
    ------
    ModelError
        If there is no quantity, or one has fewer than two chains or fewer draws than bins.

    Notes
    -----
    Vehtari et al. (2021), "Rank-normalization, folding, and localization: An improved R-hat", section 4.4.
    """
    if not draws:
        raise ModelError("no draws to rank; expected a mapping from a quantity to its draws (chains, draws).")
    axes = new_panels(axes, title, len(draws), (2.1 * len(draws), 2.4), sharey=True)
    for ax, (name, values) in zip(axes, draws.items(), strict=True):
        values = np.asarray(values)
        if values.ndim != 2 or len(values) < 2 or values.shape[1] < bins:
            raise ModelError(f"{name!r} has shape {values.shape}; expected (chains, draws), 2 chains, {bins} draws.")
        ranks = rankdata(values).reshape(values.shape)
        edges = np.linspace(0.5, values.size + 0.5, bins + 1)
        level = values.shape[1] / bins
        noise = 1.96 * np.sqrt(level * (1 - 1 / bins) * (1 - 1 / len(values)))
        ax.axhspan(level - noise, level + noise, color="0.9", linewidth=0)
        ax.axhline(level, color="0.4", linestyle="--", linewidth=1)
        for k, of_chain in enumerate(ranks):
            counts, _ = np.histogram(of_chain, edges)
            ax.stairs(counts, edges, baseline=None, color=f"C{k}", linestyle=dashes(k), linewidth=1.2)
        ax.set(title=name, xlabel=say("rank among all draws"), xticks=[], ylim=(0, None))
        ax.title.set_fontsize(8)
    axes[0].set_ylabel(say("draws of one chain"))
    return axes
