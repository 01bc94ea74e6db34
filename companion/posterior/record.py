"""How a posterior was fitted.

Explained in `book/reference/how_a_fit_works`, section "The posterior".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from companion.posterior.losses import Trend, trend
from companion.training import Settings

__all__ = ["Record"]


@dataclass(frozen=True, eq=False)
class Record:
    """How a posterior was fitted.

    Attributes
    ----------
    settings
        What was asked for, the temperature among them.
    history
        Estimates of the negative ELBO at full weight, whatever the temperature, (steps, restarts), in nats.
    elbo, elbo_se
        Of each restart's approximation on all rows at full weight, (restarts,), and its standard error, in nats. Minus
        infinity for a restart that diverged; for family "map", the log density of data and values.
    seconds
        Wall time of the steps, with tracing and compilation, on this machine and in this session.
    compiled
        Whether the gradient was compiled.
    device, precision
        Where and how it was computed.
    stopped
        Why it ended early; None where it didn't.
    """

    settings: Settings
    history: np.ndarray
    elbo: np.ndarray
    elbo_se: np.ndarray
    seconds: float
    compiled: bool
    device: str
    precision: str
    stopped: str | None

    @property
    def temperature(self) -> float:
        """Weight of the KL divergence in what was minimised; 1 is Bayes."""
        return self.settings.temperature

    def trend(self, restart: int | None = None, share: float = 0.2) -> Trend:
        """Say whether a restart's loss (the best one's, if left out) still falls; see `companion.posterior.losses`."""
        at = int(np.argmax(self.elbo)) if restart is None else restart
        return trend(self.history[:, at], share)
