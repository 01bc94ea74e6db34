"""The step of `bench_step` on a small network: the two moons, 522 weights, 500 rows, where calls cost more than work.

The same contestants but those in bfloat16, which gains nothing here; and eight fits side by side, ours and NumPyro's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bench_step import BLOCKS, CPU, ROUNDS, name
from bench_step import test_step as step
from field import AHEAD, NUMPYRO, OURS, PEERS, SIDE_BY_SIDE, SINGLE, Field, compare
from problem import problem
from report import Report

STEPS = 100
ROWS = {n: row for n, row in (OURS | PEERS).items() if "bfloat16" not in n and "fused Adam" not in n} | SIDE_BY_SIDE

__all__ = ["name"]


@pytest.fixture(scope="module")
def contestants(tiny: bool, report: Report) -> Field:
    steps = 5 if tiny else STEPS
    report.settings |= {"rounds": ROUNDS, "blocks_in_a_round": BLOCKS, "steps_in_a_block": steps}
    return Field(ROWS, problem(small=True), CPU, report, steps)


@pytest.mark.parametrize("name", ROWS, indirect=True)
def test_all_compute_the_same_elbo(name: str, contestants: Field) -> None:
    contestants.assert_elbo(name)


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("name", ROWS, indirect=True)
def test_step(
    number: int, name: str, tiny: bool, contestants: Field, report: Report, seconds: Callable[..., list[float]],
    benchmark: Any,
) -> None:  # fmt: skip
    step(number, name, tiny, contestants, report, seconds, benchmark)


def test_ratios(report: Report) -> None:
    compare(report, SINGLE, AHEAD)
    ours, theirs = SIDE_BY_SIDE
    report.ratio(theirs, ours, f"steps/s of 8 fits side by side, ours over {NUMPYRO}", 1.0)
