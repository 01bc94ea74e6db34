"""Write the page "What the book found": a sentence for each finding, with its figures, and the assertion that holds it.

No figure is typed. A finding names a section of a chapter, patterns by which its figures are found in what that
section's cells print, and an assertion of that section. `make pages` writes the page; it fails when a section no longer
prints a figure, or no longer asserts the claim, and so does a test.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

from nbformat import NotebookNode

from tools.contents import notebook_of, pages
from tools.notebooks import plain, read
from tools.pages.scoreboard import NUMBER, NotFoundError

__all__ = ["FINDINGS", "Finding", "Section", "findings_page", "section"]

HEADING = re.compile(r"^(#+) (.*)$")
LABEL = re.compile(r"^\(([\w-]+)\)=$")


@dataclass(frozen=True)
class Section:
    """A part of a chapter, from its label to the next heading that is as high.

    Attributes
    ----------
    title
        Its heading.
    printed
        What its cells print, as plain text.
    code
        Code of its cells.
    """

    title: str
    printed: str
    code: str


@dataclass(frozen=True)
class Finding:
    """Something that the book found.

    Attributes
    ----------
    page
        Page on which it stands.
    label
        Label of the section in which it is asserted.
    sentence
        What was found, with ``{}`` in the place of each figure.
    patterns
        Regular expressions, each group a figure as it is printed; the first place of the section where
        an expression fits counts.
    asserted
        Beginning of the assertion that holds it, as it stands in the code.
    """

    page: str
    label: str
    sentence: str
    patterns: tuple[str, ...]
    asserted: str

    def written(self) -> str:
        """Write the sentence with its figures.

        Raises
        ------
        NotFoundError
            If the section prints nothing that a pattern fits.
        """
        printed, figures = section(self.page, self.label).printed, list[str]()
        for pattern in self.patterns:
            found = re.search(pattern, printed, flags=re.MULTILINE)
            if found is None:
                raise NotFoundError(
                    f"section {self.label} of {self.page} prints nothing like {pattern!r}: mend the finding in "
                    "tools/pages/findings.py"
                )
            figures += found.groups()
        return self.sentence.format(*figures)

    def assertion(self) -> str:
        """Give the line of the section's code that asserts it.

        Raises
        ------
        NotFoundError
            If the section asserts nothing that begins so.
        """
        lines = [line.strip() for line in section(self.page, self.label).code.splitlines()]
        found = [line for line in lines if line.startswith(f"assert {self.asserted}")]
        if not found:
            raise NotFoundError(
                f"section {self.label} of {self.page} doesn't assert {self.asserted!r}: mend the finding in "
                "tools/pages/findings.py"
            )
        return found[0]


@cache
def section(page: str, label: str) -> Section:
    """Read a section of a stored notebook, with its subsections.

    Raises
    ------
    NotFoundError
        If the page has no such label before a heading.
    """
    title, level = "", 0
    printed: list[str] = []
    code: list[str] = []
    for kind, what in _pieces(read(notebook_of(page))):
        if kind == "heading":
            marks, name, own = what
            if title and len(marks) <= level:
                break
            if own == label:
                title, level = name, len(marks)
        elif title:
            code.append(what.source)
            printed += [plain(output) for output in what.outputs]
    if not title:
        raise NotFoundError(f"{page} has no section labelled {label!r}: mend the finding in tools/pages/findings.py")
    return Section(title, "\n".join(printed), "\n".join(code))


def _pieces(notebook: NotebookNode) -> Iterator[tuple[str, Any]]:
    """Give the headings of a notebook, as marks, title and label, and its code cells, in their order."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            yield "code", cell
            continue
        own, fenced = "", False
        for line in cell.source.splitlines():
            fenced ^= line.lstrip().startswith("```")
            if label := LABEL.match(line):
                own = label[1]
            elif (heading := HEADING.match(line)) and not fenced:
                yield "heading", (heading[1], heading[2], own)
                own = ""


