"""How a fit ends: at its last step, early, or in a fault that loses nothing.

Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch

from companion.errors import InferenceError, class_and_line, notice
from companion.training.divergence import alive
from companion.training.loop import Halted, Training
from companion.training.task import TrainingObjective

__all__ = ["Ending", "Valued", "run", "value"]

Task = TypeVar("Task", bound=TrainingObjective)


@dataclass(frozen=True)
class Ending(Generic[Task]):
    """How the steps ended.

    Attributes
    ----------
    training
        The fit, at its last good state.
    stopped
        Why it ended early; None where it didn't.
    failed
        Whether that was a fault, to be raised with the posterior once there is one.
    seconds
        Wall time of the steps.
    """

    training: Training[Task]
    stopped: str | None
    failed: bool
    seconds: float


class Valued(NamedTuple):
    """Bounds (restarts, 2), weights (restarts,), and how the fit ended after all.

    The bounds are minus infinity for a restart that diverged, and NaN where they were not estimated.
    """

    bounds: np.ndarray
    weights: np.ndarray
    stopped: str | None
    failed: bool


def run(
    training: Training[Task],
    *,
    every: int,
    progressbar: bool,
    walk: Training[Task] | None = None,
    after_walk: Callable[[torch.Tensor], Training[Task]] | None = None,
) -> Ending[Task]:
    """Take all steps; a fit that halts is back at its last good state afterwards.

    Parameters
    ----------
    training
        The fit.
    every
        Number of steps between checkpoints.
    progressbar
        Whether to show loss and time left.
    walk, after_walk
        A walk to take first, towards the mode, and what makes the fit of the means (restarts, size) that it reached.
    """
    began = time.perf_counter()
    stopped: str | None = None
    failed = False
    try:
        if walk is not None and after_walk is not None:
            try:
                if early := walk.run(every=every, progressbar=progressbar):
                    stopped = f"{early} of the start at the mode"
            finally:
                training = after_walk(walk.parameters["mean"])
        if stopped is None:
            stopped = training.run(every=every, progressbar=progressbar)
    except Halted as halted:
        stopped, failed = str(halted), True
    return Ending(training, stopped, failed, time.perf_counter() - began)


def value(ending: Ending[Any], evaluate: Callable[[int], tuple[float, float]]) -> Valued:
    """Estimate the bound of every restart that did not diverge, and give those equal weights.

    Parameters
    ----------
    ending
        How the steps ended.
    evaluate
        Estimates the ELBO of a restart, by its number, and its standard error, in nats.
    """
    training, stopped, failed = ending.training, ending.stopped, ending.failed
    restarts = training.settings.restarts
    fine = alive(training).cpu().numpy() if training.step else np.ones(restarts, dtype=bool)
    bounds = np.full((restarts, 2), np.nan)
    bounds[~fine, 0] = -np.inf
    try:
        for r in np.flatnonzero(fine):
            bound, error = evaluate(int(r))
            bounds[r] = bound if np.isfinite(bound) else -np.inf, error
    except KeyboardInterrupt:
        stopped = stopped or "interrupted before its ELBO was estimated"
    except Exception as error:
        if isinstance(error, InferenceError):
            raise
        if not failed:
            stopped, failed = f"the ELBO can't be estimated: {class_and_line(error)}.", True
    if not fine.all() and fine.any():
        own = None if training.collector is None else training.collector.rate
        lower = "learning_rate or a narrower start" if own is None else f"{own}, or a lower learning_rate before it,"
        notice(
            f"{int((~fine).sum())} of {restarts} restarts diverged and are left out; a lower {lower} would keep them."
        )
    if stopped is None and not failed:
        _tell_of_one_under_way(training, fine, bounds[:, 0])
    weights = fine / fine.sum() if fine.any() else np.full(restarts, 1 / restarts)
    return Valued(bounds, weights, stopped, failed)


def _tell_of_one_under_way(training: Training[Any], fine: np.ndarray, elbo: np.ndarray) -> None:
    """Warn where the best restart's steps ended before a parameter of it had arrived."""
    if not fine.any():
        return
    known = np.where(fine & np.isfinite(elbo), elbo, -np.inf)
    drift = training.drift(int(known.argmax() if np.isfinite(known).any() else fine.argmax()))
    if drift is not None and drift.under_way:
        notice(
            "The fit probably ended before it arrived: over the last fifth of the summed learning rates "
            f"{drift.name!r} still went {drift.share:.0%} of the way that they allow. The loss looks level because the "
            "rate fell, or because the way is long. Standardise the data, or raise learning_rate or steps."
        )
