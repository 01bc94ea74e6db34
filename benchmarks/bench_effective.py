"""Effective draws of predictions per second on the moons network of 41 weights: our samplers and everybody's.

The same log density, the same test points, one core for each; ArviZ counts the effective draws of the probability at
each test point, and the least over the points counts. Seconds are the processor's, of all threads, so that they mean
the same on a busy machine; set-up (lowering, tracing, compilation), warm-up and draws are told apart. Contestants take
turns, seed by seed.
"""

from __future__ import annotations

import json
import logging
import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pytest
import torch
from abroad import Abroad
from report import Report, Target

from companion import datasets
from companion.inference import Machine, sample
from companion.models import torch_classifier
from companion.networks import dense
from companion.priors import Gaussian

HIDDEN, PRIOR, POINTS, SEEDS = 10, 2.0, 50, 3
# Numbers of chains, the warm-up of 128 and that of 32 were chosen with seeds 100 to 102, which aren't measured.
COMPILED = Machine("cpu", "float32", compile=True)
MANY = {"chains": 128, "sampler": "mclmc", "warmup": 2000, "draws": 125}
OURS = {
    "ours, HMC (ChEES), 16 chains": {"chains": 16, "warmup": 500, "draws": 250},
    "ours, HMC (ChEES), 64 chains": {"chains": 64, "warmup": 300, "draws": 100},
    "ours, MCLMC, 16 chains": {"chains": 16, "sampler": "mclmc", "draws": 500},
    "ours, MCLMC, 128 chains": MANY,
    "ours, MCLMC, 128 chains, float32": MANY | {"machine": Machine("cpu", "float32", compile=False)},
    "ours, MCLMC, 16 chains, compiled": {"chains": 16, "sampler": "mclmc", "draws": 500, "machine": COMPILED},
    "ours, MCLMC, 32 chains, compiled": {
        "chains": 32, "sampler": "mclmc", "warmup": 1000, "draws": 300, "machine": COMPILED,
    },
    "ours, MCLMC, 128 chains, float32, compiled": MANY | {"machine": COMPILED},
    "ours, HMC (ChEES), 16 chains, compiled": {"chains": 16, "warmup": 500, "draws": 250, "machine": COMPILED},
    "ours, adjusted MCLMC, 16 chains": {"chains": 16, "sampler": "adjusted-mclmc", "draws": 250},
}  # fmt: skip
NUTS = {"chains": 2, "tune": 500, "draws": 500}
PYMC, NUTPIE = "pm.sample, PyMC's NUTS", "nutpie (pm.sample's default)"
PEERS = {
    PYMC: {"peer": "pymc", **NUTS},
    NUTPIE: {"peer": "nutpie", "backend": "numba", **NUTS},
    "nutpie, jax": {"peer": "nutpie", "backend": "jax", **NUTS},
    "NumPyro NUTS": {"peer": "numpyro", "method": "sequential", **NUTS},
    "blackjax NUTS": {"peer": "blackjax nuts", **NUTS},
    "blackjax HMC (ChEES), 16 chains": {"peer": "blackjax chees", "chains": 16, "tune": 500, "draws": 250},
    "blackjax MCLMC, 16 chains": {
        "peer": "blackjax mclmc", "chains": 16, "tune": 10_000, "draws": 500, "thin": 20,
    },
}  # fmt: skip
LEAST = ((10.0, ("pm.sample", "nutpie")), (1.5, ("blackjax",)), (None, ("NumPyro",)))

Run = Callable[[int], tuple[np.ndarray, Mapping[str, float]]]


@pytest.fixture(scope="module", autouse=True)
def _earlier(request: pytest.FixtureRequest, report: Report) -> None:
    """Take the rows of an earlier part of this run, with ``--add``."""
    folder = request.config.getoption("--results")
    stored = (folder or Path(__file__).parent / "results") / "effective.json"
    if request.config.getoption("--add") and stored.is_file():
        report.rows.update(json.loads(stored.read_text(encoding="utf-8"))["rows"])


@pytest.fixture(scope="module")
def data() -> Any:
    return datasets.moons(n_samples=1000, noise=0.2, seed=0)


def ours(data: Any, tiny: bool, settings: Mapping[str, Any]) -> Run:
    """Make the function of a seed that gives our probabilities (chains, draws, points) and the seconds."""
    points = data.test.x[:POINTS]

    def run(seed: int) -> tuple[np.ndarray, Mapping[str, float]]:
        start = _spent()
        network = dense(2, HIDDEN, 1, activation=torch.nn.Tanh, seed=seed)
        model = torch_classifier(data.train, network, Gaussian(PRIOR))
        given = {"machine": "cpu"} | settings | ({"draws": 20, "warmup": 20} if tiny else {})
        with Stamps() as stamps:
            found = sample(model, **given, seed=seed, progressbar=False)
        first, warm, end = *stamps.at, _spent()
        return _probabilities(found, points), {"setup": first - start, "warmup": warm - first, "draws": end - warm}

    return run