def findings_page(made: str) -> str:
    """Write the page.

    Parameters
    ----------
    made
        Comment at its top that says how it is made.
    """
    there = set(pages())
    text = [made, INTRODUCTION]
    for page, found in groupby((f for f in FINDINGS if f.page in there), key=lambda finding: finding.page):
        own = list(found)
        text += ["", f"## {{doc}}`/{page}`", ""]
        text += [
            f"- {f.written()} ({{ref}}`{section(f.page, f.label).title.replace('`', '')} <{f.label}>`)" for f in own
        ]
        text += ["", ":::{dropdown} The assertions that hold them", "```{code-block} python"]
        text += [*dict.fromkeys(f.assertion() for f in own), "```", ":::"]
    return "\n".join(text) + "\n"


INTRODUCTION = """
# What the book found

Every finding in a sentence. Its figures are what the cells of the section behind it print, read from the stored
notebook, and an assertion in that section holds it: whenever the book is executed anew, the claim is tested anew.
Behind each chapter's list stand those assertions, as they are in the code. What a finding rests on (how many seeds,
which data, what else was tried) is in the section. For the figures of the originals beside ours, see the
{doc}`scoreboard`."""

MOONS, NUTS, CANCER = "pymc/moons", "pymc/moons_posterior", "pymc/breast_cancer"
PRUNING, HIERARCHICAL, CONVOLUTIONAL = "mnist/pruning", "mnist/hierarchical", "mnist/convolutional"
REGRESSION, BAND, LENET = "bayes_by_backprop/regression", "bayes_by_backprop/band", "bayes_by_backprop/lenet"
DESIGN = "bayes_by_backprop/design_choices"
PERCENT = r"([\d.]+)%"

