"""Automatic differentiation variational inference with PyMC: as PyMC does it.

Explained in the chapter `book/pymc/moons`, sections "Mini-batch ADVI" and "Start, optimiser, rate or steps?". The
algorithm is that of Kucukelbir et al. (2017), "Automatic Differentiation Variational Inference", as PyMC implements it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pymc as pm
from pytensor.graph.traversal import ancestors

from companion import moved
from companion.bridge import check_continuous, check_model
from companion.checks import positive, whole
from companion.errors import ModelError, first_line
from companion.logs import held_back
from companion.posterior import ApproximationPosterior, Posterior
from companion.training import no_rows

__all__ = ["best_fit", "fit_advi"]

P = TypeVar("P", bound=Posterior)


def __getattr__(name: str) -> Any:
    """Give a name that moved to another module, with a warning."""
    return moved.moved_name("companion.inference.advi", name)


def fit_advi(
    model: pm.Model,
    steps: int = 30_000,
    *,
    optimizer: Any = None,
    seed: int = 0,
    full_model: pm.Model | None = None,
    start_scale: float | None = None,
    callbacks: Sequence[Any] = (),
    elbo_draws: int = 2000,
) -> ApproximationPosterior:
    r"""Fit a mean-field Gaussian to a model's posterior by ADVI.

    PyMC follows an estimate of the gradient of the ELBO

    .. math::

        \mathbb{E}_q[\log p(\mathcal{D}, \theta) - \log q(\theta)], \qquad
        q(\theta) = \prod_i \mathcal{N}\bigl(\theta_i \mid \mu_i, \log^2(1 + e^{\rho_i})\bigr),

    by one draw in each step, in the unconstrained space.

    Parameters
    ----------
    model
        Model to fit; on mini-batches if it was built on them.
    steps
        Number of optimiser steps, one posterior draw each. PyMC's own number, and the original's: its default
        optimiser is slower than Adam, which `companion.inference.fit` takes with 10,000.
    optimizer
        Optimiser of `pymc`, for example ``pm.adam(learning_rate=0.01)``; ``None`` is PyMC's default,
        ``pm.adagrad_window``, which the original used.
    seed
        Seed of the draws.
    full_model
        Same model with all rows, to compute the ELBO and to predict with, where `model` sees mini-batches.
    start_scale
        Standard deviation of every value at the start; ``None`` is PyMC's own, about 0.7.
    callbacks
        Functions called after each step, as `pymc.fit` does: `companion.inference.feed`, or those of `pymc.callbacks`.
        One that raises ``StopIteration`` ends the fit, which keeps what it has.
    elbo_draws
        Number of draws that estimate ``record.elbo``. More than in `companion.inference.fit`, where the KL divergence
        is in closed form and a draw says more.

    Returns
    -------
    ApproximationPosterior
        Its record holds the ELBO on all rows and the history; PyMC's own history, which is of one batch where there
        are mini-batches, is ``approximation.hist``.

    Raises
    ------
    ModelError
        If the model has no free variables or discrete ones, its data have no rows, `steps` or `elbo_draws` is too
        small, `start_scale` isn't positive, or the loss became NaN.

    Notes
    -----
    **Cost.** A step takes one gradient. Memory holds two parameters for each value, and ten squared gradients of each
    with PyMC's default optimiser: 22 numbers per value. The record's ELBO takes `elbo_draws` evaluations of the log
    density.

    **When not to use it.** Use `companion.inference.fit` for work of your own: it fits the same family with several
    restarts side by side, on a GPU as well, and takes the KL divergence in closed form, where ADVI estimates it. This
    one is here to repeat what PyMC does.

    **Sources.** Kucukelbir et al. (2017), "Automatic differentiation variational inference".
    """
    check_model(model)
    check_continuous(model)
    _check_rows(model)
    whole("steps", steps, 1)
    whole("elbo_draws", elbo_draws, 2)
    if start_scale is not None:
        positive("start_scale", start_scale, "such as 0.05, or None")
    deviations = None if start_scale is None else {value.name: start_scale for value in model.value_vars}
    settings = {} if optimizer is None else {"obj_optimizer": optimizer}
    with model:
        inference = pm.ADVI(random_seed=seed, start_sigma=deviations)
        try:
            with held_back(logging.getLogger("pymc.variational.inference")):  # the `Fit` carries the mean loss
                # compiles, so that the clock sees the steps alone
                inference.fit(1, callbacks=list(callbacks), progressbar=False, **settings)
                start = time.perf_counter()
                if steps > 1:
                    inference.refine(steps - 1, progressbar=False)
                seconds = time.perf_counter() - start
        except FloatingPointError as error:
            raise ModelError(
                f"the loss became NaN within {steps} steps ({first_line(error)}). "
                "Lower the learning rate, or scale the inputs to unit variance."
            ) from error
    inference.approx.hist = np.asarray(inference.hist)  # PyMC leaves there what came before `refine`
    posterior = ApproximationPosterior(inference.approx, model if full_model is None else full_model)
    posterior.record = replace(
        posterior.record,
        method="ADVI",
        settings={"steps": steps, "optimizer": optimizer, "seed": seed, "start_scale": start_scale},
        bounds=np.array([_elbo(posterior, elbo_draws, seed)]),
        seconds=seconds,
    )
    return posterior


def _check_rows(model: pm.Model) -> None:
    """Refuse observations of data that have no rows."""
    observed = set(ancestors([model.rvs_to_values[rv] for rv in model.observed_RVs]))
    held = {str(v.name): v.get_value(borrow=True).shape for v in model.data_vars if v in observed}
    if empty := [name for name, shape in held.items() if shape[:1] == (0,)]:
        raise no_rows(empty)


def best_fit(fits: Sequence[P]) -> P:
    """Choose the posterior with the highest ELBO: the tightest bound on the evidence, and no look at test data.

    Raises
    ------
    ModelError
        If there is none to choose from.
    """
    if not fits:
        raise ModelError("no fits to choose from; expected at least one.")
    return max(fits, key=lambda fit: fit.record.elbo)


def _elbo(posterior: ApproximationPosterior, draws: int, seed: int) -> tuple[float, float]:
    """Estimate the ELBO at fixed parameters: the mean of log p(y, w) - log q(w) over draws of w, in nats."""
    approximation = posterior.approximation
    mean = approximation.mean.eval()
    std = approximation.std.eval()
    noise = np.random.default_rng(seed).normal(size=(draws, len(mean)))
    log_q = (-0.5 * noise**2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum(axis=1)
    log_p = posterior.model.compile_logp()
    layout = approximation.groups[0].ordering.values()  # (name, slice, shape, dtype) in the fitted model's flat vector
    weights = mean + std * noise
    terms = [log_p({name: w[at].reshape(shape) for name, at, shape, _ in layout}) for w in weights] - log_q
    return float(terms.mean()), float(terms.std(ddof=1) / np.sqrt(draws))
