"""Measure what fits and predictions cost on this machine, in a few minutes: the command `companion bench`.

Explained in the book's page on what each chapter takes (`book/reference/runs`), section "What fits cost on a
GPU".
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from companion import datasets, uncertainty
from companion.errors import ModelError, class_and_line
from companion.inference import Machine, Rates, Start, fit, sample
from companion.machine import has_bfloat16
from companion.models import torch_classifier
from companion.networks import convolutional, dense
from companion.prediction import predict
from companion.priors import FanIn, Gaussian
from companion.sampling import MCLMC
from companion.versions import installed

__all__ = ["PARTS", "Bench", "bench"]

Row = dict[str, float | str]

# Settings of the MNIST chapters, tempered as there: the fits that reach 98 % and 99 %.
DENSE = {"batch_size": 500, "steps": 5000, "learning_rate": 0.003, "start": Start(scale=0.01), "temperature": 0.05}
CONVOLUTIONAL = {
    "batch_size": 250,
    "steps": 8000,
    "learning_rate": Rates(0.003, 0.003),
    "start": Start(scale=0.03),
    "temperature": 0.1,
}
TINY = {"steps": 6, "batch_size": 50}
WIDTHS, TINY_WIDTHS = (800, 800), (8, 8)  # of the dense network
DRAWS, BLOCK, BLOCKS = 50, 20, 8


@dataclass
class Bench:
    """What is measured, where, and in how much time.

    Parameters
    ----------
    device
        Device of the fits.
    tiny
        Whether to take small networks and few steps: to see that everything works, not how fast it is.
    seconds
        Time that all parts together may take; a part that would begin later is left out and named.
    """

    device: torch.device
    tiny: bool = False
    seconds: float = 480.0
    rows: dict[str, list[Row]] = field(default_factory=dict)
    begun: float = field(default_factory=time.perf_counter)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - (time.perf_counter() - self.begun)

    @cached_property
    def digits(self) -> datasets.Dataset:
        """MNIST, or the digits that come with scikit-learn where it can't be had."""
        return datasets.digits()

    @property
    def cuda(self) -> bool:
        """Whether the device is a GPU of CUDA's."""
        return self.device.type == "cuda"

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Give the settings of a fit: few steps for a tiny run."""
        return dict(given) | (TINY if self.tiny else {})

    @contextmanager
    def memory(self, row: Row) -> Iterator[None]:
        """Write the GPU's peak memory within the context into a row, in MB."""
        if not self.cuda:
            yield
            return
        torch.cuda.reset_peak_memory_stats(self.device)
        yield
        row["peak GPU memory, MB"] = torch.cuda.max_memory_allocated(self.device) / 1e6

    def wait(self) -> None:
        """Wait until the GPU has done what it was told."""
        if self.cuda:
            torch.cuda.synchronize(self.device)


def _dense(on: Bench) -> Any:
    digits, hidden = on.digits, TINY_WIDTHS if on.tiny else WIDTHS
    inputs = int(digits.train.x[0].size)
    network = torch.nn.Sequential(torch.nn.Flatten(), *dense(inputs, *hidden, 10, activation=torch.nn.Tanh))
    return torch_classifier(digits.train, network, Gaussian(0.1))


def _ms(on: Bench, model: Any, machine: Machine, **settings: Any) -> float:
    """Measure a step within a fit, in milliseconds."""
    return _clocked(
        on,
        lambda steps, clock: fit(
            model, steps, machine=machine, callback=clock, elbo_draws=2, progressbar=False, **settings
        ),
    )


def _clocked(on: Bench, run: Callable[[int, Callable[[int, Any], None]], Any]) -> float:
    """Measure a step of a run, in milliseconds: the median over blocks of steps, after two blocks to warm up.

    Parameters
    ----------
    run
        Function of a number of steps and of a callback that it calls after each of them.
    """
    block, blocks = (1, 3) if on.tiny else (BLOCK, BLOCKS)
    times: list[float] = []

    def clock(step: int, state: Any) -> None:
        if step % block == 0:
            on.wait()
            times.append(time.perf_counter())

    run(block * (blocks + 3), clock)
    return 1e3 * statistics.median(b - a for a, b in pairwise(times[2:])) / block


