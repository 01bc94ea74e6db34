"""Measure a GPU in nine minutes: `make gpu-report`.

What fits cost is measured first (`companion bench --gpu`), then as many notebooks as the time holds, shortest first.
The results go to ``benchmarks/results/gpu.json`` and ``chapters_gpu.json``, from which `make pages` makes a part of the
page on what each chapter takes. Without a GPU the tiny form of the same runs, into ``_build/gpu``.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from companion.bench import bench
from tools import ROOT
from tools.contents import chapters, notebook_of
from tools.notebooks import measure

RESULTS = ROOT / "benchmarks" / "results"
ELSEWHERE = ROOT / "_build" / "gpu"
SECONDS = 540.0
BENCH_SHARE = 0.8  # what all parts of the bench need; the rest is enough for the shortest notebooks


def shortest_first() -> list[tuple[str, float]]:
    """List the chapters with the seconds that each took on a processor, the shortest first."""
    taken = json.loads(measure.RESULTS.read_text(encoding="utf-8"))
    return sorted(((page, taken[page]["seconds"]) for page in chapters() if page in taken), key=lambda pair: pair[1])


def main(arguments: list[str]) -> int:
    """Measure, and return 1 where something failed."""
    parser = argparse.ArgumentParser(description="A GPU's report in a few minutes.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"time for everything (default: {SECONDS:.0f})")
    parser.add_argument("--notebooks", nargs="*", type=Path, help="notebooks to measure; the shortest by default")
    options = parser.parse_args(arguments)
    begun, gpu = time.perf_counter(), torch.cuda.is_available()
    folder = RESULTS if gpu else ELSEWHERE
    status = bench(gpu=True, seconds=BENCH_SHARE * options.seconds, to=folder / "gpu.json")
    paths = [(path, 0.0) for path in options.notebooks or []]
    if options.notebooks is None:
        some = shortest_first() if gpu else []  # on a processor each takes minutes, and was measured there
        paths = [(notebook_of(page), seconds) for page, seconds in some]
    for path, seconds in paths:
        left = options.seconds - (time.perf_counter() - begun)
        if seconds > left:
            print(f"{path.stem}: left out, {left:.0f} s are left and a processor takes {seconds:.0f} s")
            continue
        words = [str(path), "--results", str(folder / "chapters_gpu.json"), "--executed", str(ELSEWHERE / "notebooks")]
        status = max(status, measure.main(words))
    print(f"in all {time.perf_counter() - begun:.0f} s; results: {folder.relative_to(ROOT)}")
    return status
