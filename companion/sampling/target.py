"""The log density that chains move on, and its gradient, for all chains at once.

It is the negative loss of a point in `companion.variational.Objective`, whose gradient is traced to one graph and
compiled where that is faster. Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from companion.bridge import largest
from companion.errors import ModelError
from companion.machine import Machine, faster, threads_worth
from companion.training import Batches
from companion.variational import Objective, PointMass

__all__ = ["Target"]


class Target:
    """Log densities and gradients of all chains: what a `companion.sampling.Gradient` is.

    Parameters
    ----------
    objective
        The lowered model, with the family `companion.variational.PointMass`.
    batches
        Rows by step.
    machine
        Whether to compile the gradient, and how many threads to use; "auto" measures.
    calls
        Number of calls to come, about: compilation must earn its time back.

    Attributes
    ----------
    compiled, threads
        Whether the gradient is compiled, and how many threads it uses; ``None`` until that was decided.
    """

    def __init__(self, objective: Objective, batches: Batches, machine: Machine, calls: int) -> None:
        assert isinstance(objective.family, PointMass), "a chain is a point"
        self.objective, self.batches = objective, batches
        self.compiled: bool | None = None
        self.threads: int | None = None
        self._machine, self._calls = machine, calls
        self._function: Callable[..., Any] | None = None

    def __call__(self, position: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute log densities (chains,) and gradients (chains, size) at positions (chains, size)."""
        rows = self.batches.at(step)
        if self._function is None:
            self._set_up(position, rows)
        losses, (slope,) = self._function(self._one, self._noise, position, *rows.values())  # type: ignore[misc]
        return -losses, -slope

    def refuse_start(self, position: torch.Tensor) -> None:
        """Refuse starting positions (chains, size) without a finite density and gradient.

        Raises
        ------
        ModelError
            If there are some; the message names the chains and the terms that aren't finite.
        """
        with torch.no_grad():
            fine = self.fine(position)
        if bool(fine.all()):
            return
        bad = torch.nonzero(~fine).flatten().tolist()
        terms = self.objective.broken_terms({"mean": position[bad[0]]}, position.new_empty(0), self.batches.at(0))
        raise ModelError(
            f"{len(bad)} of {len(position)} chains start where there is no density (chain {bad[0]} first): "
            f"{' and '.join(terms) or 'the gradient'} isn't finite there. Give a start inside the support of every "
            "variable, or start='prior'."
        )

    def fine(self, position: torch.Tensor) -> torch.Tensor:
        """Say at which positions (chains, size) log density and gradient are finite: (chains,)."""
        lp, slope = self(position, 0)
        return torch.isfinite(lp) & torch.isfinite(slope).all(1)

    def _set_up(self, position: torch.Tensor, rows: Any) -> None:
        """Trace the gradient, compile it where that is faster, and use the threads that pay."""
        self._one = position.new_ones(())
        self._noise = position.new_empty(len(position), 1, 0)
        traced = self.objective.gradient({"mean": position}, self._noise, rows)
        setting = self._machine.compile if self.compiled is None else self.compiled
        graph = isinstance(traced, torch.fx.GraphModule)
        if not graph:  # a loop in Python: nothing to compile
            setting = False
        arguments = (self._one, self._noise, position, *rows.values())
        if self.threads is None:
            self.threads = threads_worth(
                traced,
                arguments,
                largest=largest(traced) if graph else max(t.numel() for t in arguments),
                setting=self._machine.threads,
                steps=self._calls,
                measurable=graph,
            )
        torch.set_num_threads(self.threads)
        self._function, self.compiled = faster(
            traced, arguments, setting=setting, steps=self._calls, device=position.device
        )
