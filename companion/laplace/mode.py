"""The mode: the last steps towards it, on all rows, and how far a point is from it.

Explained in `book/reference/how_a_fit_works`, section "Laplace".
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import minimize

from companion.errors import InferenceError
from companion.laplace.blocks import NormalBlocks
from companion.laplace.target import Target
from companion.variational import Parameters

__all__ = ["check_mode", "polished"]


def polished(target: Target, iterations: int) -> torch.Tensor:
    """Walk towards the mode by L-BFGS, in the values that vary and on all rows.

    Parameters
    ----------
    target
        The log density; the walk starts where its values are.
    iterations
        Largest number of iterations, each of one or a few gradients over all rows.

    Returns
    -------
    torch.Tensor
        The values that vary, (free,).

    Raises
    ------
    InferenceError
        If the log density isn't finite where it starts.
    """
    start = target.start.detach()
    value, _ = target.with_gradient(start)
    if not math.isfinite(value):
        raise InferenceError(
            f"the log density is {value} where the search for the mode starts; expected a finite one. Check the data "
            "for NaN, or give another start."
        )
    if not iterations:
        return start

    def minus(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = target.with_gradient(torch.as_tensor(flat).to(start))
        if not math.isfinite(value):
            return math.inf, np.zeros_like(flat)
        return -value, -slope.cpu().numpy()

    settings = {"maxiter": iterations, "maxfun": 4 * iterations, "gtol": 1e-7, "ftol": 1e-13}
    found = minimize(minus, start.cpu().numpy(), jac=True, method="L-BFGS-B", options=settings)
    return torch.as_tensor(found.x).to(start)


def check_mode(
    target: Target, flat: torch.Tensor, family: NormalBlocks, parameters: Parameters, tolerance: float
) -> float:
    r"""Refuse a point that isn't a mode.

    The distance is that of one Newton step, in standard deviations of the approximation: :math:`\sqrt{g^\top \Sigma g /
    n}`, a root mean square over the :math:`n` values that vary.

    Returns
    -------
    float
        The distance.

    Raises
    ------
    InferenceError
        If it is larger than the tolerance.
    """
    _, slope = target.with_gradient(flat)
    where = target.layout.split(slope)
    whole = torch.cat(
        [
            where.get(name, torch.zeros_like(v)).reshape(-1)
            for name, v in family.layout.split(parameters["mean"]).items()
        ]
    )
    noise = torch.zeros(family.spread, dtype=flat.dtype, device=flat.device)
    found = torch.func.vjp(lambda e: family.draw(parameters, e), noise)
    [away] = found[1](whole)
    distance = float((away.square().sum() / len(away)).sqrt())
    if not distance <= tolerance:
        steepest = target.layout.name_at(int((slope.abs() * _deviations(target, family, parameters)).argmax()))
        raise InferenceError(
            f"this point isn't a mode: a Newton step would move the values by {distance:.3g} standard deviations (root "
            f"mean square), most of all {steepest!r}; expected at most {tolerance:g}. Find the mode first, with more "
            "steps of fit(model, steps, family='map') or a larger polish=. A network with kinks, of ReLUs, may have "
            "its highest point on one, where no gradient vanishes: then raise tolerance=, or take tanh."
        )
    return distance


def _deviations(target: Target, family: NormalBlocks, parameters: Parameters) -> torch.Tensor:
    """Take the standard deviations of the values that vary, (free,)."""
    every = family.layout.split(family.variance(parameters).sqrt())
    return torch.cat([every[name].reshape(-1) for name in target.free])
