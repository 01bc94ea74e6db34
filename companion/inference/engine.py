"""The engine: fit any continuous PyMC model in torch, on CPU or GPU.

Explained in `book/reference/how_a_fit_works`; the chapter `book/pymc/moons` compares it with `pymc.fit`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path

import numpy as np
import pymc as pm
import torch

from companion.bridge import refuse_impossible
from companion.checks import choice, whole
from companion.errors import InferenceError, ModelError
from companion.machine import Machine, guard
from companion.posterior import FitState, Record, VariationalPosterior
from companion.training import (
    Checkpoint,
    Processes,
    Rates,
    Schedule,
    Settings,
    Start,
    Stream,
    Training,
    Valued,
    batches_for,
    begun,
    fingerprint,
    objective_for,
    processes,
    run,
    starting_means,
    takes_old_words,
    value,
)
from companion.variational import Estimator, Family, Objective, Parameters, PointMass, elbo, family_named

__all__ = ["Keep", "fit"]


class Keep(StrEnum):
    """Restarts that a posterior is made of."""

    BEST = "best"
    """The restart with the highest ELBO."""

    MIXTURE = "mixture"
    """All restarts that did not diverge, with equal weights."""


@takes_old_words
def fit(
    model: pm.Model,
    steps: int = 10_000,
    *,
    batch_size: int | Stream | None = None,
    restarts: int = 1,
    family: str | Family = "mean-field",
    estimator: str = "reparameterisation",
    draws: int = 1,
    learning_rate: float | Rates = 0.01,
    schedule: str | Schedule = "cosine",
    start: str | Mapping[str, np.ndarray] | Start = "model",
    temperature: float = 1.0,
    keep: str = "best",
    machine: str | torch.device | Machine = "auto",
    checkpoint: str | Path | Checkpoint | None = None,
    seed: int = 0,
    elbo_draws: int = 100,
    callback: Callable[[int, FitState], None] | None = None,
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
        A model with continuous free variables; torch modules stand in it by `companion.bridge.wrap_torch`.
    steps
        Number of optimiser steps.
    batch_size
        Number of rows in one step, drawn without repetition until all were seen; the model's observations must be in
        `pymc.Data`. ``None`` takes all rows, and a `Stream` reads them from a `torch.utils.data.Dataset`.
    restarts
        Number of fits from different starting points, vectorised.
    family
        Family of the approximation: a name of `companion.variational.FamilyName`, "low-rank:RANK", or a
        `companion.variational.Family` of your own.
    estimator
        Estimator of the gradient: a name of `companion.variational.Estimator`.
    draws
        Number of draws of the approximation in one step.
    learning_rate
        Learning rate of Adam; `Rates` gives the means and the scales different ones.
    schedule
        Shape of the learning rates over the steps, "cosine", "one-cycle" or "constant"; a `Schedule` also warms the KL
        divergence up.
    start
        Where the means start: "model", "prior", or values of the free variables by name. A `Start` also sets the
        standard deviations at the start, 0.1 otherwise, and walks towards the mode first.
    temperature
        Weight T of the KL divergence: 1 is Bayes, below 1 the likelihood counts for more (a tempered posterior). The
        record's ELBO and history are at T = 1 all the same.
    keep
        Restarts that the posterior is made of: a name of `Keep`. Either can be had later from the other, with
        ``best()`` and ``mixture()``.
    machine
        Name of a torch device, "auto" for a GPU where there is one; a `Machine` also sets precision and compilation.
    checkpoint
        Folder of a checkpoint, or a `Checkpoint`. A call with a folder that holds a checkpoint of this fit goes on from
        there; on CPU it ends bit for bit where an uninterrupted one ends, given the same compilation.
    seed
        Seed of every random number.
    elbo_draws
        Number of draws that estimate the record's ELBO.
    callback
        Function ``callback(step, state)``, called after every step with the number of steps that are done and a
        `FitState`. One that raises ``StopIteration`` ends the fit, which keeps what it has.
    progressbar
        Whether to show loss and time left, in a bar that clears itself.

    Returns
    -------
    VariationalPosterior

    Raises
    ------
    ModelError
        If a setting is out of range or doesn't fit the model, or the model can't be lowered to torch.
    InferenceError
        If every restart diverged, the model failed at a step, or the checkpoint can't be written; its ``posterior`` is
        that of the last good state. If the checkpoint is of another fit or damaged, or another process was lost.

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
    Blundell et al. (2015), "Weight uncertainty in neural networks"; Kucukelbir et al. (2017), "Automatic
    differentiation variational inference".
    """
    chosen, begin, place = family_named(family), Start.of(start), Machine.of(machine)
    settings = Settings.of(
        steps=steps, batch_size=batch_size, restarts=restarts, family=chosen, estimator=estimator, draws=draws,
        learning_rate=learning_rate, schedule=schedule, start=begin, temperature=temperature, machine=place, seed=seed,
    )  # fmt: skip
    kept, whole_draws = choice(Keep, "keep", keep), whole("elbo_draws", elbo_draws, 2)
    if isinstance(chosen, PointMass) and begin.kind == "given" and restarts > 1:
        raise ModelError(
            f"family='map' with given start values and restarts={restarts}: all restarts would be the same. Expected "
            "restarts=1, or start='model' or 'prior'."
        )
    stored = Checkpoint.of(checkpoint)
    objective = objective_for(model, settings, chosen, place.place)
    with guard(), processes(place.place) as group, torch.no_grad():
        every = 1000 if stored is None else stored.every
        group.agree(settings.as_json() | {"checkpoint": stored is not None, "checkpoint_every": every}, 0)
        training = _training(model, objective, settings, begin, batch_size, group)
        training.compile, training.threads_wanted = place.compile, place.threads
        training.folder = None if stored is None else Path(stored.folder)
        if callback is not None:
            training.callback = lambda step, at: callback(step, FitState.of(at, partial(_posterior, model, at)))
        walk = begin.map_steps and not group.share(begun(training.folder), 0)
        ending = run(
            training,
            every=every,
            progressbar=progressbar,
            walk=_towards_the_mode(training) if walk else None,
            after_walk=lambda means: replace(training, parameters=_parameters(training.objective, settings, means)),
        )
        valued = value(ending, partial(_elbo, ending.training, whole_draws))
        posterior = _posterior(model, ending.training, valued, ending.seconds)
        posterior = posterior if kept is Keep.MIXTURE else posterior.best()
        if valued.failed:  # inside: where this process alone failed, the others must not wait for it
            raise InferenceError(str(valued.stopped), posterior)
    return posterior


