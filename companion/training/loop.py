"""The training loop: one for every objective, which loses nothing whatever happens on the way.

Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from tqdm import tqdm

from companion.bridge import largest
from companion.errors import CompanionError, InferenceError, class_and_line
from companion.machine import LibraryError, Seeds, faster, fastest_of, reseed, threads_worth
from companion.training import checkpoints
from companion.training.batches import Batches
from companion.training.distributed import Processes
from companion.training.divergence import Snapshot, alive, diagnosis
from companion.training.interrupting import interrupts
from companion.training.optimisers import Adam, optimiser_for
from companion.training.schedules import schedule_named, warm_up
from companion.training.settings import Settings
from companion.training.task import Collector, TrainingObjective
from companion.training.travel import Drift, Travel
from companion.training.whole_step import WholeStep
from companion.variational import Gradient, Parameters

__all__ = ["Halted", "Training"]

Tensors = tuple[torch.Tensor, ...]
Callback = Callable[[int, "Training[Any]"], None]
Task = TypeVar("Task", bound=TrainingObjective)

_log = logging.getLogger(__name__)

_CHECK_EVERY = 100

# Numbers in the largest tensor of a step that is compiled as a whole: beyond, calls cost little beside the work.
_SMALL = 2**18

# Building a step takes a quarter of a minute; a fit shorter than this has no use for it.
_WORTH_IT_S = 20.0


class Halted(Exception):  # noqa: N818  (it never leaves the package: fit turns it into an InferenceError)
    """Every restart diverged, or the checkpoint can't be written; the state is that of the last good step."""


