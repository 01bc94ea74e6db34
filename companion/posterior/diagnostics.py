"""Agreement of several chains of a sampler: R-hat and effective sample sizes.

Explained in the chapter `book/pymc/moons_posterior`, section "The reference".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import arviz as az
import numpy as np
import xarray as xr

from companion.checks import mapping
from companion.errors import ModelError

__all__ = ["Convergence", "diagnose", "worst"]


class Convergence(NamedTuple):
    """The worst of one quantity's entries.

    Attributes
    ----------
    r_hat
        Largest R-hat: 1 where the chains agree.
    ess
        Smallest effective sample size in the bulk, in draws: how well means and medians are known.
    ess_tail
        Smallest effective sample size in the tails, in draws: how well the quantiles at 5 and 95 percent are known.
    """

    r_hat: float
    ess: float
    ess_tail: float


def diagnose(draws: Mapping[str, np.ndarray], chains: int) -> dict[str, Convergence]:
    r"""Compare the chains of a sampler, quantity by quantity.

    Quantities are weights, and anything that was computed from them draw by draw: a network's weights need not agree
    between chains where its predictions do.

    Parameters
    ----------
    draws
        Name to array (chains * draws, \*shape), chain after chain, as in `SampledPosterior.draws`.
    chains
        Number of chains that made them.

    Returns
    -------
    dict
        Name to `Convergence`.

    Raises
    ------
    ModelError
        If `draws` isn't a mapping, there are fewer than two chains, or an array doesn't divide into them.

    Notes
    -----
    Vehtari et al. (2021), "Rank-normalization, folding, and localization: An improved R-hat", as ArviZ computes
    them.
    """
    mapping("draws", draws, "of names to arrays (chains * draws, ...), such as SampledPosterior.draws")
    if chains < 2:
        raise ModelError(f"chains={chains}; expected at least 2 to compare with one another.")
    found = {}
    for name, array in draws.items():
        if len(array) % chains or len(array) < 4 * chains:
            raise ModelError(
                f"{name!r} has {len(array)} draws; expected the same number, 4 or more, in {chains} chains."
            )
        by_chain = np.asarray(array).reshape(chains, len(array) // chains, -1)
        data = xr.Dataset({"x": (("chain", "draw", "entry"), by_chain)})
        found[name] = Convergence(
            float(az.rhat(data)["x"].max()),
            float(az.ess(data)["x"].min()),
            float(az.ess(data, method="tail")["x"].min()),
        )
    return found


def worst(parts: Iterable[Convergence]) -> Convergence:
    """Give the worst of several parts of one quantity's entries; an entry that never moves counts for none."""
    r_hat, ess, ess_tail = np.transpose(list(parts))
    return Convergence(float(np.fmax.reduce(r_hat)), float(np.fmin.reduce(ess)), float(np.fmin.reduce(ess_tail)))