def _training(
    model: pm.Model,
    objective: Objective,
    settings: Settings,
    start: Start,
    batch_size: int | Stream | None,
    group: Processes,
) -> Training[Objective]:
    """Set a fit up: its rows, its starting values, and what tells it from another fit."""
    stream = batch_size if isinstance(batch_size, Stream) else None
    batches, rows = batches_for(
        objective.density,
        settings.batch_size,
        None if stream is None else stream.dataset,
        settings.seed,
        group.rank,
        group.world,
        0 if stream is None else stream.workers,
    )
    if stream is None:
        refuse_impossible(objective.density, batches.parts())
    objective = replace(objective, rows=rows)
    # a network may draw its own start anew in each process: all use the first one's
    means = starting_means(model, objective.layout, start.at, settings.restarts, settings.seed)
    means = group.same(means, 0).to(objective.device, objective.dtype)
    same = fingerprint(objective, batches, means if start.kind == "given" else None)
    return Training(objective, settings, batches, group, _parameters(objective, settings, means), fingerprint=same)


def _parameters(objective: Objective, settings: Settings, means: torch.Tensor) -> Parameters:
    """Start the family at means (restarts, size)."""
    own = [objective.family.start(mean, settings.start_scale) for mean in means]
    return {name: torch.stack([p[name] for p in own]) for name in own[0]}


def _towards_the_mode(training: Training[Objective]) -> Training[Objective]:
    """Set the walk up that takes the same means to a maximum a posteriori estimate first."""
    plain = Estimator.REPARAMETERISATION
    return replace(
        training,
        objective=replace(training.objective, family=PointMass(), estimator=plain),
        settings=replace(
            training.settings, steps=training.settings.map_steps, map_steps=0, family="map", estimator=plain.value
        ),
        parameters={"mean": training.parameters["mean"].clone()},
        folder=None if training.folder is None else training.folder / "map",
        callback=None,
    )


def _elbo(training: Training[Objective], draws: int, restart: int) -> tuple[float, float]:
    own = {name: p[restart] for name, p in training.parameters.items()}
    return elbo(training.objective, own, training.batches.parts(), draws, training.settings.seed)


def _posterior(
    model: pm.Model, training: Training[Objective], valued: Valued | None = None, seconds: float = float("nan")
) -> VariationalPosterior:
    """Make the posterior of a fit as it is now, with bounds that are unknown where none were estimated."""
    objective = training.objective
    record = Record.of(training, objective.family.name, valued, seconds, bfloat16=objective.bfloat16)
    parameters = training.parameters if valued is not None else {n: p.clone() for n, p in training.parameters.items()}
    return VariationalPosterior(model, objective, training.batches, parameters, record)
