"""The free energy as an objective of the training loop: copies of a Pyro model with its guide, one per restart.

Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from companion.bayes_by_backprop.bound import free_energy_terms
from companion.bayes_by_backprop.layers import layer_noise
from companion.bayes_by_backprop.member import MEAN, OWN, SCALE, Member
from companion.variational import Estimator, Gradient, Parameters

__all__ = ["PyroObjective"]

Data = Mapping[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class PyroObjective:
    """The free energy of Pyro models with their guides, one per restart.

    Attributes
    ----------
    members
        Models and guides, whose parameters are views of those that the loop trains.
    rows
        Number of rows in the whole data set.
    scaled
        Whether the models count the rows of a batch for all of them by themselves.
    estimator
        Estimator of the gradient.
    layers
        Names of the sites that are weights of one layer each.
    device
        Where the members lie.
    """

    members: list[Member]
    rows: int
    scaled: bool
    estimator: Estimator
    layers: frozenset[str]
    device: torch.device
    dtype: torch.dtype = torch.float32
    float64: bool = False
    noise_size: int = 0
    draws_inside: bool = True

    @property
    def row_count(self) -> int:
        """Number of rows that the loss is a sum over."""
        return self.rows

    def gradient(self, parameters: Parameters, noise: torch.Tensor, data: Data) -> Gradient:
        """Build the function that a step calls; it is not traced, so that a Pyro model may do what it likes."""
        names, inputs = list(parameters), list(data)

        def gradient(kl_weight: torch.Tensor, noise: torch.Tensor, *rest: torch.Tensor) -> Any:
            batch = dict(zip(inputs, rest[len(names) :], strict=True))
            losses, found = zip(*(self._one(member, kl_weight, batch) for member in self.members), strict=True)
            if len(losses) == 1:
                return losses[0][None], tuple(g[None] for g in found[0])
            return torch.stack(losses), tuple(torch.stack(gs) for gs in zip(*found, strict=True))

        return gradient

    def _one(self, member: Member, kl_weight: torch.Tensor, batch: Data) -> tuple[torch.Tensor, tuple[Any, ...]]:
        """Estimate one member's negative ELBO at full weight, and the gradient of its weighed loss."""
        trained = list(member.parameters.values())
        weight = 1.0 if self.scaled else self.rows / len(batch["y"])
        with torch.enable_grad(), layer_noise(self.estimator, self.layers):
            terms = free_energy_terms(member.model, member.guide, batch["x"], batch["y"])
            likelihood = weight * terms.log_likelihood
            loss = kl_weight * terms.kl - likelihood
            found = torch.autograd.grad(loss, trained, allow_unused=True)
        full = (terms.kl - likelihood).detach()
        return full, tuple(torch.zeros_like(p) if g is None else g for p, g in zip(trained, found, strict=True))

    def settle(self, parameters: Parameters) -> None:
        """Leave everything as it is: what a Pyro model's sites are for is not known before it runs."""

    def is_scale(self, parameter: str) -> bool:
        """Say whether a parameter makes a standard deviation of the guide."""
        return parameter.startswith(SCALE)

    def value_at(self, parameter: str, row: int) -> str:
        """Name the site that a parameter belongs to."""
        return parameter.removeprefix(MEAN).removeprefix(SCALE).removeprefix(OWN)

    def values_of(self, parameter: str, shape: Sequence[int]) -> list[tuple[str, int]]:
        """Give the one site that a parameter belongs to, with its number of rows."""
        return [(self.value_at(parameter, 0), shape[0] if shape else 1)]

    def broken_terms(self, parameters: Parameters, noise: torch.Tensor, data: Data) -> list[str]:
        """Name no term: a Pyro model's draws are its own."""
        return []

    def finite_in_float64(self, parameters: Parameters, noise: torch.Tensor, data: Data) -> bool:
        """Say no: a Pyro model's own tensors can't be taken to float64."""
        return False
