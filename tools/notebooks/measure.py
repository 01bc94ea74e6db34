"""Execute notebooks and measure what each takes, wall time and peak memory, on two cores as in Binder: `make measure`.

`make execute` uses it, too, and stores the outputs of the very run that is measured. The notebooks named are executed,
or all chapters of the table of contents. ``benchmarks/results/chapters.json`` (or ``--results``) gets an entry for each
chapter, with the time, the memory, the machine, the versions and the date; a run of some chapters leaves the entries of
the others. With ``--executed`` the executed notebooks are kept as well. The stored notebooks are not touched. The exit
status is 1 when a cell fails, or an assertion in it: what was measured of such a chapter is not written.

Memory is that of the kernel and all its children together, sampled four times a second, or less often where a sample
takes long: on Linux the proportional set (PSS), in which pages that processes share count once, as a limit on a
container counts them; elsewhere the resident set, an upper bound of it.
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

import psutil
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from companion.versions import installed
from tools import ROOT
from tools.contents import chapters, notebook_of, page_of
from tools.notebooks import read, write

RESULTS = ROOT / "benchmarks" / "results" / "chapters.json"
CORES = 2
INTERVAL = 0.25
SHARE = 0.05
"""Part of the time that looking may take: the kernel counts the pages of a large process for tens of milliseconds."""


class Memory(threading.Thread):
    """A thread that watches a process and its children.

    Attributes
    ----------
    peak
        Most memory that all of them had together, in bytes.
    done
        Event that ends the thread.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process, self.peak, self.done = psutil.Process(pid), 0, threading.Event()

    def run(self) -> None:
        """Take samples until `done` is set."""
        pause = INTERVAL
        while not self.done.wait(pause):
            begun = time.perf_counter()
            self.peak = max(self.peak, self.sample())
            pause = max(INTERVAL, (time.perf_counter() - begun) / SHARE)

    def sample(self) -> int:
        """Return the bytes that the processes hold now; 0 once they have ended."""
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
    """Return the bytes that a process holds; pages that it shares with others count for each of them in part."""
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


def execute(notebook: NotebookNode, folder: Path) -> dict[str, Any]:
    """Execute a notebook in a folder on two cores, put the outputs into it, and return what it took.

    There is no time limit: whoever calls this waits, and can stop it. There are no timestamps in the notebook: they
    would make every run a change.

    Returns
    -------
    dict
        Wall time in seconds, peak memory in MB, number of cores, load before, date and versions.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails. The outputs until then are in the notebook.
    """
    cores, load = two_cores(), os.getloadavg()[0]
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=None, kernel_name="python3", resources=resources, record_timing=False)
    begun = time.perf_counter()
    with client.setup_kernel():
        memory = Memory(_process_of(client))
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
        "versions": installed(),
    }


def _process_of(client: NotebookClient) -> int:
    """Return the number of the kernel's process, which runs on this machine."""
    assert client.km is not None
    assert isinstance(client.km.provisioner, LocalProvisioner)
    assert client.km.provisioner.pid is not None
    return client.km.provisioner.pid


def keep(page: str, taken: dict[str, Any], results: Path = RESULTS) -> None:
    """Write what a chapter took among the results of the others."""
    stored = json.loads(results.read_text(encoding="utf-8")) if results.is_file() else {}
    stored[page] = taken
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Measure the notebooks named, or all chapters, and write the results after each one."""
    parser = argparse.ArgumentParser(description="Time and peak memory of each chapter.")
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--executed", type=Path, help="a folder for the executed notebooks")
    options = parser.parse_args(arguments)
    failed = 0
    every = [notebook_of(page) for page in chapters()]
    for path in [path.resolve() for path in options.notebooks] or every:
        print(f"{page_of(path)} ...", flush=True)
        notebook = read(path)
        try:
            taken = execute(notebook, path.parent)
        except CellExecutionError as error:
            print(f"{page_of(path)}: {error}", file=sys.stderr)
            failed += 1
            continue
        finally:
            if options.executed is not None:
                write(notebook, options.executed / f"{page_of(path)}.ipynb")
        keep(page_of(path), taken, options.results)
        print(f"    {taken['seconds']:.0f} s, {taken['peak_mb']:,} MB", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
