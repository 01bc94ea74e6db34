"""Write the page "Which method?" from the study of every way to a posterior on one small model."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from companion import shelf
from tools.pages.tables import machines, table

__all__ = ["method_page"]

NAME, HELD = "methods", "samplers"


@dataclass(frozen=True)
class Words:
    """What a row says of a method.

    Attributes
    ----------
    call
        Line of code that calls the method.
    use, avoid
        When to use it, and when not to.
    gradients
        Number of gradients of the log density, and of what.
    memory
        Numbers that it holds for each value of the model.
    formula
        Name in the companion whose docstring has the formula and its source.
    """

    call: str
    use: str
    avoid: str
    gradients: str
    memory: str
    formula: str


_HMC = "one per leapfrog step, 5 to 50 for a draw of a chain"
_STEP = "one of a mini-batch per step of a chain"
_FIT = "one per step and restart"
WORDS = {
    "HMC (ChEES)": Words(
        "`sample(model)`", "the answer to judge others by", "mini-batches, more than 100,000 values", _HMC,
        "8 per chain, and the draws", "sampling.HMC",
    ),
    "NUTS of PyMC": Words(
        "`pm.sample()`", "the same from another program, chain by chain", "a GPU, many chains", "up to 1,023 a draw",
        "about 10 per chain, and the draws", "",
    ),
    "MCLMC": Words(
        '`sample(model, sampler="mclmc")`', "many values, where a small bias does no harm", "a reference to judge by",
        "two per step of a chain", "5 per chain, and the draws", "sampling.MCLMC",
    ),
    "MCLMC, adjusted": Words(
        '`sample(model, sampler="adjusted-mclmc")`', "the same without the bias", "mini-batches", _HMC,
        "8 per chain, and the draws", "sampling.AdjustedMCLMC",
    ),
    "SGHMC": Words(
        '`sample(model, sampler="sghmc", batch_size=100)`', "data that don't fit into a step",
        "chains shorter than ten relaxation times", _STEP, "2 per chain, and the draws", "sampling.SGHMC",
    ),
    "SGLD": Words(
        '`sample(model, sampler="sgld", batch_size=100)`', "the baseline of the literature",
        "real work: SGHMC forgets its start sooner", _STEP, "1 per chain, and the draws", "sampling.SGLD",
    ),
    "SGNHT": Words(
        '`sample(model, sampler="sgnht", batch_size=100)`', "noise of mini-batches that is the same for all values",
        "data that know some values and not others", _STEP, "2 per chain, and the draws", "sampling.SGNHT",
    ),
    "mean-field": Words(
        "`fit(model, restarts=8)`", "any size, with a bound that compares models",
        "doubt far from the data: it is too sure there", _FIT, "6 per restart", "inference.fit",
    ),
    "mean-field, mixture of 8": Words(
        '`fit(model, restarts=8, keep="mixture")`', "several modes at the price of one call", "one mode", _FIT,
        "6 per restart", "inference.fit",
    ),
    "mean-field by IVON": Words(
        '`fit(..., learning_rate=Rates(0.1, 0.01, "ivon"))`', "mean-field for large networks", "other families", _FIT,
        "3 per restart", "training.Ivon",
    ),
    "mean-field by ADVI of PyMC": Words(
        "`fit_advi(model)`", "what PyMC itself does, and the posts did", "work of your own: it has one restart",
        "one per step", "22", "inference.fit_advi",
    ),
    "low-rank": Words(
        '`fit(model, family="low-rank")`', "correlations along a few directions", "weights by the million", _FIT,
        "6 + 3 times the rank, per restart", "variational.LowRank",
    ),
    "full-rank": Words(
        '`fit(model, family="full-rank")`', "up to a few thousand values", "more of them", _FIT,
        "3 times the number of values, per restart", "variational.FullRank",
    ),
    "Laplace": Words(
        "`laplace(model)`", "a network that is trained already", "several modes, edges of a support",
        "one per step to the mode, then one product with a Jacobian per value", "the number of values",
        "inference.laplace",
    ),
    "Laplace, last layer": Words(
        '`laplace(model, subset="last-layer")`', "the same for large networks", "doubt far from the data",
        "one per step to the mode", "3, and the last layer's square", "inference.laplace",
    ),
    "SWAG": Words(
        "`swag(model, batch_size=100)`", "a network whose training may go on", "a scale that matters: the rate sets it",
        _FIT, "5 + the rank", "inference.swag",
    ),
    "MultiSWAG of 8": Words(
        "`swag(model, restarts=8, batch_size=100)`", "the same around several modes", "the same", _FIT,
        "5 + the rank, per restart", "inference.swag",
    ),
    "MC dropout": Words(
        "`dropout(model)`", "a cheap first look", "a width that the data decide: `p` decides it", _FIT, "3 per restart",
        "inference.dropout",
    ),
    "ensemble of 8": Words(
        "`ensemble(model, members=8)`", "accuracy on large networks", "a posterior: there is none behind it",
        "one per step and member", "3 per member", "inference.ensemble",
    ),
}  # fmt: skip

INTRO = """
# Which method?

One model, and every way of the companion to its posterior: two moons of {rows} points, a network of {hidden} hidden
units with tanh, {weights} weights, $\\Normal(0, {prior:g}^2)$ on each. Only the call differs from row to row. All
figures are of `studies/methods.py`, {seeds}, on {machine}.

*Distance* is that of the averaged probability from the reference's, in points of a hundred, averaged over a grid:
*near* within 0.3 of a training point, *far* more than 1 away from all. *Spread* is the standard deviation of the
probability over draws. The first row is the reference's own method: a method whose spread is smaller far from the data
is too sure there.
Seconds are the processor's, on one thread, with set-up and compilation; the machine had other work, which makes them
longer, too. NUTS of PyMC calls torch for every gradient here, chain by chain. A point of accuracy is five test points:
read no ranking from less.
"""

COSTS = """
## How each is called, what it costs, and when not to use it

