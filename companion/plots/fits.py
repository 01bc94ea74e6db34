"""Figures of how a fit went, and of the weights that it found.

Explained in the chapters `book/pymc/moons`, section "ADVI", and `book/pymc/moons_posterior` (ranks of chains, weights).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from scipy.stats import rankdata

from companion import compat
from companion.errors import ModelError
from companion.plots.language import say
from companion.plots.style import LINE_COLORS, head, new_axes

__all__ = ["chain_ranks", "elbo_history", "parameter_paths", "weight_traces"]


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
    tops = []
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
        ax.plot(np.arange(0, len(history), every), history[::every], color=color, alpha=0.15, linewidth=0.5)
        line = "-" if colors or k < len(LINE_COLORS) else "--"  # where colours begin anew
        ax.plot(np.arange(window - 1, len(history)), mean, color=color, linestyle=line, linewidth=1.8, label=name)
        tops.append(np.quantile(mean, 0.95))
    ax.set(xlabel=say("step"), ylabel=say(ylabel), title=title or "", ylim=(0, 1.25 * max(tops)))
    ax.legend(loc="upper right")
    return ax


def parameter_paths(
    means: np.ndarray, scales: np.ndarray, *, title: str | None = None, axes: Sequence[Axes] | None = None
) -> Sequence[Axes]:
    """Draw the path of each variational parameter over the steps; a line that still drifts has not converged.

    Parameters
    ----------
    means, scales
        Mean and standard deviation of each weight at each step, both (steps, weights).
    title
        Title of the new figure, if no axes are given.
    axes
        Two axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If the two don't have the same shape (steps, weights).
    """
    means, scales = np.asarray(means), np.asarray(scales)
    if means.ndim != 2 or means.shape != scales.shape:
        raise ModelError(f"means {means.shape} and scales {scales.shape}; expected the same shape (steps, weights).")
    if axes is None:
        figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.2))
        head(figure, title or "")
    every = max(1, len(means) // 300)  # more points than pixels only make the picture larger
    steps = np.arange(0, len(means), every)
    palette = sns.color_palette("mako", means.shape[1])
    for ax, values, label in zip(axes, (means, scales), ("mean of each weight", "scale of each weight"), strict=True):
        for k, color in enumerate(palette):
            ax.plot(steps, values[::every, k], color=color, linewidth=0.8)
        ax.set(xlabel=say("step"), ylabel=say(label))
        ax.locator_params(axis="x", nbins=4)
    return axes


def weight_traces(posterior: Any, names: Sequence[str] | None = None) -> Any:
    """Draw each variable's marginal densities and its draws, with ArviZ.

    Parameters
    ----------
    posterior
        Draws in ArviZ's container, as `Posterior.to_arviz` returns them.
    names
        Names of the variables to show; all by default.

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
    return compat.plot_trace(posterior, list(names or known), [say(word) for word in ("weight", "density", "draw")])


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
    if axes is None:
        figure, panels = plt.subplots(1, len(draws), figsize=(2.1 * len(draws), 2.4), sharey=True, squeeze=False)
        axes = list(panels[0])
        head(figure, title or "")
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
            ax.stairs(np.histogram(of_chain, edges)[0], edges, color=f"C{k}", linewidth=1.2)
        ax.set(title=name, xlabel=say("rank among all draws"), xticks=[], ylim=(0, None))
        ax.title.set_fontsize(8)
    axes[0].set_ylabel(say("draws of one chain"))
    return axes
