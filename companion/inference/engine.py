"""The engine: any continuous PyMC model in, a variational posterior out, fitted in torch on CPU or GPU.

Explained in the chapter `book/mnist/dense`; the chapter `book/pymc/moons` compares it with `pymc.fit`.
"""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import torch

from companion.bridge import refuse_impossible
from companion.checks import whole
from companion.errors import CompanionWarning, InferenceError, ModelError
from companion.machine import device_named, guard
from companion.posterior import Record, VariationalPosterior
from companion.training import (
    Halted,
    Settings,
    Training,
    alive,
    batches_for,
    begun,
    fingerprint,
    objective_for,
    processes,
    starting_means,
)
from companion.variational import Estimator, Objective, Parameters, PointMass, elbo, family_named

__all__ = ["fit"]


def fit(
    model: pm.Model,
    steps: int = 10_000,
    *,
    batch_size: int | None = None,
    restarts: int = 1,
    family: str = "mean-field",
    estimator: str = "reparameterisation",
    draws: int = 1,
    learning_rate: float = 0.01,
    scale_rate: float | None = None,
    schedule: str = "cosine",
    start: str | Mapping[str, np.ndarray] = "model",
    start_scale: float = 0.1,
    map_steps: int = 0,
    kl_warmup: float = 0.0,
    temperature: float = 1.0,
    keep: str = "best",
    precision: str = "float32",
    device: str | torch.device = "auto",
    compile: str | bool = "auto",
    seed: int = 0,
    dataset: Any = None,
    workers: int = 0,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1000,
    elbo_draws: int = 100,
    progressbar: bool = True,
) -> VariationalPosterior:
    r"""Fit a variational approximation to the posterior of a PyMC model.

    The model is lowered to torch once; then all restarts are fitted side by side, with Adam on

    .. math::

        -\mathbb{E}_q[\log p(\mathcal{D} \mid \theta)] + T \; \mathrm{KL}(q(\theta) \,\|\, p(\theta)).

    Under ``torchrun`` the same call is a distributed fit. Ctrl-C returns what was fitted so far.

    Parameters
    ----------
    model
        With continuous free variables; torch modules stand in it by `companion.bridge.wrap_torch`.
    steps
        Of the optimiser.
    batch_size
        Rows in one step, drawn without repetition until all were seen; the model's observations must be in `pymc.Data`.
        ``None`` takes all rows.
    restarts
        Fits from different starting points, vectorised.
    family
        "mean-field", "full-rank", "low-rank", "low-rank:RANK", or "map" for a point: with restarts, a deep ensemble.
    estimator
        Of the gradient: "reparameterisation", "local", "flipout" or "sticking-the-landing".
    draws
        Of the approximation in one step.
    learning_rate, scale_rate
        Of the means, and of everything that makes the covariance; the same where the second is left out.
    schedule
        Of both rates: "cosine", "one-cycle" or "constant".
    start
        Where the means start. "model" takes the model's initial point; restarts after the first shuffle it, variable
        by variable, and shift it a little where it is constant. "prior" draws from the prior. A mapping gives values of
        the free variables, such as weights trained before; restarts then differ in their noise alone, so a point has
        only one.
    start_scale
        Standard deviations at the start.
    map_steps
        Steps towards the posterior's mode before the fit, for a start at a maximum a posteriori estimate.
    kl_warmup
        Share of the steps in which the KL divergence's weight rises from 0.
    temperature
        T above: 1 is Bayes; below 1 the posterior is "cold". `VariationalPosterior.record` carries it, and the ELBO and
        the history there are always at T = 1.
    keep
        "best" keeps the restart with the highest ELBO, "mixture" all that did not diverge, with equal weights;
        either can be had later from the other with ``best()`` and ``mixture()``.
    precision
        "float32", "float64", or "bfloat16": float32 with the likelihood's matrix products in bfloat16, where the
        processor has it.
    device
        "auto" is a GPU where there is one.
    compile
        "auto" compiles the gradient with `torch.compile` where that is measured to be faster and the fit is long enough
        to earn it back; True and False decide.
    seed
        Every random number follows from it.
    dataset, workers
        A map-style `torch.utils.data.Dataset` to stream rows from, each a mapping from the names of the model's data to
        arrays, and how many processes read it. The model's own data then only give shapes.
    checkpoint, checkpoint_every
        A folder, and after how many steps it is written. A call with a folder that holds a checkpoint of this fit goes
        on from there; on CPU it ends bit for bit where an uninterrupted one ends, given the same ``compile``.
    elbo_draws
        Behind `Record.elbo`.
    progressbar
        Shows loss and time left, and clears itself.

    Returns
    -------
    VariationalPosterior

    Raises
    ------
    ModelError
        If a setting is out of range or doesn't fit the model, or the model can't be lowered to torch.
    InferenceError
        If every restart diverged, or the checkpoint can't be written; its ``posterior`` is that of the last good state.
        If the checkpoint is of another fit or damaged, or another process was lost.

    Examples
    --------
    >>> from companion import datasets
    >>> from companion.inference import fit
    >>> from companion.models import binary_classifier
    >>> posterior = fit(binary_classifier(datasets.moons().train), 2000, restarts=16, progressbar=False)
    >>> posterior.draw(100, seed=1)["w_in_1"].shape
    (100, 2, 5)

    Notes
    -----
    Explained in the chapter `book/mnist/dense`. Blundell et al. (2015), "Weight uncertainty in neural networks";
    Kucukelbir et al. (2017), "Automatic differentiation variational inference".
    """
    settings = Settings(
        steps=steps, batch_size=batch_size, restarts=restarts, family=family, estimator=estimator, draws=draws,
        learning_rate=learning_rate, scale_rate=learning_rate if scale_rate is None else scale_rate, schedule=schedule,
        start="given" if isinstance(start, Mapping) else start, start_scale=start_scale, map_steps=map_steps,
        kl_warmup=kl_warmup, temperature=temperature, precision=precision, seed=seed,
    )  # fmt: skip
    _check(keep, checkpoint_every, elbo_draws, workers)
    if family == "map" and isinstance(start, Mapping) and restarts > 1:
        raise ModelError(
            f"family='map' with given start values and restarts={restarts}: all restarts would be the same. Expected "
            "restarts=1, or start='model' or 'prior'."
        )
    where = device_named(device)
    objective = objective_for(model, settings, family_named(family), where)
    density = objective.density
    began = time.perf_counter()
    with guard(), processes(where) as group, torch.no_grad():
        calls = {"checkpoint": checkpoint is not None, "checkpoint_every": checkpoint_every}
        group.agree({**dataclasses.asdict(settings), **calls}, 0)
        batches, rows = batches_for(density, batch_size, dataset, seed, group.rank, group.world, workers)
        if dataset is None:
            refuse_impossible(density, batches.parts())
        objective = dataclasses.replace(objective, rows=rows)
        # a network may draw its own start anew in each process: the first one's is everybody's
        means = group.same(starting_means(model, objective.layout, start, restarts, seed), 0).to(where, density.dtype)
        folder = None if checkpoint is None else Path(checkpoint)
        same = fingerprint(objective, batches, means if settings.start == "given" else None)
        own = _parameters(objective, settings, means)
        training = Training(objective, settings, batches, group, own, compile, folder, same)
        stopped: str | None = None
        error: InferenceError | None = None
        try:
            if map_steps and not group.share(begun(folder), 0):
                first = _towards_the_mode(training)
                try:
                    if walk := first.run(every=checkpoint_every, progressbar=progressbar):
                        stopped = f"{walk} of the start at the mode"
                finally:
                    own = _parameters(objective, settings, first.parameters["mean"])
                    training = dataclasses.replace(training, parameters=own)
            if stopped is None:
                stopped = training.run(every=checkpoint_every, progressbar=progressbar)
        except Halted as halted:
            stopped, error = str(halted), InferenceError(str(halted))
        seconds = time.perf_counter() - began
        posterior = _posterior(model, training, seconds, stopped, elbo_draws)
    kept = posterior if keep == "mixture" else posterior.best()
    if error is not None:
        error.posterior = kept
        raise error
    return kept


