"""Figures of how scores and weights are distributed, and of what pruning costs.

Explained in the chapters `book/mnist/strange_images` (scores), `book/mnist/pruning` (signal-to-noise ratios and
pruning) and `book/bayes_by_backprop/lenet` (weights).
"""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from companion.checks import fraction, positive, whole
from companion.errors import ModelError
from companion.plots.language import say
from companion.plots.style import INK, dashes, head, new_axes, share_labels
from companion.plots.ticks import plain_numbers

__all__ = ["pruning_curve", "score_histograms", "snr_histogram", "weight_posteriors"]

_MARKERS = ("o", "^", "s", "D", "v", "P")


def score_histograms(
    scores: Mapping[str, np.ndarray],
    *,
    xlabel: str,
    bins: int = 40,
    density: bool = True,
    log: bool = False,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how a score is distributed in several groups of points, one histogram over the other, in the same bins.

    Parameters
    ----------
    scores
        Mapping from the name of each group to its scores, (points,).
    xlabel
        Name of the score, with its unit.
    bins
        Number of bins, of equal width, from the lowest score of all to the highest.
    density
        Whether each histogram has the area 1, so that groups of different sizes can be compared; else it counts points.
    log
        Whether heights are on a logarithmic scale, which shows rare scores.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If there is nothing to draw, a group isn't of shape (points,), a score is NaN or infinite, or there are fewer
        bins than one.
    """
    if not isinstance(scores, Mapping):
        raise ModelError(f"scores is a {type(scores).__name__}; expected a mapping of names to scores (points,).")
    groups = {name: np.asarray(group, dtype=float) for name, group in scores.items()}
    if not groups or not all(group.ndim == 1 and len(group) for group in groups.values()):
        shapes = {name: group.shape for name, group in groups.items()}
        raise ModelError(f"scores have the shapes {shapes}; expected a mapping from names to (points,), one or more.")
    for name, group in groups.items():
        strange = ~np.isfinite(group)
        if strange.any():
            raise ModelError(
                f"{int(strange.sum())} of {len(group)} scores of {name!r} are NaN or infinite; expected finite "
                "numbers. Leave them out, and say so."
            )
    whole("bins", bins, 1)
    edges = np.histogram_bin_edges(np.concatenate(list(groups.values())), bins).tolist()
    ax = new_axes(ax)
    for k, (name, group) in enumerate(groups.items()):
        ax.hist(
            group,
            edges,
            density=density,
            log=log,
            histtype="stepfilled",
            facecolor=to_rgba(f"C{k}", 0.12),
            edgecolor=f"C{k}",
            linestyle=dashes(k),
            linewidth=1.5,
            label=say(name),
        )
    ax.set(xlabel=say(xlabel), ylabel=say("density" if density else "points"), title=title or "")
    ax.legend()
    return plain_numbers(share_labels(ax))


def snr_histogram(
    signal_to_noise: Mapping[str, np.ndarray],
    *,
    pruned: float | None = None,
    least: float = 1e-3,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw how well the weights of each layer are known, by their signal-to-noise ratios.

    Parameters
    ----------
    signal_to_noise
        Mapping from the name of each layer to the ratios \|mean\| / scale of its weights, of any shape.
    pruned
        Share of all weights to remove, between 0 and 1, those known worst first; a dashed line marks where it ends.
    least
        Ratio at which the axis begins; smaller ones, and those of weights that are exactly 0, stand in the first bin.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If there is nothing to draw, a ratio is negative or not finite, `pruned` isn't between 0 and 1, or `least` isn't
        positive.

    Notes
    -----
    Coordinates along the axis are :math:`\log_{10}` of the ratios, and its ticks name the ratios themselves. Blundell
    et al. (2015), "Weight Uncertainty in Neural Networks", draw the same in decibels, 20 times these logarithms. Each
    layer's histogram has the area 1.
    """
    layers = {name: np.asarray(ratios, dtype=float).ravel() for name, ratios in signal_to_noise.items()}
    for name, ratios in layers.items():
        strange = ~(np.isfinite(ratios) & (ratios >= 0))
        if strange.any():
            raise ModelError(
                f"{int(strange.sum())} of {len(ratios)} ratios of {name!r} are negative or not finite; expected "
                "|mean| / scale of each weight. Leave out weights that were pruned already."
            )
    if pruned is not None:
        pruned = fraction("pruned", pruned, "such as 0.75")
    least = positive("least", least, "such as 0.001")
    logarithms = {name: np.log10(np.maximum(ratios, least)) for name, ratios in layers.items()}
    ax = score_histograms(logarithms, xlabel="signal-to-noise ratio |mean| / scale", title=title, ax=ax)
    ax.xaxis.set(major_locator=MultipleLocator(1), major_formatter=FuncFormatter(lambda value, _: f"{10**value:,g}"))
    if pruned is not None:
        end = np.quantile(np.concatenate(list(logarithms.values())), pruned)
        ax.axvline(
            end,
            color=INK,
            linestyle="--",
            linewidth=1,
            label=say("{} % of the weights lie left", f"{100 * pruned:.4g}"),
        )
        ax.legend()
    return ax


def weight_posteriors(
    moments: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], *, bins: int = 80, title: str | None = None
) -> Figure:
    r"""Draw how the means and the standard deviations of each layer's weights are distributed.

    Parameters
    ----------
    moments
        Mapping from the name of each state of a fit, such as ``"step 400"``, to a mapping from the name of each layer
        to the means and the standard deviations of its weights, both (\*shape), as `companion.inference.moments` gives
        them. The figure has one row for each state, all on the same axes; every state has the same layers.
    bins
        Largest number of bins, of means and of standard deviations; small layers get fewer. Standard deviations are on
        a logarithmic axis, on which their bins have equal widths.
    title
        Title of the figure.

    Raises
    ------
    ModelError
        If there is nothing to draw, the states differ in their layers, a mean isn't finite, a standard deviation isn't
        positive and finite, or there are fewer bins than one.

    Notes
    -----
    Each histogram of means has the area 1, and each of standard deviations the area 1 per factor of ten. Layers differ
    in colour and in dashes. After a figure of McAteer (2019).
    """
    if not isinstance(moments, Mapping) or not all(isinstance(layers, Mapping) for layers in moments.values()):
        raise ModelError(
            "moments aren't grouped by state; expected a mapping from the name of each state first, such as "
            "{'fitted': posterior.moments()}."
        )
    states = {
        state: {layer: tuple(np.asarray(a, dtype=float).ravel() for a in pair) for layer, pair in layers.items()}
        for state, layers in moments.items()
    }
    names = [list(layers) for layers in states.values()]
    if not names or not names[0] or any(others != names[0] for others in names):
        raise ModelError(f"the states have the layers {names}; expected one state or more, all with the same layers.")
    for state, layers in states.items():
        for layer, (means, scales) in layers.items():
            if not means.size or not np.isfinite(means).all() or not (np.isfinite(scales) & (scales > 0)).all():
                raise ModelError(
                    f"{layer!r} in {state!r}: expected weights whose means are finite and whose scales are positive."
                )
    whole("bins", bins, 1)
    pairs = [(m, np.log10(s)) for layers in states.values() for m, s in layers.values()]
    # from layer to layer the range differs, and a few weights far out would squeeze the others into a line
    limits = [
        (min(np.quantile(v, 0.005) for v in column), max(np.quantile(v, 0.995) for v in column))
        for column in zip(*pairs, strict=True)
    ]
    figure, axes = plt.subplots(
        len(states), 2, figsize=(8.4, 2.5 * len(states) + 0.5), sharex="col", squeeze=False, layout="constrained"
    )
    for row, (state, layers) in zip(axes, states.items(), strict=True):
        for k, (layer, (means, scales)) in enumerate(layers.items()):
            for ax, values, (low, high) in zip(row, (means, np.log10(scales)), limits, strict=True):
                edges = np.linspace(low - 0.03, high + 0.03, min(bins, int(4 * values.size ** (1 / 3))) + 1)
                heights, _ = np.histogram(values, edges, density=True)
                at = edges if ax is row[0] else 10**edges
                ax.stairs(heights, at, fill=True, facecolor=to_rgba(f"C{k}", 0.08))
                ax.stairs(heights, at, edgecolor=f"C{k}", linewidth=1.4, linestyle=dashes(k), label=layer)
        row[0].set(ylabel=say("density"), title=say("{}: means", state))
        row[1].set(title=say("{}: standard deviations", state), xscale="log")
        plain_numbers(row[1])
    axes[-1, 0].set_xlabel(say("mean of a weight"))
    axes[-1, 1].set_xlabel(say("standard deviation of a weight"))
    axes[0, 0].legend()
    if title is not None:
        head(figure, title)
    return figure


