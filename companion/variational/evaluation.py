"""The ELBO of a fitted approximation: on all rows, at full weight, with its standard error.

Explained in `book/reference/how_a_fit_works`, section "The record".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch

from companion.bridge import vectorised
from companion.machine import BUDGET_BYTES, Work, generator_for, slices
from companion.variational.estimators import Estimator
from companion.variational.families import Parameters
from companion.variational.objective import Objective

__all__ = ["divergence", "elbo", "log_weights", "rows_at_once", "shares", "standard_noise"]

Data = Mapping[str, torch.Tensor]

_MOST = 20_000  # rows

# Numbers that draws which are computed side by side may bring together: their values, as often as a density copies
# them, and the data. With fewer draws than a few at once, a call costs little beside its work.
_NUMBERS, _COPIES, _FEW = 2**21, 8, 4


def standard_noise(objective: Objective, seed: int, purpose: str, number: int) -> torch.Tensor:
    """Make the standard normal noise (noise,) of one draw, which depends on the draw's number and not on the others."""
    size = objective.family.noise(objective.layout.size)
    device, dtype = objective.density.device, objective.density.dtype
    generator = generator_for(device, seed, purpose, number)
    return torch.randn(size, device=device, dtype=dtype, generator=generator)


def rows_at_once(objective: Objective, parameters: Parameters, parts: Callable[[int], Iterable[Data]]) -> int:
    """Say how many rows of the data fit into the memory of an evaluation, by what a few rows compute.

    Parameters
    ----------
    objective
        The objective that was minimised.
    parameters
        Parameters of one restart.
    parts
        Function that gives all rows, at most so many at a time.

    Returns
    -------
    int
        Number of rows, at most 20,000. A model whose rows can't be told apart is evaluated on all of them at once.
    """
    named = next((o.rows for o in objective.density.observed if o.rows is not None), None)
    if objective.rows is None or named is None:
        return _MOST
    draw = objective.layout.split(_drawn(objective, parameters, 1, 0)[0])
    rows, computed = [], []
    for count in (16, 32):  # the difference is what rows cost; the rest is what the weights do
        few = next(iter(parts(count)))
        with torch.no_grad(), Work() as counted, objective.autocast():
            objective.density.likelihoods(draw, few)
        rows.append(len(few[named]))
        computed.append(counted.computed_bytes)
    if rows[1] == rows[0]:
        return _MOST
    for_each = (computed[1] - computed[0]) / (rows[1] - rows[0])
    return int(min(_MOST, max(1, BUDGET_BYTES / max(1, for_each))))


def elbo(
    objective: Objective, parameters: Parameters, parts: Iterable[Data], draws: int, seed: int
) -> tuple[float, float]:
    """Estimate one approximation's ELBO and its standard error, in nats.

    Parameters
    ----------
    objective
        The objective that was minimised. Temperature and warm-up have no part here.
    parameters
        Parameters of one restart.
    parts
        All rows, some at a time.
    draws
        Number of draws from the approximation, at least 2; the error falls with their square root.
    seed
        Seed of the draws.

    Returns
    -------
    float, float
        The bound and its standard error; minus infinity and NaN where a draw has no finite density.
    """
    draws = draws if objective.noise_size else 1  # those of a point are all the same
    with torch.no_grad():
        flat = _drawn(objective, parameters, draws, seed)
        likelihood = _log_likelihoods(objective, flat, parts)
        # Both estimates are unbiased: the closed form varies less for wide networks, the other one where q fits well.
        estimates = [
            likelihood - _costs(objective, parameters, estimator, flat)
            for estimator in (Estimator.REPARAMETERISATION, Estimator.STICKING_THE_LANDING)
        ]
    finite = [e for e in estimates if np.isfinite(e).all()]
    if not finite:
        return -np.inf, np.nan
    steadier = min(finite, key=np.std)
    error = steadier.std(ddof=1) / np.sqrt(draws) if draws > 1 else 0.0
    return float(steadier.mean()), float(error)


