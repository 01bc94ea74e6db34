r"""Bayes by Backprop: a Pyro model fitted by the loop that every fit of the companion runs.

.. math::

    \mathcal{F} = -\mathbb{E}_q[\log p(\mathcal{D} \mid w)] + T \; \mathrm{KL}(q(w) \,\|\, p(w))

Explained in the chapter `book/bayes_by_backprop/regression`, section
"What the companion puts in the place of what";
what is done before the first step, in `book/reference/how_a_fit_works`, section "A Pyro model".
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from companion.bayes_by_backprop.bound import PART, Pairs, bound_of_all, free_energy, rows_of
from companion.bayes_by_backprop.first_run import FEW, check_repeatable, check_rows, check_scale, first_run
from companion.bayes_by_backprop.guide import MeanFieldGuide
from companion.bayes_by_backprop.layers import weights_of_layers
from companion.bayes_by_backprop.member import Member, members_of
from companion.bayes_by_backprop.objective import PyroObjective
from companion.bayes_by_backprop.posterior import PyroPosterior, computing
from companion.bayes_by_backprop.starting import move_to_start
from companion.bridge import check_module
from companion.checks import whole
from companion.errors import InferenceError, ModelError
from companion.machine import Machine, reseed, seed_for
from companion.posterior import FitState, Record
from companion.training import (
    Checkpoint,
    Joint,
    OptimiserName,
    Rates,
    Schedule,
    Settings,
    Start,
    Stream,
    Training,
    Valued,
    batches_of,
    checksum,
    run,
    takes_old_words,
    together,
    value,
)
from companion.variational import Estimator

__all__ = ["fit"]


@takes_old_words
def fit(
    model: Callable[..., Any],
    data: Pairs,
    steps: int = 10_000,
    *,
    batch_size: int | Stream | None = None,
    restarts: int = 1,
    estimator: str = "reparameterisation",
    learning_rate: float | Rates = 0.01,
    schedule: str | Schedule = "cosine",
    start: str | Mapping[str, np.ndarray] | Start = "model",
    temperature: float = 1.0,
    machine: str | torch.device | Machine = "auto",
    checkpoint: str | Path | Checkpoint | None = None,
    seed: int = 0,
    elbo_draws: int = 100,
    callback: Callable[[int, FitState], None] | None = None,
    progressbar: bool = True,
) -> PyroPosterior:
    r"""Fit a mean-field posterior of a Pyro model by Bayes by Backprop.

    The loss is the free energy of a guide of independent normals,

    .. math::

        -\mathbb{E}_q[\log p(\mathcal{D} \mid w)] + T \; \mathrm{KL}(q(w) \,\|\, p(w)), \qquad
        q(w) = \prod_i \mathcal{N}(w_i \mid \mu_i, \sigma_i^2) .

    The KL divergence is in closed form where torch has one; see `free_energy`. The words mean what they mean for
    `companion.inference.fit`, with the same defaults. Ctrl-C returns what was fitted so far.

    Parameters
    ----------
    model
        Pyro model, called as ``model(x, y)`` in the fit and as ``model(x)`` in prediction, which returns the
        distribution of y: `Classifier`, `Regression`, or your own. Ordinary parameters in it are trained along. A
        `pyro.plate` with a size counts the rows of a batch for all of them; without one the fit does so.
    data
        Rows: ``x`` (points, ...), and ``y`` (points,), labels from 0 or measurements.
    steps
        Number of optimiser steps.
    batch_size
        Number of rows in one step, drawn without repetition until all were seen. ``None``, and a number above that of
        the rows, take all; a `Stream` reads rows ``(x, y)`` from a `torch.utils.data.Dataset`, and `data` then only
        gives shapes.
    restarts
        Number of fits from different starting points, one after the other in each step. The posterior is the one with
        the highest ELBO; ``restart(number)`` gives the others.
    estimator
        Estimator of the gradient: "reparameterisation", "local" or "flipout".
    learning_rate
        Learning rate of Adam; `Rates` gives the standard deviations another one.
    schedule
        Shape of the learning rates over the steps, "cosine", "one-cycle" or "constant"; a `Schedule` also warms the KL
        divergence up.
    start
        Where the means start: "model" at the weights of the model's torch modules, "prior", or values of the sites by
        name. A `Start` also sets the standard deviations at the start, 0.1 otherwise.
    temperature
        Weight T of the KL divergence: 1 is Bayes, below 1 the likelihood counts for more (a tempered posterior). The
        record's ELBO and history are at T = 1 all the same.
    machine
        Name of a torch device, "auto" for a GPU where there is one; a `Machine` also sets the precision. A Pyro model
        is not compiled: it may do at each call what it likes.
    checkpoint
        Folder of a checkpoint, or a `Checkpoint`. A call with a folder that holds a checkpoint of this fit goes on from
        there, and on CPU ends bit for bit where an uninterrupted one ends.
    seed
        Seed of every random number.
    elbo_draws
        Number of draws that estimate the record's ELBO.
    callback
        Function ``callback(step, state)``, called after every step with the number of steps that are done and a
        `companion.posterior.FitState`. One that raises ``StopIteration`` ends the fit, which keeps what it has.
    progressbar
        Whether to show loss and time left, in a bar that clears itself.

    Returns
    -------
    PyroPosterior

    Raises
    ------
    ModelError
        If a setting is out of range, or the model draws what a mean-field guide can't.
    DataError
        If the rows don't belong together, or a label is outside the classes.
    InferenceError
        If every restart diverged, the model failed at a step, or the checkpoint can't be written; its ``posterior`` is
        that of the last good state. If the checkpoint is of another fit or damaged, or another process was lost.

    Examples
    --------
    >>> from companion import datasets
    >>> from companion.bayes_by_backprop import Regression, fit, to_bayesian
    >>> from companion.networks import dense
    >>> from companion.priors import Gaussian
    >>> network = to_bayesian(dense(1, 20, 20, 1), Gaussian(1.0))
    >>> posterior = fit(Regression(network, noise=1.0), datasets.sinusoid(), 200, elbo_draws=10, progressbar=False)
    >>> posterior.predict(datasets.sinusoid().x, posterior.draw(10, seed=0)).shape
    (10, 32)

    Notes
    -----
    **Cost.** A step takes one gradient per restart, one restart after the other. Memory holds six numbers per value of
    each restart, two parameters and Adam's two moments of each, and what one such gradient takes.

    **When not to use it.** Not for other families than independent normals, which are too narrow where weights depend
    on each other. A model that can be written in PyMC is fitted sooner by `companion.inference.fit`, which compiles the
    steps and takes the restarts side by side.

    **Sources.** Blundell, Cornebise, Kavukcuoglu and Wierstra (2015), "Weight uncertainty in neural networks".
    """
    begin, place = Start.of(start), Machine.of(machine).settled(_count_values(model))
    settings = Settings.of(
        steps=steps, batch_size=batch_size, restarts=restarts, family="mean-field", draws=1, estimator=estimator,
        learning_rate=learning_rate, schedule=schedule, start=begin, temperature=temperature, machine=place, seed=seed,
    )  # fmt: skip
    _check(settings, whole("elbo_draws", elbo_draws, 2))
    device, stored = place.place, Checkpoint.of(checkpoint)
    with together(settings.as_json(), stored, device) as joint, computing(device, settings.precision):
        begun = _begun(model, data, settings, begin, device)
        training, make = _training(begun, settings, batch_size, joint), partial(_posterior, begun)
        training.threads_wanted = place.threads
        training.callback = FitState.told(callback, make)
        ending = run(training, every=joint.every, progressbar=progressbar)
        valued = value(ending, partial(_elbo, begun, ending.training, elbo_draws))
        posterior = make(ending.training, valued, ending.seconds).best()
        if valued.failed:  # inside: where this process alone failed, the others must not wait for it
            raise InferenceError(str(valued.stopped), posterior)
    return posterior


@dataclass(frozen=True, eq=False)
class _Begun:
    """A fit before its first step: the rows, and a model with its guide for every restart."""

    x: torch.Tensor
    y: torch.Tensor
    members: list[Member]
    scaled: bool
    settings: Settings


def _count_values(model: Callable[..., Any]) -> int:
    """Count the weights of a Pyro model that is a module; of any other it is not known before it runs."""
    return sum(p.numel() for p in model.parameters()) if isinstance(model, torch.nn.Module) else 0


def _check(settings: Settings, elbo_draws: int) -> None:
    """Refuse what the engine offers and a Pyro model doesn't."""
    if settings.estimator == Estimator.STICKING_THE_LANDING:
        raise ModelError(
            f"estimator={settings.estimator!r} is the engine's; expected 'reparameterisation', 'local' or 'flipout'."
        )
    if settings.optimiser == OptimiserName.IVON:
        raise ModelError("optimiser='ivon' is for companion.inference.fit; expected 'adam' or 'sgd' for a Pyro model.")
    if settings.precision == "float64":
        raise ModelError(
            "machine=Machine(precision='float64'); expected 'float32' or 'bfloat16', the numbers that Pyro "
            "computes with."
        )
    if settings.map_steps:
        raise ModelError(
            f"start=Start(map_steps={settings.map_steps}); a Pyro model starts without a walk to its mode. Train its "
            "network first, and make that Bayesian: the means start at its weights."
        )


