"""Deep ensembles: several networks trained from different starts, each with the same say.

Explained in `book/reference/how_a_fit_works`, section "Trajectories, ensembles".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pymc as pm
import torch

from companion.checks import whole
from companion.inference.engine import fit
from companion.inference.plan import refuse_the_same
from companion.machine import Machine
from companion.posterior import FitState, VariationalPosterior
from companion.training import Checkpoint, Rates, Schedule, Start, Stream

__all__ = ["ensemble"]


def ensemble(
    model: pm.Model,
    steps: int = 10_000,
    *,
    members: int = 5,
    batch_size: int | Stream | None = None,
    learning_rate: float | Rates = 0.01,
    schedule: str | Schedule = "cosine",
    start: str | Mapping[str, np.ndarray] | Start = "model",
    temperature: float = 1.0,
    machine: str | torch.device | Machine = "auto",
    checkpoint: str | Path | Checkpoint | None = None,
    seed: int = 0,
    callback: Callable[[int, FitState], None] | None = None,
    progressbar: bool = True,
) -> VariationalPosterior:
    r"""Train a deep ensemble: a maximum a posteriori estimate from each of several starts.

    .. math::

        q(\theta) = \frac{1}{M} \sum_{m=1}^M \delta(\theta - \theta_m), \qquad
        \theta_m = \arg\max \log p(\mathcal{D}, \theta) \text{ from start } m.

    It is ``fit(family="map", restarts=members, keep="mixture")``. Every member that did not diverge has the same
    weight, whatever its density: a better mode says nothing of how much of the posterior lies around it.

    Parameters
    ----------
    model
        A model with continuous free variables, as for `companion.inference.fit`.
    steps
        Number of optimiser steps, which all members take side by side.
    members
        Number of members.
    batch_size, learning_rate, schedule, machine, checkpoint, seed, callback, progressbar
        Settings of `companion.inference.fit`, with the same meaning.
    start
        Where the members start: "model", whose values the members after the first shuffle, or "prior".
    temperature
        Weight of the log prior; below 1 it counts for less.

    Returns
    -------
    VariationalPosterior
        A mixture of points. Its record's ELBO is their mean log density, which is not a bound.

    Raises
    ------
    ModelError, InferenceError
        As for `companion.inference.fit`.

    Examples
    --------
    >>> from companion import datasets
    >>> from companion.inference import ensemble
    >>> from companion.models import binary_classifier
    >>> posterior = ensemble(binary_classifier(datasets.moons().train), 1000, members=5, progressbar=False)
    >>> posterior.weights
    array([0.2, 0.2, 0.2, 0.2, 0.2])

    Notes
    -----
    **Cost.** A step takes one gradient per member. Memory holds three numbers per value of each member, the value and
    Adam's two moments of it.

    **When not to use it.** Not for fewer than about five members, and not for a posterior of one mode: every member
    ends there, and what is left of the spread is nothing. A model without observations gives modes of its prior.

    **Sources.** Lakshminarayanan, Pritzel and Blundell (2017), "Simple and Scalable Predictive Uncertainty Estimation
    using Deep Ensembles". They train without a prior, or with weight decay, which is a normal one. Their members see
    different mini-batches; here all see the same ones.
    """
    count = whole("members", members, 1)
    refuse_the_same(Start.of(start), count, f"members={count}")
    found = fit(
        model, steps, batch_size=batch_size, restarts=count, family="map", learning_rate=learning_rate,
        schedule=schedule, start=start, temperature=temperature, keep="mixture", machine=machine, checkpoint=checkpoint,
        seed=seed, callback=callback, progressbar=progressbar,
    )  # fmt: skip
    return replace(found, record=replace(found.record, method="deep ensemble"))
