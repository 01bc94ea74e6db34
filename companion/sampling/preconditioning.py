"""Diagonal preconditioners of the samplers of mini-batches, from the squares of the gradients.

Explained in `book/reference/how_a_fit_works`, section "Samplers of mini-batches".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch

from companion.sampling.kernel import State

__all__ = ["Preconditioner", "Scaling"]

DECAY, DAMPING, EVERY = 0.99, 0.1, 10


class Preconditioner(StrEnum):
    """How the directions of a step are scaled."""

    IDENTITY = "identity"
    """All of them alike."""

    RMSPROP = "rmsprop"
    """The root of a running mean of the squared gradients divides each step, as in RMSProp, at all times (Li et al.
    2016). What is left out, as there, is the drift that a moving preconditioner needs: a small bias."""

    WARMUP = "warm-up"
    """The same, learned in the warm-up and fixed from then on, so that the chain keeps its distribution."""


@dataclass(frozen=True)
class Scaling:
    r"""A preconditioner under way.

    With :math:`V` the running mean of the squared gradients of a value and :math:`\bar V` the mean of :math:`V` over
    all values of the chain, the step size of the value is multiplied by

    .. math::

        P = \frac{(1 + d) \sqrt{\bar V}}{\sqrt V + d \sqrt{\bar V}}, \qquad d = 0.1 .

    So it is 1 where gradients are as large as they are on the whole, smaller where they are larger, and never above
    11: a step size means the same with and without a preconditioner, and with any number of rows. :math:`V` is renewed
    at every tenth step, and forgets with a factor of 0.99. The state holds :math:`V` as "square" and
    :math:`\sqrt P` as "scale", which are as long as the position.

    Attributes
    ----------
    kind
        Which preconditioner.
    warmup
        Number of steps of the warm-up.
    """

    kind: Preconditioner
    warmup: int

    def begin(self, position: torch.Tensor) -> State:
        """Return the part of the state that belongs to the preconditioner: none where there is none."""
        if self.kind is Preconditioner.IDENTITY:
            return {}
        return {"square": torch.zeros_like(position), "scale": torch.ones_like(position)}

    def renewed(self, state: State, gradient: torch.Tensor, step: int) -> State:
        """Return that part of the state for a step with this gradient (chains, size), in any unit."""
        if self.kind is Preconditioner.IDENTITY:
            return {}
        learns = self.kind is Preconditioner.RMSPROP or step < self.warmup
        if not learns or step % EVERY:
            return {name: state[name] for name in ("square", "scale")}
        newest = max(1 - DECAY, 1 / (step // EVERY + 1))  # a plain mean, until the running one remembers less
        square = (state["square"] * (1 - newest)).addcmul_(gradient, gradient, value=newest)
        return {"square": square, "scale": self.factors(square).sqrt_()}

    def factors(self, square: torch.Tensor) -> torch.Tensor:
        """Return P (chains, size), the factors of the step size, for mean squared gradients (chains, size)."""
        if self.kind is Preconditioner.IDENTITY:
            return torch.ones_like(square)
        typical = square.mean(dim=1, keepdim=True).sqrt_().clamp_(min=torch.finfo(square.dtype).tiny)
        return square.sqrt().add_(DAMPING * typical).reciprocal_().mul_((1 + DAMPING) * typical)