FINDINGS = [
    Finding(
        MOONS,
        "moons-starts",
        "A loss that looks flat may have far to go: the same fit stood at {} nats and {} % accuracy after 30,000 "
        "steps, and at {} nats and {} % after 70,000.",
        (
            rf"^after 30,000 steps: loss {NUMBER}, accuracy {PERCENT}",
            rf"^after 70,000 steps: loss {NUMBER}, accuracy {PERCENT}",
        ),
        "len(advi.hist) == 70_000 and later < 130",
    ),
    Finding(
        NUTS,
        "moons-verdict",
        "Far from the data, networks drawn from the mean-field posterior agree too much: their standard deviation is "
        "{} times that of NUTS. Amid the data it is {} times.",
        (
            r"ratio of sds *\n(?:.*\n)*?far from them \(beyond 1\) +[\d.]+ +[\d.]+ +([\d.]+) *$",
            r"ratio of sds *\n *amid the data \(up to 0.25\) +[\d.]+ +[\d.]+ +([\d.]+) *$",
        ),
        'comparison["ratio of sds"].iloc[2] < 0.75',
    ),
    Finding(
        MOONS,
        "moons-errata",
        "Two calls of `pm.Minibatch` give each input the label of another row: no error, no warning, every prediction "
        "between {} and {}, and a bound of {} nats, where a coin has {}.",
        (
            rf"^predictions lie between {NUMBER} and {NUMBER}$",
            rf"^-ELBO on all rows: {NUMBER} nats",
            rf"^a fair coin for each label: {NUMBER} nats",
        ),
        "-mixed_up.record.elbo > len(moons.train) * np.log(2)",
    ),
    Finding(
        NUTS,
        "moons-causes",
        "Pruning is not why mean-field is too sure far from the data: sampled exactly, a network with a single "
        "second-layer unit is as unsure there as one with five, {} beside {}.",
        (r"^chains, one unit +([\d.]+) ", r"^NUTS +([\d.]+) "),
        'far_sd.loc["chains, one unit", 0] > 0.9 * nuts_far',
    ),
    Finding(
        NUTS,
        "moons-likelihood",
        "The mean prediction is not that of maximum likelihood. Far from the data they differ by {} on average; "
        "maximum likelihood is more than 95 % sure on a share of {} of that region, ADVI of {}, NUTS of {}.",
        (
            r"^maximum likelihood +([\d.]+) +[\d.]+ *$",
            r"^maximum likelihood +[\d.]+ +([\d.]+) *$",
            r"^ADVI +[\d.]+ +([\d.]+) *$",
            r"^NUTS +[\d.]+ +([\d.]+) *$",
        ),
        'sure["maximum likelihood"] > sure["ADVI"] > sure["NUTS"]',
    ),
    Finding(
        CANCER,
        "cancer-hedge",
        "It is the mean field that hedges, and not the prior: with the same prior, the largest log-odds on three "
        "splits are {} for mean-field, {} for full-rank, and {} sampled.",
        (
            r"^the post's network, mean-field +(\d[\d., ]*\d) *$",
            r"^the post's network, full-rank +(\d[\d., ]*\d) *$",
            r"^the post's network, sampled +(\d[\d., ]*\d) *$",
        ),
        "(sampled > fitted_ + 1).all() and (fitted_ < full).all()",
    ),
    Finding(
        CANCER,
        "cancer-nuts",
        "The companion's HMC and PyMC's NUTS agree to {} in the mean probability of a mass, with a standard error of "
        "{}; mean-field is off by {}.",
        (
            rf"^HMC +against NUTS: mean {NUMBER} apart",
            rf"^standard error of NUTS's means: {NUMBER}",
            rf"^mean-field against NUTS: mean {NUMBER} apart",
        ),
        'off["HMC"] < 3 * error.mean()',
    ),
    Finding(
        PRUNING,
        "mnist-pruning",
        "A dense mean-field network on MNIST switches most of itself off: {} % of the weights of its first layer and "
        "{} % of its second fall back to the prior.",
        (rf"^784 to 800 +[\d,]+ +{PERCENT}", rf"^800 to 800 +[\d,]+ +{PERCENT}"),
        "np.concatenate([kl.ravel() for kl in told.values()]).mean() < 0.1",
    ),
    Finding(
        PRUNING,
        "mnist-remedies",
        "A temperature of 0.05 mends the accuracy, {} % instead of {} %, at the price of the bound: {} nats an image, "
        "more than guessing costs.",
        (rf"^tempered +0\.05 +{PERCENT}", rf"^mean-field +1 +{PERCENT}", r"^tempered +0\.05 .* ([\d.]+) *$"),
        'correct["tempered"] > 0.98 > 0.97 > correct["mean-field"]',
    ),
    Finding(
        HIERARCHICAL,
        "mnist-search",
        "Learned scales reach a better bound than any fixed one, and a worse accuracy on validation images: {} %, "
        "where the best fixed scale has {} %.",
        (rf"^learned scales +1 +{PERCENT}", rf"^fixed at 0\.2 +1 +{PERCENT}"),
        'learned["validation accuracy"] < fixed["validation accuracy"].max()',
    ),
    Finding(
        CONVOLUTIONAL,
        "mnist-hier-conv",
        "The post's hierarchical network was worse for its start, and not for overfitting: from its start, accuracy "
        "is {} on training images and {} on test images.",
        (r"^training accuracy +[\d.]+ +([\d.]+)$", r"^test accuracy +[\d.]+ +([\d.]+)$"),
        'abs(posts["training accuracy"] - posts["test accuracy"]) < 0.02',
    ),
    Finding(
        CONVOLUTIONAL,
        "mnist-conv-table",
        "A regular network shows its errors, too: its doubt finds them with an AUROC of {}.",
        (r"^plain +([\d.]+) +[\d.]+ +[\d.]+ *$",),
        'auroc.loc["plain", "errors"] > 0.97',
    ),
    Finding(
        BAND,
        "bbb-gentle",
        "The poor fit of the post's regression is one of its optimisation, and not of its prior: with gentler "
        "settings the error of the mean under N(0, 1) falls from {} to {}.",
        (r"^N\(0, 1\) +post +([\d.]+) ", r"^N\(0, 1\) +post .*\n +gentle +([\d.]+) "),
        'table.loc["N(0, 1)", "error of the mean, inside"]["gentle"] <',
    ),
    Finding(
        BAND,
        "bbb-reference",
        "With the noise learned, mean-field calls the curve noise: it learns {} where 1 is true, and NUTS, on the same "
        "model, {}.",
        (r"^all layers, N\(0, 1\) +[\d.]+ +([\d.]+) ", r"^NUTS +NaN +([\d.]+) "),
        'figures.loc["all layers, N(0, 1)", "noise"] > 3',
    ),
    Finding(
        BAND,
        "bbb-collapse",
        "Its own bound prefers that collapse: it is best at a noise of {}, with {} nats; at {}, next to what NUTS "
        "finds, it is {}.",
        (rf"^lowest at {NUMBER}: {NUMBER} nats; at {NUMBER}, next to the mean of NUTS, (\d+)",),
        "total[near] > total.min() + 20",
    ),
    Finding(
        BAND,
        "bbb-points-shrink",
        "Epistemic doubt shrinks with data: inside, {} at 32 points, {} at 320 and {} at 3,200. Beyond the "
        "data it shrinks, too.",
        (rf"^inside: +32 points {NUMBER}, 320 points {NUMBER}, 3,200 points {NUMBER}",),
        "means_inside[0] > 1.5 * means_inside[1]",
    ),
    Finding(
        BAND,
        "bbb-input",
        "One number for the noise is right on average alone: its 95 % band holds {} % of the quiet third "
        "and {} % of the loud one.",
        (rf"^one number for the noise: .* left, middle, right: {PERCENT}, [\d.]+%, {PERCENT}",),
        'thirds["one number for the noise"][0] >',
    ),
    Finding(
        LENET,
        "lenet-fake-data",
        "The post's picture of refused noise is that of a network that forgot everything: trained on ten images of "
        "noise, it puts {} % of new noise, and {} % of digits, below the post's cut-off. A network of digits puts {} "
        "% of such noise there.",
        (
            rf"^flipout, new noise +[\d.]+% +{PERCENT}",
            rf"^flipout, digits +[\d.]+% +{PERCENT}",
            rf"^fitted to digits, held-out noise +[\d.]+% +{PERCENT}",
        ),
        "min(own[6000], held[6000], digit[6000]) > 0.95",
    ),
    Finding(
        LENET,
        "lenet-averaging",
        "A single pass at the mean weights has a better log score ({}) than the average of 50 draws ({}).",
        (r"^one pass at the means +[\d.]+ +([\d.]+) ", r"^50 draws averaged +[\d.]+ +([\d.]+) "),
        'confidence < averaged["accuracy"] and means["NLL"] < averaged["NLL"]',
    ),
    Finding(
        DESIGN,
        "bbb-three-gradients",
        "In a batch of 512, local reparameterisation has a gradient with {} times less variance than one draw for all "
        "rows, flipout {} times.",
        (rf"^local +[\d.]+ +{NUMBER} times less", rf"^flipout +[\d.]+ +{NUMBER} times less"),
        'variance.loc[512, "one draw"] > 1.6 *',
    ),
    Finding(
        DESIGN,
        "bbb-partial",
        "To refuse noise, a posterior on all layers helps most ({} % of shuffled images refused, {} % by a plain "
        "network), and it costs log score: {} instead of {}.",
        (
            rf"^all +[\d.]+% +[\d.]+% +[\d.]+% +{PERCENT}",
            rf"^none +[\d.]+% +[\d.]+% +[\d.]+% +{PERCENT}",
            r"^all +[\d.]+ +([\d.]+) ",
            r"^none +[\d.]+ +([\d.]+) ",
        ),
        'of_layers.loc["all", "nll"] > 1.4 *',
    ),
    Finding(
        DESIGN,
        "bbb-start",
        "Widths that start at 0.5 never learn: accuracy {}, against {} from 0.02.",
        (r"^0\.500 +([\d.]+) ", r"^0\.020 +([\d.]+) "),
        'starts.loc[0.5, "accuracy"] < 0.2',
    ),
    Finding(
        DESIGN,
        "bbb-others",
        "Of eight ways to more than one network, the ensemble of five has the best accuracy ({} %), log score ({}) "
        "and AUROC on clothes ({}), for about the price of one variational fit.",
        (
            rf"^ensemble of 5 +{PERCENT}",
            r"^ensemble of 5 +[\d.]+% +([\d.]+) ",
            r"^ensemble of 5 +[\d.]+% .* ([\d.]+) *$",
        ),
        'set(best) == {"ensemble of 5"}',
    ),
]
"""What the book found, chapter by chapter."""