def _check(keep: str, checkpoint_every: int, elbo_draws: int, workers: int) -> None:
    if keep not in ("best", "mixture"):
        raise ModelError(f"keep={keep!r}; expected 'best' or 'mixture'.")
    whole("checkpoint_every", checkpoint_every, 1)
    whole("elbo_draws", elbo_draws, 2)
    whole("workers", workers, 0)


def _parameters(objective: Objective, settings: Settings, means: torch.Tensor) -> Parameters:
    """Start the family at means (restarts, size)."""
    own = [objective.family.start(mean, settings.start_scale) for mean in means]
    return {name: torch.stack([p[name] for p in own]) for name in own[0]}


def _towards_the_mode(training: Training) -> Training:
    """Set the walk up that takes the same means to a maximum a posteriori estimate first."""
    plain = Estimator.REPARAMETERISATION
    return dataclasses.replace(
        training,
        objective=dataclasses.replace(training.objective, family=PointMass(), estimator=plain),
        settings=dataclasses.replace(
            training.settings, steps=training.settings.map_steps, map_steps=0, family="map", estimator=plain.value
        ),
        parameters={"mean": training.parameters["mean"].clone()},
        folder=None if training.folder is None else training.folder / "map",
    )


def _posterior(
    model: pm.Model, training: Training, seconds: float, stopped: str | None, draws: int
) -> VariationalPosterior:
    """Evaluate every restart, and give all of them equal weights."""
    objective, settings = training.objective, training.settings
    fine = alive(training).cpu().numpy() if training.step else np.ones(settings.restarts, dtype=bool)
    bounds = np.full((settings.restarts, 2), (-np.inf, np.nan))
    for r in np.flatnonzero(fine):
        own = {name: p[r] for name, p in training.parameters.items()}
        bound, error = elbo(objective, own, training.batches.parts(), draws, settings.seed)
        bounds[r] = bound if np.isfinite(bound) else -np.inf, error
    if not fine.all() and fine.any():
        warnings.warn(
            f"{int((~fine).sum())} of {len(fine)} restarts diverged and are left out; a lower learning_rate or "
            "start_scale would keep them.",
            CompanionWarning,
            stacklevel=3,
        )
    record = Record(
        method=objective.family.name,
        settings=settings.as_json(),
        losses=training.losses[: training.step].cpu().numpy(),
        bounds=bounds,
        weights=fine / fine.sum() if fine.any() else np.full(len(fine), 1 / len(fine)),
        seconds=seconds,
        compiled=bool(training.compiled),
        device=str(objective.density.device),
        precision=settings.precision if objective.bfloat16 or settings.precision != "bfloat16" else "float32",
        stopped=stopped,
    )
    return VariationalPosterior(model, objective, training.batches, training.parameters, record)
