"""The moons: seconds until 16 restarts of the engine reach a loss of 120, against 30,000 steps of `pm.fit`.

The same `pm.Model` goes to both, from the same kind of start. A fit has reached a loss when the mean of its last 100
one-draw estimates of the negative ELBO has; the ELBO at the end is computed anew, from many draws.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytest
import torch
from children import in_child, start_engine, start_pymc
from ours import training_of
from report import Report, Target

from companion import datasets
from companion.inference import fit_advi
from companion.models import binary_classifier
from companion.variational import elbo

LOSS, RESTARTS, REPETITIONS, WINDOW = 120.0, 16, 3, 100
FIRST_SEED = 100  # the rates were chosen with seeds 0 to 2


@dataclass(frozen=True)
class Outcome:
    """Of one fit, or of several side by side.

    Attributes
    ----------
    setup, steps
        Seconds before the first step (lowering, tracing, compilation), and in the steps.
    history
        One-draw estimates of the negative ELBO, (steps, restarts).
    losses
        The negative ELBO at the end (restarts,), in nats.
    """

    setup: float
    steps: float
    history: np.ndarray
    losses: np.ndarray

    def reached(self) -> np.ndarray:
        """Give the seconds until each restart reached the loss, set-up included (restarts,); infinite where not."""
        sums = np.cumsum(np.vstack([np.zeros(self.history.shape[1]), self.history]), axis=0)
        window = min(WINDOW, len(self.history))
        below = (sums[window:] - sums[:-window]) / window <= LOSS
        first = np.where(below.any(axis=0), below.argmax(axis=0) + window, np.inf)
        return self.setup + first / len(self.history) * self.steps


def engine(data: Any, seed: int, *, steps: int, estimator: str, rate: float, draws: int) -> Outcome:
    """Fit 16 restarts with the engine."""
    start = time.perf_counter()
    with torch.no_grad():
        training = training_of(
            binary_classifier(data, seed=seed), torch.device("cpu"), compile=False, steps=steps, restarts=RESTARTS,
            learning_rate=rate, schedule="one-cycle", estimator=estimator, seed=seed,
        )  # fmt: skip
        training.evaluate(0)  # traces
        begun = time.perf_counter()
        training.run(every=10**9, progressbar=False)
        ended = time.perf_counter()
        own = [{name: p[r] for name, p in training.parameters.items()} for r in range(RESTARTS)]
        losses = [-elbo(training.objective, p, training.batches.parts(), draws, seed)[0] for p in own]
    return Outcome(begun - start, ended - begun, training.losses.numpy(), np.array(losses))


def pymc(data: Any, seed: int, *, steps: int, adam: bool, mode: str = "") -> Outcome:
    """Fit once with PyMC."""
    start = time.perf_counter()
    with pytensor.config.change_flags(**({"mode": mode} if mode else {})):
        optimizer = pm.adam(learning_rate=0.01) if adam else None
        found = fit_advi(binary_classifier(data, seed=seed), 1, optimizer=optimizer, seed=seed, elbo_draws=2)
        setup = time.perf_counter() - start  # compiles the step and, as every fit_advi, the log density
        found = fit_advi(binary_classifier(data, seed=seed), steps, optimizer=optimizer, seed=seed)
    return Outcome(setup, found.record.seconds, found.record.losses, np.array([-found.record.elbo]))


MAIN, MORE = f"engine, {RESTARTS} restarts", f"engine, {RESTARTS} restarts, sticking the landing"
DEFAULTS, ADAM = "pm.fit, defaults", "pm.fit, Adam(0.01)"


def contestants(tiny: bool) -> dict[str, Callable[[Any, int], Outcome]]:
    """Give every contestant: a function of the data and a seed."""
    ours = {"steps": 120 if tiny else 3000, "rate": 0.1, "draws": 5 if tiny else 500}
    theirs = {"steps": 120 if tiny else 30_000}
    return {
        MAIN: partial(engine, estimator="reparameterisation", **ours),
        DEFAULTS: partial(pymc, adam=False, **theirs),
        MORE: partial(engine, estimator="sticking-the-landing", **ours),
        ADAM: partial(pymc, adam=True, **theirs),
        f"{DEFAULTS}, numba": partial(pymc, adam=False, mode="NUMBA", **theirs),
        f"{ADAM}, numba": partial(pymc, adam=True, mode="NUMBA", **theirs),
    }


@pytest.mark.parametrize("repetition", range(REPETITIONS))
@pytest.mark.parametrize("name", list(contestants(True)))
def test_until_the_loss(
    name: str, repetition: int, tiny: bool, report: Report, seconds: Callable[..., list[float]], benchmark: Any
) -> None:
    if tiny and (repetition or "numba" in name):
        pytest.skip("a tiny run takes one repetition, and compiles once")
    data = datasets.moons(n_samples=1000, noise=0.2, seed=0).train
    seed = FIRST_SEED + repetition
    report.settings |= {
        "loss": LOSS, "restarts": RESTARTS, "window": WINDOW, "rows": len(data), "data_seed": 0,
        "seeds": [FIRST_SEED + r for r in range(REPETITIONS)],
    }  # fmt: skip
    outcomes: list[Outcome] = []
    benchmark.group = f"repetition {repetition}"
    seconds(lambda: outcomes.append(contestants(tiny)[name](data, seed)), rounds=1)
    found, reached = outcomes[-1], outcomes[-1].reached()
    report.times(name, [found.steps], repetition)
    row = report.rows[name] if name in report.rows else report.rows.setdefault(name, {})
    for key, value in {
        "steps": len(found.history),
        "setup_s": found.setup,
        "final_losses": np.sort(found.losses),
        "first_reached_s": reached.min(),
        "all_reached_s": reached.max(),
        "restarts_that_reached": int(np.isfinite(reached).sum()),
    }.items():
        row.setdefault(key, []).append(value)


@pytest.mark.parametrize("cache", ["cold", "warm"])
@pytest.mark.parametrize("who", ["engine", "pm.fit"])
def test_start(who: str, cache: str, tiny: bool, report: Report, shared_cache: Path) -> None:
    """What a fit costs before its first step, on a bare machine and with everything compiled before."""
    if tiny and (cache == "cold" or who == "pm.fit"):
        pytest.skip("one new process is enough for a tiny run")
    env = {
        "PYTENSOR_FLAGS": f"base_compiledir={shared_cache / 'pytensor'}",
        "TORCHINDUCTOR_CACHE_DIR": str(shared_cache / "inductor"),
    }
    found = in_child(start_engine if who == "engine" else start_pymc, 10, env={} if tiny else env)
    report.rows[f"start of {who}, {cache}"] = {f"{key}_s": value for key, value in found.items()}


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for compiled code: empty for the cold start of each, filled by it for the warm one."""
    return tmp_path_factory.mktemp("compiled")


