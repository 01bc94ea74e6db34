"""What a sampler is made of: settings that build a kernel, and a kernel that moves all chains by one step.

Everything that the next step of a chain depends on lies in its state, in the number of the step and in the seed. So a
checkpoint of the state resumes draw for draw. Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from companion.machine import fill_normal, generator_for

__all__ = [
    "Gradient",
    "Info",
    "Kernel",
    "Loops",
    "Motion",
    "Noise",
    "Problem",
    "Sampler",
    "SeveralSteps",
    "State",
    "Tensors",
    "chosen",
    "kept_steps",
]

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

Tensors = tuple[torch.Tensor, ...]

Motion = Callable[[Gradient, torch.Tensor, Tensors, Tensors], Tensors]
"""Function of a gradient, of a count () from 0, of tensors that it changes, positions (chains, size) first, and of
tensors that stay, which gives the changed ones. What it does may not depend on what is in the tensors."""


class Loops(Protocol):
    """What repeats a motion of all chains in one call, where that can be compiled."""

    def repeat(self, motion: Motion, count: int, times: int, carried: Tensors, given: Tensors) -> Tensors | None:
        """Repeat a motion; always the same one, with tensors of the same shapes.

        Parameters
        ----------
        motion
            What is repeated.
        count
            How often.
        times
            Number of all repetitions to come, about: compilation must earn its time back.
        carried, given
            Tensors that it changes, and tensors that stay.

        Returns
        -------
        tuple of torch.Tensor
            The tensors that it changed; ``None`` where it isn't compiled, or not yet.
        """
        ...


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

    def normal(self, purpose: str, *shape: int, scale: float = 1.0, out: torch.Tensor | None = None) -> torch.Tensor:
        r"""Draw normal numbers (chains, \*shape) of mean 0 and this scale; another purpose gives other numbers.

        Where ``out`` is given, a contiguous tensor of that shape, they are put there.
        """
        place = self._empty(shape) if out is None else out
        return fill_normal(place, scale, self._seed, f"sample {purpose}", self._step, self._rank)

    def uniform(self, purpose: str, *shape: int) -> torch.Tensor:
        r"""Draw numbers between 0 and 1 (chains, \*shape); another purpose gives other numbers."""
        generator = generator_for(self._device, self._seed, f"sample {purpose}", self._step, self._rank)
        return self._empty(shape).uniform_(generator=generator)

    def _empty(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.empty(self._chains, *shape, device=self._device, dtype=self._dtype)


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
    loops
        What repeats a motion with this gradient in one call; ``None`` where nothing does.
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
    loops: Loops | None = None


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
class SeveralSteps(Protocol):
    """A kernel that can take several steps at once."""

    def steps(self, state: State, noise: Callable[[int], Noise], step: int, most: int) -> tuple[State, Info, int]:
        """Take as many steps as can be taken at once.

        Parameters
        ----------
        state
            State of the chains, which stays as it is.
        noise
            Random numbers of a step.
        step
            Number of the first step.
        most
            Largest number of steps.

        Returns
        -------
        dict, dict, int
            The new state; what the steps tell, put together as the runner does it; and their number, 1 or more.
        """
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
