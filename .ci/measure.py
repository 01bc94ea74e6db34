"""Execute notebooks and measure what each takes: wall time and peak memory, on two cores, as in Binder.

Called by `make measure`, and used by `make execute`, which stores the outputs of the very run that it measures. Comes
in: the chapters of _toc.yml, or notebooks named as arguments. Goes out: `benchmarks/results/chapters.json` (or
--results), an entry for each chapter with the time, the memory, the machine, the versions and the date; a run of some
chapters leaves the entries of the others. With --executed, the executed notebooks as well. The stored notebooks are not
touched. Status 1 when a cell fails, or an assertion in it: what was measured of such a chapter is not written.

Memory is that of the kernel and all its children together, sampled four times a second: on Linux the proportional set
(PSS), in which pages that processes share count once, as a limit on a container counts them; elsewhere the resident
set, an upper bound of it.
"""

import argparse
import json
import os
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import psutil
from contents import ROOT, chapters
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from companion.versions import by_name, versions

RESULTS = ROOT / "benchmarks" / "results" / "chapters.json"
CORES = 2
INTERVAL = 0.25


class Memory(threading.Thread):
    """Watch a process and its children, and keep the most memory that all had together, in bytes."""

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
                total += held(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):  # it ended since it was listed
                continue
        return total


def held(process: psutil.Process) -> int:
    """Bytes that a process holds; pages that it shares with others count for each of them in part."""
    if sys.platform != "linux":
        return int(process.memory_info().rss)
    return int(process.memory_full_info().pss)


def two_cores() -> int:
    """Keep this process, and so the kernels that it starts, on two cores; return how many there are to use."""
    if not hasattr(os, "sched_setaffinity"):
        return os.cpu_count() or 1
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)
    return len(cores)


def execute(notebook: nbformat.NotebookNode, folder: Path) -> dict[str, Any]:
    """Execute a notebook in a folder on two cores, outputs into the notebook, and return what it took.

    No time limit: who calls this waits, and can stop it. No timestamps: they would make every run a change.
    """
    cores, load = two_cores(), os.getloadavg()[0]
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=None, kernel_name="python3", resources=resources, record_timing=False)
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
    return {
        "seconds": round(seconds, 1),
        "peak_mb": round(memory.peak / 1e6),
        "cores": cores,
        "load_before": round(load, 2),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "versions": by_name(versions()),
    }


def keep(page: str, taken: dict[str, Any], results: Path = RESULTS) -> None:
    """Write what a chapter took among the results of the others."""
    stored = json.loads(results.read_text(encoding="utf-8")) if results.is_file() else {}
    stored[page] = taken
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def page_of(path: Path) -> str:
    """A notebook's name in the contents."""
    return path.relative_to(ROOT / "book").with_suffix("").as_posix()


def main(arguments: list[str]) -> int:
    """Measure the notebooks named, or all chapters, and write the results after each one."""
    parser = argparse.ArgumentParser(description="Time and peak memory of each chapter.")
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--executed", type=Path, help="a folder for the executed notebooks")
    options = parser.parse_args(arguments)
    failed = 0
    every = [ROOT / "book" / f"{page}.ipynb" for page in chapters()]
    for path in [path.resolve() for path in options.notebooks] or every:
        print(f"{page_of(path)} ...", flush=True)
        notebook = nbformat.read(path, as_version=4)
        try:
            taken = execute(notebook, path.parent)
        except CellExecutionError as error:
            print(f"{page_of(path)}: {error}", file=sys.stderr)
            failed += 1
            continue
        finally:
            if options.executed is not None:
                target = options.executed / path.relative_to(ROOT / "book")
                target.parent.mkdir(parents=True, exist_ok=True)
                nbformat.write(notebook, target)
        keep(page_of(path), taken, options.results)
        print(f"    {taken['seconds']:.0f} s, {taken['peak_mb']:,} MB", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
