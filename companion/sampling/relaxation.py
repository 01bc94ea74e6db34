r"""How long a chain of mini-batches is in units of its own memory, and what the noise of mini-batches does to it.

A chain that is shorter than a few relaxation times has not left its start, however good its predictions look: the start
was a good fit already. Both questions are answered before the first draw, from a few gradients at the end of the
warm-up. Explained in `book/reference/how_a_fit_works`, section "Samplers of mini-batches".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy import stats

from companion.errors import notice
from companion.sampling.kernel import Problem, State
from companion.sampling.preconditioning import Preconditioner, Scaling
from companion.sampling.stochastic_gradient import StochasticGradient
from companion.variational import Layout, Objective

__all__ = ["Outlook", "left_of_noise", "outlook", "prior_precisions", "warn_ahead", "warn_of"]

GRADIENTS = 16
SLOWEST = 0.01
ENOUGH = 10
HOT = 0.5


@dataclass(frozen=True)
class Outlook:
    """What is known of a chain before its first draw.

    Attributes
    ----------
    relaxation
        Number of steps in which the slowest hundredth of the values forget where they began, by a factor of e. It is a
        lower bound where values depend on each other; NaN where no value has a normal prior.
    entry
        Place of one of these values in the flat vector.
    heating
        Share by which the noise of mini-batches raises the temperature of each value (size,). A mean over all values
        would hide a small layer that is hot.
    """

    relaxation: float
    entry: int
    heating: torch.Tensor


def outlook(
    sampler: StochasticGradient,
    problem: Problem,
    position: torch.Tensor,
    precisions: torch.Tensor,
    factors: torch.Tensor | None = None,
) -> Outlook | None:
    r"""Estimate relaxation time and heating from the gradients of a few mini-batches.

    The curvature of the mean loss per row along value :math:`i` is taken as

    .. math::

        \lambda_i = \frac{1}{N s_i^2} + B \operatorname{Var}(\hat g_i),

    the prior's plus the empirical Fisher information of one row, which is the variance of a row's gradient, and so that
    of the mean of :math:`B` rows times :math:`B`. A value that the data say nothing about has the prior's alone. Where
    epochs deal every row once, what is left of the heat is that of `left_of_noise`, once for the position's memory and
    once for the momentum's, taken as a fourth of one over the friction: within 60 % of the heat of simulated parabolas,
    in epochs of 5 to 200 batches.

    Parameters
    ----------
    sampler
        Settings of the sampler.
    problem
        Posterior that is sampled, as the kernels see it.
    position
        Positions of the chains, (chains, size), such as those at the end of the warm-up.
    precisions
        One over the variance of each value's prior (size,); NaN where the prior is not normal.
    factors
        Factors of the step size (chains, size), as the preconditioner has them now; ``None`` without one, or where it
        has learned nothing yet.

    Returns
    -------
    Outlook or None
        None where steps see all rows: there is nothing to tell the gradients of rows apart.
    """
    if problem.batch_size is None or problem.rows is None or problem.batch_size >= problem.rows:
        return None
    total, squares = torch.zeros_like(position), torch.zeros_like(position)
    for step in range(GRADIENTS):
        gradient = problem.gradient(position, step)[1] / problem.rows
        total.add_(gradient)
        squares.addcmul_(gradient, gradient)
    variance = (squares - total.square() / GRADIENTS).div_(GRADIENTS - 1).clamp_(min=0)
    if factors is None:
        factors = Scaling(Preconditioner(sampler.preconditioner), 0).factors(squares / GRADIENTS)
    per_row = variance * (problem.batch_size / (1 - problem.batch_size / problem.rows))
    of_prior = precisions.to(position)
    slope = _middle(factors * (per_row + of_prior / problem.rows))
    sizes, epoch = sampler.step_sizes(problem), problem.rows / problem.batch_size
    heat = _middle(sampler.heating(1.0) * sizes.kept_mean * problem.rows / sampler.temperature * factors * variance)
    if not sampler.independent_rows:
        least_slope = _middle(factors * (per_row + of_prior.nan_to_num() / problem.rows))
        heat = heat * left_of_noise(sizes.kept_mean * sampler.mobility * least_slope * epoch)
        heat = heat * left_of_noise(torch.tensor(4 * sampler.lost_momentum * epoch))
    known = slope.isfinite().nonzero()[:, 0]
    if not len(known):
        return Outlook(math.nan, 0, heat)
    slow, place = slope[known].kthvalue(max(1, int(SLOWEST * len(known))))
    return Outlook(sampler.relaxation(float(slow), sizes.mean), int(known[place]), heat)


def _middle(of_chains: torch.Tensor) -> torch.Tensor:
    """Return the median over chains (chains, size) that are not lost; one that runs away is only one of them."""
    return of_chains.nanmedian(dim=0).values


def left_of_noise(epoch: torch.Tensor) -> torch.Tensor:
    r"""Return the share of the noise's heat that is left where each epoch deals every row once.

    The noise of an epoch adds up to zero, which is felt where little is forgotten within it. An Ornstein-Uhlenbeck
    process that is driven by Brownian bridges in place of Brownian motion has, at the end of a bridge, the variance
    :math:`1 - \tanh(u / 2) / (u / 2)` times as large, with a bridge of :math:`u` relaxation times. This is its mean
    over the bridge, :math:`u / 3` where that is small.

    Parameters
    ----------
    epoch
        Length of an epoch in relaxation times.
    """
    u = epoch.double().clamp(min=1e-3)
    at_end = 1 - torch.tanh(u / 2) / (u / 2)
    once, twice = -torch.expm1(-u) / u, -torch.expm1(-2 * u) / (2 * u)  # the means of exp(-z) and exp(-2 z) up to u
    return (at_end * twice + 1 - twice - 2 * (1 - 2 * once + twice) / u).to(epoch.dtype)


def prior_precisions(objective: Objective, position: torch.Tensor) -> torch.Tensor:
    """Return one over the variance of each value's prior (size,), given the others; NaN where it is not normal.

    Parameters
    ----------
    objective
        Lowered model.
    position
        One point (size,): a scale that is itself unknown stands where the point has it.
    """
    density, values = objective.density, objective.layout.split(position.detach())
    with torch.enable_grad():
        variances = {n: torch.zeros_like(values[n]).requires_grad_() for n in density.gaussian}
        found = density.expected_prior(values, {n: values[n] for n in variances}, variances)
        slopes = torch.autograd.grad(found, list(variances.values())) if variances else ()
    known = dict(zip(variances, slopes, strict=True))  # the expected log prior falls by the variance / (2 s^2)
    unknown = float("nan")
    parts = [-2 * known[n] if n in known else torch.full_like(v, unknown) for n, v in values.items()]
    return torch.cat([p.reshape(-1) for p in parts])


def warn_of(found: Outlook, sampler: StochasticGradient, problem: Problem, layout: Layout) -> None:
    """Warn of a chain that is too short or too hot.

    Parameters
    ----------
    found
        Temperature and relaxation of the chains.
    sampler, problem
        Settings of the sampler, and what it samples.
    layout
        Places of the variables.

    Warns
    -----
    CompanionWarning
        If the steps after the warm-up are fewer than ten relaxation times, or the noise of mini-batches raises the
        temperature of a variable by half or more.
    """
    steps, own = problem.steps - problem.warmup, f"sampler={sampler.name!r} with step_size={sampler.step_size:g}"
    if steps < ENOUGH * found.relaxation:
        needed = f"{ENOUGH * found.relaxation:,.0f}" if found.relaxation < 1e12 else "any number of"
        notice(
            f"the chain is too short for {own}: a hundredth of the values or more, such as one of "
            f"{layout.name_at(found.entry)!r}, relax in {found.relaxation:,.0f} steps, and there are {steps:,} steps "
            "after the warm-up. Its draws will stay near the start. Expected ten relaxation times, "
            f"{needed} steps; {sampler.quicker}."
        )
    parts = layout.split(found.heating)
    heats = {name: float(part.nan_to_num().mean()) for name, part in parts.items()}
    surely = {name: heats[name] * _at_least(part.numel()) for name, part in parts.items()}
    hottest = max(surely, key=lambda name: surely[name])
    if surely[hottest] > HOT:
        no_other = problem.warmup < 1 or sampler.preconditioner != Preconditioner.IDENTITY
        others = (
            "" if no_other else ", or preconditioner='warm-up', which shortens the steps of values with noisy gradients"
        )
        notice(
            f"mini-batches of {problem.batch_size} rows raise the temperature of {hottest!r} by about "
            f"{heats[hottest]:.0%} for {own}: its posterior will be too wide. Take a smaller step_size or more rows in "
            f"a batch{others}."
        )


def _at_least(entries: int) -> float:
    """Return the share of its estimated heat that a variable has at least, in all but one of a hundred estimates.

    An entry's variance is estimated from a few gradients, that of many entries together is known better.
    """
    freedom = (GRADIENTS - 1) * max(1, entries)
    return float(freedom / stats.chi2.ppf(0.99, freedom))


def warn_ahead(sampler: StochasticGradient, problem: Problem, objective: Objective, state: State) -> Outlook | None:
    """Look ahead from the state of the chains, and warn as `warn_of` does.

    Returns
    -------
    Outlook or None
        What is known of the chains; None where steps see all rows.
    """
    position = state["position"]
    fine = position.isfinite().all(dim=1)
    one = position[int(fine.to(torch.uint8).argmax())]  # a chain that is lost knows no scales
    learned = "square" in state and bool(state["square"].any())
    factors = state["scale"].square() if learned else None
    found = outlook(sampler, problem, position, prior_precisions(objective, one), factors)
    if found is not None:
        warn_of(found, sampler, problem, objective.layout)
    return found