def divergence(objective: Objective, parameters: Parameters, draws: int, seed: int) -> tuple[float, float]:
    r"""Compute one approximation's divergence :math:`\mathrm{KL}(q \,\|\, p)` from its prior, in nats.

    Parameters
    ----------
    objective
        The objective that was minimised. Temperature and warm-up have no part here.
    parameters
        Parameters of one restart.
    draws
        Number of draws from the approximation, at least 2, over which what has no closed form is averaged.
    seed
        Seed of the draws.

    Returns
    -------
    float, float
        The divergence and its standard error, which is 0 where all of it has a closed form.
    """
    with torch.no_grad():
        flat = _drawn(objective, parameters, draws, seed)
        found = _costs(objective, parameters, Estimator.REPARAMETERISATION, flat)
    return float(found.mean()), float(found.std(ddof=1) / np.sqrt(draws))


def _drawn(objective: Objective, parameters: Parameters, draws: int, seed: int) -> list[torch.Tensor]:
    """Draw unconstrained values from an approximation."""
    return [objective.family.draw(parameters, standard_noise(objective, seed, "elbo", i)) for i in range(draws)]


def _costs(objective: Objective, parameters: Parameters, estimator: Estimator, flat: list[torch.Tensor]) -> np.ndarray:
    """Estimate the divergence from the prior at each draw, (draws,), in nats."""
    exact = dataclasses.replace(objective, estimator=estimator)
    kl = _at_each(lambda draw, _: torch.as_tensor(exact.kl(parameters, draw, exact.layout.split(draw))).reshape(()))
    return kl(flat, {})


def _at_each(
    function: Callable[[torch.Tensor, Data], torch.Tensor],
) -> Callable[[list[torch.Tensor], Data], np.ndarray]:
    """Make a function of a draw and data one of many draws, (draws, ...), which are taken side by side where small."""
    batched = vectorised(function, (0, None), quiet=True)

    def every(draws: list[torch.Tensor], data: Data) -> np.ndarray:
        numbers = _COPIES * draws[0].numel() + sum(t.numel() for t in data.values())
        at_once = _NUMBERS // max(1, numbers)
        if len(draws) == 1 or at_once < _FEW:
            found = [function(draw, data)[None] for draw in draws]
        else:
            found = [batched(torch.stack(draws[at]), data) for at in slices(len(draws), at_once)]
        return torch.cat(found).cpu().double().numpy()

    return every


def log_weights(
    objective: Objective, parameters: Parameters, parts: Iterable[Data], draws: int, seed: int
) -> np.ndarray:
    """Compute log p(data, values) - log q(values) at draws from q, (draws,): the log weights of importance sampling.

    Scales that the family estimates count as constants.
    """
    density, family = objective.density, objective.family
    with torch.no_grad():
        flat = [family.draw(parameters, standard_noise(objective, seed, "weights", i)) for i in range(draws)]
        ratio = _at_each(
            lambda draw, _: torch.as_tensor(
                density.prior(objective.layout.split(draw))
                - family.log_prob(parameters, draw)
                + objective.uncounted(parameters, draw)
            ).reshape(())
        )(flat, {})
        weights: np.ndarray = ratio + _log_likelihoods(objective, flat, parts)
    return weights


def _log_likelihoods(objective: Objective, flat: list[torch.Tensor], parts: Iterable[Data]) -> np.ndarray:
    """Sum the log likelihood of each draw over all rows, (draws,)."""
    total = np.zeros(len(flat))

    def likelihoods(draw: torch.Tensor, data: Data) -> torch.Tensor:
        found = objective.density.likelihoods(objective.layout.split(draw), data)
        return torch.stack([torch.as_tensor(logp) for logp in found.values()])

    every = _at_each(likelihoods)
    for number, data in enumerate(parts):
        counts = np.array(list(shares(objective, data, number).values()))
        if counts.any():
            with objective.autocast():
                total += every(flat, data)[:, counts > 0] @ counts[counts > 0]
    return total


def shares(objective: Objective, data: Data, number: int) -> dict[str, float]:
    """Say how often the likelihood of each observed variable counts in a sum over parts of all rows.

    Parameters
    ----------
    objective
        The objective whose lowered model computes it.
    data
        Rows of the part.
    number
        Number of the part, from 0.
    """
    # The density of a variable with total_size is scaled up to all rows; one without rows is in every part.
    found = {o.name: 1.0 for o in objective.density.observed}
    for o in objective.density.observed:
        if o.rows is None:
            found[o.name] = float(number == 0)
        elif o.scaled and objective.rows is not None:
            found[o.name] = len(data[o.rows]) / objective.rows
    return found
