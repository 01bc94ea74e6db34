"""The runner of chains: warm-up, draws, checkpoints, interruptions, and chains that diverge.

Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from companion.errors import CompanionError, InferenceError, class_and_line
from companion.sampling.kernel import Info, Kernel, Noise, SeveralSteps, State
from companion.sampling.store import Store
from companion.sampling.target import Target
from companion.training import interrupts, read_checkpoint, write_checkpoint

__all__ = ["Broken", "Chains", "Plan"]

_log = logging.getLogger(__name__)

_CHECK_EVERY = 100
_SUMMED = "n_steps"
_ANY = "diverging"


class Broken(Exception):  # noqa: N818  (it never leaves the package: sample turns it into an InferenceError)
    """A fault that ends the chains; the draws before it are kept."""


@dataclass(frozen=True)
class Plan:
    """What chains are to do: the settings that decide which draws are made.

    Attributes
    ----------
    draws, warmup, thin
        Number of draws of each chain, of steps before the first, and of steps for each.
    sampled
        Number of steps after the warm-up.
    chains
        Number of chains in this process.
    sampler
        Settings of the sampler.
    batch_size
        Number of rows that a step sees; ``None`` for all.
    start
        Kind of start.
    precision
        Numbers that are computed with.
    seed
        Seed of every random number.
    rank, world
        Number of this process, and of all.
    """

    draws: int
    warmup: int
    thin: int
    sampled: int
    chains: int
    sampler: Mapping[str, Any]
    batch_size: int | None
    start: str
    precision: str
    seed: int
    rank: int = 0
    world: int = 1

    @property
    def steps(self) -> int:
        """Number of all steps."""
        return self.warmup + self.sampled

    def as_json(self) -> dict[str, Any]:
        """Return the plan as plain values, for a checkpoint."""
        return asdict(self)


@dataclass(eq=False)
class Chains:
    """Chains under way.

    Attributes
    ----------
    kernel, target, plan, store
        The sampler's step, the log density, what is to be done, and where draws are kept.
    start
        Positions (chains, size) to start from.
    kept
        Numbers of the steps, counted from the end of the warm-up, whose positions are draws.
    folder
        Folder of the checkpoint, if there is one.
    fingerprint
        What tells the model and its data from others, for the checkpoint.
    callback
        Function of the number of steps that are done and of the chains, called after each step.
    warmed_up
        Function of the state of the chains, called once, between the warm-up and the first draw.
    state
        State of the chains; see `companion.sampling.State`.
    step
        Number of steps that are done.
    lost
        Number of the step by which each chain had diverged for good, (chains,); 0 where it didn't.
    """

    kernel: Kernel
    target: Target
    plan: Plan
    store: Store
    start: torch.Tensor
    kept: Container[int]
    folder: Path | None = None
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    callback: Callable[[int, Chains], None] | None = None
    warmed_up: Callable[[State], object] | None = None
    state: State = field(default_factory=dict)
    step: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.lost = torch.zeros(self.plan.chains, dtype=torch.int64)
        self._pending: Info = {}
        self._several = self.kernel if isinstance(self.kernel, SeveralSteps) else None
        self._began, self._first_done = 0.0, False
        self._why = "interrupted"
        self._interrupted = threading.Event()

    @property
    def drawn(self) -> int:
        """Number of draws of each chain so far."""
        return self.store.taken

    @property
    def alive(self) -> torch.Tensor:
        """Which chains (chains,) can go on."""
        return self.lost == 0

    def run(self, *, every: int, progressbar: bool) -> str | None:
        """Take the remaining steps.

        Parameters
        ----------
        every
            Number of steps between checkpoints.

        Returns
        -------
        str
            Why it stopped early; ``None`` where it came to its end.

        Raises
        ------
        Broken
            If all chains diverged, a step failed, or the disk is full; `store` keeps the draws before.
        """
        self._began = began = time.perf_counter()
        before = self.seconds
        resumed = self._resumed()
        self.store.prepare()
        if not resumed:
            self.state = self.kernel.begin(self.start, self._noise(-1))
            self._save()
        steps = self.plan.steps
        shown = tqdm(total=steps, initial=self.step, disable=not progressbar, leave=False, unit="step")
        with shown, interrupts(self._interrupted):
            while self.step < steps and not self._interrupted.is_set():
                self._advance(every)
                self.seconds = before + time.perf_counter() - began
                due = self.folder is not None and self.step % every == 0
                if due or self.step % _CHECK_EVERY == 0 or self.step == steps:
                    self._check()
                    shown.update(self.step - shown.n)
                    shown.set_description("warm-up" if self.step < self.plan.warmup else "draws", refresh=False)
                if due:
                    self._save()
        self._save()
        return None if self.step == steps else f"{self._why} after step {self.step:,} of {steps:,}"

    def _advance(self, every: int) -> None:
        """Take a step, or several at once, keep the draw where one is due, and tell the callback."""
        plan, step = self.plan, self.step
        try:
            if step == plan.warmup and self.warmed_up is not None:
                self.warmed_up(self.state)
            state, info, taken = self._moved(self._at_once(every))
            if step < plan.warmup:
                state = self.kernel.adapt(state, info, step, plan.warmup)
            self.state, self.step = state, step + taken
            if step >= plan.warmup:
                self._collect(info)
                if self.step - 1 - plan.warmup in self.kept:
                    self.store.add(state["position"], self._pending)
                    self._pending = {}
            self._tell_time(step)
            if self.callback is not None:
                self.callback(self.step, self)
        except StopIteration:
            self._why = "stopped by the callback"
            self._interrupted.set()
        except Exception as error:
            if isinstance(error, CompanionError) and self.step == 0:
                raise
            raise Broken(f"step {step + 1:,} failed: {class_and_line(error)}.") from error

    def _tell_time(self, step: int) -> None:
        """Log when this run's first step is done, with whatever was prepared for it, and when the warm-up is."""
        seconds = time.perf_counter() - self._began
        if not self._first_done:
            self._first_done = True
            _log.info("this run's first step was done after %.2f s", seconds)
        if step < self.plan.warmup <= self.step:
            _log.info("the warm-up was done %.2f s after this run began", seconds)

    def _moved(self, most: int) -> tuple[State, Info, int]:
        """Move the chains by some steps: their state, what the steps tell, and their number."""
        if most > 1 and self._several is not None:
            return self._several.steps(self.state, self._noise, self.step, most)
        return *self.kernel.step(self.state, self._noise(self.step), self.step), 1

    def _at_once(self, every: int) -> int:
        """Give the number of steps before something else is due: a lesson, a draw, a checkpoint, a check, a word."""
        if self._several is None or self.step < self.plan.warmup or self.callback is not None:
            return 1
        due = min(_CHECK_EVERY - self.step % _CHECK_EVERY, every - self.step % every if self.folder else _CHECK_EVERY)
        first = self.step - self.plan.warmup
        return next((k + 1 for k in range(due) if first + k in self.kept), due)

    def _collect(self, info: Info) -> None:
        """Put the statistics of the steps since the last draw together."""
        before, self._pending = self._pending, {}
        for name, value in info.items():
            if name.startswith("_") or value.ndim != 1:
                continue
            if name in before and name == _SUMMED:
                value = before[name] + value
            elif name in before and name == _ANY:
                value = torch.maximum(before[name], value)
            self._pending[name] = value

    def _check(self) -> None:
        """Note the chains that diverged for good."""
        fine = torch.isfinite(self.state["position"]).all(1).cpu()
        self.lost = torch.where(self.alive & ~fine, self.step, self.lost)
        if not bool(self.alive.any()):
            doubles = self.state["position"].dtype == torch.float64
            finer = "" if doubles else ", or use machine=Machine(precision='float64')"
            raise Broken(
                f"all {self.plan.chains} chains had diverged by step {self.step:,}: their values are NaN or infinite. "
                f"Lower the sampler's step_size (a tenth is a good next try), or standardise the inputs{finer}."
            )

    def _noise(self, step: int) -> Noise:
        start = self.start
        return Noise(self.plan.seed, step, len(start), start.device, start.dtype, self.plan.rank)

    # --- checkpoints ------------------------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        return {**self.plan.as_json(), **self.fingerprint}

    def _save(self) -> None:
        """Write draws and state, the draws first: what lies behind those that the state counts is written again."""
        if self.folder is None:
            return
        try:
            self.store.flush()
            about = {
                "compiled": self.target.compiled,
                "threads": self.target.threads,
                "kept": self.store.count,
                "seal": self.store.seal,
                "stats": self.store.names,
                "seconds": self.seconds,
            }
            tensors = {f"state/{name}": t.clone() for name, t in self.state.items()}  # none may share its memory
            tensors |= {f"pending/{name}": t.clone() for name, t in self._pending.items()} | {"lost": self.lost}
            write_checkpoint(self.folder, self.step, tensors, {**self._settings(), **about})
        except InferenceError as error:
            raise Broken(f"{error} The checkpoint before it is kept.") from error

    def _resumed(self) -> bool:
        """Go on from the checkpoint, if there is one."""
        found = None if self.folder is None else read_checkpoint(self.folder, self._settings())
        if found is None:
            return False
        about = found.settings
        self.store.resume(about["kept"], about["seal"], about["stats"])
        for key, tensor in found.tensors.items():
            kind, _, name = key.partition("/")
            if kind == "state":
                self.state[name] = tensor.to(self.start.device)
            elif kind == "pending":
                self._pending[name] = tensor.to(self.start.device)
        self.lost = found.tensors["lost"]
        self.step, self.seconds = found.step, about["seconds"]
        self.target.compiled, self.target.threads = about["compiled"], about["threads"]
        return True
