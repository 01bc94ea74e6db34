"""One step of the samplers of mini-batches on a 784-800-800-10 network, batch 500: over the gradient, and two peers.

Contestants take turns, a few steps each, round after round, so that whatever else the machine does hits all alike.
First, all of them must compute the same log density.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
import pytest
import torch
from abroad import AbroadStep
from problem import Problem, problem
from report import Report
from samplers import Bare, Chain, PosteriorsChain, log_density

from companion.sampling import SGHMC, SGLD, SGNHT

ROUNDS, BLOCKS, STEPS = 10, 5, 5
CPU = torch.device("cpu")
RATE = 0.01
MOST = 1.25


class Contestant(Protocol):
    """A chain under way, or the gradient alone."""

    def steps(self, n: int) -> None:
        """Take ``n`` steps."""
        ...

    def log_densities(self, n: int) -> np.ndarray:
        """Estimate the log density at the start ``n`` times (n,), in nats."""
        ...


SAMPLERS = {
    "SGLD": SGLD(step_size=RATE),
    "SGHMC": SGHMC(step_size=RATE),
    "SGNHT": SGNHT(step_size=RATE),
    "SGLD, RMSProp": SGLD(step_size=RATE, preconditioner="rmsprop"),
    "SGHMC, RMSProp": SGHMC(step_size=RATE, preconditioner="rmsprop"),
    "SGNHT, RMSProp": SGNHT(step_size=RATE, preconditioner="rmsprop"),
    "SGHMC, cyclical": SGHMC(step_size=RATE, schedule="cyclical"),
}
BARE, COMPILED = "gradient alone", "gradient alone, compiled"
CONTESTANTS: dict[str, Callable[[Problem, torch.device], Contestant]] = {
    BARE: Bare,
    COMPILED: partial(Bare, compile=True),
    **{name: partial(Chain, sampler=sampler) for name, sampler in SAMPLERS.items()},
    **{f"{name}, compiled": partial(Chain, sampler=SAMPLERS[name], compile=True) for name in ("SGLD", "SGHMC")},
    "posteriors sgld": partial(PosteriorsChain, name="sgld", rate=RATE),
    "posteriors sghmc": partial(PosteriorsChain, name="sghmc", rate=RATE, alpha=0.1),
    "posteriors sgnht": partial(PosteriorsChain, name="sgnht", rate=RATE, alpha=0.1),
    "blackjax sgld": partial(AbroadStep, name="BlackjaxChain", kind="sgld", rate=RATE),
    "blackjax sghmc": partial(AbroadStep, name="BlackjaxChain", kind="sghmc", rate=RATE, alpha=0.1),
}


@pytest.fixture(scope="module")
def posed(tiny: bool, report: Report) -> Problem:
    p = problem(tiny)
    report.settings |= {
        "rounds": ROUNDS, "blocks_in_a_round": BLOCKS, "steps_in_a_block": STEPS, "data": p.data, "rows": len(p.x),
        "widths": p.widths, "weights": p.weights, "batch": p.batch, "prior": p.prior, "rate": RATE, "seed": p.seed,
    }  # fmt: skip
    return p


@pytest.fixture(scope="module")
def made(posed: Problem, report: Report) -> Callable[[str], Contestant]:
    """Each contestant, made when it is first called for."""
    found: dict[str, Contestant | str] = {}

    def contestant(name: str) -> Contestant:
        if name not in found:
            try:
                found[name] = CONTESTANTS[name](posed, CPU)
            except pytest.skip.Exception as skipped:
                found[name] = str(skipped)
                report.notes.append(f"{name} is left out: {skipped}")
        if isinstance(one := found[name], str):
            pytest.skip(one)
        return one

    return contestant


@pytest.fixture
def name(request: pytest.FixtureRequest, tiny: bool) -> str:
    if tiny and "compiled" in request.param:
        pytest.skip("takes long to compile: no part of a tiny run")
    return str(request.param)


@pytest.fixture(scope="module")
def known(posed: Problem) -> float:
    """The log density of all rows at the start, in nats, from its definition."""
    return log_density(posed)


@pytest.mark.parametrize("name", CONTESTANTS, indirect=True)
def test_all_compute_the_same_log_density(
    name: str, made: Callable[[str], Contestant], known: float, report: Report
) -> None:
    found = made(name).log_densities(30)
    report.rows.setdefault(name, {})["log_density_at_the_start"] = float(found.mean())
    noise = found.std(ddof=1) / np.sqrt(len(found))
    assert abs(found.mean() - known) < 5 * noise + 1e-4 * abs(known)


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("name", CONTESTANTS, indirect=True)
def test_step(
    number: int, name: str, tiny: bool, made: Callable[[str], Contestant], report: Report,
    seconds: Callable[..., list[float]], benchmark: Any,
) -> None:  # fmt: skip
    if tiny and number > 1:
        pytest.skip("two rounds are enough for a tiny run")
    contestant = made(name)
    benchmark.group = f"round {number}: {STEPS} steps"
    contestant.steps(2)
    blocks = seconds(lambda: contestant.steps(STEPS), rounds=2 if tiny else BLOCKS)
    report.times(name, [s / STEPS for s in blocks], number)


def test_ratios(report: Report) -> None:
    for name in SAMPLERS:
        report.ratio(name, BARE, f"{name}, a step over its gradient", most=MOST)
    for name in ("SGLD, compiled", "SGHMC, compiled"):
        report.ratio(name, COMPILED, f"{name}, a step over its gradient", most=MOST)
    for name in ("sgld", "sghmc", "sgnht"):
        report.ratio(f"posteriors {name}", name.upper(), f"steps/s of {name.upper()}, ours over posteriors'")
    for name in ("sgld", "sghmc"):
        report.ratio(
            f"blackjax {name}", f"{name.upper()}, compiled", f"steps/s of {name.upper()}, ours over blackjax's"
        )
