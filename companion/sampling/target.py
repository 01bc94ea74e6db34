"""The log density that chains move on, and its gradient, for all chains at once.

It is the negative loss of a point in `companion.variational.Objective`, whose gradient is traced to one graph. That is
compiled where it is faster: alone, or together with what a sampler does around it. Explained in
`book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch

from companion.bridge import largest
from companion.errors import ModelError
from companion.machine import LibraryError, Loop, Machine, faster, fastest_of, threads_worth
from companion.sampling.kernel import Motion, Tensors
from companion.training import Batches
from companion.variational import Objective, PointMass

__all__ = ["Target"]

_log = logging.getLogger(__name__)

# Numbers in the largest tensor of a gradient that is compiled together with its sampler: beyond, calls cost nothing.
_SMALL = 2**22

# Building takes a quarter of a minute; chains that take less have no use for it.
_WORTH_IT_S = 20.0

# A library must take less than this part of the time.
_FASTER = 0.95


class Target:
    """Log densities and gradients of all chains: a `companion.sampling.Gradient`, and `companion.sampling.Loops`.

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
    loops
        Whether the sampler asks for `repeat`, so that the gradient alone needn't be compiled.

    Attributes
    ----------
    compiled, threads
        Whether the gradient is compiled, and how many threads it uses; ``None`` until that was decided.
    """

    def __init__(
        self, objective: Objective, batches: Batches, machine: Machine, calls: int, *, loops: bool = False
    ) -> None:
        assert isinstance(objective.family, PointMass), "a chain is a point"
        self.objective, self.batches = objective, batches
        self.compiled: bool | None = None
        self.threads: int | None = None
        self._machine, self._calls = machine, calls
        self._function: Callable[..., Any] | None = None
        self._loops = loops
        self._loop: Loop | None = None

    def __call__(self, position: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute log densities (chains,) and gradients (chains, size) at positions (chains, size)."""
        rows = self.batches.at(step)
        if self._function is None:
            self._set_up(position, rows)
        return self._value(position, self._one, self._noise, *rows.values())

    def repeat(self, motion: Motion, count: int, times: int, carried: Tensors, given: Tensors) -> Tensors | None:
        """Move chains by a loop in a library; ``None`` where there is none, or not yet.

        See `companion.sampling.Loops`.
        """
        if self._function is None:
            self._set_up(carried[0], self.batches.at(0))
        if not self._loops:
            return None
        given = (*given, *self._given)
        if self._loop is None:
            self._build(motion, times, carried, given)
        return self._loop(count, carried, given) if self._goes_over(carried, given) and self._loop is not None else None

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

    def _value(self, position: torch.Tensor, *arguments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        losses, (slope,) = self._function(*arguments[:2], position, *arguments[2:])  # type: ignore[misc]
        return -losses, -slope

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
        simple = graph and position.device.type == "cpu" and largest(traced) <= _SMALL
        self._loops = self._loops and simple and setting is not False
        self._given = tuple(t.contiguous() for t in (self._one, self._noise, *rows.values()))
        if self._loops:  # it is compiled with what is around it
            self._function = traced
        else:
            self._function, self.compiled = faster(
                traced, arguments, setting=setting, steps=self._calls, device=position.device
            )

    # --- loops ------------------------------------------------------------------------------------------

    def _build(self, motion: Motion, times: int, carried: Tensors, given: Tensors) -> None:
        """Begin to build a loop where that is worth it, and wait for it where it was asked for."""
        own = len(given) - len(self._given)

        def body(k: torch.Tensor, carried: Tensors, given: Tensors) -> Tensors:
            return motion(lambda position, step: self._value(position, *given[own:]), k, carried, given[:own])

        waits = bool(self.compiled) or self._machine.compile != "auto"
        if not waits:
            self._plain = fastest_of(lambda: body(torch.tensor(0), carried, given), ())
            if self._plain * times < _WORTH_IT_S:
                self._stay_plain()
                return
        try:
            self._loop = Loop(body, carried, given, self.threads or 1, beside=not waits)
            if self._loop.ready(wait=waits):
                self.compiled = True
        except LibraryError as error:
            self._give_up(error)

    def _goes_over(self, carried: Tensors, given: Tensors) -> bool:
        """Say whether the loop is there; one that can't be built, or isn't faster, is given up."""
        try:
            ready = self._loop is not None and self._loop.ready()
        except LibraryError as error:
            self._give_up(error)
            return False
        if ready and self._loop is not None and not self.compiled:
            quick = fastest_of(lambda: self._loop(1, carried, given), ())  # type: ignore[misc]
            _log.info("a step takes %.2f ms plain, %.2f ms in a library", 1e3 * self._plain, 1e3 * quick)
            if quick > _FASTER * self._plain:
                self._stay_plain()
                return False
            self.compiled = True
        return ready

    def _stay_plain(self) -> None:
        self.compiled, self._loops, self._loop = False, False, None

    def _give_up(self, error: LibraryError) -> None:
        """Do without, and let the gradient alone be compiled where that is worth it."""
        _log.info("the sampler can't be compiled as a whole: %s", error)
        self._loops, self._loop, self._function = False, None, None