def steps(on: Bench) -> list[Row]:
    """Measure a step of a 784-800-800-10 network, batch 500: plain, compiled, and as a CUDA graph."""
    model, found = _dense(on), []
    precisions = ["float32", *(["bfloat16"] if has_bfloat16(on.device) else [])]
    ways: dict[str, str | bool] = {"plain": False}
    if not on.tiny:
        ways |= {"compiled": "kernels", "CUDA graph": True} if on.cuda else {"compiled": True}
    for precision in precisions:
        for way, compile in ways.items():
            row: Row = {"precision": precision, "step": way}
            with on.memory(row):
                machine = Machine(on.device, precision, compile)
                row["ms per step"] = _ms(on, model, machine, batch_size=50 if on.tiny else 500, start=Start(scale=0.01))
            found.append(row)
    return found


def _moons() -> Any:
    """Make the model of the moons network 2-20-20-1."""
    network = dense(2, 20, 20, 1, activation=torch.nn.Tanh)
    return torch_classifier(datasets.moons().train, network, Gaussian(1.0))


def restarts(on: Bench) -> list[Row]:
    """Measure a step of many restarts side by side: the moons network 2-20-20-1."""
    model, found = _moons(), []
    for count in (1, 4) if on.tiny else (1, 16, 256):
        row: Row = {"restarts": count}
        with on.memory(row):
            row["ms per step"] = _ms(on, model, Machine(on.device, compile=not on.tiny), restarts=count)
        found.append(row)
    return found


def chains(on: Bench) -> list[Row]:
    """Measure a step of many chains side by side: MCLMC with all rows, two gradients in a step, the moons network.

    The settings of the sampler are given and none is learned, so that all steps are alike.
    """
    model, found = _moons(), []
    sampler, machine = MCLMC(step_size=0.05, length=5.0), Machine(on.device, "float32", compile=not on.tiny)
    for count in (1, 4) if on.tiny else (1, 16, 256):
        row: Row = {"chains": count}

        def run(steps: int, clock: Callable[[int, Any], None], count: int = count) -> None:
            sample(
                model, steps, warmup=0, thin=1, chains=count, sampler=sampler, machine=machine, callback=clock,
                progressbar=False,
            )  # fmt: skip

        with on.memory(row):
            row["ms per step"] = _clocked(on, run)
        row["steps of all chains per second"] = 1e3 * count / float(row["ms per step"])
        found.append(row)
    return found


def dense_fit(on: Bench) -> list[Row]:
    """Fit the dense network of the MNIST chapter, tempered, and score it: 98 % on MNIST."""
    return [_fitted(on, _dense(on), on.digits, DENSE)]


def convolutional_fit(on: Bench) -> list[Row]:
    """Fit the convolutional network of the MNIST chapter, tempered, and score it: 99 % on MNIST."""
    digits = on.digits
    network = convolutional(hidden=8 if on.tiny else 256)
    return [_fitted(on, torch_classifier(digits.train, network, FanIn(1.5)), digits, CONVOLUTIONAL)]


def _fitted(on: Bench, model: Any, digits: datasets.Dataset, settings: Mapping[str, Any]) -> Row:
    row: Row = {"data": digits.name}
    precision = "bfloat16" if has_bfloat16(on.device) else "float32"
    with on.memory(row):
        posterior = fit(
            model, **on.settings(settings), machine=Machine(on.device, precision), elbo_draws=4, progressbar=False
        )
        row |= {"fit, s": posterior.record.seconds, "-ELBO, nats per image": -posterior.record.elbo / len(digits.train)}
        began = time.perf_counter()
        probabilities = predict(posterior, digits.test.x, draws=3 if on.tiny else DRAWS, seed=0)
        row["prediction, s"] = time.perf_counter() - began
    row["draws x images"] = f"{len(probabilities)} x {len(digits.test)}"
    row["accuracy"] = float(uncertainty.accuracy(probabilities, digits.test.y))
    row["log score"] = float(uncertainty.log_score(probabilities, digits.test.y))
    return row


