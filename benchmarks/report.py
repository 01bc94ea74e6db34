"""What a run of the benchmarks found, as a table in the terminal and as JSON files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from companion.versions import installed, machine

__all__ = ["Report", "Target"]

_PEERS = ("posteriors", "torchopt", "tensordict", "optree", "pytest-benchmark", "numba", "threadpoolctl")


@dataclass(frozen=True)
class Target:
    """A claim, and what was measured.

    Attributes
    ----------
    claim
        Claim in words.
    measured
        Figure that was measured; NaN where it could not be measured.
    least, most
        Bounds that it should keep; None where it is only told.
    low, high
        Lowest and highest of the same figure in single rounds: how far noise moves it.
    """

    claim: str
    measured: float
    least: float | None = None
    most: float | None = None
    low: float = float("nan")
    high: float = float("nan")

    @property
    def met(self) -> str:
        if self.least is None and self.most is None:
            return ""
        good = (self.least is None or self.measured >= self.least) and (self.most is None or self.measured <= self.most)
        return "met" if good else "MISSED"

    def cells(self) -> tuple[str, ...]:
        bound = self.least if self.most is None else self.most
        wanted = "" if bound is None else f"{'>=' if self.most is None else '<='} {bound:.4g}"
        spread = f"{self.low:.4g} to {self.high:.4g}" if np.isfinite(self.low) else ""
        return self.claim, wanted, f"{self.measured:.4g}", spread, self.met


@dataclass
class Report:
    """Everything of one benchmark.

    Attributes
    ----------
    name
        Name of the benchmark, and of its file.
    settings
        Sizes, seeds, data.
    rows
        Name of a contestant to its figures, as JSON holds them.
    notes
        What should be read beside the figures: what was left out, and why.
    """

    name: str
    tiny: bool
    load: tuple[float, float, float]
    settings: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def times(self, row: str, seconds: Sequence[float], round_: int = 0) -> None:
        """Add the seconds that each of some steps, or calls, of a contestant took."""
        if seconds:  # none with --benchmark-disable
            found = self.rows.setdefault(row, {}).setdefault("seconds", {})
            found.setdefault(str(round_), []).extend(map(float, seconds))

    def median(self, row: str) -> float:
        """Give the median over all rounds, in seconds; NaN where nothing was measured."""
        found = self.rows.get(row, {}).get("seconds", {})
        return float(np.median([s for times in found.values() for s in times])) if found else float("nan")

    def ratio(self, slow: str, fast: str, claim: str, least: float | None = None, *, most: float | None = None) -> None:
        """Record how many times as long one contestant takes as another, over all rounds and round by round."""
        a, b = (self.rows.get(row, {}).get("seconds", {}) for row in (slow, fast))
        rounds = [float(np.median(a[r]) / np.median(b[r])) for r in a if r in b]
        if rounds:
            measured = self.median(slow) / self.median(fast)
            self.targets.append(Target(claim, measured, least, most, min(rounds), max(rounds)))

    def as_json(self) -> dict[str, Any]:
        rows = {name: _summarised(row) for name, row in self.rows.items()}
        return {
            "benchmark": self.name,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "threads": torch.get_num_threads(),
            "load_average_before": [round(x, 2) for x in self.load],
            "tiny": self.tiny,
            "versions": dict(_versions()),
            "pytensor": _pytensor(),
            "settings": self.settings,
            "rows": rows,
            "targets": [asdict(t) | {"met": t.met} for t in self.targets],
            "notes": self.notes,
        }

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(_finite(self.as_json()), indent=1) + "\n", encoding="utf-8")
        return path


def table(targets: Sequence[Target]) -> list[str]:
    """Lay claims and figures out in columns."""
    cells = [("", "target", "measured", "single rounds", ""), *(t.cells() for t in targets)]
    widths = [max(len(row[i]) for row in cells) for i in range(5)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]


def _summarised(row: Mapping[str, Any]) -> dict[str, Any]:
    """Put quartiles in the place of all single times."""
    found = {k: v for k, v in row.items() if k != "seconds"}
    if row.get("seconds"):
        every = [s for times in row["seconds"].values() for s in times]
        low, middle, high = np.quantile(every, (0.25, 0.5, 0.75))
        rounds = {r: float(np.median(times)) for r, times in row["seconds"].items()}
        found["seconds"] = {"median": middle, "q25": low, "q75": high, "count": len(every), "median_of_round": rounds}
    return found


def _versions() -> Iterator[tuple[str, str]]:
    yield from installed().items()
    for name in _PEERS:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, "not installed"


def _pytensor() -> dict[str, Any]:
    """Say what PyTensor works with: without a C++ compiler or a BLAS it is much slower."""
    import pytensor

    flags = pytensor.config.blas__ldflags
    return {
        "compiler": bool(pytensor.config.cxx),
        "blas": [f for f in flags.split() if f.startswith("-l")],  # the rest are this machine's folders
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
    }


def _finite(value: Any) -> Any:
    """Round to 6 digits, and write None for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, np.ndarray):
        return _finite(value.tolist())
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
