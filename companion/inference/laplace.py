"""The door to Laplace approximations of any continuous PyMC model.

Explained in `book/reference/how_a_fit_works`, section "Laplace".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pymc as pm
import torch

from companion.bridge import LogDensity
from companion.checks import whole
from companion.errors import InferenceError, ModelError
from companion.inference.engine import fit
from companion.laplace import Approximation, Choices, HeldPoint, LaplacePosterior, approximate, scales_named
from companion.machine import Machine, guard
from companion.posterior import FitState, VariationalPosterior
from companion.training import Checkpoint, Rates, Start, batches_for
from companion.variational import Layout, Objective, PointMass, elbo, rows_at_once

__all__ = ["laplace"]


def laplace(
    model: pm.Model | VariationalPosterior,
    steps: int = 10_000,
    *,
    structure: str = "full",
    curvature: str = "ggn",
    subset: str | Sequence[str] = "all",
    scales: str | Sequence[str] = "marginal",
    predictive: str = "linearised",
    polish: int = 200,
    tolerance: float = 0.25,
    batch_size: int | None = None,
    learning_rate: float | Rates = 0.01,
    start: str | Mapping[str, np.ndarray] | Start = "model",
    machine: str | torch.device | Machine = "auto",
    checkpoint: str | Path | Checkpoint | None = None,
    seed: int = 0,
    elbo_draws: int = 100,
    callback: Callable[[int, FitState], None] | None = None,
    progressbar: bool = True,
) -> LaplacePosterior:
    r"""Approximate the posterior of a PyMC model by a normal distribution around its mode.

    .. math::

        q(z) = \mathcal{N}(z^*, \Lambda^{-1}), \qquad
        z^* = \arg\max_z \log p(\mathcal{D}, z), \qquad
        \Lambda = C(z^*) - \nabla^2 \log p(z^*)

    in the unconstrained space, whose Jacobians are in the prior :math:`p(z)`. :math:`C` is minus the Hessian of the log
    likelihood, or the Gauss-Newton matrix. The mode is that of `fit` with ``family="map"``, closer by a few iterations
    of L-BFGS on all rows. The curvature is computed in double precision, whatever the fit's was.

    Parameters
    ----------
    model
        A model with continuous free variables; or the posterior of ``fit(model, family="map")``: then, of the settings
        of a fit below, `batch_size`, `seed` and `elbo_draws` alone are used.
    steps
        Number of steps of that fit.
    structure
        What is kept of the precision matrix: a name of `companion.inference.Structure`.
    curvature
        What stands for the likelihood's curvature: a name of `companion.inference.Curvature`. "ggn" is never negative.
        It is known for Bernoulli, Binomial, Categorical, Exponential, Laplace, LogNormal, Normal, Poisson and StudentT.
    subset
        Variables that are spread, "all" or "last-layer", or a list of their names; all others stay at the mode.
    scales
        What becomes of learned scales: variables that the priors of others depend on by more than their location. With
        "marginal" they stand at the maximum of the Laplace approximation of their own marginal density,
        :math:`\log p(\mathcal{D}, s)`, in the unconstrained space with its Jacobian, and everything else is
        approximated given them: the joint density of weights and a centred scale grows without bounds as both go to
        zero. With "joint" they are approximated together with everything else. A list of names sets other variables by
        their marginal density, such as the noise's scale.
    predictive
        How the posterior predicts: a name of `companion.inference.LaplacePredictive`. Both can be had later from each
        other, with ``predicting(...)``.
    polish
        Largest number of iterations of L-BFGS on all rows after the fit; 0 takes the fit's end as it is.
    tolerance
        Largest distance from the mode, in standard deviations, root mean square over the values.
    batch_size
        Number of rows in one step of the fit. With it, the curvature is summed over parts of the rows, which must not
        depend on each other; without it, all rows are in memory at once.
    learning_rate, start, machine, checkpoint, seed, callback, progressbar
        Settings of the fit; see `fit`.
    elbo_draws
        Number of draws that estimate the record's ELBO.

    Returns
    -------
    LaplacePosterior
        Its ``record.log_evidence`` is :math:`\log p(\mathcal{D}, z^*) + \frac{n}{2} \log 2\pi - \frac12 \log
        |\Lambda|`, the log density of the data and of what is held, where something is. It isn't a bound;
        ``record.elbo`` is the bound of the same normal distribution.

    Raises
    ------
    ModelError
        If a setting is out of range or doesn't fit the model; if the posterior isn't one of ``family="map"``, or is a
        mixture.
    InferenceError
        If the point isn't a mode: a gradient that is too large, or a curvature that isn't positive. Its ``posterior``
        is that of the fit. As `fit` otherwise.

    Examples
    --------
    >>> from companion import datasets
    >>> from companion.inference import laplace
    >>> from companion.models import binary_classifier
    >>> posterior = laplace(binary_classifier(datasets.moons().train), 500, progressbar=False)
    >>> posterior.linear_predictor([[0.0, 0.5]]).scale.shape
    (1,)

    Notes
    -----
    **Cost.** A step to the mode takes one gradient. Beyond the mode, for :math:`n` values and :math:`K` outputs of the
    network: "full" takes the smaller of :math:`n` and rows times :math:`K` products with a Jacobian over all rows
    (:math:`n` products with the Hessian), memory for :math:`n^2` numbers, and time :math:`n^3`; "kronecker" takes
    :math:`K` backward passes over all rows, and for each layer the squares of its inputs and of its outputs in memory;
    "diagonal" takes as much time as "full" up to 5,000 values and :math:`K` backward passes above, and memory for
    :math:`n` numbers. A linearised prediction costs about three forward passes for each draw, a sampled one one.

    **When not to use it.** The posterior around a mode is one of many that a network has, and Laplace sees that one
    alone; compare with `fit` over several restarts. Where the posterior is skewed, near the edge of a support or in a
    funnel, a normal distribution is a poor picture, and `LaplacePosterior.k_hat` says so. "sampled" with "ggn" predicts
    badly for networks with many more weights than rows: the matrix is that of a linear network, and "linearised"
    predicts with it. A model without observations gives the approximation of its prior.

    **Beside other libraries.** `laplace-torch` and `curvlinops` want a `torch.nn.Module`, a data loader, a likelihood
    of classification or regression, and one normal prior on all weights or on each layer. Here the model may be any of
    PyMC, with any prior, so neither is used underneath. On a network that both take, 3-5-3 with tanh and three
    classes, `laplace-torch` 0.3 gives the same evidence and the same standard deviations of the logits, to 12 digits,
    with the whole matrix, the diagonal, and Kronecker factors of layers without a bias. It keeps a block of its own for
    a bias, which here belongs to its layer. ``benchmarks/bench_laplace.py`` compares the two.

    **Sources.** MacKay (1992), "A Practical Bayesian Framework for Backpropagation Networks"; Ritter et al. (2018), "A
    Scalable Laplace Approximation for Neural Networks"; Immer et al. (2021), "Improving Predictions of Bayesian Neural
    Nets via Local Linearization" and "Scalable Marginal Likelihood Estimation for Model Selection in Deep Learning";
    Daxberger et al. (2021), "Laplace Redux".
    """
    choices = Choices(structure, curvature, subset, scales, predictive, polish, tolerance)
    draws = whole("elbo_draws", elbo_draws, 2)
    if isinstance(model, VariationalPosterior):
        point, built = _of_a_mode(model), model.model
    else:
        built = model
        family = _point_for(model, choices.scales)
        point = fit(
            model, steps, family=family, batch_size=batch_size, learning_rate=learning_rate, start=start,
            machine=machine, checkpoint=checkpoint, seed=seed, elbo_draws=2, callback=callback, progressbar=progressbar,
        )  # fmt: skip
    began = time.perf_counter()
    with guard(), torch.no_grad():
        density = _in_double_precision(point)
        batches, rows = batches_for(density, _rows_at_once(point, batch_size), None, seed, 0, 1, 0)
        _check_rows(point, rows)
        objective = Objective(density, PointMass(), rows=rows)
        mode = point.own_parameters("a Laplace approximation")["mean"].to(density.device, torch.float64)
        try:
            found = approximate(built, objective, batches, mode, choices)
        except InferenceError as error:
            raise InferenceError(str(error), point) from error
        objective = replace(objective, family=found.family)
        most = rows_at_once(objective, found.parameters, batches.parts)
        bound = elbo(objective, found.parameters, batches.parts(most), draws, seed)
    record = replace(
        point.record,
        method=choices.described,
        settings=_settings(point, choices, found, seed),
        bounds=np.array([bound]),
        losses=point.record.history[:, None],
        weights=np.ones(1),
        seconds=point.record.seconds + time.perf_counter() - began,
        device=str(density.device),
        precision="float64",
        log_evidence=found.log_evidence,
        drifting=None,  # the steps to the mode ended before it was polished
    )
    return LaplacePosterior(built, objective, batches, {n: p[None] for n, p in found.parameters.items()}, record)


def _of_a_mode(posterior: VariationalPosterior) -> VariationalPosterior:
    """Refuse what isn't one mode."""
    if not isinstance(posterior.objective.family, PointMass):
        raise ModelError(
            f"the posterior is of the family {posterior.objective.family.name!r}; expected a mode, as "
            "fit(model, family='map') finds it, or the model itself."
        )
    posterior.own_parameters("a Laplace approximation")
    return posterior


