"""Diagonal preconditioners of the samplers of mini-batches, from the squares of the gradients or from the prior.

Explained in `book/reference/how_a_fit_works`, section "Samplers of mini-batches".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import torch

from companion.errors import ModelError
from companion.sampling.kernel import Precisions, State

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

    PRIOR = "prior"
    """The variance of each value's normal prior over their mean, at the place where a chain starts: all values that the
    data leave to their prior relax in the same time, however different their scales. Values whose prior isn't normal
    move as one with the mean variance does. It is fixed, so that the chain keeps its distribution."""


@dataclass(frozen=True)
class Scaling:
    r"""A preconditioner under way.

    With :math:`V` the running mean of the squared gradients of a value and :math:`\bar V` the mean of :math:`V` over
    all values of the chain, the step size of the value is multiplied by

    .. math::

        P = \frac{(1 + d) \sqrt{\bar V}}{\sqrt V + d \sqrt{\bar V}}, \qquad d = 0.1 .

    So it is 1 where gradients are as large as they are on the whole, smaller where they are larger, and never above
    11: a step size means the same with and without a preconditioner, and with any number of rows. :math:`V` is renewed
    at every tenth step, and forgets with a factor of 0.99. From priors of variance :math:`s^2`, whose mean over all
    values is :math:`\overline{s^2}`, it is :math:`P = s^2 / \overline{s^2}`. The state holds :math:`V`, where there is
    one, as "square" and :math:`\sqrt P` as "scale", which are as long as the position.

    Attributes
    ----------
    kind
        Which preconditioner.
    warmup
        Number of steps of the warm-up.
    precisions
        Function of a position (size,) that gives one over the variance of each value's prior there (size,), NaN where
        the prior is not normal; ``None`` where that isn't known.
    """

    kind: Preconditioner
    warmup: int
    precisions: Precisions | None = None

    def begin(self, position: torch.Tensor) -> State:
        """Return the part of the state that belongs to the preconditioner: none where there is none.

        Raises
        ------
        ModelError
            If the prior is to scale the steps, and no value has a normal one.
        """
        if self.kind is Preconditioner.IDENTITY:
            return {}
        if self.kind is Preconditioner.PRIOR:
            precisions = self.precisions or (lambda chain: torch.full_like(chain, math.nan))
            return {"scale": torch.stack([_of_prior(precisions(chain).to(chain)) for chain in position]).sqrt_()}
        return {"square": torch.zeros_like(position), "scale": torch.ones_like(position)}

    def renewed(self, state: State, gradient: torch.Tensor, step: int) -> State:
        """Return that part of the state for a step with this gradient (chains, size), in any unit."""
        if self.kind is Preconditioner.IDENTITY:
            return {}
        if self.kind is Preconditioner.PRIOR:
            return {"scale": state["scale"]}
        learns = self.kind is Preconditioner.RMSPROP or step < self.warmup
        if not learns or step % EVERY:
            return {name: state[name] for name in ("square", "scale")}
        newest = max(1 - DECAY, 1 / (step // EVERY + 1))  # a plain mean, until the running one remembers less
        square = (state["square"] * (1 - newest)).addcmul_(gradient, gradient, value=newest)
        return {"square": square, "scale": self.factors(square).sqrt_()}

    def factors(self, square: torch.Tensor, precisions: torch.Tensor | None = None) -> torch.Tensor:
        """Return P (chains, size), the factors of the step size.

        Parameters
        ----------
        square
            Mean squared gradients (chains, size).
        precisions
            One over the variance of each value's prior (size,), for the factors that come from there.
        """
        if self.kind is Preconditioner.IDENTITY:
            return torch.ones_like(square)
        if self.kind is Preconditioner.PRIOR and precisions is not None:
            return _of_prior(precisions.to(square)).expand_as(square)
        typical = square.mean(dim=1, keepdim=True).sqrt_().clamp_(min=torch.finfo(square.dtype).tiny)
        return square.sqrt().add_(DAMPING * typical).reciprocal_().mul_((1 + DAMPING) * typical)


def _of_prior(precisions: torch.Tensor) -> torch.Tensor:
    """Return each value's variance over their mean (size,): 1 where it isn't known."""
    known = precisions.isfinite() & (precisions > 0)
    if not bool(known.any()):
        raise ModelError(
            "preconditioner='prior' takes step sizes from normal priors, and no variable of the model has one; "
            "expected one such as Gaussian or FanIn, or preconditioner='warm-up'."
        )
    variances = precisions[known].min() / precisions[known]  # over the largest, whatever the unit
    factors = torch.ones_like(precisions)
    factors[known] = variances / variances.mean()
    return factors
