"""A look at a fit under way, for its callback.

Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from companion.posterior.protocol import Posterior
from companion.training import Training

__all__ = ["FitState"]


@dataclass(frozen=True, eq=False)
class FitState:
    """A fit after one of its steps.

    Attributes
    ----------
    step
        Number of steps that are done.
    losses
        Estimate of the negative ELBO of each restart at this step, at full weight, (restarts,), in nats.
    """

    step: int
    losses: np.ndarray
    _make: Callable[[], Posterior]

    @classmethod
    def of(cls, training: Training[Any], make: Callable[[], Posterior]) -> FitState:
        """Look at a fit; ``make`` copies its posterior."""
        return cls(training.step, training.losses[training.step - 1].cpu().numpy(), make)

    @classmethod
    def told(
        cls, callback: Callable[[int, FitState], None] | None, make: Callable[[Training[Any]], Posterior]
    ) -> Callable[[int, Training[Any]], None] | None:
        """Make of a reader's callback one for the loop; ``make`` copies the posterior of a fit."""
        if callback is None:
            return None
        return lambda step, at: callback(step, cls.of(at, lambda: make(at)))

    def posterior(self) -> Any:
        """Copy the posterior of this step, a mixture of the restarts, which later steps leave as it is.

        Its record's ELBO is unknown, NaN; ``restart(number)`` takes one of several restarts.
        """
        return self._make()
