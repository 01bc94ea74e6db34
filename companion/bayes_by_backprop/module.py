"""From a deterministic network to a Bayesian one: a Pyro model of a torch module's output.

Explained in the chapter `book/bayes_by_backprop/design_choices`, section "One line".
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch.func import functional_call

from companion.bridge import check_module
from companion.errors import ModelError
from companion.priors import Parameter, Prior, check_prior, parameters

__all__ = ["BayesianModule", "to_bayesian"]


class BayesianModule(torch.nn.Module):
    """A torch module whose weights are drawn from a prior each time it is called; what `to_bayesian` returns.

    Attributes
    ----------
    module
        Copy of the network. Parameters that have a prior are frozen in it; the others are trained as they are.
    weights
        Parameters that have a prior.
    prior
        Prior of those parameters.
    """

    def __init__(self, module: torch.nn.Module, prior: Prior, weights: Sequence[Parameter]) -> None:
        super().__init__()
        self.module = copy.deepcopy(module)
        self.weights = tuple(weights)
        self.prior = prior.prepared(self.weights)
        drawn = {p.name for p in self.weights}
        for name, parameter in self.module.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and name not in drawn)

    def forward(self, *inputs: Any) -> Any:
        """Sample every weight's site, and compute the network's output with those."""
        return functional_call(self.module, self.prior.pyro(self.weights), inputs)


def to_bayesian(module: torch.nn.Module, prior: Prior, layers: Sequence[str] | None = None) -> BayesianModule:
    """Make any torch network Bayesian, in whole or in part.

    Parameters
    ----------
    module
        Network; its own weights are where a `MeanFieldGuide` starts; it is not changed.
    prior
        Prior of `companion.priors`, those whose settings are trained among them.
    layers
        Names of submodules, such as ``["5"]``, whose parameters get the prior. The others stay ordinary parameters,
        fitted by maximum likelihood. ``None`` takes all.

    Returns
    -------
    BayesianModule
        Called inside a Pyro model, it samples a site for each parameter, under the parameter's name, and computes the
        network's output with those.

    Raises
    ------
    ModelError
        If `prior` is not a prior, `module` is not a module or draws random numbers by itself, as dropout does, or a
        layer has no parameters.

    Examples
    --------
    >>> import torch
    >>> from companion.bayes_by_backprop import to_bayesian
    >>> from companion.networks import dense
    >>> from companion.priors import Gaussian
    >>> network = to_bayesian(dense(2, 5, 1), Gaussian(1.0))
    >>> network(torch.zeros(3, 2)).shape
    torch.Size([3, 1])
    """
    check_prior(prior)
    check_module(module)
    found = parameters(module)
    if layers is None:
        return BayesianModule(module, prior, found)
    if isinstance(layers, str):
        raise ModelError(f"layers={layers!r}; expected a list of names, such as [{layers!r}].")
    known = dict.fromkeys(p.layer for p in found)
    inside = {name: [k for k in known if k == name or k.startswith(f"{name}.")] for name in layers}
    empty = [name for name, own in inside.items() if not own]
    if empty or not inside:
        raise ModelError(f"layers={list(layers)}; expected some of {list(known)}, the layers with parameters.")
    chosen = {k for own in inside.values() for k in own}
    return BayesianModule(module, prior, [p for p in found if p.layer in chosen])
