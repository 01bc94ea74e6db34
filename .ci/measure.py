"""Measure what each chapter takes: wall time and peak memory, on two cores, as in Binder. Called by `make measure`.

Comes in: the chapters of _toc.yml, or notebooks named as arguments. Goes out: `benchmarks/results/chapters.json` (or
--results), an entry for each chapter with the time, the memory, the machine, the versions and the date; a run of some
chapters leaves the entries of the others. With --executed, the executed notebooks as well. The stored notebooks are
not touched. Status 1 when a cell fails, or an assertion in it: what was measured of such a chapter is not written.

Memory is the resident set of the kernel and all its children together, sampled four times a second. Pages that they
share count for each of them, so the figure is an upper bound of what a limit on the container would count.
"""

import argparse
import json
import os
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import psutil
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from companion.versions import by_name, versions

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "chapters.json"
CORES = 2
INTERVAL = 0.25


class Memory(threading.Thread):
    """Watch a process and its children, and keep the largest resident set that all had together, in bytes."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process, self.peak, self.done = psutil.Process(pid), 0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(INTERVAL):
            self.peak = max(self.peak, self.sample())

    def sample(self) -> int:
        total = 0
        try:
            family = [self.process, *self.process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0
        for process in family:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:  # it ended since it was listed
                continue
        return total


def chapters() -> list[Path]:
    """The pages of the contents that are notebooks, in their order."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    pages = [page["file"] for part in contents["parts"] for page in part["chapters"]]
    return [path for page in pages if (path := ROOT / "book" / f"{page}.ipynb").is_file()]


def two_cores() -> int:
    """Keep this process, and so the kernels that it starts, on two cores; return how many there are to use."""
    if not hasattr(os, "sched_setaffinity"):
        return os.cpu_count() or 1
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)
    return len(cores)


def measure(path: Path, executed: Path | None) -> dict[str, object]:
    """Execute a copy of a notebook in its own folder, and return what it took."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    begun = time.perf_counter()
    with client.setup_kernel():
        memory = Memory(client.km.provisioner.pid)
        memory.start()
        try:
            client.reset_execution_trackers()
            for place, cell in enumerate(notebook.cells):
                client.execute_cell(cell, place)
        finally:
            seconds = time.perf_counter() - begun
            memory.done.set()
            memory.join()
            if executed is not None:
                target = executed / path.relative_to(ROOT / "book")
                target.parent.mkdir(parents=True, exist_ok=True)
                nbformat.write(notebook, target)
    return {
        "seconds": round(seconds, 1),
        "peak_mb": round(memory.peak / 1e6),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "versions": by_name(versions()),
    }


def main(arguments: list[str]) -> int:
    """Measure the notebooks named, or all chapters, and write the results after each one."""
    parser = argparse.ArgumentParser(description="Time and peak memory of each chapter.")
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--executed", type=Path, help="a folder for the executed notebooks")
    options = parser.parse_args(arguments)
    cores, failed = two_cores(), 0
    stored = json.loads(options.results.read_text(encoding="utf-8")) if options.results.is_file() else {}
    for path in [path.resolve() for path in options.notebooks] or chapters():
        page = str(path.relative_to(ROOT / "book").with_suffix(""))
        print(f"{page} ...", flush=True)
        try:
            taken = measure(path, options.executed)
        except CellExecutionError as error:
            print(f"{page}: {error}", file=sys.stderr)
            failed += 1
            continue
        stored[page] = {**taken, "cores": cores, "load_before": round(os.getloadavg()[0], 2)}
        print(f"    {taken['seconds']:.0f} s, {taken['peak_mb']:,} MB", flush=True)
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
