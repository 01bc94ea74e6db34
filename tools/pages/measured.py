"""Write the pages of the book that are made from measured results: `make pages`; the tests compare.

``book/reference/scoreboard.md`` is made from the rows of `tools.pages.scoreboard`, ``findings.md`` from
`tools.pages.findings`, and ``runs.md`` from ``benchmarks/results/chapters.json`` (what `make measure` found; and
``chapters_gpu.json``, the same on a GPU) and from the stored notebooks. So are the two tables of README.md
(`tools.pages.readme`); and the drawings of the rooms and of the bridges on the page "How a fit works"
(`tools.pages.rooms`, `tools.pages.bridges`) are written here, too. With ``--check`` nothing is written, and the exit
status is 1 when a page and the results have grown apart.
"""

import json
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from tools import ROOT
from tools.contents import chapters, notebook_of, pages
from tools.notebooks import read
from tools.pages import bridges, findings, methods, readme, rooms, scoreboard
from tools.pages.scoreboard import Row
from tools.pages.tables import figure, machines, spread, table

REFERENCE = ROOT / "book" / "reference"
STATIC = ROOT / "book" / "_static"
README = ROOT / "README.md"
FOLDER = ROOT / "benchmarks" / "results"
MEASURED = {
    "One or two processor cores": FOLDER / "chapters.json",
    "From a fitted posterior": FOLDER / "chapters_binder.json",
    "A GPU": FOLDER / "chapters_gpu.json",
}
# Measured with BINDER_LAUNCH_HOST set, which is how a chapter knows that it is there.
SAID = {
    "From a fitted posterior": "In Binder the MNIST chapters don't fit their network anew, but start from the posterior"
    " that comes with the companion, which takes less time and less memory. What is measured is that."
}
BINDER = 2000  # MB
MADE = "% Made by `make pages` from measured results. Do not edit: change tools/pages/.\n"

SCOREBOARD = f"""{MADE}
# Scoreboard

What the originals claimed, and what the same thing gives here. Our figures are read from the stored notebooks and from
the result files of longer runs, which say on what machine they were made; none is typed. Where there are several runs,
the median stands here, with the lowest and the highest behind it. The posts hardly say what they ran on (one speaks
of an old laptop), and they are of 2016 to 2019: read the ratios of times as *then and now*, not as one library against
another. For that, there are the benchmarks in the repository, which ran side by side."""
RUNS = f"""{MADE}
# What each chapter takes, and when it last ran

Every chapter is executed again on every change, and its claims are asserted. This page says what that takes, from the
result files that `make execute` and `make measure` write, and where the outputs on the pages come from, by each
chapter's last cell. Times are upper bounds: some were measured beside other work, and a quiet machine takes less, at
times by a factor of two or three. Some chapters had one core, as the last table says.
`benchmarks/results/chapters.json` has the load before each run."""


def ratio(row: Row, ours: float) -> str:
    """Compare ours with the original's in words: times as fast, or points and nats better or worse.

    Where the number of held-out points is known, the difference of two accuracies stands with its standard error, and
    the reader may judge.
    """
    if row.original is None:
        return ""
    if row.unit in ("s", "ms"):
        return f"{row.original / ours:,.1f} times as fast"
    if row.unit == "steps/s":
        return f"{ours / row.original:,.1f} times as fast"
    difference = ours - row.original
    if row.points is not None:
        shares = np.array([row.original, ours]) / 100
        error = 100 * np.sqrt((shares * (1 - shares) / row.points).sum())
        return f"{difference:+.1f} points (standard error {error:.1f})"
    better = difference > 0 if row.unit == "%" else difference < 0
    what = "points" if row.unit == "%" else row.unit
    return f"{figure(abs(difference), what)} {'better' if better else 'worse'}"


def score_page() -> str:
    """Write the scoreboard: the original against ours, chapter by chapter."""
    there = set(pages())
    text = [SCOREBOARD]
    for chapter, rows in groupby((row for row in scoreboard.ROWS if row.chapter in there), key=lambda row: row.chapter):
        lines, used = [], []
        for row in rows:
            ours = row.ours.figures(chapter)
            middle = float(np.median(ours))
            claimed = "no figure" if row.original is None else figure(row.original, row.unit)
            lines.append([row.what, claimed, figure(middle, row.unit) + spread(ours, row.unit), ratio(row, middle)])
            used.append(row.ours.machine(chapter))
        heads = ["", "the original", "here", "compared"]
        shown = lines if any(line[-1] for line in lines) else [line[:-1] for line in lines]
        text += ["", findings.chapter_heading(chapter), "", table(heads[: len(shown[0])], shown), ""]
        text.append(f"Here: {machines(*used)}.")
    return "\n".join(text) + "\n"