class Stamps(logging.Handler):
    """Note when the chains log that the first step is done, and the warm-up; a callback would make steps single."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._log, self.at = logging.getLogger("companion.sampling.chains"), list[float]()

    def emit(self, record: logging.LogRecord) -> None:
        self.at.append(_spent())

    def __enter__(self) -> Stamps:
        self._level, _ = self._log.level, self._log.setLevel(logging.INFO)
        self._log.addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._log.removeHandler(self)
        self._log.setLevel(self._level)


def _spent() -> float:
    """Seconds of the processor, of this process and of those that ended under it, which build libraries."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _probabilities(posterior: Any, points: np.ndarray) -> np.ndarray:
    """Compute the probabilities (chains, draws, points) of every draw, chain by chain."""
    drawn = posterior.draws
    w_in, b_in, w_out, b_out = (drawn[name] for name in ("0.weight", "0.bias", "2.weight", "2.bias"))
    hidden = np.tanh(np.einsum("px,dhx->dph", points, w_in) + b_in[:, None])
    logits = np.einsum("dph,dh->dp", hidden, w_out[:, 0]) + b_out
    return 1 / (1 + np.exp(-logits.reshape(len(posterior.chains), -1, len(points))))


def abroad(data: Any, tiny: bool, settings: Mapping[str, Any], folder: Path) -> Run:
    """Make the same for a peer; its process ends with each run."""
    file = folder / "moons.npz"
    np.savez(
        file, x=data.train.x, y=data.train.y, points=data.test.x[:POINTS], prior=PRIOR, hidden=HIDDEN,
    )  # fmt: skip

    def run(seed: int) -> tuple[np.ndarray, Mapping[str, float]]:
        given = dict(settings) | ({"draws": 20, "tune": 100} if tiny else {})
        there = Abroad("chains", "Chains", file=str(file), **given)
        to = folder / "found.npy"
        seconds = there.ask("sample", seed=seed, to=str(to))
        there.end()
        return np.load(to), seconds

    return run


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("name", OURS | PEERS)
def test_effective_draws(
    name: str, seed: int, tiny: bool, report: Report, data: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if tiny and seed:
        pytest.skip("one seed is enough for a tiny run")
    report.settings |= {
        "rows": len(data.train), "hidden": HIDDEN, "prior": PRIOR, "points": POINTS, "seeds": SEEDS,
    }  # fmt: skip
    run = ours(data, tiny, OURS[name]) if name in OURS else abroad(data, tiny, PEERS[name], tmp_path)
    found, seconds = run(seed)
    assert found.shape[2] == POINTS
    assert np.isfinite(found).all()
    row = report.rows.setdefault(name, {})
    ess = az.ess(az.convert_to_dataset(found.astype(float)), method="bulk")["x"].to_numpy()
    r_hat = az.rhat(az.convert_to_dataset(found.astype(float)))["x"].to_numpy()
    for key, value in {
        **{f"{part}_s": seconds[part] for part in ("setup", "warmup", "draws")},
        "draws": found.shape[0] * found.shape[1],
        "ess_least": float(ess.min()),
        "ess_median": float(np.median(ess)),
        "r_hat": float(r_hat.max()),
        "mean_probability": found.mean(axis=(0, 1)),
    }.items():
        row.setdefault(key, []).append(value)
    if not tiny and (folder := request.config.getoption("--results")):
        report.write(folder)  # a run of half an hour may be stopped


def rates(row: Mapping[str, Any], *parts: str) -> np.ndarray:
    """Compute the effective draws per second of each seed, counting some parts of the time."""
    seconds = sum(np.array(row[f"{part}_s"]) for part in parts)
    return np.array(row["ess_least"]) / seconds


COUNTED = {"draws alone": ("draws",), "with warm-up": ("warmup", "draws"), "all": ("setup", "warmup", "draws")}


def test_ratios(report: Report) -> None:
    if not report.rows:
        pytest.skip("nothing was run")
    for row in report.rows.values():
        row |= {"rate": {which: float(np.median(rates(row, *parts))) for which, parts in COUNTED.items()}}
    mine = [name for name in OURS if name in report.rows]
    for least, starts in LEAST:
        theirs = [name for name in PEERS if name in report.rows and name.startswith(starts)]
        if not theirs or not mine:
            continue
        for which, parts in COUNTED.items():
            best, other = (max(names, key=lambda n: report.rows[n]["rate"][which]) for names in (mine, theirs))
            a, b = rates(report.rows[best], *parts), rates(report.rows[other], *parts)
            report.targets.append(
                Target(
                    f"effective draws/s, {which}: {best} over {other}",
                    float(np.median(a) / np.median(b)),
                    least if which == "with warm-up" else None,
                    low=float(a.min() / b.max()),
                    high=float(a.max() / b.min()),
                )
            )
