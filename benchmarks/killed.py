"""Kill a process while it samples, again and again, and compare the chains with those of one that nobody killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from companion import datasets
from companion.inference import Checkpoint, Machine, sample
from companion.models import torch_classifier
from companion.networks import dense
from companion.priors import Gaussian

FORK = multiprocessing.get_context("fork")  # spares every life the imports; the kill is the same


@dataclass
class Lives:
    """What the kills did.

    Attributes
    ----------
    kills
        Number of kills by signal 9 while steps were taken.
    warming
        Number of those in which the sampler still learned its settings.
    lost
        Steps that each life had taken beyond the one at which the next began (kills,).
    same
        Whether all draws equal those of the undisturbed run, bit for bit.
    """

    kills: int = 0
    warming: int = 0
    lost: list[int] = field(default_factory=list)
    same: bool = False


@dataclass(frozen=True)
class Task:
    """The chains that are killed.

    Attributes
    ----------
    every
        Number of steps from checkpoint to checkpoint.
    settings
        Further settings of `companion.inference.sample`.
    """

    every: int = 5
    rows: int = 60
    settings: dict[str, Any] = field(default_factory=lambda: {"draws": 400, "warmup": 200, "chains": 8})

    def run(self, folder: Path | None, notes: Path, to: Path) -> None:
        """Sample to the end, noting each step in a file, and store all draws."""
        torch.set_num_threads(1)  # OpenMP's threads don't come along into a forked process, and it waits for them
        network = dense(2, 5, 1, seed=0)
        model = torch_classifier(datasets.moons(n_samples=self.rows).train, network, Gaussian(2.0))
        steps = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        found = sample(
            model, **self.settings, seed=7, progressbar=False, machine=Machine("cpu", threads=1),
            checkpoint=None if folder is None else Checkpoint(folder, every=self.every),
            callback=lambda step, state: os.write(steps, f"{step} {int(state.warming)}\n".encode()),
        )  # fmt: skip
        part = to.with_suffix(".part.npz")
        np.savez(part, **found.draws)
        part.rename(to)


def kill_again_and_again(task: Task, folder: Path, kills: int, seed: int = 0, mean: float = 10.0) -> Lives:
    """Run to the end once undisturbed and once with kills, each some random steps after the life's first.

    Parameters
    ----------
    folder
        Empty folder for checkpoints, notes and draws.
    kills
        Number of kills; fewer where the run ends before.
    mean
        Mean number of steps of a life. A random part of a step's time comes on top, so that kills hit everywhere: in
        the middle of a step and of a checkpoint.
    """
    rng, lives = np.random.default_rng(seed), Lives()
    plain, ends = folder / "plain.npz", folder / "killed.npz"
    _life(task, None, folder / "plain.txt", plain).join()
    last = 0
    for life in range(10 * kills + 1):
        notes = folder / f"life-{life}.txt"
        process = _life(task, folder / "checkpoint", notes, ends)
        if lives.kills < kills:
            _wait(process, notes, int(rng.geometric(1 / mean)))
            time.sleep(float(rng.uniform(0, 0.02)))
            if process.is_alive():
                os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        noted = _noted(notes)
        if noted and life:
            lives.lost.append(last + 1 - noted[0][0])
        last, warming = noted[-1] if noted else (last, False)
        if process.exitcode == 0:
            break
        if process.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"life {life} ended with {process.exitcode}")
        lives.kills += 1
        lives.warming += warming
    with np.load(plain) as wanted, np.load(ends) as found:
        lives.same = set(wanted) == set(found) and all(np.array_equal(wanted[n], found[n]) for n in wanted)
    return lives


def _life(task: Task, folder: Path | None, notes: Path, to: Path) -> Any:
    process = FORK.Process(target=task.run, args=(folder, notes, to))
    process.start()
    return process


def _noted(notes: Path) -> list[tuple[int, bool]]:
    """Read the whole lines of a life's notes: the step, and whether it was one of the warm-up."""
    if not notes.exists():
        return []
    lines = notes.read_text(encoding="ascii").rpartition("\n")[0].splitlines()
    return [(int(step), warming == "1") for step, warming in (line.split() for line in lines)]


def _wait(process: Any, notes: Path, steps: int) -> None:
    """Wait until a life took so many steps, or ended."""
    while process.is_alive() and len(_noted(notes)) < steps:
        time.sleep(0.005)