def test_ratios(report: Report) -> None:
    """Compare medians over the repetitions: the engine with its set-up, PyMC's steps without theirs."""
    peers = [name for name in report.rows if name.startswith("pm.fit")]
    quickest = min(peers, key=lambda name: np.nan_to_num(report.median(name), nan=np.inf))
    budget = report.median(quickest)
    for name in peers:
        row = report.rows[name]
        report.targets.append(Target(f"{name}: seconds of its {row['steps'][0]:,} steps", report.median(name)))
        reached = float(np.median(row["first_reached_s"]))
        report.targets.append(Target(f"  seconds until its one start reached {LOSS:g}, if ever", reached))
        _told(report, name)
    for name, most in ((MAIN, budget), (MORE, None)):
        for which, key in (("the best", "first_reached_s"), ("all", "all_reached_s")):
            times = np.array(report.rows[name][key])
            claim = f"{name}: seconds until {which} reached {LOSS:g}"
            report.targets.append(Target(claim, float(np.median(times)), most=most, low=times.min(), high=times.max()))
        _told(report, name)
    report.notes.append(f"the target is the time of {quickest}, the quickest of PyMC's rows, without its compilation")
    if not pytensor.config.blas__ldflags:
        report.notes.append("PyTensor has no BLAS here: its rows but numba's would be faster with one")
    for name in (n for n in report.rows if n.startswith("start of")):
        for key, value in report.rows[name].items():
            report.targets.append(Target(f"{name}: seconds of the {key.removesuffix('_s')}", value))


def _told(report: Report, name: str) -> None:
    """Tell a contestant's losses at the end: the median over all restarts and repetitions, and the extremes."""
    ends = np.concatenate(report.rows[name]["final_losses"])
    report.targets.append(Target("  its -ELBO at the end", float(np.median(ends)), low=ends.min(), high=ends.max()))
