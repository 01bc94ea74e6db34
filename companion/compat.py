"""Differences between the generations of libraries that the book runs on, all in one place.

Python 3.11 brings PyMC 5 and ArviZ 0.23; Python 3.12 and newer bring PyMC 6 and ArviZ 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, TypeVar

import arviz as az
import numpy as np

from companion.errors import ModelError

__all__ = [
    "ARVIZ_1",
    "from_dict",
    "leave_one_out",
    "node_and_shapes",
    "observed_once",
    "op_kind",
    "plot_trace",
    "psis_k",
    "thawed",
    "with_both_gradient_names",
    "with_inner_graph_remade",
]

OpClass = TypeVar("OpClass", bound=type)

ARVIZ_1 = int(az.__version__.split(".")[0]) >= 1


def plot_trace(data: Any, names: list[str], labels: Sequence[str] = ("weight", "density", "draw")) -> Any:
    """Draw densities and traces, one row for each variable, with `labels` for the values, their density and the draws.

    ArviZ calls it ``plot_trace`` before version 1 and ``plot_trace_dist`` since.
    """
    if ARVIZ_1:
        plot_trace_dist = vars(az)["plot_trace_dist"]  # not there before, which mypy would report
        return plot_trace_dist(data, var_names=names, compact=True, backend="matplotlib")
    axes = az.plot_trace(data, var_names=names, compact=True, figsize=(7.2, 1.9 * len(names)))
    for density, trace in axes:  # ArviZ 1 labels them by itself
        density.set(xlabel=labels[0], ylabel=labels[1])
        density.locator_params(axis="x", nbins=5)  # else long numbers of narrow densities overlap
        trace.set(xlabel=labels[2], ylabel=labels[0])
    return axes


def from_dict(draws: dict[str, np.ndarray], log_likelihood: dict[str, np.ndarray] | None = None) -> Any:
    """Put posterior draws (chain, draw, ...) by name into ArviZ's container, and log likelihoods of rows beside them.

    It is an InferenceData before ArviZ 1 and a DataTree since.
    """
    groups: dict[str, Any] = {"posterior": draws} | ({"log_likelihood": log_likelihood} if log_likelihood else {})
    return az.from_dict(groups) if ARVIZ_1 else az.from_dict(**groups)


def leave_one_out(container: Any) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the log density of each observed row from all others, and how far that can be trusted.

    Parameters
    ----------
    container
        What ArviZ reads, with the log likelihood of every row under every draw, as ``to_arviz(log_likelihood=True)``
        and `from_dict` give it.

    Returns
    -------
    tuple
        Log density of each row, in nats (rows,), and the shape of its importance weights, k-hat (rows,): above 0.7 the
        estimate of that row is not to be trusted.

    Raises
    ------
    ModelError
        If the container has no log likelihood.

    Notes
    -----
    Pareto-smoothed importance sampling: Vehtari, Gelman and Gabry (2017), "Practical Bayesian model evaluation using
    leave-one-out cross-validation and WAIC".
    """
    if "log_likelihood" not in getattr(container, "children", container):
        raise ModelError(
            "the container has no log likelihood; expected one of every row under every draw, such as "
            "`posterior.to_arviz(log_likelihood=True)` gives."
        )
    found = az.loo(container, pointwise=True)
    each = found.elpd_i if ARVIZ_1 else found.loo_i
    return np.asarray(each).ravel(), np.asarray(found.pareto_k).ravel()


def psis_k(log_weights: np.ndarray) -> float:
    """Fit a generalised Pareto distribution to the largest importance weights (draws,), and return its shape."""
    if ARVIZ_1:
        array_stats = import_module("arviz_stats.base").array_stats  # not there before, which mypy would report
        return float(array_stats.psislw(log_weights)[1])
    return float(az.psislw(log_weights)[1])


def with_both_gradient_names(op: OpClass) -> OpClass:
    """Give an Op's gradient, which PyTensor 2 calls ``L_op``, its name in PyTensor 3 as well: ``pullback``."""
    vars_of: Any = op
    vars_of.pullback = vars_of.L_op
    return op


def node_and_shapes(arguments: Sequence[Any]) -> tuple[Any, Any]:
    """Read the arguments of an Op's ``infer_shape``, before which PyTensor 2 has the whole graph."""
    *_, node, shapes = arguments
    return node, shapes


def op_kind(op: Any) -> str:
    """Name an Op's class, by which it is known in both PyTensors.

    The classes of linear algebra moved between PyTensor 2 and 3, and of those that write into a part of an array
    PyTensor 3 has one fewer.
    """
    return type(op).__name__


def thawed(graph: Any) -> Any:
    """Give the graph inside an Op, which PyTensor 3 keeps frozen, as one whose nodes can be copied."""
    return graph.unfreeze() if hasattr(graph, "unfreeze") else graph


def with_inner_graph_remade(node: Any, inputs: Sequence[Any]) -> list[Any] | None:
    """Apply an Op with a graph inside to other inputs, or give ``None`` for an Op without one.

    ``clone_with_new_inputs`` doesn't do for it in PyTensor 3: the graph inside softmax has static shapes there.
    """
    return list(node.op(*inputs, return_list=True)) if hasattr(node.op, "build_inner_graph") else None


def observed_once(model: Any) -> Any:
    """Take repeats out of a model's observed variables, and return the model.

    PyMC 5's ``sample_posterior_predictive`` leaves them behind in the model that it was given: each variable that the
    container holds observations of is then observed twice.
    """
    observed = model.observed_RVs
    for i in reversed(range(len(observed))):
        if any(rv is observed[i] for rv in observed[:i]):
            del observed[i]
    return model
