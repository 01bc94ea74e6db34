"""Pruning: the weights that are least surely different from zero become certain to be zero.

Explained in the chapter `book/mnist/pruning`, section "Why only 95 %".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from companion.checks import is_number
from companion.errors import ModelError
from companion.posterior.given import checked_names
from companion.posterior.variational import VariationalPosterior
from companion.variational import MeanField

__all__ = ["prune"]


def prune(posterior: Any, share: float, names: Sequence[str] | None = None) -> VariationalPosterior:
    r"""Set the weights that are least surely different from zero to zero.

    Parameters
    ----------
    posterior
        Posterior of a mean-field fit, of one restart.
    share
        Share of the weights to set to zero, from 0 to 1: those with the lowest :math:`|\mu| / \sigma` of all that are
        named.
    names
        Names of the variables that are looked at; ``None`` takes all that are fitted without a transform. A variable
        with one, such as a positive scale, can't be pruned: where its fitted value is 0, the scale is 1.

    Returns
    -------
    VariationalPosterior
        The posterior in which those weights are certain to be 0. Its ELBO is unknown, NaN: that of a certain weight is
        minus infinity.

    Raises
    ------
    ModelError
        If the share isn't one, a name is unknown or that of a variable with a transform, or the posterior is a mixture
        or not mean-field.

    Notes
    -----
    The criterion is that of Blundell et al. (2015), "Weight Uncertainty in Neural Networks", after Graves (2011).
    """
    if not isinstance(posterior, VariationalPosterior):
        raise ModelError(f"a {type(posterior).__name__} can't be pruned; expected what companion.fit returns.")
    layout, family = posterior.objective.layout, posterior.objective.family
    if not isinstance(family, MeanField):
        raise ModelError(f"family {family.name!r} can't be pruned; expected a fit with family='mean-field'.")
    if not is_number(share) or not 0 <= share <= 1:
        raise ModelError(f"share={share!r}; expected a share of the weights, from 0 to 1.")
    plain = [name for name in layout.names if name in posterior.variables]  # a transformed value has another name
    named = checked_names(names, plain, "free variables without a transform")
    own = {name: p.clone() for name, p in posterior.own_parameters("pruning").items()}
    chosen = torch.cat([torch.full((n,), name in named) for name, n in zip(layout.names, layout.sizes, strict=True)])
    chosen = chosen.to(own["mean"].device)
    ratio = own["mean"].abs().log() - own["log_scale"]
    ratio[~chosen] = torch.inf
    least = ratio.argsort()[: round(share * int(chosen.sum()))]
    own["mean"][least] = 0.0
    own["log_scale"][least] = -torch.inf
    record = dataclasses.replace(
        posterior.record,
        losses=posterior.record.history[:, None],
        bounds=np.full((1, 2), np.nan),
        weights=np.ones(1),
    )
    return dataclasses.replace(posterior, parameters={n: p[None] for n, p in own.items()}, record=record)
