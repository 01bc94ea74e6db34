r"""SWAG and MultiSWAG: a Gaussian of the weights that a fit goes through at a constant rate.

Explained in `book/reference/how_a_fit_works`, section "Trajectories, ensembles".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import torch

from companion.checks import choice, whole
from companion.errors import ModelError
from companion.inference.plan import Gathering, Keep, Plan, carry_out, machine_for, refuse_the_same
from companion.machine import Machine
from companion.posterior import FitState, VariationalPosterior
from companion.training import Checkpoint, Rates, Settings, Start, Stream, Trajectory
from companion.variational import PointMass

__all__ = ["swag"]


def swag(
    model: pm.Model,
    steps: int = 10_000,
    *,
    batch_size: int | Stream | None = None,
    restarts: int = 1,
    learning_rate: float = 0.01,
    trajectory: float | Trajectory = 0.02,
    start: str | Mapping[str, np.ndarray] | Start = "model",
    keep: str = "mixture",
    machine: str | torch.device | Machine = "auto",
    checkpoint: str | Path | Checkpoint | None = None,
    seed: int = 0,
    elbo_draws: int = 100,
    callback: Callable[[int, FitState], None] | None = None,
    progressbar: bool = True,
) -> VariationalPosterior:
    r"""Fit a Gaussian to the weights that stochastic gradient descent goes through around the mode.

    The first part of the steps goes to the posterior's mode, by Adam with a cosine schedule; the rest goes on at a
    constant rate. With the iterates :math:`\theta_i` of that trajectory, their mean, their variances :math:`s^2` and
    the deviations D of the last K of them from the mean,

    .. math::

        q(\theta) = \mathcal{N}\Bigl(\bar\theta, \; \tfrac12 \operatorname{diag}(s^2) + \tfrac{1}{2 (K - 1)} D D^\top
        \Bigr).

    It is a posterior of the family "low-rank", so that it draws, predicts, is stored and has an ELBO like any other.
    With restarts it is MultiSWAG, the mixture of their Gaussians.

    Parameters
    ----------
    model
        A model with continuous free variables, as for `companion.inference.fit`.
    steps
        Number of optimiser steps, of both parts together.
    batch_size
        Number of rows in one step, or a `Stream`; ``None`` takes all rows. The trajectory's width comes from the noise
        of the mini-batches: with all rows it comes to rest at the mode.
    restarts
        Number of trajectories from different starting points, vectorised.
    learning_rate
        Learning rate of Adam, on the way to the mode.
    trajectory
        Learning rate of the trajectory; a `Trajectory` also sets its share of the steps, its rank, and its optimiser.
    start, machine, checkpoint, seed, elbo_draws, progressbar
        Settings of `companion.inference.fit`, with the same meaning; a start's ``scale`` and ``map_steps`` have no
        part here.
    keep
        Restarts that the posterior is made of: a name of `Keep`.
    callback
        Function ``callback(step, state)``, called after every step of the trajectory; the state's posterior is the
        point that it is at.

    Returns
    -------
    VariationalPosterior
        Its record holds the losses of the trajectory and the ELBO of the Gaussian, which the trajectory did not
        maximise.

    Raises
    ------
    ModelError
        If a setting is out of range or doesn't fit the model, or the model can't be lowered to torch.
    InferenceError
        As for `companion.inference.fit`; and if it was stopped before there were two iterates.

    Examples
    --------
    >>> from companion import datasets
    >>> from companion.inference import swag
    >>> from companion.models import binary_classifier
    >>> model = binary_classifier(datasets.moons().train)
    >>> posterior = swag(model, 1000, batch_size=50, restarts=3, progressbar=False)
    >>> posterior.draw(100, seed=1)["w_in_1"].shape
    (100, 2, 5)

    Notes
    -----
    **Cost.** A step takes one gradient per trajectory, as for "map". Memory holds, for each value of each trajectory,
    three numbers of Adam, two for mean and variance, and one for each column of D, of which there are K.

    **When not to use it.** Not for a posterior whose scale matters: the width follows the rate and the size of the
    mini-batches as much as the posterior. The record's ELBO says how far off it is.

    **Sources.** Maddox et al. (2019), "A simple baseline for Bayesian uncertainty in deep learning"; Wilson and
    Izmailov (2020), "Bayesian deep learning and a probabilistic perspective of generalization", for the mixture. The
    authors take the deviations from the mean as it was at each iterate; here they are from the last mean, so that the
    covariance of as many iterates as the rank is theirs exactly.
    """
    begin, place, path = Start.of(start), machine_for(model, machine), Trajectory.of(trajectory)
    if isinstance(learning_rate, Rates):
        raise ModelError(
            "learning_rate is a Rates; expected a number, the rate on the way to the mode. That of the trajectory, and "
            "its optimiser, are trajectory=Trajectory(rate, optimiser=...)."
        )
    refuse_the_same(begin, whole("restarts", restarts, 1), f"swag and restarts={restarts}")
    to_mode, own, every = path.divided(whole("steps", steps, 1))
    common: dict[str, Any] = {
        "batch_size": batch_size, "restarts": restarts, "family": PointMass(), "estimator": "reparameterisation",
        "draws": 1, "start": Start(begin.at), "temperature": 1.0, "machine": place, "seed": seed,
    }  # fmt: skip
    walk = Settings.of(steps=to_mode, learning_rate=learning_rate, schedule="cosine", **common)
    rates = Rates(path.rate, path.rate, path.optimiser)
    settings = Settings.of(steps=own, learning_rate=rates, schedule="constant", **common)
    return carry_out(
        Plan(
            model, settings, PointMass(), begin, batch_size, place, choice(Keep, "keep", keep),
            Checkpoint.of(checkpoint), whole("elbo_draws", elbo_draws, 2), callback, progressbar, walk=walk,
            gathering=Gathering(path.rank, every),
        )
    )  # fmt: skip
