"""Options, fixtures and the closing table of the benchmarks: `pytest benchmarks`, or `make bench`.

They are collected only when asked for by name: pyproject.toml keeps a plain `pytest` out of this folder.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from report import Report, table

from companion.machine import denormals_flushed

_reports = pytest.StashKey[list[Report]]()
_load = pytest.StashKey[tuple[float, float, float]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("benchmarks of the companion")
    group.addoption("--tiny", action="store_true", help="run everything at sizes that measure nothing, to see it work")
    group.addoption("--threads", type=int, default=0, help="of torch, OpenMP and BLAS; when left out, as many as cores")
    group.addoption("--peers", help="Python of an environment with further peers; BENCH_PEERS when left out")
    group.addoption("--add", action="store_true", help="add a run's seeds to the stored rows of bench_effective")
    group.addoption("--results", type=Path, help="folder for the JSON files; benchmarks/results when left out")


def pytest_configure(config: pytest.Config) -> None:
    if importlib.util.find_spec("pytest_benchmark") is None:
        raise pytest.UsageError("the benchmarks need more packages: pip install -e . --group bench")
    config.addinivalue_line("python_files", "bench_*.py")
    config.stash[_reports] = []
    config.stash[_load] = os.getloadavg() if hasattr(os, "getloadavg") else (float("nan"),) * 3
    threads = config.getoption("--threads") or (1 if config.getoption("--tiny") else os.cpu_count() or 1)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)  # for child processes; libraries that are loaded already have read it
    if config.getoption("--peers"):
        os.environ["BENCH_PEERS"] = config.getoption("--peers")
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="session")
def _flushed_denormals() -> Iterator[None]:
    """Let nobody compute with denormal numbers: tiny standard deviations would make some a hundred times as slow."""
    with denormals_flushed():
        yield


@pytest.fixture(scope="session")
def tiny(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--tiny"))


@pytest.fixture(scope="module")
def report(request: pytest.FixtureRequest, tiny: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    """What a file of benchmarks found; written at its end. A tiny run leaves the stored results alone."""
    name = request.module.__name__.rpartition(".")[2].removeprefix("bench_")
    found = Report(name, tiny, request.config.stash[_load])
    request.config.stash[_reports].append(found)
    yield found
    folder = request.config.getoption("--results")
    if folder is None:
        folder = tmp_path_factory.mktemp("results") if tiny else Path(__file__).parent / "results"
    if found.rows:
        found.write(folder)


@pytest.fixture
def seconds(benchmark: Any) -> Callable[..., list[float]]:
    """Time calls of a function with pytest-benchmark, and give the seconds of each."""

    def timed(function: Callable[[], Any], *, rounds: int, warmup_rounds: int = 0) -> list[float]:
        benchmark.pedantic(function, rounds=rounds, warmup_rounds=warmup_rounds)
        return list(benchmark.stats.stats.data) if benchmark.stats else []

    return timed


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    reports = [r for r in config.stash[_reports] if r.targets or r.notes]
    if not reports:
        return
    terminalreporter.section("targets and measurements")
    load = config.stash[_load][0]
    for r in reports:
        terminalreporter.line("")
        size = "tiny sizes: these figures mean nothing" if r.tiny else f"{torch.get_num_threads()} threads"
        terminalreporter.line(f"{r.name} ({size}, load before the run {load:.2f})")
        for line in table(r.targets):
            terminalreporter.line(f"  {line}")
        for note in r.notes:
            terminalreporter.line(f"  note: {note}")
