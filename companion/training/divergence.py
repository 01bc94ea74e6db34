"""Losses that become NaN or grow without bound: which restarts are alive, and what was the first to break.

Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from companion.training.batches import Batches
from companion.training.task import Collector, TrainingObjective
from companion.variational import Parameters

__all__ = ["Snapshot", "alive", "diagnosis"]

# A loss this many times its first size (and it starts far from its best) isn't on its way anywhere. Its first size is
# the least of so many steps, and the recent one is a mean of as many.
_GROWTH, _STEPS = 1e4, 100

# Broken entries of a parameter that are looked at, and values that are named.
_LOOKED_AT, _NAMED = 1000, 3


class Repeatable(Protocol):
    """A fit under way whose steps can be repeated; see `companion.training.Training`."""

    batches: Batches
    parameters: Parameters
    folder: Path | None
    losses: torch.Tensor
    noise: torch.Tensor
    step: int
    collector: Collector | None

    @property
    def objective(self) -> TrainingObjective:
        """What is minimised."""
        ...

    def tensors(self) -> dict[str, torch.Tensor]:
        """Collect everything that the next step depends on."""
        ...

    def restore(self, tensors: Mapping[str, torch.Tensor], step: int) -> None:
        """Go back, or forward, to a state."""
        ...

    def averaged(self) -> tuple[torch.Tensor, tuple[torch.Tensor, ...], bool]:
        """Compute this step's losses and gradients over all processes, and whether any was interrupted."""
        ...

    def update(self, loss: torch.Tensor, gradients: tuple[torch.Tensor, ...]) -> None:
        """Let the optimiser follow the gradients, and count the step."""
        ...


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A state to come back to."""

    step: int
    tensors: dict[str, torch.Tensor]

    @classmethod
    def of(cls, training: Repeatable) -> Snapshot:
        """Copy the state of a fit."""
        return cls(training.step, {name: t.detach().clone() for name, t in training.tensors().items()})


def alive(training: Repeatable) -> torch.Tensor:
    """Say which restarts (restarts,) can go on.

    Their loss is finite and hasn't exploded; so are their parameters, and the squared gradients that Adam keeps: with
    an infinite one it would never move that parameter again.
    """
    done = training.losses[: training.step]
    recent = done[-_STEPS:].mean(dim=0)
    first = done[:_STEPS].abs().nan_to_num(float("inf")).amin(dim=0)
    fine = torch.isfinite(recent) & (recent <= _GROWTH * (first + 1))
    for name, tensor in training.tensors().items():
        if name.startswith("parameters/") or name.endswith("/exp_avg_sq"):
            fine &= torch.isfinite(tensor).reshape(len(tensor), -1).all(dim=1)
    return fine


def diagnosis(training: Repeatable, good: Snapshot) -> str:
    """Go back to the last good state, walk to the step that broke, and say what was seen there.

    The fit is left in the last good state.
    """
    broken_at = training.step
    training.restore(good.tensors, good.step)
    what = _what_broke(training, broken_at)
    step = training.step
    advice = _advice(training)
    training.restore(good.tensors, good.step)
    part = "" if training.collector is None else f" of the {training.collector.part}"
    return (
        f"at step {step:,}{part} {what} in every restart that was left. {advice} "
        f"The posterior of the last good state (step {good.step:,}{part}) is this error's `posterior`"
        + (", and the checkpoint before it is kept." if training.folder is not None else ".")
    )


def _advice(training: Repeatable) -> str:
    """Say what to try next, in keywords that this fit has: no wider numbers where it can't compute with them."""
    finer = training.objective.float64 and training.objective.dtype != torch.float64
    rounding = finer and _is_rounding(training)
    if not rounding and training.step == 0 and (outside := _terms(training, at_start=True)):
        return (
            f"It is so where the fit starts, too: {' and '.join(outside)} isn't finite there. Give a start inside the "
            "support of every variable, by start={...}, start='prior' or an initval in the model."
        )
    first = "In float64 the same numbers are finite: use machine=Machine(precision='float64'). Where that is too slow: "
    rate = "learning_rate" if training.collector is None else training.collector.rate
    trials = [f"lower {rate} (a tenth is a good next try)"]
    if any(training.objective.is_scale(name) for name in training.parameters):
        trials.append("start nearer to one point, with start=Start(scale=...)")
    trials.append("standardise the inputs")
    if finer and not rounding:
        trials.append(
            "use machine=Machine(precision='float64') to tell rounding from a model whose density is infinite somewhere"
        )
    rest = f"{', '.join(trials[:-1])}, or {trials[-1]}."
    return first + rest if rounding else rest[0].upper() + rest[1:]


def _what_broke(training: Repeatable, until: int) -> str:
    """Repeat the steps up to the one that broke; they are the same, because their random numbers are."""
    dtype = str(training.objective.dtype).removeprefix("torch.")
    while training.step < until:
        loss, gradients, _ = training.averaged()
        if names := _not_finite(training, gradients):
            return f"the gradient of {', '.join(map(repr, names))} became NaN or too large for {dtype}"
        if not torch.isfinite(loss).any():
            return f"{' and '.join(_terms(training)) or 'the loss'} became NaN or infinite"
        training.update(loss, gradients)
    return f"the loss had grown {_GROWTH:,.0f}-fold"


def _each_restart(training: Repeatable) -> Iterator[tuple[Parameters, torch.Tensor]]:
    """Go through the restarts: parameters of each, and the noise (noise,) of its first draw at this step."""
    for r, noise in enumerate(training.noise):
        yield {name: p[r] for name, p in training.parameters.items()}, noise[0]


def _is_rounding(training: Repeatable) -> bool:
    """Say whether the log density and its gradient at this step's draws are finite in float64, in any restart."""
    data = training.batches.at(training.step)
    return any(training.objective.finite_in_float64(own, e, data) for own, e in _each_restart(training))


def _terms(training: Repeatable, *, at_start: bool = False) -> list[str]:
    """Name the terms of the loss that aren't finite at this step's draws, or without any noise."""
    data = training.batches.at(training.step)
    noises = [(own, torch.zeros_like(e) if at_start else e) for own, e in _each_restart(training)]
    names = [n for own, e in noises for n in training.objective.broken_terms(own, e, data)]
    return list(dict.fromkeys(names))


def _not_finite(training: Repeatable, gradients: tuple[torch.Tensor, ...]) -> list[str]:
    """Name the values whose gradient, or its square, isn't finite in any restart: the first few."""
    names: list[str] = []
    for parameter, gradient in zip(training.parameters, gradients, strict=True):
        bad = (~torch.isfinite(gradient.square())).all(dim=0)
        bad = bad.flatten(1).any(dim=1) if bad.ndim > 1 else bad.reshape(-1)
        names += [training.objective.value_at(parameter, int(i)) for i in torch.nonzero(bad).flatten()[:_LOOKED_AT]]
    return list(dict.fromkeys(names))[:_NAMED]
