"""What the doors ask of the engine, and how it carries that out: the walk, the steps, the bounds, the posterior.

Explained in `book/reference/how_a_fit_works`, section "Trajectories, ensembles".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pymc as pm
import torch

from companion.bridge import check_model, refuse_impossible
from companion.errors import InferenceError, ModelError, notice
from companion.machine import Machine, Precision
from companion.posterior import FitState, Record, VariationalPosterior
from companion.training import (
    Checkpoint,
    Ending,
    Iterates,
    Joint,
    OptimiserName,
    Resident,
    Settings,
    Start,
    Stream,
    Training,
    Valued,
    batches_for,
    begun,
    fingerprint,
    objective_for,
    run,
    starting_means,
    together,
    value,
)
from companion.variational import Estimator, Family, Objective, Parameters, PointMass, elbo, rows_at_once

__all__ = ["Gathering", "Keep", "Plan", "carry_out", "count_values", "machine_for", "refuse_the_same", "to_the_mode"]

_WALKING_RATE = 0.01  # of Adam, where the fit itself takes another optimiser with rates of its own


def count_values(model: pm.Model) -> int:
    """Count the values of a model's free variables, in the unconstrained space.

    Raises
    ------
    ModelError
        If it isn't a PyMC model.
    """
    check_model(model)
    return sum(np.size(a) for a in model.initial_point(random_seed=0).values())


def machine_for(model: pm.Model, machine: Machine | str | torch.device) -> Machine:
    """Make a machine of what a door is given, and choose the precision where it is "auto"."""
    found = Machine.of(machine)
    return found.settled(count_values(model)) if found.precision == Precision.AUTO else found


class Keep(StrEnum):
    """Restarts that a posterior is made of."""

    BEST = "best"
    """The restart with the highest ELBO."""

    MIXTURE = "mixture"
    """All restarts that did not diverge, with equal weights."""


class Gathering(NamedTuple):
    """What is gathered along the steps: the last `rank` iterates, one `every` so many steps."""

    rank: int
    every: int


@dataclass(frozen=True, eq=False)
class Plan:
    """What a door asks of the engine, checked.

    Attributes
    ----------
    walk
        Settings of a walk to the posterior's mode before the steps; ``None`` without one.
    gathering
        How the Gaussian of the trajectory is gathered, where that is the posterior, and not what was fitted.
    """

    model: pm.Model
    settings: Settings
    family: Family
    start: Start
    batch_size: int | Stream | None
    machine: Machine
    keep: Keep
    checkpoint: Checkpoint | None
    elbo_draws: int
    callback: Callable[[int, FitState], None] | None
    progressbar: bool
    walk: Settings | None = None
    gathering: Gathering | None = None

    @property
    def method(self) -> str:
        """Name of the method in the record."""
        return self.family.name if self.gathering is None else "SWAG"


def carry_out(plan: Plan) -> VariationalPosterior:
    """Take all steps of a plan, and make the posterior.

    Raises
    ------
    ModelError, InferenceError
        See `companion.inference.fit`.
    """
    place = plan.machine.place
    objective = objective_for(plan.model, plan.settings, plan.family, place)
    with together(plan.settings.as_json(), plan.checkpoint, place) as joint:
        training = _training(plan, objective, joint)
        walk = plan.walk is not None and not joint.group.share(begun(training.folder))
        ending = run(
            training,
            every=joint.every,
            progressbar=plan.progressbar,
            walk=_walk(training, plan.walk) if walk and plan.walk is not None else None,
            after_walk=lambda means: replace(
                training, parameters=_parameters(training.objective, training.settings, means)
            ),
        )
        found = _found(plan, ending)
        valued = value(ending, partial(_elbo, ending.training, found, plan.elbo_draws))
        posterior = _posterior(plan, ending.training, found, valued, ending.seconds)
        posterior = posterior if plan.keep is Keep.MIXTURE else posterior.best()
        if valued.failed:  # inside: where this process alone failed, the others must not wait for it
            raise InferenceError(str(valued.stopped), posterior)
    return posterior


def refuse_the_same(start: Start, count: int, what: str) -> None:
    """Refuse several points from one start: without noise of their own, all would be the same.

    Raises
    ------
    ModelError
        If there are several, and the start is given by values.
    """
    if count > 1 and start.kind == "given":
        raise ModelError(
            f"{what} with given start values: all of them would be the same. Expected one, or start='model' or 'prior'."
        )


def to_the_mode(settings: Settings, steps: int) -> Settings:
    """Give the settings of a walk to the mode before a fit with these settings."""
    by_adam = settings.optimiser == OptimiserName.ADAM
    return replace(
        settings,
        steps=steps,
        map_steps=0,
        family="map",
        estimator=Estimator.REPARAMETERISATION.value,
        optimiser="adam",
        learning_rate=settings.learning_rate if by_adam else _WALKING_RATE,
    )


def _training(plan: Plan, objective: Objective, joint: Joint) -> Training[Objective]:
    """Set a fit up: its rows, its starting values, and what tells it from another fit."""
    settings, size, group = plan.settings, plan.batch_size, joint.group
    stream = size if isinstance(size, Stream) else None
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
    means = starting_means(plan.model, objective.layout, plan.start.at, settings.restarts, settings.seed)
    means = group.same(means).to(objective.device, objective.dtype)
    same = fingerprint(objective, batches, means if plan.start.kind == "given" else None)
    collector = None
    if plan.gathering is not None:
        collector = Iterates(means, *plan.gathering)
        if settings.batch_size is None and objective.density.minibatch is None:
            notice(
                "The trajectory has no noise: it takes all rows at every step, comes to rest at the mode, and its "
                "covariance goes to zero. Give batch_size."
            )
        same |= {"gathering": plan.gathering._asdict(), "walk": plan.walk and plan.walk.as_json()}
    return Training(
        objective, settings, batches, group, _parameters(objective, settings, means), compile=plan.machine.compile,
        threads_wanted=plan.machine.threads, callback=FitState.told(plan.callback, partial(_so_far, plan)),
        folder=joint.folder, fingerprint=same, collector=collector,
    )  # fmt: skip


def _parameters(objective: Objective, settings: Settings, means: torch.Tensor) -> Parameters:
    """Start the family at means (restarts, size)."""
    own = [objective.family.start(mean, settings.start_scale) for mean in means]
    return {name: torch.stack([p[name] for p in own]) for name in own[0]}


def _walk(training: Training[Objective], settings: Settings) -> Training[Objective]:
    """Set the walk up that takes the same means to a maximum a posteriori estimate first."""
    return replace(
        training,
        objective=replace(training.objective, family=PointMass(), estimator=Estimator.REPARAMETERISATION),
        settings=settings,
        parameters={"mean": training.parameters["mean"].clone()},
        folder=None if training.folder is None else training.folder / "map",
        callback=None,
        collector=None,
    )


class _Found(NamedTuple):
    """The approximation that was found: objective with its family, and the parameters of all restarts."""

    objective: Objective
    parameters: Parameters


def _found(plan: Plan, ending: Ending[Objective]) -> _Found:
    """Give what was fitted, or the Gaussian of the trajectory that it went through."""
    training = ending.training
    fitted = _Found(training.objective, training.parameters)
    if plan.gathering is None or not isinstance(training.collector, Iterates):
        return fitted
    iterates, step = training.collector, training.step
    if iterates.count(step) < 2:
        so_far = _posterior(replace(plan, gathering=None), training, fitted, None, ending.seconds)
        raise InferenceError(
            f"The trajectory has {iterates.count(step)} iterates, and a covariance needs two. The point that was "
            f"reached is this error's `posterior`. It ended early: {ending.stopped}",
            so_far,
        )
    return _Found(replace(training.objective, family=iterates.family), iterates.gaussian(step))


def _elbo(training: Training[Objective], found: _Found, draws: int, restart: int) -> tuple[float, float]:
    own = {name: p[restart] for name, p in found.parameters.items()}
    batches = training.batches
    if isinstance(batches, Resident):  # a stream reads a few batches at a time anyhow
        parts = batches.parts(rows_at_once(found.objective, own, batches.parts))
    else:
        parts = batches.parts()
    return elbo(found.objective, own, parts, draws, training.settings.seed)


def _so_far(plan: Plan, training: Training[Objective]) -> VariationalPosterior:
    """Copy what is fitted at a step, with bounds that are unknown."""
    copied = _Found(training.objective, {n: p.clone() for n, p in training.parameters.items()})
    return _posterior(replace(plan, gathering=None), training, copied, None, float("nan"))


def _posterior(
    plan: Plan, training: Training[Objective], found: _Found, valued: Valued | None, seconds: float
) -> VariationalPosterior:
    """Make the posterior of a fit as it is now."""
    objective, parameters = found
    record = Record.of(training, plan.method, valued, seconds, bfloat16=objective.bfloat16)
    if plan.gathering is not None:
        more: dict[str, Any] = {"family": objective.family.name, **plan.gathering._asdict()}
        if plan.walk is not None:
            more |= {"walk_steps": plan.walk.steps, "walk_rate": plan.walk.learning_rate}
        record = replace(record, settings={**record.settings, **more})
    return VariationalPosterior(plan.model, objective, training.batches, parameters, record)