Gradients are of the log density, of all rows where nothing else is said. Memory is in numbers for each value of the
model, beside the data and what a network needs for one gradient. Formula and source stand in the docstring that the
last column leads to.

`fit` and `sample` come from the front door, the others from the room of inference; `pm` is PyMC:

```python
from companion import fit, sample
from companion.inference import Rates, dropout, ensemble, fit_advi, laplace, swag
```
"""
HELD_AGAINST = """
## The samplers held against NUTS, and against known answers

`studies/samplers.py` samples {models} models with {chains} chains, and PyMC's NUTS samples them with {nuts} chains of
{draws:,} draws; {seeds}, on {machine}. *Mean* and *scale* are the largest differences of a mean and of a standard
deviation from what NUTS found (for the funnel, from what is known), in standard errors of that difference: of ten
entries that differ by chance alone, the largest is near 2. R-hat is the largest and the effective draws are the least
of all entries.

Centred eight schools and the funnel are known to be hard: where their scale is small, all else is squeezed, and no step
size suits both ends. An R-hat above 1.01 says there that the other columns can't be read. Nor is one near 1.01 enough:
where all chains miss the same part of the funnel, R-hat can't see it, and the scale is many standard errors off. Write
such a model non-centred, as the second eight schools. MCLMC without adjustment has a bias, as its row says above; it
shows on the horseshoe.
"""
CALIBRATED = """
*Calibration* ranks the true values of {sets} data sets, drawn from the prior, among 999 draws of their posteriors. If
the sampler is right, all ranks are equally likely; *p* is the probability of ranks at least as uneven, in twenty bins.
"""
OUTRO = """
A ranking on {weights} weights says little about a million. How each method works is explained on the page
{{doc}}`/reference/how_a_fit_works`, and the reference is a run of 16 chains of Hamiltonian Monte Carlo with 2,000 draws
each, from another seed.
"""
PAGES = {"sampling": "engine", "training": "engine", "variational": "engine", "inference": "inference"}


def method_page(made: str) -> Callable[[], str]:
    """Make the function that writes the page, with a first line that says how it is made."""

    def page() -> str:
        found = shelf.load_result(NAME)
        median, about = found.median(), found.about["settings"]
        hidden = about["hidden"]
        head = INTRO.format(
            rows=about["rows"], hidden=hidden, weights=4 * hidden + 1, prior=about["prior"],
            seeds=_seeds(int(found.seeds().max())), machine=machines(*found.machines()),
        )  # fmt: skip
        heads = [
            "method", "distance near", "distance far", "spread near", "spread far", "accuracy", "log score", "-ELBO",
            "s",
        ]  # fmt: skip
        rows = []
        for name in median.index:
            row = median.loc[name]
            bound = row.get("negative elbo", np.nan)
            rows.append(
                [
                    name,
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
        costs = [
            [name, w.call, w.use, w.avoid, w.gradients, w.memory, _formula(w.formula)]
            for name, w in ((name, WORDS[name]) for name in median.index)
        ]
        costs_heads = ["method", "call", "use it for", "not for", "gradients", "memory", "formula"]
        tables = table(heads, rows, 1) + "\n" + COSTS + "\n" + table(costs_heads, costs, 7)
        return made + head + "\n" + tables + "\n" + _held() + "\n" + OUTRO.format(weights=4 * hidden + 1)

    return page


def _held() -> str:
    """Write the section on the samplers held against NUTS and known answers."""
    found = shelf.load_result(HELD)
    median, about = found.median(), found.about["settings"]
    split = [str(name).split("; ") for name in median.index]
    rows, calibrated, before = [], [], ""
    for (model, sampler), (_, row) in zip(split, median.iterrows(), strict=True):
        if model == "calibration":
            calibrated.append([sampler, f"{row['r_hat']:.3f}", f"{row['p, mean']:.2f}", f"{row['p, scale']:.2f}"])
            continue
        named, before = "" if model == before else model, model
        rows.append(
            [
                named,
                sampler,
                f"{row['r_hat']:.3f}",
                f"{row['ess']:,.0f}",
                f"{row['mean, standard errors']:.1f}",
                f"{row['scale, standard errors']:.1f}",
                f"{row['entries']:.0f}",
                f"{row['divergences']:.0f}",
            ]
        )
    text = HELD_AGAINST.format(
        models=len({model for model, _ in split} - {"calibration"}), chains=about["chains"],
        nuts=about["NUTS"]["chains"], draws=about["NUTS"]["draws"], seeds=_seeds(int(found.seeds().max())),
        machine=machines(*found.machines()),
    )  # fmt: skip
    heads = ["model", "sampler", "R-hat", "effective draws", "mean", "scale", "entries", "divergences"]
    parts = [text, table(heads, rows, 2), CALIBRATED.format(sets=about["data sets"])]
    return "\n".join([*parts, table(["sampler", "R-hat", "p, mean", "p, scale"], calibrated, 1)])


def _seeds(count: int) -> str:
    return "of one seed" if count == 1 else f"medians of {count} seeds"


def _formula(name: str) -> str:
    """Lead to the docstring of a name in the companion."""
    if not name:
        return "PyMC's own"
    room, _, last = name.partition(".")
    return f"[`{last}`](/reference/api/{PAGES[room]})"


def stored() -> bool:
    """Say whether the study was run."""
    return (Path(shelf.FILES) / f"{NAME}.npz").is_file()
