"""Print every number in the prose of a chapter beside the stored output that it comes from: `make numbers`.

A number of the prose is looked for in what the cells printed, at the precision of the prose ("86 %" is found in
"86.2%"); then in the code of the cells and in the code that the page shows, where settings stand; then among the
figures that the originals print. `--check` names only the numbers without a source on the pages of `HELD`, and fails if
there are any: `make lint`. That a number has a source doesn't mean that it is the right one. The sentence and the
output are printed side by side so that somebody can compare them.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from nbformat import NotebookNode

from tools import ROOT
from tools.contents import page_of
from tools.notebooks import chosen, code_cells, plain, read
from tools.notebooks.quoted import FIGURES

HELD = (
    "pymc/moons",
    "pymc/moons_posterior",
    "pymc/breast_cancer",
    "pymc/breast_cancer_decisions",
    "pymc/breast_cancer_hedging",
    "pymc/zh",
    "mnist/convolutional",
    "mnist/strange_images",
    "mnist/league",
    "bayes_by_backprop/regression",
    "bayes_by_backprop/band",
    "bayes_by_backprop/lenet",
    "bayes_by_backprop/lenet_refusing",
    "bayes_by_backprop/design_choices",
    "bayes_by_backprop/design_rivals",
)
"""Pages on which every number has a source."""

KNOWN: dict[str, dict[str, str]] = {
    "pymc/moons": {
        "2.5 million": "500 draws of 500 points and 10 hidden units",
        "42": "the default seed of PyMC3, by its source",
        "190": "read off the figure of the six settings",
        "120": "the table of the six settings",
    },
    "pymc/moons_posterior": {
        "14,745,600": "(2^5 5!)^2",
        "780": "40 * 39 / 2",
        "1.009": "r_hat of the chains in moons.npz",
        "15": "118.6 - 103.3, of the table of causes",
        "400": "read off the figure of sixteen starts",
        "190": "read off the figure of sixteen starts",
        "30,000": "steps in pymc/moons",
        "450": "30 % of 1,500 steps, where the one-cycle rate is highest",
        "123.6": "printed in pymc/zh, of its fit of all rows",
        "1.02": "the same, its standard deviation over that of NUTS, far from the data",
        "2.6": "the same, amid the data",
    },
    "pymc/breast_cancer": {
        "569": "rows of scikit-learn's table",
        "30": "columns of scikit-learn's table",
        "0.87": "26 s / 30,000",
    },
    "pymc/breast_cancer_decisions": {
        "36": "-log(2.2e-16), where scikit-learn cuts off",
        "5,700": "20 * 285",
        "256": "printed in pymc/breast_cancer",
        "569": "rows of scikit-learn's table",
    },
    "pymc/breast_cancer_hedging": {
        "97 %": "printed in pymc/breast_cancer_decisions",
        "1.08 %": "the same",
        "4.6": "log(99)",
        "4,000": "4 * 1,000 draws",
        "13": "63.8 - 50.5, of the table",
        "12.1": "printed in pymc/breast_cancer",
        "17.5": "the same",
    },
    "pymc/zh": {
        "40": "10 + 25 + 5 weights",
        "6": "the sixth of the ideas, and a version of PyMC",
        "190": "read off the figure of the loss",
        "113.1": "a mean-field fit in the table of causes of pymc/moons_posterior",
        "0.067": "the same",
        "120": "read off the figure of the loss",
    },
    "mnist/convolutional": {
        **dict.fromkeys(("0.037", "0.048", "99.4 %", "0.016"), "the table of nado2021baselines, baselines/mnist"),
        "160,000": "160,362 weights and biases, to the thousand",
        "0.11": "sqrt(0.9878 * 0.0122 / 10,000), in points",
        "64": "2 * 32 biases",
    },
    "mnist/league": {
        "5,000": "the steps of studies/league.py and of the tempered fits in studies/mnist_methods.py",
        "2,500": "the steps of local reparameterisation in studies/mnist_methods.py",
        "500": "the batch size of studies/league.py",
        "0.001": "the rate of points in studies/league.py",
        **dict.fromkeys(("0.67", "0.68", "0.69"), "bounds of the row mean-field in mnist_dense.npz"),
        "8,000": "the steps of the row tempered, 8,000 steps, of mnist_dense.npz",
        **dict.fromkeys(
            ("0.321", "0.292", "0.200", "93.2 %", "89.5 %"), "the table of nado2021baselines, baselines/mnist"
        ),
        **dict.fromkeys(("6,000", "250"), "steps and batch of the clothes in studies/league.py"),
        "1,200": "units in the README of JavierAntoran/Bayesian-Neural-Networks, 49a02f1",
        "160": "passes in its notebook BayesByBackprop_MNIST_gaussian, whose last line prints Jtr_KL = 3.016586",
        **dict.fromkeys(("60,000", "22.2", "24.1", "95.5 %"), "blier2018description; all training images"),
        **dict.fromkeys(("30,000", "256"), "nado2021baselines, baselines/mnist, flags"),
        "2.8 %": "perezortiz2021tighter, table 1",
        "600": "blundell2015weight, passes over the images",
        "2.27 %": "lee2018deep, table 1: 97.73 % for tanh with 10,000 images",
        "70,000": "60,000 training and 10,000 test images",
        "61,706": "numbers of companion.networks.lenet5()",
        "20,535": "784 * 25 + 25 + 25 * 25 + 25 + 25 * 10 + 10",
        "0.104": "printed in mnist/posterior, of the chains at step 0.04",
        "97.2 %": "the same",
        "42": "the smallest k with binomtest(k, 62).pvalue < 0.01, run for the solution",
        "20": "62 - 42",
    },
    "mnist/strange_images": {
        "95": "the share of uncertainty.check_calibration, in per cent",
        "5,000": "steps of studies/mnist_methods.py",
    },
    "bayes_by_backprop/regression": {
        "25": "lines of the cell that is the model, its fit and its draws",
        "95 %": "of a normal, within two standard deviations",
        "8": "the batch of the exercise",
    },
    "bayes_by_backprop/band": {
        "20,000": "number of steps of the fits with a fixed noise, studies/band.py",
        "115,921": "481 * 482 / 2",
    },
    "bayes_by_backprop/lenet": {
        "98.5 %": "Nado et al. (2021)",
        "55,000": "the training part of TensorFlow's loader",
        "3,500": "(log(e - 1) + 2.97) / 0.001, the way of a raw scale from 0.05 to 1",
        "500": "images of the held-out nats, studies/lenet.py",
        "95 %": "the thin line of plots.image_predictions",
    },
    "bayes_by_backprop/lenet_refusing": {
        "9": "the last of the ten digits",
        "55,000": "the training part of TensorFlow's loader",
        "2.3": "log 10",
        "136,000": "136,436, to the thousand",
    },
    "bayes_by_backprop/design_choices": {
        "1.8": "28 s / 16 s, of the table",
        "0.7": "log 2, the softplus of 0",
        "5,000": "test images of studies/front_ends.py",
        "8,000": "PART of studies/front_ends.py",
    },
    "bayes_by_backprop/design_rivals": {
        "128": "printed in bayes_by_backprop/design_choices",
        "784": "28 * 28",
    },
}
"""Numbers of a page that no run prints, each with the place that it comes from."""

NUMBER = re.compile(
    r"(?<![\w.^_{/])(?P<sign>[-\u2212\u2013]?)(?P<digits>\d{1,3}(?:,\d{3})+|\d+)(?P<decimals>\.\d+)?"
    r"(?P<unit>\s?(?:%|million))?(?![\w/]*[A-Za-z_])"
)
FENCE = re.compile(r"^( *)(`{3,}).*?^\1\2`*$", re.DOTALL | re.MULTILINE)
ROLE = re.compile(r"\{[\w:]+\}`[^`]*`")
CODE = re.compile(r"`[^`]*`")
LINK = re.compile(r"\[[^\]]*\]\([^)]*\)|https?://\S+")
MATH = re.compile(r"\$\$.*?\$\$(?:\s*\([\w-]+\))?|\$([^$]*)\$", re.DOTALL)
PLAIN = re.compile(r"\s*[-\u2212]?[\d.,]+\s*(?:\\?%)?\s*")
SENTENCE = re.compile(r"(?<=[.!?:])\s+(?=[^a-z])|(?<=[\u3002\uff01\uff1f\uff1b])|\n\s*\n|\n(?=[-|*]|\d+\. )")
YEAR = re.compile(r"(?:19|20)\d\d")
INCLUDED = re.compile(r"\{literalinclude\} (\S+)")
HEADING = re.compile(r"^(?:#+ .*$|\([\w-]+\)=$|:::.*$|\*\*\d+\.)", re.MULTILINE)


@dataclass(frozen=True)
class Figure:
    """A number in the prose.

    Attributes
    ----------
    sentence
        Sentence in which it stands.
    words
        The number as it is written.
    value
        Value that the number states; a share for per cent.
    step
        Half of the last place that it states.
    """

    sentence: str
    words: str
    value: float
    step: float

    def agrees(self, other: float) -> bool:
        """Say whether a number rounds to this one, whatever its sign."""
        return abs(abs(other) - abs(self.value)) <= self.step * (1 + 1e-9)


def figures(text: str) -> Iterator[Figure]:
    """Find the numbers in the prose of a cell; code, formulas, years and labels are left out."""
    text = HEADING.sub("", LINK.sub("", ROLE.sub("", FENCE.sub("", text))))
    text = CODE.sub("", MATH.sub(_plain_math, text))
    for sentence in filter(None, map(str.strip, SENTENCE.split(text))):
        sentence = re.sub(r"^\d+\. ", "", sentence)
        for match in NUMBER.finditer(sentence):
            if not (YEAR.fullmatch(match["digits"]) and not match["decimals"]):
                yield _figure(" ".join(sentence.split()), match)


def _plain_math(match: re.Match[str]) -> str:
    """Keep a formula that is only a number."""
    return match[1] if match[1] and PLAIN.fullmatch(match[1]) else " "


def _figure(sentence: str, match: re.Match[str]) -> Figure:
    factor = {"%": 0.01, "million": 1e6}.get((match["unit"] or "").strip(), 1.0)
    places = len(match["decimals"] or ".") - 1
    value = float(match["digits"].replace(",", "") + (match["decimals"] or ""))
    return Figure(sentence, match[0].strip(), value * factor, 0.5 * 10**-places * factor)


def numbers(text: str) -> Iterator[tuple[float, str]]:
    """Give each number of an output or of code, a share for per cent, with the line in which it stands."""
    for line in text.splitlines():
        for match in re.finditer(r"(?<![\w.])\d[\d,_]*(?:\.\d+)?(?:e-?\d+)?(\s?%)?", line):
            digits = match[0].rstrip("% ").replace(",", "").replace("_", "")
            try:
                yield float(digits) * (0.01 if match[1] else 1.0), line.strip()
            except ValueError:
                continue


@dataclass(frozen=True)
class Sources:
    """Where the numbers of a chapter may come from, in the order in which they are looked for.

    Attributes
    ----------
    found
        Numbers, each with the words that say where it stands.
    """

    found: list[tuple[float, str]]

    def of(self, figure: Figure) -> str:
        """Name the source of a figure; empty where there is none."""
        agreeing = [(value, where) for value, where in self.found if figure.agrees(value)]
        return min(agreeing, key=lambda pair: abs(pair[0] - figure.value), default=(0, ""))[1]


def sources(notebook: NotebookNode, path: Path) -> list[Sources]:
    """List the sources of a chapter: its outputs, its code and what it includes, what the originals print."""
    page = page_of(path)
    printed, written = [], []
    for place, cell in code_cells(notebook):
        printed += [(v, f"cell {place}: {line}") for out in cell.outputs for v, line in numbers(plain(out))]
        written += [(v, f"code of cell {place}: {line}") for v, line in numbers(cell.source)]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            written += [(v, f"code on the page: {line}") for block in FENCE.finditer(cell.source)
                        for v, line in numbers(block[0])]  # fmt: skip
            for file in INCLUDED.findall(cell.source):
                text = (path.parent / file).resolve().read_text(encoding="utf-8")
                written += [(v, f"{Path(file).name}: {line}") for v, line in numbers(text)]
    quoted = [(v, f"the original: {line}") for line in FIGURES.get(page, ("", ()))[1] for v, _ in numbers(line)]
    known = [(figure.value, why) for number, why in KNOWN.get(page, {}).items() for figure in figures(number)]
    return [Sources(found) for found in (printed, quoted, written, known)]


def compared(path: Path) -> Iterator[tuple[Figure, str]]:
    """Give every number of a chapter's prose with its source; the source is empty where there is none."""
    notebook = read(path)
    places = sources(notebook, path)
    for figure in chain.from_iterable(figures(c.source) for c in notebook.cells if c.cell_type == "markdown"):
        yield figure, next(filter(None, (place.of(figure) for place in places)), "")


def main(arguments: list[str]) -> int:
    """Print numbers and sources of the notebooks named, or of all; with ``--check`` hold the pages of `HELD`."""
    checks = "--check" in arguments
    missing = 0
    for path in chosen(word for word in arguments if word != "--check"):
        held = page_of(path) in HELD
        if checks and not held:
            continue
        for figure, source in compared(path):
            missing += held and not source
            if not checks or not source:
                print(f"{path.relative_to(ROOT)}: {figure.sentence}\n    {figure.words}: {source or 'NO SOURCE'}")
    print(f"{missing} numbers without a source on the pages {', '.join(HELD)}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
