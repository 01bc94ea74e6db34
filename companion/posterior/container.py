"""Draws of a PyMC model in ArviZ's container, made by PyMC's own hands.

PyMC's converter gives draws the model's dims and coords, and puts observed and constant data beside them. It takes what
its samplers record, so `_Trace` is draws in that form.

Explained in `book/reference/how_a_fit_works`, section "The posterior".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pymc as pm
from pymc.data import MinibatchOp
from pytensor.graph.traversal import ancestors

from companion.errors import ModelError
from companion.posterior.variables import deterministics, log_densities

__all__ = ["container_of", "pack", "with_log_likelihood"]

Arrays = Mapping[str, np.ndarray]


def container_of(
    model: pm.Model, draws: Arrays, names: Sequence[str], stats: Arrays | None = None, *, log_likelihood: bool = False
) -> Any:
    r"""Put draws into ArviZ's container, as one chain.

    Parameters
    ----------
    model
        Model of the draws.
    draws
        Draws of free variables, all of them where a deterministic or the log likelihood is asked for: name to array
        (draws, \*shape).
    names
        Names of the free variables and deterministics that are put in.
    stats
        Statistics of the draws: name to array (draws,).
    log_likelihood
        Whether the log likelihood of each observation and, among the statistics, the log density of each draw are
        computed.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        The groups that `pymc.sample` makes: posterior, sample_stats, observed_data, constant_data, log_likelihood.
    """
    computed = [v.name for v in model.deterministics if v.name in names]
    arrays = {name: a for name, a in draws.items() if name in names}
    if computed:
        arrays |= deterministics(model, draws, computed)
    stats = dict(stats or {})
    if log_likelihood:
        stats["lp"] = log_densities(model, draws)
    found = pack(
        model,
        {name: np.asarray(a, dtype=model[name].type.dtype)[None] for name, a in arrays.items()},
        {name: a[None] for name, a in stats.items()},
    )
    return with_log_likelihood(found, model) if log_likelihood else found


def pack(model: pm.Model, draws: Arrays, stats: Arrays, attributes: Mapping[str, Any] | None = None) -> Any:
    r"""Put draws and statistics of several chains into ArviZ's container.

    Parameters
    ----------
    model
        Model of the draws.
    draws
        Name to array (chains, draws, \*shape).
    stats
        Name to array (chains, draws, ...).
    attributes
        "sampling_time" and "tuning_steps" of a sampler.
    """
    return pm.to_inference_data(_Trace(draws, stats, attributes or {}), model=model, save_warmup=False)


def with_log_likelihood(container: Any, model: pm.Model) -> Any:
    """Add the log likelihood of each observation to a container, as PyMC computes it.

    Raises
    ------
    ModelError
        If the model sees its data in mini-batches.
    """
    if _draws_batches(model):
        raise ModelError(
            "the model draws mini-batches, so that no log likelihood belongs to an observation. Ask a posterior whose "
            "model holds all rows."
        )
    with _without_starts(model):
        return pm.compute_log_likelihood(container, model=model, progressbar=False)


@contextmanager
def _without_starts(model: pm.Model) -> Iterator[None]:
    """Take a model's own starting values away for a while: PyMC can't copy a model that has some."""
    starts = dict(model.rvs_to_initial_values)
    model.rvs_to_initial_values.update(dict.fromkeys(starts))
    try:
        yield
    finally:
        model.rvs_to_initial_values.update(starts)


def _draws_batches(model: pm.Model) -> bool:
    """Say whether a model sees `pymc.Minibatch`."""
    every = ancestors([*model.basic_RVs, *model.rvs_to_values.values()])
    return any(v.owner is not None and isinstance(v.owner.op, MinibatchOp) for v in every)


class _Trace:
    """Draws in the form in which PyMC's samplers record theirs."""

    def __init__(self, draws: Arrays, stats: Arrays, attributes: Mapping[str, Any]) -> None:
        self._draws, self._stats = draws, stats
        self.varnames, self.stat_names = list(draws), list(stats)
        self.nchains, self._length = next(iter(draws.values())).shape[:2]
        said = {"sampling_time", "tuning_steps"} <= set(attributes)
        self.report = SimpleNamespace(
            n_draws=self._length if said else None,
            t_sampling=attributes.get("sampling_time"),
            n_tune=attributes.get("tuning_steps"),
        )

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> _Trace:
        return self

    def get_values(self, name: str, **_: Any) -> np.ndarray:
        return self._draws[name]

    def get_sampler_stats(self, name: str, **_: Any) -> np.ndarray:
        return self._stats[name]
