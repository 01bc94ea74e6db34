"""Write the page "Which method?" from the study of every way to a posterior on one small model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from companion import shelf
from tools.pages.tables import table

__all__ = ["method_page"]

NAME = "methods"

# How each is called, and when to use it or not.
WORDS = {
    "HMC (ChEES)": ("`sample(model)`", "the answer to judge others by, where all rows fit into each step"),
    "NUTS of PyMC": ("`pm.sample()`", "the same answer from another program, chain by chain"),
    "MCLMC": ('`sample(model, sampler="mclmc")`', "many values, where a small bias does no harm"),
    "MCLMC, adjusted": ('`sample(model, sampler="adjusted-mclmc")`', "the same without the bias"),
    "SGHMC": ('`sample(model, sampler="sghmc", batch_size=100)`', "mini-batches, and time for ten relaxation times"),
    "SGLD": ('`sample(model, sampler="sgld", batch_size=100)`', "the baseline of the literature; SGHMC mixes faster"),
    "mean-field": ("`fit(model, restarts=8)`", "any size; too sure where weights depend on each other"),
    "mean-field, mixture of 8": ('`fit(model, restarts=8, keep="mixture")`', "several modes at the price of one call"),
    "mean-field by IVON": ('`fit(..., learning_rate=Rates(0.1, 0.01, "ivon"))`', "mean-field for large networks"),
    "low-rank": ('`fit(model, family="low-rank")`', "correlations along a few directions"),
    "full-rank": ('`fit(model, family="full-rank")`', "up to a few thousand values"),
    "Laplace": ("`laplace(model)`", "a network that is trained already; one mode"),
    "Laplace, last layer": ('`laplace(model, subset="last-layer")`', "the same for large networks; blind far away"),
    "SWAG": ("`swag(model, batch_size=100)`", "a trained network whose training may go on; one mode"),
    "MultiSWAG of 8": ("`swag(model, restarts=8, batch_size=100)`", "the same around several modes"),
    "MC dropout": ("`dropout(model)`", "no posterior of the model, and cheap"),
    "ensemble of 8": ("`ensemble(model, members=8)`", "no posterior of the model, and hard to beat on digits"),
}

INTRO = """
# Which method?

One model, and every way of the companion to its posterior: two moons of {rows} points, a network of {hidden} hidden
units with tanh, {weights} weights, $\\Normal(0, {prior:g}^2)$ on each. Only the call differs from row to row. All
figures are of `studies/methods.py`, medians of {seeds} seeds, on {machine}.

*Distance* is that of the averaged probability from the reference's, in points of a hundred, averaged over a grid:
*near* within 0.3 of a training point, *far* more than 1 away from all. *Spread* is the standard deviation of the
probability over draws. The first row is the reference's own method: a method whose spread is smaller far from the data
is too sure there.
Seconds are the processor's, on one thread, with set-up and compilation.
"""

OUTRO = """
The reference is a run of 16 chains of Hamiltonian Monte Carlo with 2,000 draws each, from another seed. A ranking on 41
weights says little about a million: what a method costs in gradients and memory, and when not to use it, stands in its
docstring, and how each works on the page {doc}`/reference/how_a_fit_works`.
"""


def method_page(made: str) -> Callable[[], str]:
    """Make the function that writes the page, with a first line that says how it is made."""

    def page() -> str:
        found = shelf.load_result(NAME)
        median, about = found.median(), found.about["settings"]
        hidden = about["hidden"]
        head = INTRO.format(
            rows=about["rows"], hidden=hidden, weights=4 * hidden + 1, prior=about["prior"],
            seeds=int(found.seeds().max()), machine="; ".join(found.machines()),
        )  # fmt: skip
        heads = ["method", "call", "distance near", "far", "spread near", "far", "accuracy", "log score", "-ELBO", "s"]
        rows = []
        for name in median.index:
            row = median.loc[name]
            bound = row.get("negative elbo", np.nan)
            rows.append(
                [
                    name,
                    WORDS[name][0],
                    f"{100 * row['distance, near']:.1f}",
                    f"{100 * row['distance, far']:.1f}",
                    f"{row['spread, near']:.3f}",
                    f"{row['spread, far']:.3f}",
                    f"{row['accuracy']:.1%}",
                    f"{row['log score']:.3f}",
                    "" if np.isnan(bound) else f"{bound:.0f}",
                    f"{row['cpu seconds']:.0f}",
                ]
            )
        uses = table(["method", "use it for"], [[name, WORDS[name][1]] for name in median.index], 2)
        return made + head + "\n" + table(heads, rows, 2) + "\n\n" + uses + "\n" + OUTRO

    return page


def stored() -> bool:
    """Whether the study was run."""
    return (Path(shelf.FILES) / f"{NAME}.npz").is_file()