def run_page() -> str:
    """Write what each chapter takes, as measured, and what its stored outputs came from."""
    text = [RUNS]
    for title, file in MEASURED.items():
        if file.is_file():
            text += ["", f"## {title}", "", *([SAID[title], ""] if title in SAID else [])]
            text += _measured(json.loads(file.read_text(encoding="utf-8")), every=title not in SAID)
    text += gpu_part()
    text += play_part()
    heads = ["chapter", "executed", "took", "Python", "PyMC", "torch", "ArviZ", "machine"]
    rows = list(_status())
    text += [
        "",
        "## The stored outputs",
        "",
        "The outputs that the pages show, and that every later run is compared with.",
    ]
    text += ["", table(heads, rows, len(heads))]
    return "\n".join(text) + "\n"


def gpu_part(file: Path = FOLDER / "gpu.json") -> Iterator[str]:
    """Write what `companion bench --gpu` found, or that no GPU has been measured."""
    yield from ("", "## What fits cost on a GPU", "")
    if not file.is_file():
        yield (
            "No GPU has been measured yet. `make gpu-report` does so in nine minutes where there is one, and "
            "`companion bench --gpu` measures yours."
        )
        return
    found = json.loads(file.read_text(encoding="utf-8"))
    about = found["about"]
    yield f"Measured by `companion bench --gpu` on {about['machine']}, torch {about['torch']}, {about['date']}."
    for part, rows in found["parts"].items():
        heads = list(dict.fromkeys(key for row in rows for key in row))
        yield from ("", f"**{part.capitalize()}.**", "")
        yield table(heads, [[_cell(row.get(head, "")) for head in heads] for row in rows], len(heads))
    for part, note in found["notes"].items():
        yield from ("", f"{part.capitalize()}: {note}.")


def play_part(file: Path = FOLDER / "play.json") -> Iterator[str]:
    """Write how long the page takes to answer to a drawn digit."""
    found = json.loads(file.read_text(encoding="utf-8"))
    slowed = [f"{took:.0f} ms ({slower} times slower)" for slower, took in found["slowed"].items()]
    yield from ("", "## A drawn digit", "")
    yield (
        f"The {found['draws']} networks that answer to a digit drawn on the page, in {{doc}}`/mnist/strange_images`, "
        f"and the plain one beside them take {found['milliseconds']:.0f} ms of the processor's time. Where the browser "
        f"slows the page down, to stand for a phone, they take {' and '.join(slowed)} by the clock. "
        f"Measured by `python -m tools play speed` in {found['browser']}, on {found['machine']}, {found['date']}."
    )


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _measured(found: dict[str, Any], every: bool) -> Iterator[str]:
    """Write the table of time and memory and what it was measured on, for every chapter or for some."""
    rows, used, missing = [], [], []
    for page in chapters():
        if page not in found:
            missing.append(f"{{doc}}`/{page}`")
            continue
        entry = found[page]
        fits = "yes" if entry["peak_mb"] <= BINDER else "no"
        rows.append([f"{{doc}}`/{page}`", f"{entry['seconds']:.0f} s", f"{entry['peak_mb']:,} MB", fits, entry["date"]])
        used.append(
            f"{entry['versions']['machine']}, Python {entry['versions']['python']}, PyMC {entry['versions']['pymc']}"
        )
    yield "Peak memory is that of the kernel and all its children together; Binder gives 2 GB (2,000 MB) and two cores."
    yield ""
    yield table(["chapter", "time", "peak memory", "fits in 2 GB", "measured on"], rows)
    yield ""
    if rows:
        total = sum(found[page]["seconds"] for page in chapters() if page in found)
        together = f"All of them together: {total / 60:.0f} minutes. " if every else ""
        yield f"{together}Measured on: {machines(*used)}."
    if missing and every:
        yield f"Not measured yet: {', '.join(missing)}."


def _status() -> Iterator[list[str]]:
    """Give a row for each chapter: when it was executed, how long that took, and with what."""
    for page in chapters():
        ran = read(notebook_of(page)).metadata.get("companion", {})
        took = f"{ran['seconds']:.0f} s" if "seconds" in ran else "not kept"
        said = scoreboard.about(page)
        versions = [said.get(name, "") for name in ("python", "pymc", "torch", "arviz", "machine")]
        yield [f"{{doc}}`/{page}`", ran.get("executed", "not kept"), took, *versions[:-1], machines(versions[-1])]


def made() -> dict[Path, Callable[[], str]]:
    """Name every file that is made here, or in part, and what makes its text."""
    return {
        REFERENCE / "scoreboard.md": score_page,
        REFERENCE / "findings.md": lambda: findings.findings_page(MADE),
        REFERENCE / "runs.md": run_page,
        STATIC / "rooms.svg": rooms.drawing,
        STATIC / "bridges.svg": bridges.drawing,
        **({REFERENCE / "methods.md": methods.method_page(MADE)} if methods.stored() else {}),
        README: lambda: readme.readme(README.read_text(encoding="utf-8")),
    }


def main(arguments: list[str]) -> int:
    """Write the pages; with --check only compare."""
    stale, files = [], made()
    for path, make in files.items():
        text = make()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if "--check" not in arguments:
                path.write_text(text, encoding="utf-8")
    if "--check" in arguments and stale:
        print(f"{', '.join(stale)}: not what the results say, run: make pages", file=sys.stderr)
        return 1
    print(f"{len(files)} pages, {len(stale)} {'stale' if '--check' in arguments else 'written anew'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
