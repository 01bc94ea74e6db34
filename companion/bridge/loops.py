"""PyTensor's scans as torch functions: a loop over the steps, which autograd and `torch.vmap` follow.

Explained in `book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

__all__ = ["chosen", "scan"]

Torch = Callable[..., Any]


@dataclass
class _Series:
    """What a scan remembers of one of its outputs: one tensor for each step.

    Attributes
    ----------
    buffer
        Tensor (steps, ...) whose first entries are the values before the first step.
    taps
        Steps that the inner function looks back, negative numbers.
    """

    buffer: torch.Tensor
    taps: Sequence[int]
    steps: list[torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.steps = list(self.buffer[: -min(self.taps)].unbind())

    def read(self) -> list[torch.Tensor]:
        """Give the values that the next step is computed from."""
        return [self.steps[tap] for tap in self.taps]

    def output(self) -> torch.Tensor:
        """Give as many of the last values as the buffer has room for; what was not reached stays as it was."""
        size, reached = len(self.buffer), len(self.steps)
        if reached >= size:
            return torch.stack(self.steps[reached - size :])
        return torch.cat([torch.stack(self.steps), self.buffer[reached:]])


@dataclass
class _Sums:
    """An output that steps read and write at several places, as a scan's gradient does.

    Attributes
    ----------
    buffer
        Tensor (steps, ...).
    reads, writes
        Places relative to the step's own.
    """

    buffer: torch.Tensor
    reads: Sequence[int]
    writes: Sequence[int]

    def __post_init__(self) -> None:
        self.rows, self.at = list(self.buffer.unbind()), -min(self.reads)

    def read(self) -> list[torch.Tensor]:
        """Give what the next step reads."""
        return [self.rows[self.at + tap] for tap in self.reads]

    def write(self, values: Sequence[torch.Tensor]) -> None:
        """Take over what the step wrote, and go on to the next."""
        for tap, value in zip(self.writes, values, strict=True):
            self.rows[self.at + tap] = value
        self.at += 1


def scan(op: Any, inner: Torch) -> Torch:
    """Make a scan a torch function.

    Parameters
    ----------
    op
        PyTensor's Scan, one that goes on for a number of steps, not until something is true.
    inner
        One step, as a torch function that gives a tuple.
    """
    info = op.info

    def loop(*outer: torch.Tensor) -> Any:
        sequences, constants = op.outer_seqs(outer), op.outer_non_seqs(outer)
        sums = list(map(_Sums, op.outer_mitmot(outer), info.mit_mot_in_slices, info.mit_mot_out_slices))
        series = list(
            map(
                _Series,
                [*op.outer_mitsot(outer), *op.outer_sitsot(outer)],
                [*info.mit_sot_in_slices, *info.sit_sot_in_slices],
            )
        )
        states = list(op.outer_untraced_sit_sot(outer))
        collected: list[list[torch.Tensor]] = [[] for _ in range(info.n_nit_sot)]
        for i in range(int(outer[0])):
            read = [value for kept in sums for value in kept.read()] + [v for kept in series for v in kept.read()]
            new = inner(*(s[i] for s in sequences), *read, *states, *constants)
            for written, kept in zip(op.inner_mitmot_outs_grouped(new), sums, strict=True):
                kept.write(written)
            for value, one in zip([*op.inner_mitsot_outs(new), *op.inner_sitsot_outs(new)], series, strict=True):
                one.steps.append(value)
            for value, values in zip(op.inner_nitsot_outs(new), collected, strict=True):
                values.append(value)
            states = list(op.inner_untraced_sit_sot_outs(new))
        found = [
            *(torch.stack(kept.rows) for kept in sums),
            *(one.output() for one in series),
            *(torch.stack(v[-int(size) :]) for v, size in zip(collected, op.outer_nitsot(outer), strict=True)),
            *states,
        ]
        return found[0] if len(found) == 1 else tuple(found)

    return loop


def chosen(outputs: int) -> Torch:
    """Choose between two lists of values entry by entry, since a tensor's value can't be asked for."""

    def choose(condition: Any, *values: torch.Tensor) -> Any:
        yes = torch.as_tensor(condition).bool()
        found = [torch.where(yes, a, b) for a, b in zip(values[:outputs], values[outputs:], strict=True)]
        return found[0] if outputs == 1 else tuple(found)

    return choose
