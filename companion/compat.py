"""What differs between the library generations that the book runs on, in one place.

Python 3.11 brings PyMC 5 and ArviZ 0.23; Python 3.12 and newer bring PyMC 6 and ArviZ 1.
"""

from __future__ import annotations

from typing import Any

import arviz as az

__all__ = ["ARVIZ_1", "plot_trace"]

ARVIZ_1 = int(az.__version__.split(".")[0]) >= 1


def plot_trace(data: Any, names: list[str]) -> Any:
    """Densities and traces, a row for each variable: ``plot_trace`` before ArviZ 1, ``plot_trace_dist`` since."""
    if ARVIZ_1:
        plot_trace_dist = vars(az)["plot_trace_dist"]  # not there before, which mypy would report
        return plot_trace_dist(data, var_names=names, compact=True, backend="matplotlib")
    axes = az.plot_trace(data, var_names=names, compact=True, figsize=(7.2, 1.9 * len(names)))
    for density, trace in axes:  # ArviZ 1 labels them by itself
        density.set(xlabel="weight", ylabel="density")
        trace.set(xlabel="draw", ylabel="weight")
    return axes
