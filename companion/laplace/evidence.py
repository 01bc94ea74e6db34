r"""The Laplace approximation of the evidence, and scales at its maximum.

.. math::

    \log p(\mathcal{D}, s) \approx \log p(\mathcal{D}, w^*_s, s) + \tfrac{n}{2} \log 2\pi - \tfrac12 \log |\Lambda_s|

for values :math:`s` that are held, with :math:`w^*_s` the mode of the :math:`n` others and :math:`\Lambda_s` the
precision there. Without such values it is the log evidence. MacKay (1992), "A Practical Bayesian Framework for
Backpropagation Networks"; Immer et al. (2021), "Scalable Marginal Likelihood Estimation for Model Selection in Deep
Learning". Explained in `book/reference/how_a_fit_works`, section "Laplace".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from scipy.optimize import minimize

from companion.errors import InferenceError, ModelError
from companion.laplace.derivatives import gradient
from companion.laplace.mode import polished
from companion.laplace.options import Curvature, Structure
from companion.laplace.precision import Likelihood, likelihood_of, log_determinants, whole_precision
from companion.laplace.target import Target

__all__ = ["log_evidence_with_gradient", "scales_at_the_maximum"]

_ROUNDS = 20
_SETTLED = 0.01  # in the logarithm of a scale
_FEW = 50  # iterations towards the mode in one round, which begins near it


def log_evidence_with_gradient(
    target: Target, scales: tuple[str, ...], curvature: Curvature
) -> tuple[float, torch.Tensor]:
    r"""Compute the log evidence at held values, and its gradient by them, with the whole precision matrix.

    The mode moves with the held values: :math:`\mathrm{d} w^* / \mathrm{d} s = \Lambda^{-1} \partial_s \nabla_w \log
    p`. The gradient is exact for the Hessian, and for the Gauss-Newton matrix as far as the two agree.

    Parameters
    ----------
    target
        The log density at its mode given the held values.
    scales
        Names of the held values that it is differentiated by.
    curvature
        What stands for the likelihood's curvature.

    Returns
    -------
    float, torch.Tensor
        The log evidence in nats, and its gradient (scales,).

    Raises
    ------
    InferenceError
        If the curvature isn't positive.
    """
    at, s = _with_leaves(target, scales)
    with torch.enable_grad():
        w = target.start.detach().requires_grad_()
        density = at.log_density(w)
        precision = whole_precision(at, w, curvature)
        lower, failed = torch.linalg.cholesky_ex(precision)
        if int(failed):
            raise InferenceError(
                "the curvature isn't positive in every direction where the scales are looked for, so that point isn't "
                "a mode. Use curvature='ggn'."
            )
        value = density + 0.5 * len(w) * math.log(2 * math.pi) - lower.diagonal().log().sum()
        by_w, by_s = torch.autograd.grad(value, [w, s], retain_graph=True, allow_unused=True, materialize_grads=True)
        moved = torch.cholesky_solve(by_w[:, None], lower.detach())[:, 0]
        by_mode = gradient(gradient(density, w) @ moved, s)
    return float(value.detach()), (by_s + by_mode).detach()


def scales_at_the_maximum(
    target: Target, scales: tuple[str, ...], structure: Structure, curvature: Curvature, iterations: int
) -> torch.Tensor:
    """Find the held values with the largest evidence, and the mode given them.

    In rounds of three parts: the mode, the curvature of the likelihood there, and the maximum over the held values with
    both as they are, until the held values stay. With the whole precision matrix, or where the likelihood itself reads
    a held value, a search follows that finds the mode anew for each of its steps and knows how it moves.

    Parameters
    ----------
    target
        The log density, with the held values where the search starts.
    scales
        Names of the held values.
    structure, curvature
        Precision matrix of the approximation.
    iterations
        Largest number of iterations towards each mode.

    Returns
    -------
    torch.Tensor
        All values, (size,).

    Raises
    ------
    ModelError
        If the likelihood reads a held value itself, and the structure isn't full.
    InferenceError
        If the evidence isn't finite where the search starts, or grows without end.
    """
    named = _read_by_likelihood(target, scales)
    if named and structure != Structure.FULL:
        raise ModelError(
            f"the likelihood itself reads {named}, whose marginal density needs structure='full'. A prior of centred "
            "scales, as LearnedScale(centred=True), is read by priors alone; or take scales='joint'."
        )
    if not named:
        target = _in_rounds(target, scales, structure, curvature, iterations)
    if structure == Structure.FULL:
        target = _together(target, scales, curvature, iterations)
    return target.whole(polished(target, iterations))


def _together(target: Target, scales: tuple[str, ...], curvature: Curvature, iterations: int) -> Target:
    """Search over the held values, with the mode found anew for each."""
    best: list[tuple[float, torch.Tensor]] = []  # the last is the best so far, and where the next mode is looked for

    def minus(s: np.ndarray) -> tuple[float, np.ndarray]:
        start = best[-1][1] if best else target.mode
        here = _at(dataclasses.replace(target, mode=start), scales, torch.as_tensor(s))
        here = dataclasses.replace(here, mode=here.whole(polished(here, iterations)))
        value, slope = log_evidence_with_gradient(here, scales, curvature)
        if math.isfinite(value) and (not best or value > best[-1][0]):
            best.append((value, here.mode))
        return -value, -slope.cpu().numpy()

    _maximise(minus, target, scales)
    return dataclasses.replace(target, mode=best[-1][1])


def _in_rounds(
    target: Target, scales: tuple[str, ...], structure: Structure, curvature: Curvature, iterations: int
) -> Target:
    """Take the mode and the curvature there in turns with the held values."""
    factor, last = np.ones(1), None
    for _ in range(_ROUNDS):
        w = polished(target, min(iterations, _FEW))
        target = dataclasses.replace(target, mode=target.whole(w))
        likelihood = likelihood_of(target, w, structure, curvature)
        before = _values_of(target, scales)
        after = _maximise(partial(_of_prior, target, scales, likelihood), target, scales)
        away = after - before
        if last is not None:  # where w follows the scales, rounds come near slowly: a secant through the last two
            factor = np.clip(factor / np.maximum(1 - away / np.where(last == 0, np.inf, last), 0.1), 0.5, 4.0)
        target, last = _at(target, scales, torch.as_tensor(before + factor * away)), away
        if np.abs(away).max() < _SETTLED:
            break
    return target


def _of_prior(
    target: Target, scales: tuple[str, ...], likelihood: Likelihood, s: np.ndarray
) -> tuple[float, np.ndarray]:
    """Compute minus the log evidence where only the prior depends on the held values, and its gradient."""
    at, leaf = _with_leaves(_at(target, scales, torch.as_tensor(s)), scales)
    with torch.enable_grad():
        w = target.start.detach().requires_grad_()
        value = at.density.prior(at.values(w)) - 0.5 * log_determinants(at, w, likelihood)
        slope = gradient(value, leaf)
    return -float(value.detach()), -slope.detach().cpu().numpy()


def _maximise(
    minus: Callable[[np.ndarray], tuple[float, np.ndarray]], target: Target, scales: tuple[str, ...]
) -> np.ndarray:
    """Search by L-BFGS, and refuse an evidence without a maximum."""
    start = _values_of(target, scales)
    found = minimize(minus, start, jac=True, method="L-BFGS-B", options={"maxiter": 100, "gtol": 1e-6})
    if not np.isfinite(found.x).all() or not math.isfinite(found.fun):
        raise InferenceError(
            f"the evidence isn't finite on the way to its maximum over {list(scales)}. Give the scales a prior that "
            "keeps them from zero and from infinity, or take scales='joint'."
        )
    return found.x


# --- held values ------------------------------------------------------------------------------------------


def _values_of(target: Target, scales: tuple[str, ...]) -> np.ndarray:
    own = target.objective.layout.split(target.mode)
    return torch.cat([own[name].reshape(-1) for name in scales]).detach().cpu().numpy()


def _at(target: Target, scales: tuple[str, ...], s: torch.Tensor) -> Target:
    """Put other held values in."""
    layout = target.objective.layout
    own = layout.split(target.mode)
    sizes = [own[name].numel() for name in scales]
    parts = s.to(target.mode).split(sizes)
    own |= {name: part.reshape(own[name].shape) for name, part in zip(scales, parts, strict=True)}
    return dataclasses.replace(target, mode=torch.cat([own[name].reshape(-1) for name in layout.names]))


def _with_leaves(target: Target, scales: tuple[str, ...]) -> tuple[Target, torch.Tensor]:
    """Make the held values a leaf that the log density can be differentiated by."""
    leaf = torch.as_tensor(_values_of(target, scales)).to(target.mode).requires_grad_()
    with torch.enable_grad():
        return _at(dataclasses.replace(target, mode=target.mode.detach()), scales, leaf), leaf


def _read_by_likelihood(target: Target, scales: tuple[str, ...]) -> list[str]:
    """Name the held values that the likelihood reads itself, and not through priors."""
    at, _ = _with_leaves(target, scales)
    for number, data in at.parts():
        values = at.values(target.start.detach())
        with torch.enable_grad():
            values = {name: v.detach().requires_grad_(name in scales) for name, v in values.items()}
            found = at.likelihood(values, number, data)
        if not found.requires_grad:
            return []
        slopes = torch.autograd.grad(found, [values[name] for name in scales], allow_unused=True)
        return [name for name, slope in zip(scales, slopes, strict=True) if slope is not None]
    return []
