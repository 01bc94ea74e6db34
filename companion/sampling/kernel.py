"""What a sampler is made of: settings that build a kernel, and a kernel that moves all chains by one step.

Everything that the next step of a chain depends on lies in its state, in the number of the step and in the seed. So a
checkpoint of the state resumes draw for draw. Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from companion.machine import fill_normal, seed_for

__all__ = ["Gradient", "Info", "Kernel", "Noise", "Problem", "Sampler", "State", "chosen", "kept_steps"]

State = dict[str, torch.Tensor]
"""What the next step depends on, by name: tensors (chains, ...), "position" (chains, size) among them, the values in
the unconstrained space. Entries whose name begins with ``shared_`` belong to all chains and may have any shape."""

Info = dict[str, torch.Tensor]
"""What a step tells: tensors (chains, ...). The runner records those that are (chains,) and whose name doesn't begin
with ``_``, under ArviZ's names: "lp", "energy", "diverging", "acceptance_rate", "n_steps", "step_size". The others are
for `Kernel.adapt` alone."""

Gradient = Callable[[torch.Tensor, int], tuple[torch.Tensor, torch.Tensor]]
"""Function of positions (chains, size) and of the number of the step, which gives log densities (chains,) and their
gradients (chains, size). The number of the step says which rows are seen, where a sampler takes mini-batches: the log
density is then an estimate of that of all rows."""


class Noise:
    """The random numbers of one step, which follow from the seed, their purpose and the step.

    Parameters
    ----------
    seed, step
        Seed of the chains and number of the step; -1 before the first one.
    chains
        Number of chains.
    device, dtype
        Device and dtype of the numbers.
    rank
        Number of the process, whose chains have numbers of their own.
    """

    def __init__(
        self, seed: int, step: int, chains: int, device: torch.device, dtype: torch.dtype, rank: int = 0
    ) -> None:
        self._seed, self._step, self._rank = seed, step + 1, rank
        self._chains, self._device, self._dtype = chains, device, dtype
        self._generator = torch.Generator(device)

    def normal(self, purpose: str, *shape: int, scale: float = 1.0) -> torch.Tensor:
        r"""Draw normal numbers (chains, \*shape) of mean 0 and this scale; another purpose gives other numbers."""
        return fill_normal(self._empty(shape), scale, self._seed, f"sample {purpose}", self._step, self._rank)

    def uniform(self, purpose: str, *shape: int) -> torch.Tensor:
        r"""Draw numbers between 0 and 1 (chains, \*shape); another purpose gives other numbers."""
        return self._empty(shape).uniform_(generator=self._for(purpose))

    def _empty(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.empty(self._chains, *shape, device=self._device, dtype=self._dtype)

    def _for(self, purpose: str) -> torch.Generator:
        return self._generator.manual_seed(seed_for(self._seed, f"sample {purpose}", self._step, self._rank))


@dataclass(frozen=True, eq=False)
class Problem:
    """What a kernel is built for.

    Attributes
    ----------
    gradient
        Log density and gradient of all chains; see `Gradient`.
    size
        Number of values of one chain.
    chains
        Number of chains in this process.
    warmup, steps
        Number of steps of the warm-up, and of all steps with those of the warm-up.
    device, dtype
        Device and dtype of the positions.
    rows
        Number of rows of the data; ``None`` where the model has none.
    batch_size
        Number of rows that a step sees; ``None`` for all.
    """

    gradient: Gradient
    size: int
    chains: int
    warmup: int
    steps: int
    device: torch.device
    dtype: torch.dtype
    rows: int | None = None
    batch_size: int | None = None


class Kernel(Protocol):
    """A step of all chains, side by side."""

    def begin(self, position: torch.Tensor, noise: Noise) -> State:
        """Make the state of chains that start at positions (chains, size)."""
        ...

    def step(self, state: State, noise: Noise, step: int) -> tuple[State, Info]:
        """Move all chains by one step. The state that is given stays as it is: a new one is returned."""
        ...

    def adapt(self, state: State, info: Info, step: int, total: int) -> State:
        """Learn from a step of the warm-up, which has ``total`` steps; the last one ends the learning."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """Settings of a sampler, checked when they are made; a frozen dataclass.

    Attributes
    ----------
    name
        Name in the record, such as "chees-hmc".
    minibatches
        Whether a step may see some of the rows only.
    warmup, thin
        Number of steps of the warm-up, and for each draw that is kept, where none are asked for.
    """

    @property
    def name(self) -> str:
        """Name in the record, such as "chees-hmc"."""
        ...

    @property
    def minibatches(self) -> bool:
        """Whether a step may see some of the rows only."""
        ...

    @property
    def warmup(self) -> int:
        """Number of steps of the warm-up where none are asked for."""
        ...

    @property
    def thin(self) -> int:
        """Number of steps for each draw that is kept, where none are asked for."""
        ...

    def kernel(self, problem: Problem) -> Kernel:
        """Build the kernel.

        Raises
        ------
        ModelError
            If the problem is one that the sampler can't take, such as a single value.
        """
        ...

    def as_json(self) -> Mapping[str, Any]:
        """Return the settings as plain values, for the checkpoint and the record."""
        ...


def chosen(moves: torch.Tensor, new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    """Take the new entries (chains, ...) of those chains (chains,) that move, and the old entries of the others."""
    return torch.where(moves[:, None] if new.ndim > 1 else moves, new, old)


def kept_steps(sampler: Sampler, draws: int, thin: int) -> Sequence[int]:
    """Return the steps, counted from the end of the warm-up, whose positions are the draws of a chain.

    Every ``thin``-th step, unless the sampler has a method of this name that says otherwise.

    Parameters
    ----------
    draws, thin
        Number of draws, and of steps for each.

    Returns
    -------
    sequence of int
        Numbers of the steps, in rising order. The last one is the last step.
    """
    own: Callable[[int, int], Sequence[int]] | None = getattr(sampler, "kept_steps", None)
    return range(thin - 1, draws * thin, thin) if own is None else own(draws, thin)
