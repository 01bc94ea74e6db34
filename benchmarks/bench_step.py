"""One step of variational inference on a 784-800-800-10 network, batch 500: the engine against its peers.

Contestants take turns, a few steps each, round after round, so that whatever else the machine does hits all alike.
First, all of them must compute the same ELBO.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from field import LOOP, OURS, PEERS, SINGLE, Field, compare
from ours import Ours
from problem import problem
from report import Report

ROUNDS, BLOCKS, STEPS = 10, 5, 5
CPU = torch.device("cpu")
SLOW_TO_COMPILE = {
    SINGLE,
    "pymc_extras fit_advi, numba",
    "ours, float32, compiled, 8 restarts",
    "pm.ADVI, float32, numba",
    "ours, bfloat16, flipout",
    "ours, bfloat16, local",
}


@pytest.fixture(scope="module")
def contestants(tiny: bool, report: Report) -> Field:
    report.settings |= {"rounds": ROUNDS, "blocks_in_a_round": BLOCKS, "steps_in_a_block": STEPS}
    return Field(OURS | PEERS, problem(tiny), CPU, report, STEPS)


@pytest.fixture
def name(request: pytest.FixtureRequest, tiny: bool) -> str:
    if tiny and request.param in SLOW_TO_COMPILE:
        pytest.skip("takes long to compile: no part of a tiny run")
    return str(request.param)


@pytest.mark.parametrize("name", OURS | PEERS, indirect=True)
def test_all_compute_the_same_elbo(name: str, contestants: Field) -> None:
    contestants.assert_elbo(name)


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("name", OURS | PEERS, indirect=True)
def test_step(
    number: int, name: str, tiny: bool, contestants: Field, report: Report, seconds: Callable[..., list[float]],
    benchmark: Any,
) -> None:  # fmt: skip
    if tiny and number > 1:
        pytest.skip("two rounds are enough for a tiny run")
    contestant, steps = contestants[name], contestants.steps
    benchmark.group = f"round {number}: {steps} steps"
    contestant.steps(2)
    blocks = seconds(lambda: contestant.steps(steps), rounds=2 if tiny else BLOCKS)
    report.times(name, [s / steps for s in blocks], number)


def test_whole_loop(
    tiny: bool, contestants: Field, report: Report, seconds: Callable[..., list[float]], benchmark: Any
) -> None:
    """What a step costs in `fit`, with the checks and the copies of the last good state around it."""
    steps = 10 if tiny else 100
    whole = Ours(contestants.problem, CPU, precision="bfloat16", compile=True, whole_loop=steps)
    benchmark.group = f"{steps} steps, the whole loop"
    blocks = seconds(lambda: whole.steps(steps), rounds=2 if tiny else 5, warmup_rounds=1)
    report.times(LOOP, [s / steps for s in blocks])


def test_ratios(report: Report) -> None:
    """Compare, each time with the fastest of a peer's rows."""
    compare(report)
