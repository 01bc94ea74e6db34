"""Who takes part: every contestant with its settings, and the targets.

A row names a contestant. `problem.Problem.losses` says what all of them must agree on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Protocol

import numpy as np
import pytest
import torch
from abroad import AbroadStep
from ours import Ours
from peers import PosteriorsDiag, PosteriorsNelbo, PymcAdvi, PyroSvi
from problem import Problem
from report import Report


class Contestant(Protocol):
    """A fit under way."""

    def steps(self, n: int) -> None:
        """Take ``n`` steps of the optimiser."""
        ...

    def losses(self, n: int) -> np.ndarray:
        """Estimate the negative ELBO ``n`` times (n,), in nats, at the parameters as they are."""
        ...


class Kind(StrEnum):
    """What a comparison with a row says."""

    NAMED = "named"
    """A peer as its documentation shows it, in float32 or float64: what the targets name."""

    SWITCHED = "switched"
    """The same with a switch that the peer offers for speed, in float32."""

    DRIVEN = "driven"
    """The peer driven further: with bfloat16 autocast, or in a loop of ours around the peer's functions."""


@dataclass(frozen=True)
class Row:
    """A contestant with its settings.

    Attributes
    ----------
    who
        "ours", or the peer.
    build
        Maker of the contestant, from a problem and a device.
    """

    who: str
    build: Callable[[Problem, torch.device], Contestant]
    kind: Kind = Kind.NAMED


BEST = "ours, bfloat16, compiled"
SINGLE = "ours, float32, compiled"
LOOP = "ours, bfloat16, compiled, whole loop"

OURS = {
    BEST: Row("ours", partial(Ours, precision="bfloat16", compile=True)),
    SINGLE: Row("ours", partial(Ours, compile=True)),
    "ours, bfloat16": Row("ours", partial(Ours, precision="bfloat16")),
    "ours, float32": Row("ours", partial(Ours)),
    "ours, float32, local": Row("ours", partial(Ours, estimator="local")),
    "ours, bfloat16, local": Row("ours", partial(Ours, estimator="local", precision="bfloat16")),
    "ours, float32, flipout": Row("ours", partial(Ours, estimator="flipout")),
    "ours, bfloat16, flipout": Row("ours", partial(Ours, estimator="flipout", precision="bfloat16")),
}

ADVI, DIAGONAL, NORMAL, POSTERIORS = "pm.ADVI", "Pyro AutoDiagonalNormal", "Pyro AutoNormal", "posteriors vi.diag"

NUMPYRO, FIT_ADVI = "NumPyro", "pymc_extras fit_advi"

_advi = partial(PymcAdvi, floatX="float32")
_diagonal, _normal = partial(PyroSvi, guide="AutoDiagonalNormal"), partial(PyroSvi, guide="AutoNormal")
_numpyro = partial(AbroadStep, name="NumpyroSvi", guide="AutoNormal")

PEERS = {
    f"{ADVI}, float64, Minibatch": Row(ADVI, partial(PymcAdvi, floatX="float64", rows="minibatch")),
    f"{ADVI}, float32, Minibatch": Row(ADVI, partial(_advi, rows="minibatch")),
    f"{ADVI}, float32": Row(ADVI, _advi),
    f"{ADVI}, float32, OpenMP": Row(ADVI, partial(_advi, openmp=True), Kind.SWITCHED),
    f"{ADVI}, float32, numba": Row(ADVI, partial(_advi, mode="NUMBA"), Kind.SWITCHED),
    f"{ADVI}, bfloat16": Row(ADVI, partial(_advi, bfloat16=True), Kind.DRIVEN),
    DIAGONAL: Row(DIAGONAL, _diagonal),
    f"{DIAGONAL}, jit": Row(DIAGONAL, partial(_diagonal, jit=True), Kind.SWITCHED),
    f"{DIAGONAL}, bfloat16": Row(DIAGONAL, partial(_diagonal, bfloat16=True), Kind.DRIVEN),
    NORMAL: Row(NORMAL, _normal),
    f"{NORMAL}, jit": Row(NORMAL, partial(_normal, jit=True), Kind.SWITCHED),
    f"{NORMAL}, bfloat16": Row(NORMAL, partial(_normal, bfloat16=True), Kind.DRIVEN),
    POSTERIORS: Row(POSTERIORS, PosteriorsDiag),
    f"{POSTERIORS}, stl=False": Row(POSTERIORS, partial(PosteriorsDiag, stl=False)),
    f"{POSTERIORS}, accelerated": Row(POSTERIORS, partial(PosteriorsDiag, fused=True), Kind.SWITCHED),
    f"{POSTERIORS}, bfloat16": Row(POSTERIORS, partial(PosteriorsDiag, bfloat16=True), Kind.DRIVEN),
    f"{POSTERIORS}, fused Adam": Row(POSTERIORS, PosteriorsNelbo, Kind.DRIVEN),
    f"{NUMPYRO} AutoNormal, TraceMeanField": Row(NUMPYRO, partial(_numpyro, elbo="TraceMeanField_ELBO")),
    f"{NUMPYRO} AutoNormal": Row(NUMPYRO, partial(_numpyro, elbo="Trace_ELBO")),
    f"{NUMPYRO} AutoDiagonalNormal": Row(NUMPYRO, partial(_numpyro, guide="AutoDiagonalNormal", elbo="Trace_ELBO")),
    f"{FIT_ADVI}, numba": Row(FIT_ADVI, partial(AbroadStep, name="FitAdvi", backend="numba")),
    f"{FIT_ADVI}, jax": Row(FIT_ADVI, partial(AbroadStep, name="FitAdvi", backend="jax")),
}
# Many fits side by side, which of the peers NumPyro alone can: by jax.vmap.
SIDE_BY_SIDE = {
    "ours, float32, compiled, 8 restarts": Row("ours", partial(Ours, compile=True, restarts=8)),
    f"{NUMPYRO} AutoNormal, TraceMeanField, 8 restarts": Row(
        NUMPYRO, partial(_numpyro, elbo="TraceMeanField_ELBO", restarts=8)
    ),
}