def pruning_curve(
    share: np.ndarray,
    scores: Mapping[str, np.ndarray],
    *,
    ylabel: str,
    log: bool = False,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how a score changes as more and more weights are removed.

    Parameters
    ----------
    share
        Shares of the weights that are removed, in rising order between 0 and 1, (shares,).
    scores
        Mapping from the name of each order of removal, or of each model, to its score at each share, (shares,).
    ylabel
        Name of the score, with its unit.
    log
        Whether to draw against the share that is kept, in percent on a logarithmic axis that falls to the right: it
        spreads the shares close to 1.
    title
        Title of the axes.
    ax
        Axes to draw on; those of a new figure by default.

    Raises
    ------
    ModelError
        If there is nothing to draw, a score is missing, NaN or infinite, or the shares don't rise between 0 and 1, or
        end at 1 where nothing would be kept on a logarithmic axis.

    Notes
    -----
    Pruning by the signal-to-noise ratio is that of Graves (2011), "Practical Variational Inference for Neural
    Networks", and of Blundell et al. (2015).
    """
    share = np.asarray(share, dtype=float)
    if share.ndim != 1 or not len(share) or not (np.diff(share) > 0).all() or not (0 <= share[0] <= share[-1] <= 1):
        raise ModelError(f"share={share.tolist()}; expected (shares,) that rise, from 0 or more up to 1 or less.")
    if not scores:
        raise ModelError("no curve to draw; expected a mapping from names to scores at each share.")
    if log and share[-1] == 1:
        raise ModelError("share ends at 1, where nothing is kept; with log=True, expected shares below 1.")
    ax, x = new_axes(ax), 100 * (1 - share) if log else share
    for k, (name, values) in enumerate(scores.items()):
        curve = np.asarray(values, dtype=float)
        if curve.shape != share.shape or not np.isfinite(curve).all():
            raise ModelError(f"scores of {name!r}: {curve.tolist()}; expected {len(share)} finite numbers.")
        ax.plot(x, curve, color=f"C{k}", marker=_MARKERS[k % len(_MARKERS)], markersize=5, label=say(name))
    xlabel = "share of the weights that are kept (%)" if log else "share of the weights that are removed"
    ax.set(xlabel=say(xlabel), ylabel=say(ylabel), title=title or "")
    if log:
        ax.set(xscale="log", xlim=(110, 0.9 * x[-1]))
    ax.legend()
    return plain_numbers(share_labels(ax))