def _begun(model: Callable[..., Any], data: Pairs, settings: Settings, start: Start, device: torch.device) -> _Begun:
    """Run the model once, and make a guide for every restart."""
    x, y = rows_of(data, device)
    if isinstance(model, torch.nn.Module):
        check_module(model)
        model = copy.deepcopy(model).to(device)
    x, nodes = _first_run(model, x, y)
    check_rows(nodes, y)
    check_repeatable(model, nodes, x, y)
    scaled = check_scale(model, x, y)
    reseed(device, seed_for(settings.seed, "guide"))
    members = []
    for r in range(settings.restarts):
        guide = MeanFieldGuide(model, x, y, start_scale=settings.start_scale, seed=settings.seed).to(device)
        move_to_start(guide, model, {"x": x[:FEW], "y": y[:FEW]}, start, settings.seed, r)
        members.append(Member(model, guide) if r == 0 else Member(copy.deepcopy(model), guide))
    return _Begun(x, y, members, scaled, settings)


def _first_run(model: Callable[..., Any], x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, dict[str, Any]]:
    """Run the model on whole numbers as they are, or as floating ones where it takes only those."""
    if x.is_floating_point():
        return x, first_run(model, x, y)
    try:
        return x, first_run(model, x, y)
    except ModelError:
        return x.float(), first_run(model, x.float(), y)


