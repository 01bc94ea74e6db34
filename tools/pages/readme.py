"""Write the parts of README.md that are made from measured results, between their marks: `make pages`.

The results are rows of the scoreboard (`tools.pages.scoreboard`), and the speed is that of ``benchmarks/results``. The
rest of the file is written by hand. The package index shows the same text, so every link is absolute.
"""

import json
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from companion import shelf
from tools import ROOT
from tools.contents import published, repository
from tools.pages import scoreboard
from tools.pages.tables import figure, machines, spread, table

__all__ = ["PICTURE", "hard", "picture_address", "readme", "results", "speed"]

FOLDER = ROOT / "benchmarks" / "results"
PICTURE = "book/_static/moons.png"
NAMES = {
    "pymc/moons": "*Two moons* (Wiecki and Kochurov, 2017)",
    "pymc/breast_cancer": "*Breast cancer* (an adaptation for PyMC 5)",
    "pymc/zh": "*Bayesian Deep Learning*, Chinese edition (Liu, 2016)",
    "mnist/dense": "*Bridging PyMC3 and Lasagne* (Wiecki, 2016), dense",
    "mnist/hierarchical": "the same, hierarchical",
    "mnist/convolutional": "the same, convolutional",
    "bayes_by_backprop/lenet": "*A quick intro to Bayesian neural networks* (McAteer, 2019), LeNet",
}


@dataclass(frozen=True)
class Race:
    """Two contestants of one benchmark.

    Attributes
    ----------
    what
        Name of the work that both do.
    file
        Name of the result file.
    ours, peer
        Names of the two rows in it.
    peer_name
        Name of the peer in words.
    quantity
        Entry of the rows that is compared, in seconds: a list, or a mapping with a median.
    """

    what: str
    file: str
    ours: str
    peer: str
    peer_name: str
    quantity: str = "seconds"


SINGLE, NUMPYRO = "ours, float32, compiled", "NumPyro AutoNormal, TraceMeanField"
SMALL = "the same; 522 weights, the two moons, one thread, float32"
STEP = 'a step of mean-field inference; 784-800-800-10, batches of 500, products in bfloat16 (`precision="auto"`)'
RACES = (
    Race(STEP, "step", "ours, bfloat16, compiled", "pm.ADVI, float32, Minibatch", "PyMC, `pm.ADVI`"),
    Race("", "step", "ours, bfloat16, compiled", "Pyro AutoDiagonalNormal", "Pyro, `AutoDiagonalNormal`"),
    Race("", "step", "ours, bfloat16, compiled", "posteriors vi.diag", "posteriors, `vi.diag`"),
    Race("", "step", "ours, bfloat16, compiled", NUMPYRO, "NumPyro, `AutoNormal`, float32"),
    Race("the same in float32, the default", "step", SINGLE, "posteriors vi.diag", "posteriors, `vi.diag`"),
    Race("", "step", SINGLE, NUMPYRO, "NumPyro, `AutoNormal`"),
    Race("", "step", SINGLE, "pymc_extras fit_advi, jax", "pymc_extras, `fit_advi` on JAX"),
    Race(SMALL, "step_small", SINGLE, "NumPyro AutoDiagonalNormal", "NumPyro, `AutoDiagonalNormal`"),
    Race("", "step_small", SINGLE, "pymc_extras fit_advi, jax", "pymc_extras, `fit_advi` on JAX"),
    Race(
        "predicting 10,000 images with 100 draws at hand, bfloat16",
        "prediction",
        "ours, bfloat16, draws at hand",
        "a loop over draws, bfloat16",
        "a bare loop in torch",
    ),
    Race(
        "two moons, until the best of 16 restarts has a loss of 120",
        "moons",
        "engine, 16 restarts",
        "pm.fit, Adam(0.01)",
        "PyMC with Adam, one start",
        "first_reached_s",
    ),
)
HARD = (  # method of the study of dense networks on MNIST, and what it is
    ("mean-field", "1.3 million weights, mean-field"),
    ("learned scales, 50 units", "one hidden layer of 50 units, mean-field, learned scales"),
    ("tempered", "1.3 million weights, mean-field, each image counted 20 times (temperature 0.05)"),
    ("plain", "1.3 million weights, not Bayesian"),
)
UNITS = ("%", "nats", "s")


def results() -> str:
    """Write the table of what the posts claimed and what the same thing gives here."""
    rows = []
    claims = (row for row in scoreboard.ROWS if row.original is not None and row.unit in UNITS)
    for chapter, group in groupby(claims, key=lambda row: row.chapter):
        name = f"[{NAMES[chapter]}]({published(chapter)})"
        for row in group:
            ours = row.ours.figures(chapter)
            here = figure(float(np.median(ours)), row.unit) + spread(ours, row.unit)
            rows.append([name, row.what, figure(float(row.original or 0), row.unit), here])
            name = ""
    return table(["", "", "the post", "here"], rows, right=2)


def hard() -> str:
    """Write the table of what the bound says and what the accuracy says, on MNIST."""
    found = shelf.load_result("mnist_dense")
    rows = []
    for method, name in HARD:
        accuracy = scoreboard.of_method("test accuracy", method, 100)(found)
        bound = scoreboard.of_method("negative elbo", method)(found)
        rows.append(
            [name, figure(float(np.median(accuracy)), "%"), f"{np.median(bound):.2f}" if len(bound) else "none"]
        )
    return table(["", "test accuracy", "-ELBO, nats per image"], rows)


def speed() -> str:
    """Write the table of what is faster than a peer, and of what is slower."""
    stored = {race.file: json.loads((FOLDER / f"{race.file}.json").read_text(encoding="utf-8")) for race in RACES}
    rows = []
    for race in RACES:
        ours, peer = (_seconds(stored[race.file]["rows"][name][race.quantity]) for name in (race.ours, race.peer))
        ratio = f"{peer / ours:.1f} times as fast" if ours < peer else f"**{ours / peer:.1f} times as slow**"
        rows.append([race.what, _time(ours), race.peer_name, _time(peer), ratio])
    used = machines(*(f"{found['machine']}, {found['date'][:10]}" for found in stored.values()))
    return f"{table(['', 'here', 'beside', '', ''], rows, right=5)}\n\nMeasured side by side: {used}."


def _seconds(found: Any) -> float:
    return float(np.median(found)) if isinstance(found, list) else float(found["median"])


def _time(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{1000 * seconds:.2f} ms"
    return figure(1000 * seconds, "ms") if seconds < 1 else figure(seconds, "s")


def picture_address() -> str:
    """Return the address of the picture, which is the same on the package index."""
    owner = repository().removeprefix("https://github.com/")
    return f"https://raw.githubusercontent.com/{owner}/main/{PICTURE}"


MADE = {"results": results, "hard": hard, "speed": speed}


def readme(text: str) -> str:
    """Put what the results say between the marks of a text.

    Raises
    ------
    LookupError
        If the text lacks a mark.
    """
    for name, make in MADE.items():
        begin, end = f"<!-- {name}: made by `make pages` -->\n", f"<!-- end of {name} -->"
        before, begun, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not begun or not ended:
            raise LookupError(
                f"README.md lacks the lines {begin.strip()!r} and {end!r}, between which its {name} stand"
            )
        text = f"{before}{begun}\n{make()}\n\n{ended}{after}"
    return text
