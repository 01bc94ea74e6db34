"""The engine: fit any continuous PyMC model in torch, on CPU or GPU.

Explained in `book/reference/how_a_fit_works`, section "The loop"; the chapter
`book/pymc/moons_posterior`, section "The same model, in torch", fits by it what PyMC fitted before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pymc as pm
import torch

from companion.checks import choice, whole
from companion.inference.plan import Keep, Plan, carry_out, machine_for, refuse_the_same, to_the_mode
from companion.machine import Machine
from companion.posterior import FitState, VariationalPosterior
from companion.training import Checkpoint, Rates, Schedule, Settings, Start, Stream, takes_old_words
from companion.variational import Family, PointMass, family_named

__all__ = ["fit"]


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

    Under ``torchrun`` the same call is a distributed fit. Ctrl-C returns what was fitted so far. A model without
    observations gives an approximation of its prior.

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
        Family of the approximation: a name of `companion.variational.FamilyName`, "low-rank:RANK", "dropout:P", or a
        `companion.variational.Family` of your own.
    estimator
        Estimator of the gradient: a name of `companion.variational.Estimator`.
    draws
        Number of draws of the approximation in one step.
    learning_rate
        Learning rate of Adam; `Rates` gives the means and the scales different ones, and may name another optimiser:
        ``Rates(0.1, 0.001, "ivon")`` follows natural gradients (Shen et al. 2024), and
        ``Rates(0.001, 0.001, "windowed-adagrad")`` is the default optimiser of `pymc.fit`.
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
    **Cost.** A step takes one gradient of the log density for each restart and each of the `draws`, on the rows of the
    batch. Memory holds the parameters of the family and Adam's two moments of each, for every restart: six numbers per
    value with "mean-field", and see the classes of `companion.variational` for the others, each with its formula. The
    rest is what one such gradient takes.

    **When not to use it.** Not for discrete variables, which are refused. Not for doubt far from the data, where
    "mean-field" is too sure; "full-rank", "low-rank" or `laplace` see correlations, and `sample` draws from the
    posterior itself. A fit finds one mode for each restart, and ``keep="mixture"`` keeps several. On a large network
    "mean-field" at full weight leaves most weights unused (chapter `book/mnist/pruning`).

    **Sources.** Blundell et al. (2015), "Weight uncertainty in neural networks"; Kucukelbir et al. (2017), "Automatic
    differentiation variational inference".
    """
    chosen, begin, place = family_named(family), Start.of(start), machine_for(model, machine)
    settings = Settings.of(
        steps=steps, batch_size=batch_size, restarts=restarts, family=chosen, estimator=estimator, draws=draws,
        learning_rate=learning_rate, schedule=schedule, start=begin, temperature=temperature, machine=place, seed=seed,
    )  # fmt: skip
    kept, whole_draws = choice(Keep, "keep", keep), whole("elbo_draws", elbo_draws, 2)
    if isinstance(chosen, PointMass):
        refuse_the_same(begin, settings.restarts, f"family='map' and restarts={restarts}")
    return carry_out(
        Plan(
            model, settings, chosen, begin, batch_size, place, kept, Checkpoint.of(checkpoint), whole_draws, callback,
            progressbar, walk=to_the_mode(settings, begin.map_steps) if begin.map_steps else None,
        )
    )  # fmt: skip
