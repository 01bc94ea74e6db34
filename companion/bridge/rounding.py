"""Terms of a log density that float32 can't hold: found at the model's start, before any step is taken.

Explained in `book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from companion.bridge.graph import ModelGraph, a_distribution
from companion.bridge.lines import stack_level
from companion.bridge.lowering import lower
from companion.errors import CompanionWarning, ModelError

__all__ = ["terms_in_float64"]

# Distributions whose density at a start loses no more than rounding does everywhere: they aren't looked at.
_STEADY = frozenset({
    "Bernoulli", "Categorical", "Cauchy", "Exponential", "HalfCauchy", "HalfNormal", "Laplace", "Uniform",
})  # fmt: skip

# Rows that are looked at.
_ROWS = 256

# Distance from the start, that of a draw of the first step.
_BESIDE = 0.1

# What a term may be off, in nats and in its own size, and its gradient.
_VALUE, _GRADIENT = (1e-2, 1e-5), (1e-2, 5e-3)


@dataclass(frozen=True)
class _Term:
    """A term of the log density.

    Attributes
    ----------
    name
        Name of its observed variable; empty for a term of the prior.
    what
        Description of the term, in words.
    graph
        Its graph, a scalar.
    """

    name: str
    what: str
    graph: Any


def terms_in_float64(graph: ModelGraph, dtype: torch.dtype, device: torch.device) -> frozenset[str]:
    """Find the terms that are to be computed in float64.

    Parameters
    ----------
    graph
        The model.
    dtype, device
        Floating dtype of everything else, and where it is computed.

    Returns
    -------
    frozenset
        Names of observed variables; an empty name stands for the prior.

    Raises
    ------
    ModelError
        If a term differs in float64 and would not be right there either, since its values or data are rounded before.

    Warns
    -----
    CompanionWarning
        If there are such terms.
    """
    terms = _unsteady(graph)
    if not terms or dtype == torch.float64 or device.type in ("mps", "meta"):  # no float64, or no values
        return frozenset()
    double, data = torch.float64, _some_rows(graph)
    single, exact = (_values(graph, terms, kind, kind, device, data) for kind in (dtype, double))
    coarse = [i for i, both in enumerate(zip(single, exact, strict=True)) if not _close(*both)]
    if not coarse:
        return frozenset()
    rounded = _values(graph, terms, double, dtype, device, data)
    for i in coarse:
        if not _close(rounded[i], exact[i]):
            raise ModelError(
                f"float32 can't hold the log density of {terms[i].what}: at the start it is off by "
                f"{_off(single[i], exact[i])}, since values or data have more digits than float32 holds. Standardise "
                "them, or use machine=Machine(precision='float64')."
            )
    named = " and of ".join(f"{terms[i].what} (off by {_off(single[i], exact[i])})" for i in coarse)
    warnings.warn(
        f"float32 can't hold the log density of {named} at the start: it is computed in float64, which may take "
        "longer.",
        CompanionWarning,
        stacklevel=stack_level(),
    )
    return frozenset(terms[i].name for i in coarse)


def _unsteady(graph: ModelGraph) -> list[_Term]:
    """List the terms that are looked at: priors that are not normal, and likelihoods of numbers."""
    prior = [_Term("", what, term.sum()) for what, term in graph.prior_terms.items() if what.split()[-1] not in _STEADY]
    prior = [term for term in prior if not term.what.endswith(" Normal")]
    observed = zip(graph.description.observed, graph.likelihoods, strict=True)
    return prior + [
        _Term(o.name, f"{o.name!r}, {a_distribution(o.distribution)}", entries.sum())
        for o, entries in observed
        if o.distribution not in _STEADY
    ]


def _some_rows(graph: ModelGraph) -> dict[str, np.ndarray]:
    """Take rows from all over the data, where there are many."""
    counts = {len(graph.data[o.rows]) for o in graph.description.observed if o.rows is not None}
    if len(counts) != 1 or max(counts) <= _ROWS:
        return graph.data
    [count] = counts
    at = np.linspace(0, count - 1, _ROWS).astype(int)
    return {name: a[at] if a.shape[:1] == (count,) else a for name, a in graph.data.items()}


def _values(
    graph: ModelGraph,
    terms: Sequence[_Term],
    dtype: torch.dtype,
    rounding: torch.dtype,
    device: torch.device,
    data: dict[str, np.ndarray],
) -> list[tuple[float, np.ndarray]]:
    """Compute each term at the start, with its gradient, of values and data that were rounded first."""
    function = lower(graph.inputs, [term.graph for term in terms], dtype=dtype, device=device)

    def taken(array: np.ndarray) -> torch.Tensor:
        tensor = torch.tensor(array, device=device)
        return tensor.to(rounding).to(dtype) if tensor.is_floating_point() else tensor

    # beside the start, whose own numbers are often round
    points = (a + _BESIDE * np.sin(1.0 + np.arange(a.size)).reshape(a.shape) for a in graph.description.start.values())
    leaves = [taken(a).requires_grad_() for a in points]
    found = []
    with torch.enable_grad():
        try:
            outputs = function(*leaves, *(taken(data[name]) for name in graph.data))
        except (RuntimeError, IndexError):  # parts of the model belong to all rows
            outputs = function(*leaves, *(taken(a) for a in graph.data.values()))
        for out in outputs:
            out = torch.as_tensor(out)
            slopes: Sequence[torch.Tensor] = ()
            if out.requires_grad:
                slopes = torch.autograd.grad(out, leaves, retain_graph=True, allow_unused=True, materialize_grads=True)
            flat = [s.detach().cpu().double().numpy().ravel() for s in slopes]
            found.append((float(out.detach()), np.concatenate(flat) if flat else np.zeros(0)))
    return found


def _close(found: tuple[float, np.ndarray], exact: tuple[float, np.ndarray]) -> bool:
    """Say whether a term is what it is in float64; where that isn't finite either, there is nothing to compare."""
    (value, slope), (truth, true_slope) = found, exact
    if not np.isfinite(truth) or not np.isfinite(true_slope).all():
        return True
    size, off = np.linalg.norm(true_slope), np.linalg.norm(slope - true_slope)
    right = abs(value - truth) <= _VALUE[0] + _VALUE[1] * abs(truth)
    return bool(right and off <= _GRADIENT[0] + _GRADIENT[1] * size)


def _off(found: tuple[float, np.ndarray], exact: tuple[float, np.ndarray]) -> str:
    """Say by how much a term is off."""
    off, allowed = abs(found[0] - exact[0]), _VALUE[0] + _VALUE[1] * abs(exact[0])
    if not np.isfinite(off):
        return f"from {exact[0]:.3g} nats to {found[0]}"
    return f"{off:.2g} nats" if off > allowed else f"{np.linalg.norm(found[1] - exact[1]):.2g} in its gradient"
