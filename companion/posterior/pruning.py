"""Which weights matter: a mean-field posterior in, the signal-to-noise ratio of every weight and pruned posteriors out.

Explained in the chapter `book/mnist/dense`, section "Why only 95 %".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from companion.checks import is_number
from companion.errors import ModelError
from companion.posterior.variational import VariationalPosterior
from companion.variational import MeanField

__all__ = ["Moments", "moments", "prune"]


class Moments(NamedTuple):
    r"""Mean and standard deviation of each entry of a variable, both (\*shape)."""

    mean: np.ndarray
    scale: np.ndarray

    @property
    def signal_to_noise(self) -> np.ndarray:
        r"""Ratio :math:`|\mu| / \sigma` (\*shape): how surely a weight differs from zero."""
        ratio: np.ndarray = np.abs(self.mean) / self.scale
        return ratio


def moments(posterior: VariationalPosterior) -> dict[str, Moments]:
    """Give the mean and the standard deviation of every value of a posterior of one restart.

    Values are those of the unconstrained space in which they were fitted: a weight itself, and the logarithm of a scale
    (named ``"0.scale_log__"``).

    Raises
    ------
    ModelError
        If the posterior is a mixture, or none of `companion.inference.fit`.
    """
    _check_kind(posterior)
    own = posterior.own_parameters("a moment")
    layout, family = posterior.objective.layout, posterior.objective.family
    means, scales = layout.split(own["mean"]), layout.split(family.variance(own).sqrt())
    return {name: Moments(means[name].cpu().numpy(), scales[name].cpu().numpy()) for name in layout.names}


def prune(posterior: VariationalPosterior, share: float, names: Sequence[str]) -> VariationalPosterior:
    r"""Set the weights that are least surely different from zero to zero.

    Parameters
    ----------
    posterior
        Mean-field, of one restart.
    share
        Of the weights, from 0 to 1, with the lowest :math:`|\mu| / \sigma` of all those named.
    names
        Of the variables that are looked at.

    Returns
    -------
    VariationalPosterior
        With those weights certain to be 0. Its ELBO is unknown, NaN: that of a certain weight is minus infinity.

    Raises
    ------
    ModelError
        If the share is no share, a name is unknown, or the posterior is a mixture or not mean-field.

    Notes
    -----
    The criterion is that of Blundell et al. (2015), "Weight Uncertainty in Neural Networks", after Graves (2011).
    Explained in the chapter `book/mnist/dense`.
    """
    _check_kind(posterior)
    layout, family = posterior.objective.layout, posterior.objective.family
    if not isinstance(family, MeanField):
        raise ModelError(f"family {family.name!r} can't be pruned; expected a fit with family='mean-field'.")
    if not is_number(share) or not 0 <= share <= 1:
        raise ModelError(f"share={share!r}; expected a share of the weights, from 0 to 1.")
    if unknown := sorted(set(names) - set(layout.names)):
        raise ModelError(f"no variables {unknown}; the posterior has {list(layout.names)}.")
    own = {name: p.clone() for name, p in posterior.own_parameters("pruning").items()}
    chosen = torch.cat([torch.full((n,), name in names) for name, n in zip(layout.names, layout.sizes, strict=True)])
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


def _check_kind(posterior: VariationalPosterior) -> None:
    if not isinstance(posterior, VariationalPosterior):
        raise ModelError(
            f"the posterior is a {type(posterior).__name__}; expected one of companion.inference.fit. One of Bayes by "
            "Backprop has a method for it: posterior.moments()."
        )