def _point_for(model: pm.Model, scales: str | Sequence[str]) -> PointMass:
    """Choose the family that finds the mode: with the scales where they start, if they are set by their evidence."""
    if not isinstance(model, pm.Model):
        raise ModelError(
            f"model is a {type(model).__name__}; expected a pymc.Model, or the posterior of fit(model, family='map')."
        )
    names = scales_named(model, scales)
    if not names:
        return PointMass()
    return HeldPoint.of(Layout.of(model.initial_point()), names)


def _in_double_precision(point: VariationalPosterior) -> LogDensity:
    """Lower the fit's model again, unless it was in double precision."""
    density = point.objective.density
    return density if density.dtype == torch.float64 else density.to(torch.float64, density.device)


def _rows_at_once(point: VariationalPosterior, batch_size: int | None) -> int | None:
    """Say whether the rows may be taken in parts: where the fit took mini-batches, they don't depend on each other."""
    return point.record.settings.get("batch_size") if batch_size is None else batch_size


def _check_rows(point: VariationalPosterior, rows: int | None) -> None:
    """Refuse a fit whose rows the model doesn't hold."""
    if point.objective.rows != rows:
        raise ModelError(
            f"the mode was fitted to {point.objective.rows or 0:,} rows, and the model holds {rows or 0:,}: the "
            "curvature needs them all. Fit a model that holds all rows, without a Stream."
        )


def _settings(point: VariationalPosterior, choices: Choices, found: Approximation, seed: int) -> dict[str, object]:
    """Say what was asked for, and what came of it."""
    fitted = {
        name: value for name, value in point.record.settings.items() if name not in ("family", "estimator", "draws")
    }
    held = {"scales_found": list(found.scales), "distance": found.distance}
    return {**fitted, "family": found.family.name, "seed": seed, **choices.as_json(), **held}
