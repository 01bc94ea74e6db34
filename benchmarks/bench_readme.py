"""README's first example from call to posterior, in a fresh process: on a quiet machine, and beside a busy process.

The busy process multiplies matrices on every core. Beside the example stands an earlier one of README, whose network
has two hidden layers of 20 units and learned scales: twelve times as many weights. All four kinds of run take turns.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from children import in_child, peak_of
from report import Report, Target

from companion import datasets
from companion.inference import sample
from companion.models import torch_classifier
from companion.networks import dense
from companion.priors import Gaussian

REPEATS, SECONDS, TIMES, MIB = 7, 6.0, 2.2, 500.0
EXAMPLES = {
    "example": """
network = bnn.networks.dense(2, 10, 1, activation=torch.nn.Tanh)
model = bnn.torch_classifier(moons.train, network, bnn.priors.Gaussian(2.0))
""",
    "earlier example": """
import pymc as pm
from companion.bridge import bayesian
network = bnn.networks.dense(2, 20, 20, 1, activation=torch.nn.Tanh)
with pm.Model() as model:
    logits = bayesian(network, bnn.priors.LearnedScale(1.0), pm.Data("x", moons.train.x))
    pm.Bernoulli("y", logit_p=logits[:, 0], observed=pm.Data("labels", moons.train.y))
""",
}
PROGRAM = """
import time
begun = time.perf_counter()
import torch
import companion as bnn
moons = bnn.datasets.moons()
{example}
called = time.perf_counter()
posterior = bnn.fit(model, {steps}, restarts=8, learning_rate=0.03, progressbar=False)
fitted = time.perf_counter()
bnn.predict(posterior, moons.test.x)
print(called - begun, fitted - called, time.perf_counter() - fitted)
"""
BUSY = """
import numpy
a = numpy.random.rand(500, 500)
while True:
    a @ a
"""


@contextmanager
def busy() -> Iterator[None]:
    """Keep both cores busy with a process on each."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BUSY],
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("beside", ["quiet", "busy"])
@pytest.mark.parametrize("repeat", range(REPEATS))
def test_example(repeat: int, name: str, beside: str, tiny: bool, report: Report) -> None:
    if tiny and repeat:
        pytest.skip("one repetition is enough for a tiny run")
    environment = {k: v for k, v in os.environ.items() if not k.endswith("NUM_THREADS")}
    with busy() if beside == "busy" else nullcontext():
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(example=EXAMPLES[name], steps=20 if tiny else 2000)], env=environment,
            capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
        )  # fmt: skip
    row = report.rows.setdefault(f"{name}, {beside}", {})
    for part, value in zip(("imports", "fit", "predict"), map(float, done.stdout.split()), strict=True):
        row.setdefault(f"{part}_s", []).append(value)


@pytest.mark.parametrize("draws", [1000])
def test_memory(draws: int, tiny: bool, report: Report) -> None:
    """What 64 chains of the moons network take at their peak."""
    found = in_child(peak_of, chains_of, 64, 20 if tiny else draws)
    report.rows["64 chains of the moons network, memory in MiB"] = found
    report.targets.append(
        Target(
            f"MiB at the peak of 64 chains, {draws:,} draws, over a process that has lowered it",
            found["taken"],
            most=MIB,
        )
    )
    report.targets.append(Target("  the whole process, libraries and all", found["peak"]))


def chains_of(chains: int, draws: int) -> object:
    """Prepare chains: the libraries are loaded, and a first short run was lowered."""
    model = torch_classifier(datasets.moons().train, dense(2, 10, 1, activation=torch.nn.Tanh), Gaussian(2.0))
    settings = {"sampler": "mclmc", "progressbar": False, "machine": "cpu"}
    sample(model, 4, warmup=4, chains=chains, **settings)
    return lambda: sample(model, draws, warmup=100, thin=1, chains=chains, **settings)


@pytest.mark.parametrize("name", EXAMPLES)
def test_ratios(name: str, report: Report) -> None:
    quiet, beside = (report.rows.get(f"{name}, {which}") for which in ("quiet", "busy"))
    if not quiet or not beside:
        pytest.skip("nothing was run")
    fits = np.array(quiet["fit_s"]), np.array(beside["fit_s"])
    report.targets += [
        Target(f"{name}: seconds from the call to the posterior", float(np.median(fits[0])), most=SECONDS,
               low=fits[0].min(), high=fits[0].max()),
        Target(f"{name}: times as long beside a process on each core", float(np.median(fits[1]) / np.median(fits[0])),
               most=TIMES, low=fits[1].min() / fits[0].max(), high=fits[1].max() / fits[0].min()),
        Target(f"{name}: seconds of the imports and the model before it", float(np.median(quiet["imports_s"]))),
    ]  # fmt: skip
