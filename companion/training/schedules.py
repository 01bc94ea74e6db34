"""Learning-rate schedules and KL warm-up, as functions of the share of the steps that is done.

They depend on nothing else, so that a fit can go on from any step.
Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from companion.checks import choice, is_number
from companion.errors import ModelError

__all__ = ["Schedule", "ScheduleShape", "schedule_named", "warm_up"]

Shape = Callable[[float], float]


def constant(progress: float) -> float:
    """Keep the rate."""
    return 1.0


def cosine(progress: float) -> float:
    """Fall from 1 to 0 along half a cosine (Loshchilov and Hutter 2017)."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def one_cycle(progress: float, rise: float = 0.3) -> float:
    """Rise from 1/25 to 1 over the first 30 %, then fall to almost 0 (Smith and Topin 2019)."""
    if progress < rise:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * progress / rise))
    return cosine((progress - rise) / (1 - rise))


class ScheduleShape(StrEnum):
    """How the learning rates change over the steps."""

    COSINE = "cosine"
    """Down to 0 along half a cosine."""

    ONE_CYCLE = "one-cycle"
    """Up over the first 30 % of the steps, then down to almost 0."""

    CONSTANT = "constant"
    """The same at every step."""


_SHAPES: dict[ScheduleShape, Shape] = {
    ScheduleShape.CONSTANT: constant,
    ScheduleShape.COSINE: cosine,
    ScheduleShape.ONE_CYCLE: one_cycle,
}


def schedule_named(name: str) -> Shape:
    """Look the shape of a schedule up: a function from the share of the steps that is done to a factor.

    Raises
    ------
    ModelError
        If there is none of that name.
    """
    return _SHAPES[choice(ScheduleShape, "schedule", name)]


@dataclass(frozen=True)
class Schedule:
    """What changes over the steps.

    Parameters
    ----------
    shape
        Shape of the learning rates: a name of `ScheduleShape`.
    kl_warmup
        Share of the steps in which the KL divergence's weight rises from 0, between 0 and 1.

    Raises
    ------
    ModelError
        If there is no such shape, or the share is outside 0 to 1.
    """

    shape: str = "cosine"
    kl_warmup: float = 0.0

    def __post_init__(self) -> None:
        choice(ScheduleShape, "schedule", self.shape, "or a Schedule")
        if not is_number(self.kl_warmup) or not 0 <= self.kl_warmup <= 1:
            raise ModelError(f"kl_warmup={self.kl_warmup!r}; expected a share of the steps, from 0 to 1.")

    @classmethod
    def of(cls, schedule: Schedule | str) -> Schedule:
        """Make a schedule of the name of its shape; one that is a schedule already stays as it is."""
        return schedule if isinstance(schedule, Schedule) else cls(schedule)


def warm_up(progress: float, until: float) -> float:
    """Compute the KL divergence's weight, which rises from 0 to 1 until a share of the steps (Bowman et al. 2016)."""
    return min(1.0, progress / until) if until > 0 else 1.0