def two_processes(on: Bench) -> list[Row]:
    """Fit in two processes, on two GPUs where there are two, over NCCL; on CPU over gloo."""
    count = torch.cuda.device_count() if on.cuda else 2
    if count < 2:
        raise ModelError("there is one GPU; two processes over NCCL need two.")
    found = []
    for processes in (2,) if on.tiny else (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "found.json"
            words = [str(place), str(on.device.type), "tiny" if on.tiny else "whole"]
            run = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
            done = subprocess.run(
                [sys.executable, *run, "-m", "companion.bench", *words],
                capture_output=True, text=True, timeout=max(on.left, 60), env=_without_rank(), check=False,
            )  # fmt: skip
            if done.returncode:
                raise ModelError(f"torchrun failed: {done.stderr.strip().splitlines()[-1:]}")
            found.append({"processes": processes, **json.loads(place.read_text())})
    return found


def _without_rank() -> dict[str, str]:
    """Give this process's environment without what an outer torchrun put there."""
    names = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
    return {name: value for name, value in os.environ.items() if name not in names}


def _one_of_two(words: list[str]) -> None:
    """Take part in a fit under torchrun; the first process writes what was found."""
    place, device, size = words
    on = Bench(torch.device(device), tiny=size == "tiny")
    count, batch = (6, 50) if on.tiny else (600, 2000)
    model = _dense(on)
    machine = Machine("auto" if on.cuda else "cpu")
    record = fit(
        model, count, batch_size=batch, machine=machine, elbo_draws=2, progressbar=False, start=Start(scale=0.01)
    ).record
    if os.environ["RANK"] == "0":
        found = {"fit, s": record.seconds, "-ELBO": -record.elbo, "batch": batch}
        Path(place).write_text(json.dumps(found), encoding="utf-8")


PARTS: dict[str, tuple[Callable[[Bench], list[Row]], float]] = {
    "step": (steps, 90.0),
    "restarts": (restarts, 60.0),
    "chains": (chains, 60.0),
    "dense fit": (dense_fit, 60.0),
    "convolutional fit": (convolutional_fit, 90.0),
    "two processes": (two_processes, 60.0),
}
"""What is measured, in this order, and the seconds that each needs on a GPU."""


def bench(*, gpu: bool = False, tiny: bool = False, seconds: float = 480.0, to: str | Path | None = None) -> int:
    """Measure every part, print what was found, and write it to a file.

    Parameters
    ----------
    gpu
        Whether to measure the GPU. Where there is none, the tiny form runs on the processor and says so.
    tiny
        Whether to run the tiny form in any case.
    seconds
        Time that may pass before the last part begins, with what it is expected to take.
    to
        JSON file to write; nothing is written without one. It is written after each part.

    Returns
    -------
    int
        Number 0, or 1 where a part failed.
    """
    found_gpu = torch.cuda.is_available()
    if gpu and not found_gpu:
        print("torch sees no GPU: the tiny form of the same runs on the processor, which says nothing about speed")
    on = Bench(torch.device("cuda" if gpu and found_gpu else "cpu"), tiny or (gpu and not found_gpu), seconds)
    about = {**installed(), "device": on.device.type, "tiny": on.tiny, "date": datetime.now(UTC).date().isoformat()}
    if found_gpu and on.cuda:
        about["gpu"] = torch.cuda.get_device_name(on.device)
    status, notes = 0, {}
    for name, (measure, needs) in PARTS.items():
        if not on.tiny and on.left < needs:
            notes[name] = f"left out: {on.left:.0f} s were left, and it needs about {needs:.0f} s"
        else:
            try:
                on.rows[name] = measure(on)
            except Exception as error:  # the other parts are worth having
                notes[name] = f"{class_and_line(error)}"
                status = status if isinstance(error, ModelError) else 1
        _print(name, on.rows.get(name, []), notes.get(name))
        if to is not None:
            whole = {"about": about, "parts": on.rows, "notes": notes, "seconds": round(on.seconds - on.left, 1)}
            Path(to).parent.mkdir(parents=True, exist_ok=True)
            Path(to).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return status


def _print(name: str, rows: list[Row], note: str | None) -> None:
    print(f"{name}:" + (f" {note}" if note else ""))
    for row in rows:
        cells = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
        print("  " + ", ".join(cells), flush=True)


if __name__ == "__main__":
    _one_of_two(sys.argv[1:])
