"""Losses that become NaN or grow without bound: which restarts are alive, and what was the first to break.

Explained in the chapter `book/mnist/dense`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from companion.inference.training import Training

__all__ = ["Snapshot", "alive", "diagnosis"]

# A loss this many times its first size (and it starts far from its best) isn't on its way anywhere.
_GROWTH = 1e4


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A state to come back to."""

    step: int
    tensors: dict[str, torch.Tensor]

    @classmethod
    def of(cls, training: Training) -> Snapshot:
        """Copy the state of a fit."""
        return cls(training.step, {name: t.detach().clone() for name, t in training._tensors().items()})


def alive(training: Training) -> torch.Tensor:
    """Say which restarts (restarts,) can go on.

    Their loss is finite and hasn't exploded; so are their parameters, and the squared gradients that Adam keeps: with
    an infinite one it would never move that parameter again.
    """
    done = training.losses[: training.step]
    recent = done[-100:].mean(dim=0)
    first = done[:100].abs().nan_to_num(float("inf")).amin(dim=0)
    fine = torch.isfinite(recent) & (recent <= _GROWTH * (first + 1))
    for name, tensor in training._tensors().items():
        if name.startswith("parameters/") or name.endswith("/exp_avg_sq"):
            fine &= torch.isfinite(tensor).flatten(1).all(dim=1)
    return fine


def diagnosis(training: Training, good: Snapshot) -> str:
    """Go back to the last good state, walk to the step that broke, and say what was seen there.

    The fit is left in the last good state.
    """
    broken_at = training.step
    training.restore(good.tensors, good.step)
    step, culprits = _first_broken(training, broken_at)
    training.restore(good.tensors, good.step)
    dtype = str(training.objective.density.dtype).removeprefix("torch.")
    what = "the loss became NaN or infinite, or had grown 10,000-fold,"
    if culprits:
        what = f"the gradient of {', '.join(map(repr, culprits))} became NaN or too large for {dtype}"
    return (
        f"at step {step:,} {what} in every restart that was left. "
        "Lower learning_rate (a tenth is a good next try) or start_scale, standardise the inputs, or use "
        "precision='float64' to tell rounding from a model whose density is infinite somewhere. "
        f"The posterior of the last good state (step {good.step:,}) is this error's `posterior`"
        + (", and the checkpoint before it is kept." if training.folder is not None else ".")
    )


def _first_broken(training: Training, until: int) -> tuple[int, list[str]]:
    """Repeat the steps; they are the same, because their random numbers are."""
    while training.step < until:
        loss, gradients, _ = training.averaged()
        culprits = _not_finite(training, gradients)
        if culprits or not torch.isfinite(loss).any():
            return training.step, culprits
        training.update(loss, gradients)
    return until, []


def _not_finite(training: Training, gradients: tuple[torch.Tensor, ...]) -> list[str]:
    """Name the values whose gradient, or its square, isn't finite in any restart: the first three."""
    layout = training.objective.layout
    names: list[str] = []
    for gradient in gradients:
        bad = (~torch.isfinite(gradient.square())).all(dim=0)
        bad = bad.flatten(1).any(dim=1) if bad.ndim > 1 else bad
        names += [layout.name_at(int(i)) for i in torch.nonzero(bad).flatten()[:1000]]
    return list(dict.fromkeys(names))[:3]
