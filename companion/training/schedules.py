"""Learning-rate schedules and KL warm-up: how far a fit is in, a factor out.

They are functions of the progress alone, so that a fit can go on from any step. Explained in the chapter
`book/mnist/dense`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from companion.errors import ModelError

__all__ = ["SCHEDULES", "schedule_named", "warm_up"]

Schedule = Callable[[float], float]


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


SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine, "one-cycle": one_cycle}


def schedule_named(name: str) -> Schedule:
    """Look a schedule up.

    Raises
    ------
    ModelError
        If there is none of that name.
    """
    if name not in SCHEDULES:
        raise ModelError(f"schedule={name!r}; expected one of {list(SCHEDULES)}.")
    return SCHEDULES[name]


def warm_up(progress: float, until: float) -> float:
    """Weight of the KL divergence: rising from 0 to 1 until a share of the steps is done (Bowman et al. 2016)."""
    return min(1.0, progress / until) if until > 0 else 1.0
