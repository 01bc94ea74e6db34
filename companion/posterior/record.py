"""How a posterior was found: one record, whatever found it.

Explained in `book/reference/how_a_fit_works`, section "The record".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from companion.errors import ModelError
from companion.posterior.losses import Trend, trend
from companion.training import Training, Valued

__all__ = ["Record"]

_LAST = 100
# Methods whose posterior has no density, and so no bound: `elbo` is the expected log density of data and values.
_WITHOUT_BOUND = ("map", "dropout", "deep ensemble")


@dataclass(frozen=True, eq=False)
class Record:
    """How a posterior was found.

    `elbo`, `elbo_se` and `history` are those of the posterior that carries the record. They are at full weight of the
    KL divergence and for all rows, in nats, whatever the temperature and the batch size were.

    Attributes
    ----------
    method
        Name of what found it, such as "mean-field" or "ADVI".
    settings
        What was asked for, by name.
    losses
        Estimate of the negative ELBO at each step of each restart, (steps, restarts).
    bounds
        ELBO of each restart and its standard error, (restarts, 2); minus infinity for a restart that diverged, NaN
        where it is unknown. For the families "map" and "dropout", and so for a deep ensemble, it is the expected log
        density of data and values.
    weights
        Weight of each restart in the posterior, (restarts,); they sum to 1.
    seconds
        Wall time of the steps, with tracing and compilation, on this machine and in this session.
    device, precision
        Where and with which numbers it was computed.
    compiled
        Whether the gradient was compiled.
    threads
        Number of the processor's threads that torch used; None where it isn't known.
    stopped
        Why the fit ended early; None where it didn't.
    log_evidence
        Laplace's approximation of the log evidence, in nats; None of any other posterior. It is not a bound: `elbo` is
        that of the normal approximation itself.
    drifting
        Whether a value's parameters were still on their way when the steps ended, (restarts,); see
        `companion.training.Drift`. None where it isn't known.
    """

    method: str
    settings: Mapping[str, Any]
    losses: np.ndarray
    bounds: np.ndarray
    weights: np.ndarray
    seconds: float
    device: str = "cpu"
    precision: str = "float64"
    compiled: bool = False
    threads: int | None = None
    stopped: str | None = None
    log_evidence: float | None = None
    drifting: np.ndarray | None = None

    @classmethod
    def of(
        cls, training: Training[Any], method: str, valued: Valued | None, seconds: float, *, bfloat16: bool = False
    ) -> Record:
        """Make the record of a fit as it is now.

        Parameters
        ----------
        training
            The fit.
        method
            Name of the family that was fitted.
        valued
            Bounds and weights of the restarts; ``None`` where the fit goes on: bounds are unknown then.
        seconds
            Wall time of the steps.
        bfloat16
            Whether matrix products were in bfloat16; a processor without it computes in float32.
        """
        settings, restarts = training.settings, training.settings.restarts
        drifts = [training.drift(restart) for restart in range(restarts)]
        known = [drift.under_way for drift in drifts if drift is not None]
        return cls(
            method=method,
            settings=settings.as_json(),
            losses=training.losses[: training.step].cpu().numpy(),
            bounds=np.full((restarts, 2), np.nan) if valued is None else valued.bounds,
            weights=np.full(restarts, 1 / restarts) if valued is None else valued.weights,
            seconds=seconds,
            device=str(training.device),
            precision=settings.precision if bfloat16 or settings.precision != "bfloat16" else "float32",
            compiled=bool(training.compiled),
            threads=training.threads,
            stopped=None if valued is None else valued.stopped,
            drifting=np.array(known) if len(known) == restarts else None,
        )

    @property
    def elbo(self) -> float:
        """Evidence lower bound of this posterior on all rows at full weight, in nats.

        The weighted mean of the restarts' bounds: exact for one restart, and for a mixture a bound that is lower still.
        Of a point, an ensemble of points and dropout it is not a bound, but the expected log density of data and
        values.
        """
        kept = self.weights > 0
        return np.float64(self.weights[kept] @ self.bounds[kept, 0])  # a float that NumPy's methods work on, too

    @property
    def elbo_se(self) -> float:
        """Standard error of `elbo`, in nats."""
        kept = self.weights > 0
        return float(np.linalg.norm(self.weights[kept] * self.bounds[kept, 1]))

    @property
    def history(self) -> np.ndarray:
        """Estimate of the negative ELBO at each step, (steps,), in nats, at full weight; the mean over a mixture."""
        kept = self.weights > 0
        return self.losses[:, kept] @ self.weights[kept]

    @property
    def history_label(self) -> str:
        """What `history` shows, for the axis of a figure."""
        at = "" if self.temperature == 1 else f", at full weight; minimised at T = {self.temperature:g}"
        return f"negative ELBO (nats{at})"

    @property
    def restarts(self) -> pd.DataFrame:
        """One row per restart: its ELBO, its standard error, the mean loss of its last 100 steps, and its weight."""
        last = self.losses[-_LAST:]
        return pd.DataFrame(
            {
                "elbo": self.bounds[:, 0],
                "elbo_se": self.bounds[:, 1],
                "last_loss": last.mean(axis=0) if len(last) else np.nan,
                "weight": self.weights,
                "diverged": np.isneginf(self.bounds[:, 0]),
            }
        ).rename_axis("restart")

    @property
    def best_restart(self) -> int:
        """Number of the restart with the highest ELBO; with the lowest last loss, where no ELBO is known."""
        bounds = self.bounds[:, 0]
        if np.isnan(bounds).all():
            return int(self.restarts["last_loss"].fillna(np.inf).argmin())
        return int(np.nanargmax(bounds))

    @property
    def temperature(self) -> float:
        """Weight of the KL divergence in what was minimised; 1 is Bayes."""
        return float(self.settings.get("temperature", 1.0))

    def trend(self, restart: int | None = None, share: float = 0.2) -> Trend:
        """Say whether the loss, or that of one restart, still falls; see `companion.posterior.trend`.

        It has not converged either where a parameter was still on its way: a learning rate that falls to zero makes any
        loss flat; see `drifting`.
        """
        found = trend(self.history if restart is None else self.losses[:, restart], share)
        looked_at = self.weights > 0 if restart is None else [restart]
        under_way = self.drifting is not None and bool(self.drifting[looked_at].any())
        return found._replace(converged=found.converged and not under_way)

    def weighted(self, weights: np.ndarray) -> Record:
        """Give the record of the posterior in which the restarts have these weights (restarts,)."""
        return dataclasses.replace(self, weights=weights)

    def alone(self, number: int) -> Record:
        """Give the record of the posterior in which one restart has all the weight.

        Raises
        ------
        ModelError
            If there is no restart of that number.
        """
        count = len(self.weights)
        if not 0 <= number < count:
            raise ModelError(f"restart {number} asked for; there are {count}, counted from 0.")
        return self.weighted(np.eye(count)[number])

    def only(self, restarts: np.ndarray) -> Record:
        """Return the record of some restarts, by their numbers; their weights must sum to 1."""
        return dataclasses.replace(
            self,
            losses=self.losses[:, restarts],
            bounds=self.bounds[restarts],
            weights=self.weights[restarts],
            drifting=None if self.drifting is None else self.drifting[restarts],
        )

    def __str__(self) -> str:
        """Say in one line how it was found."""
        several = "chains" if "chains" in self.settings else "restarts"
        steps = f", {len(self.losses):,} steps" if len(self.losses) else ""
        count = f", {len(self.weights)} {several}" if len(self.weights) > 1 else ""
        what = "log density" if self.method.partition(":")[0] in _WITHOUT_BOUND else "ELBO"
        error = f" (standard error {self.elbo_se:.1g})" if self.elbo_se or what == "ELBO" else ""
        bound = "" if np.isnan(self.elbo) else f": {what} {self.elbo:,.1f}{error} nats"
        bound += "" if self.log_evidence is None else f", log evidence about {self.log_evidence:,.1f} nats"
        weight = "" if self.temperature == 1 else f", minimised at T = {self.temperature:g}"
        stopped = "" if self.stopped is None else f"; {self.stopped}"
        return f"{self.method}{steps}{count}{bound}{weight}, {self.seconds:.1f} s{stopped}"
