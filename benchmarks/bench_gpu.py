"""The same step on a GPU, with CUDA graphs and without, and the share of it that is launch overhead.

Where a kernel's launch takes longer than its work, the GPU waits: that share is what a CUDA graph, which launches all
kernels of a step at once, takes away. Skipped where torch sees no GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
import torch
from field import BEST, OURS, PEERS, SINGLE, Contestant, Field, Row, compare
from ours import Ours
from problem import Problem, problem
from report import Report, Target

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")

ROUNDS, BLOCKS, STEPS = 10, 5, 20


def without_graph(problem: Problem, device: torch.device, *, precision: str) -> Ours:
    """Compile the engine's step into kernels that are launched one by one."""
    return Ours(problem, device, precision=precision, compile="kernels")


NO_GRAPH = {
    f"{BEST}, no CUDA graph": Row("ours", partial(without_graph, precision="bfloat16")),
    f"{SINGLE}, no CUDA graph": Row("ours", partial(without_graph, precision="float32")),
}
# What only changes work on the CPU is left out.
ROWS = OURS | NO_GRAPH | {name: row for name, row in PEERS.items() if "OpenMP" not in name and "numba" not in name}


@pytest.fixture(scope="module")
def contestants(tiny: bool, report: Report) -> Field:
    report.settings |= {"rounds": ROUNDS, "blocks_in_a_round": BLOCKS, "steps_in_a_block": STEPS}
    return Field(ROWS, problem(tiny), torch.device("cuda"), report)


def synchronised(contestant: Contestant, steps: int) -> None:
    """Take steps, and wait until the GPU has."""
    contestant.steps(steps)
    torch.cuda.synchronize()


@pytest.mark.parametrize("name", ROWS)
def test_all_compute_the_same_elbo(name: str, contestants: Field) -> None:
    contestants.assert_elbo(name)


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("name", ROWS)
def test_step(
    number: int, name: str, tiny: bool, contestants: Field, report: Report, seconds: Callable[..., list[float]],
    benchmark: Any,
) -> None:  # fmt: skip
    if tiny and number > 1:
        pytest.skip("two rounds are enough for a tiny run")
    contestant = contestants[name]
    benchmark.group = f"round {number}: {STEPS} steps on a GPU"
    synchronised(contestant, 3)
    blocks = seconds(lambda: synchronised(contestant, STEPS), rounds=2 if tiny else BLOCKS)
    report.times(name, [s / STEPS for s in blocks], number)


@pytest.mark.parametrize("name", ROWS)
def test_launch_overhead(name: str, contestants: Field, report: Report) -> None:
    """The share of a step's wall time in which the GPU has nothing to do."""
    contestant = contestants[name]
    synchronised(contestant, 5)
    start = time.perf_counter()
    synchronised(contestant, STEPS)
    wall = time.perf_counter() - start  # without the profiler, which slows launches down
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        synchronised(contestant, STEPS)
    busy = covered(
        (event.time_range.start, event.time_range.end)
        for event in profile.events() or []
        if event.device_type == torch.autograd.DeviceType.CUDA and not getattr(event, "is_user_annotation", False)
    )
    share = max(0.0, 1 - busy * 1e-6 / wall)
    report.rows[name] |= {"gpu_busy_s": busy * 1e-6 / STEPS, "launch_overhead": share}
    report.targets.append(Target(f"share of a step that is launch overhead, {name}", share))


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Measure the union of intervals: kernels may overlap."""
    total, reach = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reach))
        reach = max(reach, end)
    return total


def test_ratios(report: Report) -> None:
    """Compare, each time with the fastest of a peer's rows."""
    compare(report)
    for name in (BEST, SINGLE):
        report.ratio(f"{name}, no CUDA graph", name, f"steps/s, {name}: with a CUDA graph over without")
