"""Differences between the generations of libraries that the book runs on, all in one place.

Python 3.11 brings PyMC 5 and ArviZ 0.23; Python 3.12 and newer bring PyMC 6 and ArviZ 1.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import arviz as az
import numpy as np

__all__ = ["ARVIZ_1", "from_dict", "plot_trace", "psis_k"]

ARVIZ_1 = int(az.__version__.split(".")[0]) >= 1


def plot_trace(data: Any, names: list[str]) -> Any:
    """Draw densities and traces, one row for each variable.

    ArviZ calls it ``plot_trace`` before version 1 and ``plot_trace_dist`` since.
    """
    if ARVIZ_1:
        plot_trace_dist = vars(az)["plot_trace_dist"]  # not there before, which mypy would report
        return plot_trace_dist(data, var_names=names, compact=True, backend="matplotlib")
    axes = az.plot_trace(data, var_names=names, compact=True, figsize=(7.2, 1.9 * len(names)))
    for density, trace in axes:  # ArviZ 1 labels them by itself
        density.set(xlabel="weight", ylabel="density")
        trace.set(xlabel="draw", ylabel="weight")
    return axes


def from_dict(draws: dict[str, np.ndarray]) -> Any:
    """Put posterior draws (chain, draw, ...) by name into ArviZ's container.

    It is an InferenceData before ArviZ 1 and a DataTree since.
    """
    return az.from_dict({"posterior": draws}) if ARVIZ_1 else az.from_dict(posterior=draws)


def psis_k(log_weights: np.ndarray) -> float:
    """Fit a generalised Pareto distribution to the largest importance weights (draws,), and return its shape."""
    if ARVIZ_1:
        array_stats = import_module("arviz_stats.base").array_stats  # not there before, which mypy would report
        return float(array_stats.psislw(log_weights)[1])
    return float(az.psislw(log_weights)[1])
