"""Step sizes of the samplers of mini-batches, constant or in cycles, and the steps whose positions may be kept.

Both depend on the number of the step alone, so that a chain can go on from any step. Explained in
`book/reference/how_a_fit_works`, section "Samplers of mini-batches".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from companion.errors import ModelError

__all__ = ["StepSchedule", "StepSizes", "cold_steps"]

_ROUNDING = 1e-9


class StepSchedule(StrEnum):
    """How the step size changes over the steps."""

    CONSTANT = "constant"
    """The same at every step."""

    CYCLICAL = "cyclical"
    """Down to almost 0 along half a cosine, and up again at once, as often as there are cycles (Zhang et al. 2020)."""


@dataclass(frozen=True)
class StepSizes:
    r"""The step size at every step.

    In cycles of :math:`L` steps, step :math:`t` of a cycle has the size

    .. math::

        \epsilon_t = \tfrac12 \epsilon \, (1 + \cos(\pi t / L)).

    The first part of a cycle is hot: its large steps lead from one mode to another. The rest is cold: its small
    steps have a small bias, and only their positions are kept. In the warm-up the step size is constant.

    Attributes
    ----------
    size
        Largest step size.
    schedule
        Name of the way in which the step size changes.
    warmup, steps
        Number of steps of the warm-up, and of all steps with those of the warm-up.
    cycles
        Number of cycles after the warm-up.
    exploration
        Share of a cycle that is hot.

    Raises
    ------
    ModelError
        If there are fewer steps than cycles, or a cycle has no step whose position is kept.
    """

    size: float
    schedule: StepSchedule
    warmup: int
    steps: int
    cycles: int
    exploration: float

    def __post_init__(self) -> None:
        after, needed = self.steps - self.warmup, self.cycles / (1 - self.exploration) - _ROUNDING
        if self.schedule is StepSchedule.CYCLICAL and after < needed:
            raise ModelError(
                f"{after} steps after the warm-up make {self.cycles} cycles, of which the first "
                f"{self.exploration:.0%} are hot: a cycle has no step whose position is kept. Expected at least "
                f"{math.ceil(needed)} steps, fewer cycles or a smaller exploration."
            )

    def at(self, step: int) -> float:
        """Return the step size at a step."""
        place = self._place(step)
        return self.size if place is None else 0.5 * self.size * (1 + math.cos(math.pi * place))

    def keeps(self, step: int) -> bool:
        """Say whether the position after a step may be kept: not in the warm-up, nor in the hot part of a cycle."""
        place = self._place(step)
        return step >= self.warmup and (place is None or place >= self.exploration - _ROUNDING)

    @property
    def mean(self) -> float:
        """Mean step size after the warm-up: by how many steps of this size the schedule moves as far."""
        return self.size if self.schedule is StepSchedule.CONSTANT else 0.5 * self.size

    @property
    def kept_mean(self) -> float:
        """Mean step size of the steps whose positions may be kept."""
        if self.schedule is StepSchedule.CONSTANT:
            return self.size
        cold = 1 - self.exploration
        return 0.5 * self.size * (1 - math.sin(math.pi * self.exploration) / (math.pi * cold))

    def _place(self, step: int) -> float | None:
        """Return the share of its cycle that is done before a step; None where there are no cycles."""
        if self.schedule is StepSchedule.CONSTANT or step < self.warmup:
            return None
        return ((step - self.warmup) * self.cycles / (self.steps - self.warmup)) % 1.0


def cold_steps(draws: int, thin: int, cycles: int, exploration: float) -> list[int]:
    """Return the steps of the fewest cycles' steps that hold so many draws in their cold parts.

    Parameters
    ----------
    draws
        Number of draws.
    thin
        Number of cold steps for each draw.
    cycles, exploration
        Settings of `StepSizes`, with the same meaning.

    Returns
    -------
    list of int
        Number of the step of each draw, counted from the end of the warm-up. The last one is that of the last cycle.
    """
    wanted = -(-draws * thin // cycles)
    length = math.ceil(wanted / (1 - exploration) - _ROUNDING)
    hot = length - wanted
    cold = [first + k for first in range(0, cycles * length, length) for k in range(hot, length)]
    return [cold[(draw + 1) * len(cold) // draws - 1] for draw in range(draws)]