TARGETS = {ADVI: 6.0, DIAGONAL: 4.0, POSTERIORS: 2.5, NUMPYRO: 1.0, FIT_ADVI: 1.0}
AHEAD = dict.fromkeys((ADVI, DIAGONAL, NORMAL, POSTERIORS, NUMPYRO, FIT_ADVI), 1.0)


def rows_of(who: str, *kinds: Kind) -> list[str]:
    """Name the rows of a peer."""
    return [name for name, row in PEERS.items() if row.who == who and row.kind in kinds]


def compare(report: Report, best: str = BEST, targets: Mapping[str, float] = TARGETS) -> None:
    """Put the targets and every other comparison into the report, each time with a peer's fastest row of its kind.

    ``best`` is the row of ours that is compared.
    """

    def fastest(names: Sequence[str]) -> str:
        return min(names, key=lambda name: np.nan_to_num(report.median(name), nan=np.inf))

    for who in (ADVI, DIAGONAL, NORMAL, POSTERIORS, NUMPYRO, FIT_ADVI):
        named = fastest(rows_of(who, Kind.NAMED))
        report.ratio(named, best, f"steps/s, {best} over {named}", targets.get(who))
        switched = fastest(rows_of(who, Kind.NAMED, Kind.SWITCHED))
        report.ratio(switched, best, f"  at its fastest, {switched}")
        if best != SINGLE:
            report.ratio(switched, SINGLE, "  the same, ours in float32 too")
        if driven := rows_of(who, Kind.DRIVEN):
            report.ratio(fastest(driven), best, f"  over {fastest(driven)}")
    report.ratio(LOOP, BEST, "a step within fit, checks and all, over a bare step")


@dataclass
class Field:
    """The contestants on one device, each made when it is first called for.

    Attributes
    ----------
    steps
        Number of steps that one takes in its turn.
    """

    rows: Mapping[str, Row]
    problem: Problem
    device: torch.device
    report: Report
    steps: int = 5
    _made: dict[str, Contestant | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        p = self.problem
        self.report.settings |= {
            "data": p.data, "rows": len(p.x), "widths": p.widths, "weights": p.weights, "batch": p.batch,
            "prior": p.prior, "scale": p.scale, "rate": p.rate, "seed": p.seed,
        }  # fmt: skip

    def __getitem__(self, name: str) -> Contestant:
        if name not in self._made:
            start = time.perf_counter()
            try:
                self._made[name] = self.rows[name].build(self.problem, self.device)
            except pytest.skip.Exception as skipped:  # a package or an instruction that isn't there
                self._made[name] = str(skipped)
                self.report.notes.append(f"{name} is left out: {skipped}")
            self.report.rows.setdefault(name, {})["setup_s"] = time.perf_counter() - start
        if isinstance(found := self._made[name], str):
            pytest.skip(found)
        return found

    def assert_elbo(self, name: str, draws: int = 30) -> None:
        """Assert that a contestant that took no step yet estimates the ELBO that the problem's definition gives."""
        wanted, found = self.problem.losses(draws), self[name].losses(draws)
        self.report.rows[name]["negative_elbo_at_the_start"] = float(found.mean())
        noise = np.hypot(wanted.std(ddof=1), found.std(ddof=1)) / np.sqrt(draws)
        rounding = 1e-3 if "bfloat16" in name else 1e-4
        assert abs(found.mean() - wanted.mean()) < 5 * noise + rounding * wanted.mean()
