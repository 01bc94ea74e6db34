"""Losses that become NaN or grow without bound: which restarts are alive, and what was the first to break.

Explained in the chapter `book/mnist/dense`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from companion.training.batches import Batches
from companion.variational import Objective, Parameters

__all__ = ["Snapshot", "alive", "diagnosis"]

# A loss this many times its first size (and it starts far from its best) isn't on its way anywhere.
_GROWTH = 1e4


class Repeatable(Protocol):
    """A fit under way whose steps can be repeated; see `companion.training.Training`."""

    objective: Objective
    batches: Batches
    parameters: Parameters
    folder: Path | None
    losses: torch.Tensor
    noise: torch.Tensor
    step: int

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
    recent = done[-100:].mean(dim=0)
    first = done[:100].abs().nan_to_num(float("inf")).amin(dim=0)
    fine = torch.isfinite(recent) & (recent <= _GROWTH * (first + 1))
    for name, tensor in training.tensors().items():
        if name.startswith("parameters/") or name.endswith("/exp_avg_sq"):
            fine &= torch.isfinite(tensor).flatten(1).all(dim=1)
    return fine


def diagnosis(training: Repeatable, good: Snapshot) -> str:
    """Go back to the last good state, walk to the step that broke, and say what was seen there.

    The fit is left in the last good state.
    """
    broken_at = training.step
    training.restore(good.tensors, good.step)
    what = _what_broke(training, broken_at)
    step = training.step
    rounding = (
        ""
        if training.objective.density.dtype == torch.float64 or not _is_rounding(training)
        else ("In float64 the same numbers are finite: use precision='float64'. Where that is too slow: ")
    )
    training.restore(good.tensors, good.step)
    return (
        f"at step {step:,} {what} in every restart that was left. {rounding}"
        "Lower learning_rate (a tenth is a good next try) or start_scale, standardise the inputs, or use "
        "precision='float64' to tell rounding from a model whose density is infinite somewhere. "
        f"The posterior of the last good state (step {good.step:,}) is this error's `posterior`"
        + (", and the checkpoint before it is kept." if training.folder is not None else ".")
    )


def _what_broke(training: Repeatable, until: int) -> str:
    """Repeat the steps up to the one that broke; they are the same, because their random numbers are."""
    dtype = str(training.objective.density.dtype).removeprefix("torch.")
    while training.step < until:
        loss, gradients, _ = training.averaged()
        if names := _not_finite(training, gradients):
            return f"the gradient of {', '.join(map(repr, names))} became NaN or too large for {dtype}"
        if not torch.isfinite(loss).any():
            return f"{' and '.join(_terms(training)) or 'the loss'} became NaN or infinite"
        training.update(loss, gradients)
    return f"the loss had grown {_GROWTH:,.0f}-fold"


def _is_rounding(training: Repeatable) -> bool:
    """Whether the log density and its gradient at this step's draws are finite in float64."""
    objective, data = training.objective, training.batches.at(training.step)
    exact = objective.density.to(torch.float64, objective.density.device)
    rows = {name: t.double() if t.is_floating_point() else t for name, t in data.items()}
    for r, noise in enumerate(training.noise):
        own = {name: p[r] for name, p in training.parameters.items()}
        draw = objective.family.draw(own, noise[0]).double()
        if torch.isfinite(draw).all():
            with torch.enable_grad():
                leaf = draw.detach().requires_grad_()
                density = exact(objective.layout.split(leaf), rows)
                [slope] = torch.autograd.grad(density, [leaf])
            if torch.isfinite(density) and torch.isfinite(slope).all():
                return True
    return False


def _terms(training: Repeatable) -> list[str]:
    """Name the terms of the log density that aren't finite at this step's draws."""
    objective, data = training.objective, training.batches.at(training.step)
    names: list[str] = []
    for r, noise in enumerate(training.noise):
        own = {name: p[r] for name, p in training.parameters.items()}
        values = objective.layout.split(objective.family.draw(own, noise[0]))
        if all(torch.isfinite(v).all() for v in values.values()):
            terms = {f"the log likelihood of {n!r}": t for n, t in objective.density.likelihoods(values, data).items()}
            terms["the log prior"] = objective.density.prior(values, data)
            names += [name for name, term in terms.items() if not torch.isfinite(term)]
    return list(dict.fromkeys(names))


def _not_finite(training: Repeatable, gradients: tuple[torch.Tensor, ...]) -> list[str]:
    """Name the values whose gradient, or its square, isn't finite in any restart: the first three."""
    layout = training.objective.layout
    names: list[str] = []
    for gradient in gradients:
        bad = (~torch.isfinite(gradient.square())).all(dim=0)
        bad = bad.flatten(1).any(dim=1) if bad.ndim > 1 else bad
        names += [layout.name_at(int(i)) for i in torch.nonzero(bad).flatten()[:1000]]
    return list(dict.fromkeys(names))[:3]