@dataclass(eq=False)
class Training(Generic[Task]):
    """A fit under way.

    Attributes
    ----------
    parameters
        Parameters of all restarts: name to tensor (restarts, ...).
    step
        Number of steps that are done.
    losses
        Estimates of the negative ELBO at full weight, (steps, restarts), in nats.
    compiled
        Whether the gradient is compiled; None until that was decided.
    threads
        Number of the processor's threads that it uses; None until that was decided.
    collector
        What gathers something of the parameters on the way, such as their mean.
    """

    objective: Task
    settings: Settings
    batches: Batches
    group: Processes
    parameters: Parameters
    compile: str | bool = "auto"
    threads_wanted: int | str = "auto"
    callback: Callback | None = None
    folder: Path | None = None
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0
    compiled: bool | None = None
    threads: int | None = None
    collector: Collector | None = None

    def __post_init__(self) -> None:
        s = self.settings
        self.device = self.objective.device
        self.losses = torch.full((s.steps, s.restarts), float("nan"), device=self.device, dtype=torch.float64)
        dtype = self.objective.dtype
        self.noise = torch.empty(s.restarts, s.draws, self.objective.noise_size, device=self.device, dtype=dtype)
        self._generator = torch.Generator(self.device)
        self._noise_seeds = Seeds(s.seed, "noise", self.group.rank)
        self._layer_seeds = Seeds(s.seed, "layers", self.group.rank)
        self._kl_weight = torch.ones((), device=self.device, dtype=dtype)
        self._schedule = schedule_named(s.schedule)
        self._optimiser = optimiser_for(self.objective, s, self.parameters)
        self._gradient: Gradient | None = None
        self._whole: WholeStep | None = None
        self._without_whole = False
        self._interrupted = threading.Event()
        self._why = "interrupted"
        self._under_way = 0
        self._travel = Travel(s)
        self.objective.settle(self.parameters)

    def drift(self, restart: int) -> Drift | None:
        """Find the value of a restart that still went in one direction when the steps ended; see `Drift`."""
        return self._travel.drift(self, restart)

    def run(self, *, every: int, progressbar: bool) -> str | None:
        """Take the remaining steps.

        Parameters
        ----------
        every
            Steps between checkpoints.

        Returns
        -------
        str
            Why it stopped early; None where it came to its end.

        Raises
        ------
        Halted
            If no restart is left whose loss is finite, or the checkpoint can't be written.
        """
        self._resume()
        good = Snapshot.of(self)
        shown = tqdm(
            total=self.settings.steps,
            initial=self.step,
            disable=not (progressbar and self.group.first),
            leave=False,
            unit="step",
        )
        with shown, interrupts(self._interrupted):
            stop = False
            while self.step < self.settings.steps and not stop:
                try:
                    stop = self._advance()
                except Exception as error:
                    raise self._failed(error, good) from error
                ends = stop or self.step == self.settings.steps
                due = ends or (self.folder is not None and self.step % every == 0)
                if due or self.step % _CHECK_EVERY == 0:
                    if not alive(self).any():
                        raise Halted(diagnosis(self, good))
                    good = Snapshot.of(self)
                    shown.update(self.step - shown.n)
                    shown.set_postfix(loss=f"{float(self.losses[self.step - 1].nan_to_num(float('inf')).min()):,.1f}")
                if due:  # what was just found to be good
                    self._keep()
        if self.step < self.settings.steps:
            return f"{self._why} after step {self.step:,} of {self.settings.steps:,}"
        return None

    def _advance(self) -> bool:
        """Take one step, tell the callback, and say whether that was the last one."""
        self._under_way = self.step + 1
        stop = self.take()
        if self.callback is not None and self.group.first:
            try:
                self.callback(self.step, self)
            except StopIteration:
                self._why = "stopped by the callback"
                self._interrupted.set()  # the other processes hear of it with the next step
        return stop or (self._interrupted.is_set() and self.group.world == 1)

    def _failed(self, error: Exception, good: Snapshot) -> Exception:
        """Go back to the last good state, where the model or the callback failed by itself."""
        nothing_lost = isinstance(error, CompanionError) and good.step == 0
        if isinstance(error, InferenceError) or nothing_lost:  # another process was lost: nothing here is wrong
            return error
        self.restore(good.tensors, good.step)
        return Halted(
            f"step {self._under_way:,} failed: {class_and_line(error)}. The posterior of the last "
            f"good state (step {good.step:,}) is this error's `posterior`"
            + (", and the checkpoint before it is kept." if self.folder is not None else ".")
        )

    def take(self) -> bool:
        """Take one step, as a whole where that is compiled by now, and say whether any process was interrupted."""
        if self._gradient is None and self._at_once():
            data = self._given(self.step)
            self._compute(data, self._arguments(data))
        if self._whole is not None and self._is_whole():
            drawn = self.batches.drawn(self.step)
            if self._whole.fits(drawn):
                self._draw(self.step)
                rate = self._schedule(self.step / self.settings.steps)
                self._done(self._whole.take(drawn, self._weight(self.step), rate))
                return self._interrupted.is_set()
        loss, gradients, stop = self.averaged()
        self.update(loss, gradients)
        return stop

    def averaged(self) -> tuple[torch.Tensor, Tensors, bool]:
        """Compute this step's losses (restarts,) and gradients over all processes, and whether any was interrupted."""
        loss, gradients = self.evaluate(self.step)
        loss, stop = loss.to(torch.float64), self._interrupted.is_set()
        if self.group.world == 1:
            return loss, gradients, stop
        report = torch.cat([loss, loss.new_tensor([stop])])
        self.group.average([report, *gradients], self.step)
        return report[:-1], gradients, bool(report[-1] > 0)

    def update(self, loss: torch.Tensor, gradients: Tensors) -> None:
        """Let the optimiser follow the gradients, and count the step."""
        self._optimiser.follow(gradients, self.step, self._schedule(self.step / self.settings.steps), self._kl_weight)
        self._done(loss)

    def _done(self, loss: torch.Tensor) -> None:
        """Count a step whose parameters are there."""
        self.objective.settle(self.parameters)
        self.losses[self.step] = loss
        self.step += 1
        self._travel.look(self)
        if self.collector is not None:
            self.collector.collect(self.step, self.parameters)

    def evaluate(self, step: int) -> tuple[torch.Tensor, Tensors]:
        """Compute this process's losses (restarts,) and gradients at a step, from the parameters as they are."""
        data = self._given(step)
        arguments = self._arguments(data)
        return self._compute(data, arguments)(*arguments)

    def _given(self, step: int) -> Mapping[str, torch.Tensor]:
        """Give the data of a step, and set its noise and its weight of the KL divergence."""
        data = self.batches.at(step)  # first: a torch.utils.data.DataLoader that begins takes a random number
        self._draw(step)
        if self.objective.draws_inside:  # such as the layers' noise
            reseed(self.device, self._layer_seeds.at(step))
        self._kl_weight.fill_(self._weight(step))
        return data

    def _draw(self, step: int) -> None:
        """Draw the noise of a step."""
        self.noise.normal_(generator=self._generator.manual_seed(self._noise_seeds.at(step)))

    def _weight(self, step: int) -> float:
        """Compute the weight of the KL divergence in a step."""
        return self.settings.temperature * warm_up(step / self.settings.steps, self.settings.kl_warmup)

    def _arguments(self, data: Mapping[str, torch.Tensor]) -> Tensors:
        return (self._kl_weight, self.noise, *self.parameters.values(), *data.values())

    def _compute(self, data: Mapping[str, torch.Tensor], arguments: Tensors) -> Gradient:
        """Trace the gradient at the first step, and compile it where that is faster."""
        if self._gradient is None:
            traced = self.objective.gradient(self.parameters, self.noise, data)
            left = self.settings.steps - self.step
            torch.set_num_threads(self._threads(traced, arguments, left))
            self._gradient = traced
            if not self._begins_whole(traced, data, arguments, left):
                found, quick = faster(traced, arguments, setting=self._setting(traced), steps=left, device=self.device)
                self.compiled = self.group.all(quick, self.step)
                self._gradient = found if self.compiled else traced
            if self.objective.draws_inside:
                reseed(self.device, self._layer_seeds.at(self.step))
        return self._gradient

    def _setting(self, traced: Gradient) -> str | bool:
        """Say what decides on compilation: what was chosen before the checkpoint, or what is asked for."""
        if not isinstance(traced, torch.fx.GraphModule):  # a loop in Python: nothing to compile
            return False
        if self.compiled is None:
            return self.compile
        return self.compiled and (self.compile if self.compile == "kernels" else True)

    # --- whole steps ------------------------------------------------------------------------------------

    def _at_once(self) -> bool:
        """Say whether the very next step is to be a compiled one, if it can be."""
        return self._adam() is not None and bool(
            self.compiled if self.compiled is not None else self.compile != "auto" and self.compile
        )

    def _adam(self) -> Adam | None:
        """Give the optimiser if it is Adam, and nothing comes between a gradient from the processor and its step."""
        apart = self.device.type != "cpu" or self.group.world > 1 or self.objective.draws_inside or self._without_whole
        return self._optimiser if isinstance(self._optimiser, Adam) and not apart else None

    def _begins_whole(self, traced: Gradient, data: Mapping[str, torch.Tensor], arguments: Tensors, steps: int) -> bool:
        """Begin to build the whole step of a small model, and wait for it where it was asked for."""
        setting, adam = self._setting(traced), self._adam()
        if setting is False or adam is None or not isinstance(traced, torch.fx.GraphModule):
            return False
        if largest(traced) > _SMALL:
            return False
        if setting == "auto" and fastest_of(traced, arguments) * steps < _WORTH_IT_S:
            return False
        waits = setting != "auto"
        try:
            drawn = self.batches.drawn(self.step)
            self._whole = WholeStep(traced, adam, self.noise, self.batches, drawn, self.threads or 1, beside=not waits)
        except LibraryError as error:
            self._give_up(error)
        return self._is_whole(wait=waits) or self._whole is not None

    def _is_whole(self, *, wait: bool = False) -> bool:
        """Say whether the next step can be taken as a whole; one that can't be built is given up."""
        if self._whole is None:
            return False
        try:
            ready = self._whole.ready(wait=wait)
        except LibraryError as error:
            self._give_up(error)
            return False
        if ready and not self.compiled:
            _log.info("steps are compiled as a whole from step %d on", self.step)
            self.compiled = True
        return ready

    def _give_up(self, error: LibraryError) -> None:
        """Do without, and let the gradient alone be compiled where that is worth it."""
        _log.info("the step can't be compiled as a whole: %s", error)
        self._whole, self._gradient, self._without_whole = None, None, True

    def _threads(self, traced: Gradient, arguments: Sequence[torch.Tensor], steps: int) -> int:
        """Decide how many threads the steps use, once for a fit and all that goes on from its checkpoints."""
        if self.threads is None:
            graph = isinstance(traced, torch.fx.GraphModule)
            self.threads = threads_worth(
                traced,
                arguments,
                largest=largest(traced) if graph else max(t.numel() for t in arguments),
                setting=self.threads_wanted,
                steps=steps,
                measurable=graph,
            )
        return self.threads

    # --- checkpoints ------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, torch.Tensor]:
        """Collect everything that the next step depends on."""
        found = {f"parameters/{name}": p for name, p in self.parameters.items()}
        found |= {f"{self.settings.optimiser}/{key}": value for key, value in self._optimiser.tensors().items()}
        found |= {f"passed/{name}": place for name, place in self._travel.tensors().items()}
        if self.collector is not None:
            found |= {f"collected/{key}": value for key, value in self.collector.tensors().items()}
        return found | {"losses": self.losses}

    def restore(self, tensors: Mapping[str, torch.Tensor], step: int) -> None:
        """Go back, or forward, to a state."""
        kinds: dict[str, dict[str, torch.Tensor]] = defaultdict(dict)
        for key, tensor in tensors.items():
            kind, _, rest = key.partition("/")
            kinds[kind][rest] = tensor
        for name, tensor in kinds["parameters"].items():
            self.parameters[name].copy_(tensor)
        self._optimiser.restore(kinds[self.settings.optimiser])
        self._travel.restore(kinds["passed"])
        if self.collector is not None:
            self.collector.restore(kinds["collected"])
        self.losses.copy_(tensors["losses"])
        self.step = step

    def _settings(self) -> dict[str, Any]:
        world = {"processes": self.group.world}
        return {**self.settings.as_json(), **self.fingerprint, **world}

    def _save(self) -> None:
        """Write the checkpoint: one process for all."""
        folder, settings = self.folder, {**self._settings(), "compiled": self.compiled, "threads": self.threads}
        if folder is not None:
            self.group.from_first(lambda: checkpoints.write(folder, self.step, self.tensors(), settings), self.step)

    def _keep(self) -> None:
        """Save, and if that fails let `fit` save what it can: the posterior so far."""
        try:
            self._save()
        except InferenceError as error:
            raise Halted(
                f"{error} The checkpoint before it is kept, and the posterior of step {self.step:,} is this error's "
                "`posterior`."
            ) from error

    def _resume(self) -> None:
        """Go on from the checkpoint; where there is none, write the first, so that a folder that can't be is known.

        One process reads for all: their disks may differ, and none may read what another already replaces.
        """
        folder, own = self.folder, self._settings()
        self.group.agree(own, self.step)
        if folder is None:
            return
        found = self.group.from_first(lambda: checkpoints.read(folder, own), self.step)
        if found is None:
            self._save()
            return
        self.restore(found.tensors, found.step)
        self.compiled, self.threads = found.settings["compiled"], found.settings.get("threads")
        if self.group.first:
            checkpoints.tidy(folder, self.step)
