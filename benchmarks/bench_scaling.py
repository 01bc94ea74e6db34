"""What a step and a prediction cost as parameters, rows, draws, restarts and points grow tenfold, and tenfold again.

The engine alone, in float32 and not compiled. Memory is measured in a process of its own for each size: what the
process holds before (data, parameters, Adam's moments), and what a step or a prediction takes on top.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch
from children import in_child, peak_of
from ours import Ours
from problem import problem
from report import Report, Target

from companion.inference import Machine, fit
from companion.models import torch_classifier
from companion.priors import Gaussian

WIDTH, STEPS = 250, 5


@dataclass(frozen=True)
class Size:
    """Of one measurement.

    Attributes
    ----------
    what
        A step or a prediction, and what of it grows.
    width
        Width of both hidden layers.
    rows
        Number of rows of the data; of a prediction, the number of points.
    """

    what: str
    width: int = WIDTH
    rows: int = 5000
    draws: int = 1
    restarts: int = 1

    @property
    def weights(self) -> int:
        """Count the parameters of the network."""
        return 784 * self.width + self.width**2 + 10 * self.width + 2 * self.width + 10

    def __str__(self) -> str:
        kind, grows = self.what.split(", ")
        found = {"parameters": self.weights, "points": self.rows, "rows": self.rows}
        return f"{kind}: {found.get(grows) or getattr(self, grows):,} {grows}"


STEP_SIZES = [
    *(Size("step, parameters", width=w) for w in (100, 630, 2600)),  # 90 thousand, 910 thousand, 8.8 million
    *(Size("step, rows", rows=r) for r in (2000, 20_000, 200_000)),
    *(Size("step, draws", draws=d) for d in (1, 10, 100)),
    *(Size("step, restarts", restarts=r) for r in (1, 10, 100)),
]
PREDICTION_SIZES = [
    *(Size("prediction, parameters", width=w, rows=1000, draws=10) for w in (100, 630, 2600)),
    *(Size("prediction, points", rows=r, draws=10) for r in (1000, 10_000, 100_000)),
    *(Size("prediction, draws", rows=1000, draws=d) for d in (10, 100, 1000)),
]
TINY = [
    *(Size("step, parameters", width=w, rows=100) for w in (8, 32)),
    *(Size("step, draws", width=8, rows=100, draws=d) for d in (1, 4)),
    *(Size("step, restarts", width=8, rows=100, restarts=r) for r in (1, 4)),
    *(Size("prediction, points", width=8, rows=r, draws=4) for r in (100, 1000)),
]


def prepare(size: Size, tiny: bool) -> Callable[[], Any]:
    """Make what is measured: some steps, or one prediction at all rows."""
    posed = problem(tiny, width=size.width, rows=size.rows)
    if size.what.startswith("step"):
        contestant = Ours(posed, torch.device("cpu"), draws=size.draws, restarts=size.restarts)
        return lambda: contestant.steps(STEPS)
    model = torch_classifier(posed.observations, posed.network(), Gaussian(posed.prior))
    machine = Machine("cpu", compile=False)
    posterior = fit(model, 1, batch_size=posed.batch, machine=machine, elbo_draws=2, progressbar=False)
    return lambda: posterior.predictive(posed.x, size.draws, seed=0)


@pytest.mark.parametrize("size", STEP_SIZES + PREDICTION_SIZES + TINY, ids=str)
def test_growth(size: Size, tiny: bool, report: Report, seconds: Callable[..., list[float]], benchmark: Any) -> None:
    if tiny != (size in TINY):
        pytest.skip("tiny sizes in a tiny run, and only there")
    calls = STEPS if size.what.startswith("step") else 1
    benchmark.group = size.what
    report.times(str(size), [s / calls for s in seconds(prepare(size, tiny), rounds=2 if tiny else 5, warmup_rounds=1)])
    row = report.rows.setdefault(str(size), {})
    row |= {"weights": size.weights, "rows": size.rows, "draws": size.draws, "restarts": size.restarts}
    if not tiny:
        row["memory_mib"] = in_child(peak_of, prepare, size, tiny)


def test_ratios(tiny: bool, report: Report) -> None:
    sizes = TINY if tiny else STEP_SIZES + PREDICTION_SIZES
    for before, size in pairwise(sizes):
        if before.what != size.what:
            continue
        report.ratio(str(size), str(before), f"times the time: {before} -> {size}")
        memory = [report.rows[str(s)].get("memory_mib") for s in (before, size)]
        if memory[0] and memory[1]:
            report.targets.append(Target("  times the memory at its peak", memory[1]["peak"] / memory[0]["peak"]))
