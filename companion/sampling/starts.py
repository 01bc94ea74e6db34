"""Where chains start: around the model's initial point, in the prior, at given values, or in another posterior.

Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import numpy as np
import pymc as pm
import torch

from companion.checks import choice
from companion.errors import ModelError
from companion.machine import seed_for
from companion.posterior import Posterior, unconstrained
from companion.training import starting_means
from companion.variational import Layout

__all__ = ["ChainStart", "start_named", "starting_positions"]

_TRIES = 20


class ChainStart(StrEnum):
    """Where chains start."""

    MODEL = "model"
    """The model's initial point, and around it numbers between -1 and 1 for each value, as PyMC's samplers do."""

    PRIOR = "prior"
    """Draws from the prior."""


def start_named(start: Any) -> str:
    """Name a kind of start, for a checkpoint.

    Raises
    ------
    ModelError
        If there is no such kind.
    """
    if isinstance(start, Mapping):
        return "given"
    if isinstance(start, Posterior):
        return "posterior"
    return str(choice(ChainStart, "start", start, "a mapping from variables to values, or a posterior"))


def starting_positions(
    model: pm.Model,
    layout: Layout,
    start: Any,
    chains: int,
    seed: int,
    fine: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Give starting positions (chains, size) in the unconstrained space.

    Parameters
    ----------
    start
        A name of `ChainStart`; values of the free variables, at which all chains start; or a posterior of the model,
        from which each chain gets a draw: from each member of an ensemble the same number.
    fine
        Function that says of positions (chains, size) which have a finite density, (chains,): kinds that are drawn are
        drawn again where they have none.

    Raises
    ------
    ModelError
        If given values don't fit the model, see `companion.training.starting_means`, or the posterior is one of another
        model.
    """
    kind = start_named(start)
    if kind == "given":
        return starting_means(model, layout, start, chains, seed)
    if kind == "posterior":
        return _of_posterior(model, layout, start, chains, seed)
    draw = _of_prior if kind == ChainStart.PRIOR else _around
    found = draw(model, layout, chains, seed, 0)
    for again in range(1, _TRIES):
        bad = ~fine(found)
        if not bool(bad.any()):
            break
        found = torch.where(bad.cpu()[:, None], draw(model, layout, chains, seed, again), found)
    return found


def _of_prior(model: pm.Model, layout: Layout, chains: int, seed: int, again: int) -> torch.Tensor:
    return starting_means(model, layout, "prior", chains, seed_for(seed, "chains", again) % 2**32)


def _around(model: pm.Model, layout: Layout, chains: int, seed: int, again: int) -> torch.Tensor:
    """Scatter chains around the initial point, less widely at each try."""
    centre = starting_means(model, layout, "model", 1, seed)
    rng = np.random.default_rng(seed_for(seed, "chains", again))
    return centre + torch.as_tensor(rng.uniform(-1, 1, size=(chains, layout.size))) * 0.7**again


def _of_posterior(model: pm.Model, layout: Layout, start: Posterior, chains: int, seed: int) -> torch.Tensor:
    draws = start.draw(chains, seed)
    own = {rv.name: tuple(shape) for rv, shape in zip(model.free_RVs, _shapes(model), strict=True)}
    given = {name: a.shape[1:] for name, a in draws.items()}
    if own != given:
        raise ModelError(f"start is a posterior of {given}; the model has {own}. Give a posterior of the same model.")
    values = unconstrained(model, draws)
    return torch.as_tensor(np.stack([layout.join({n: a[c] for n, a in values.items()}) for c in range(chains)]))


def _shapes(model: pm.Model) -> list[tuple[int, ...]]:
    shapes = model.eval_rv_shapes()
    return [tuple(map(int, shapes[rv.name])) for rv in model.free_RVs]