def _training(
    begun: _Begun, settings: Settings, batch_size: int | Stream | None, joint: Joint
) -> Training[PyroObjective]:
    """Set the loop up: rows, parameters of all restarts, and what tells this fit from another."""
    x, y, members, group = begun.x, begun.y, begun.members, joint.group
    stream = batch_size if isinstance(batch_size, Stream) else None
    size = settings.batch_size if settings.batch_size is None or stream else min(settings.batch_size, len(y))
    batches, rows = batches_of(
        {"x": x, "y": y}, ("x", "y"), len(y), size, None if stream is None else stream.dataset,
        settings.seed, group.rank, group.world, 0 if stream is None else stream.workers,
    )  # fmt: skip
    layers = weights_of_layers(settings.estimator, members[0].model, members[0].guide, x[:FEW], y[:FEW])
    estimator = Estimator.of(settings.estimator)
    objective = PyroObjective(members, rows or len(y), begun.scaled, estimator, layers, x.device)
    named = [member.parameters for member in members]
    stacked = {name: group.same(torch.stack([p[name].detach() for p in named])) for name in named[0]}
    members_of(stacked, members)
    return Training(
        objective, settings, batches, group, stacked, False, folder=joint.folder, fingerprint=_fingerprint(begun)
    )


def _fingerprint(begun: _Begun) -> dict[str, Any]:
    """Describe a fit beyond its settings, for its checkpoint: shapes, data, and the free energy at the start."""
    x, y, member = begun.x, begun.y, begun.members[0]
    reseed(x.device, seed_for(0, "fingerprint"))
    return {
        "model": {site.name: list(site.mean.shape) for site in member.guide.sites()},
        "data": {"x": checksum(x), "y": checksum(y)},
        "free energy": [float(free_energy(member.model, member.guide, x[:FEW], y[:FEW]))],
    }


def _elbo(begun: _Begun, training: Training[PyroObjective], draws: int, restart: int) -> tuple[float, float]:
    member = training.objective.members[restart]
    parts = (
        {name: a[at : at + PART] for name, a in part.items()}
        for part in training.batches.parts(PART)
        for at in range(0, len(part["y"]), PART)
    )
    return bound_of_all(member.model, member.guide, parts, draws, training.settings.seed, begun.scaled)


def _posterior(
    begun: _Begun,
    training: Training[PyroObjective],
    valued: Valued | None = None,
    seconds: float = float("nan"),
) -> PyroPosterior:
    """Make the posterior of a fit as it is now: a copy of the members where the fit goes on."""
    record = Record.of(training, "mean-field", valued, seconds, bfloat16=training.settings.precision == "bfloat16")
    members = training.objective.members
    own = tuple(members if valued is not None else [member.copy() for member in members])
    return PyroPosterior(own, tuple(begun.x.shape[1:]), begun.x.dtype, record)
