"""Write the page "What the book found": a sentence for each finding, with its figures, and the assertion that holds it.

No figure is typed. A finding names a section of a chapter, patterns by which its figures are found in what that
section's cells print, and an assertion of that section. `make pages` writes the page; it fails when a section no longer
prints a figure, or no longer asserts the claim, and so does a test.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

from nbformat import NotebookNode

from tools.contents import notebook_of, pages
from tools.notebooks import plain, read
from tools.pages.scoreboard import NUMBER, NotFoundError

__all__ = ["FINDINGS", "Finding", "Section", "chapter_heading", "findings_page", "section"]

IN_ENGLISH = {"pymc/zh": "The Chinese edition"}

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
    holds
        What the assertion says, of the figures in their order: numbers, or lists of numbers where several are printed
        as one. It notices a pattern that fits another figure than the one that is asserted.
    """

    page: str
    label: str
    sentence: str
    patterns: tuple[str, ...]
    asserted: str
    holds: Callable[..., bool] | None = None

    def figures(self) -> list[str]:
        """Find the figures, as they are printed.

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
        return figures

    def numbers(self) -> list[float | list[float]]:
        """Give the figures as numbers; those that are printed as one, such as "3.6, 3.9", as a list."""
        parts = [[float(part.replace(",", "")) for part in figure.split(", ")] for figure in self.figures()]
        return [part if len(part) > 1 else part[0] for part in parts]

    def written(self) -> str:
        """Write the sentence with its figures.

        Raises
        ------
        NotFoundError
            As `figures`, and if what the assertion says is not true of the figures.
        """
        if self.holds is not None and not self.holds(*self.numbers()):
            raise NotFoundError(
                f"section {self.label} of {self.page}: the figures {self.figures()} of the finding are not those that "
                f"'assert {self.asserted}' speaks of: mend its patterns in tools/pages/findings.py"
            )
        return self.sentence.format(*self.figures())

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


def chapter_heading(page: str) -> str:
    """Write a heading that leads to a chapter, under its title: a bare link would stand in the contents as a path."""
    title = next(what[1] for kind, what in _pieces(read(notebook_of(page))) if kind == "heading")
    return f"## {{doc}}`{IN_ENGLISH.get(page, title)} </{page}>`"


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
        text += ["", chapter_heading(page), ""]
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

MOONS, NUTS, ZH = "pymc/moons", "pymc/moons_posterior", "pymc/zh"
PATIENTS, CANCER, HEDGING = "pymc/breast_cancer", "pymc/breast_cancer_decisions", "pymc/breast_cancer_hedging"
DENSE, POSTERIOR = "mnist/dense", "mnist/posterior"
SYMPTOMS, UCI = "beyond/symptoms", "beyond/uci"
PRUNING, HIERARCHICAL, LEAGUE = "mnist/pruning", "mnist/hierarchical", "mnist/league"
CONVOLUTIONAL, STRANGE = "mnist/convolutional", "mnist/strange_images"
REGRESSION, BAND = "bayes_by_backprop/regression", "bayes_by_backprop/band"
LENET, REFUSING = "bayes_by_backprop/lenet", "bayes_by_backprop/lenet_refusing"
DESIGN, RIVALS = "bayes_by_backprop/design_choices", "bayes_by_backprop/design_rivals"
PERCENT = r"([\d.]+)%"
ODDS = r"([\d.]+, [\d.]+, [\d.]+)"

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
        "later < 130 < 150 < before",
        lambda first, _, later, accuracy: later < 130 < 150 < first and accuracy >= 95,
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
        lambda low, high, bound, coin: abs(low - high) < 0.05 and bound > coin,
    ),
    Finding(
        NUTS,
        "moons-verdict",
        "Far from the data, networks drawn from the mean-field posterior agree too much: in the best of six fits their "
        "standard deviation is {} times that of NUTS. Amid the data it is {} times.",
        (
            r"ratio of sds *\n(?:.*\n)*?far from them \(beyond 1\) +[\d.]+ +[\d.]+ +([\d.]+) *$",
            r"ratio of sds *\n *amid the data \(up to 0.25\) +[\d.]+ +[\d.]+ +([\d.]+) *$",
        ),
        'comparison["ratio of sds"].iloc[2] < 0.65',
        lambda far, amid: far < 0.65 < amid,
    ),
    Finding(
        NUTS,
        "moons-causes",
        "Pruning is not why mean-field is too sure far from the data: sampled exactly, a network with a single "
        "second-layer unit is as unsure there as one with five, {} beside {}.",
        (r"^chains, one unit +([\d.]+) ", r"^NUTS +([\d.]+) "),
        "exact_far > 0.9 * nuts_far",
        lambda one_unit, nuts: one_unit > 0.9 * nuts,
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
        lambda _, likelihood, advi, nuts: likelihood > advi > nuts,
    ),
    Finding(
        PATIENTS,
        "cancer-errata",
        "A builder that ignores its arguments makes no mini-batches of them: in ten evaluations of the post's model "
        "its likelihood takes {} value, on real mini-batches {}.",
        (r"^as printed +(\d+) ", r"^on mini-batches +(\d+) "),
        'np.ptp(values["on mini-batches"]) > 0',
        lambda printed, real: printed == 1 and real == 10,
    ),
    Finding(
        CANCER,
        "cancer-methods",
        "Tuned with the same care, trees lose to a plane on this table: with 30 features the log score of gradient "
        "boosting is {} nats worse than that of logistic regression, and a random forest's {}, on every one of twenty "
        "splits. A Bayesian network's is {} nats worse, which could be chance.",
        (
            r"^gradient boosting +\+([\d.]+) \(\+",
            r"^random forest +\+([\d.]+) \(\+",
            r"^network with learned scales +\+([\d.]+) \(-",
        ),
        'all(won[30, name, "log score"] == 0 for name in (FOREST, BOOSTING))',
        lambda boosting, forest, network: min(boosting, forest) > network,
    ),
    Finding(
        CANCER,
        "cancer-decision",
        "From the same probabilities, those of logistic regression, the action with the smallest expected cost pays {} "
        "per mass where the most probable class pays {}, and {} if it may ask a person.",
        (
            r"^logistic regression +[\d.]+ +([\d.]+) +[\d.]+ *$",
            r"^logistic regression +[\d.]+ +[\d.]+ +([\d.]+) *$",
            r"^logistic regression +([\d.]+) +[\d.]+ +[\d.]+ *$",
        ),
        '(paid["by expected cost"] < 0.5 * paid["most probable class"]).all()',
        lambda by_cost, by_class, asking: by_cost < 0.5 * by_class and asking < by_cost,
    ),
    Finding(
        HEDGING,
        "cancer-hedge",
        "Approximation and prior both hedge. On three splits the largest log-odds are {} for the post's network by "
        "mean-field, {} for its own posterior, sampled, and {} for one whose output weights have a prior three times "
        "as wide, sampled; by mean-field that one reaches {}.",
        (
            rf"^the post's network, mean-field +{ODDS} ",
            rf"^the post's network, sampled +{ODDS} ",
            rf"^wider output prior, sampled +{ODDS} ",
            rf"^wider output prior, mean-field +{ODDS} ",
        ),
        "(sampled > fitted_ + 1).all() and (fitted_ < full).all()",
        lambda fitted, sampled, wide, wide_fitted: (
            all(s > f + 1 for f, s in zip(fitted, sampled, strict=True))
            and min(wide) > max(sampled) > min(sampled) > max(wide_fitted)
        ),
    ),
    Finding(
        HEDGING,
        "cancer-hedge-cost",
        "An approximation's caution has a price: at the chapter's costs the posterior of the post's network, sampled, "
        "pays {} per mass on three splits, and its mean-field approximation, which leaves nobody alone, {}.",
        (r"^the post's network, sampled +([\d.]+) ", r"^the post's network, mean-field +([\d.]+) "),
        'pays[f"{POST}, sampled"] < 0.8 * pays[f"{POST}, mean-field"]',
        lambda sampled, mean_field: sampled < 0.8 * mean_field,
    ),
    Finding(
        HEDGING,
        "cancer-nuts",
        "The companion's HMC and PyMC's NUTS agree to {} in the mean probability of a mass, with a standard error of "
        "{}; mean-field is off by {}.",
        (
            rf"^the companion's sampler +{NUMBER} ",
            rf"^NUTS, standard error +{NUMBER} ",
            rf"^mean-field +{NUMBER} ",
        ),
        'off["HMC"] < 3 * error.mean()',
        lambda hmc, error, mean_field: hmc < 3 * error < mean_field,
    ),
    Finding(
        ZH,
        "zh-errata",
        "The last value in a log of mini-batches is the estimate of one step: where the ELBO on all rows is {} nats, "
        "{} % of such estimates lie above the -75.31 with which the log of 2016 ends.",
        (r"^全部数据上、平均 2,000 次抽样的 ELBO\uff1a(-[\d.]+)", r"^其中比 -75.31 还高的占 (\d+)%"),
        "np.mean(single > -75.31) > 0.02 and true < -100",
        lambda true, share: true < -100 and share > 2,
    ),
    Finding(
        DENSE,
        "mnist-dense-errata",
        "The post's start is ten prior widths away from zero: after 300 steps its loss is {} nats per image, and {} "
        "from a start near zero.",
        (r"^the post's start +[\d.,]+ +([\d.,]+)", r"^this chapter's +[\d.,]+ +([\d.,]+)"),
        'after["the post\'s start"][1] > 3 * after["this chapter\'s"][1]',
        lambda posts, ours: posts > 3 * ours,
    ),
    Finding(
        DENSE,
        "mnist-post-again",
        "The post's dense network read {} % of the test images. Fitted as the post did, it reads {} % here, and with "
        "the log prior in closed form, which changes no expectation, {} %.",
        (rf"^accuracy, vote of 100 labels +{PERCENT} +{PERCENT}", rf"^accuracy, vote of 100 labels +{PERCENT} *$"),
        'closed["test accuracy"] > at_draw["test accuracy"] + 0.025',
        lambda post, at_draw, closed: abs(at_draw - post) < 2 < closed - at_draw,
    ),
    Finding(
        CONVOLUTIONAL,
        "mnist-conv-again",
        "The post's best network, the convolutional one, read {} % of the test images. Fitted as the post did, it "
        "reads {} % here.",
        (rf"^accuracy, vote of 100 labels +{PERCENT} +about", rf"^accuracy, vote of 100 labels +{PERCENT} +[\d.]+%"),
        'abs(of_fixed["vote of sampled labels"] - 0.9803) <',
        lambda post, again: abs(again - post) < 0.3,
    ),
    Finding(
        PRUNING,
        "mnist-pruning",
        "A dense mean-field network on MNIST switches most of itself off: {} % of the weights of its first layer and "
        "{} % of its second fall back to the prior.",
        (rf"^784 to 800 +[\d,]+ +{PERCENT}", rf"^800 to 800 +[\d,]+ +{PERCENT}"),
        "np.concatenate([kl.ravel() for kl in told.values()]).mean() < 0.1",
        lambda first, second: min(first, second) > 90,
    ),
    Finding(
        PRUNING,
        "mnist-remedies",
        "A temperature of 0.05 mends the accuracy, {} % instead of {} %, at the price of the bound: {} nats per image, "
        "more than guessing costs.",
        (rf"^tempered +0\.05 +{PERCENT}", rf"^mean-field +1 +{PERCENT}", r"^tempered +0\.05 .* ([\d.]+) *$"),
        'correct["tempered"] > 0.98 > 0.97 > correct["mean-field"]',
        lambda tempered, mean_field, bound: tempered > 98 > 97 > mean_field and bound > 2.303,
    ),
    Finding(
        PRUNING,
        "mnist-rectified",
        "With rectified units in the place of tanh, and nothing else changed, the dense mean field reads {} % of the "
        "test images where it had {} %, at a bound of {} nats per image where it had {}.",
        (
            rf"^rectified N\(0, 0\.1²\) +2,500 +{PERCENT}",
            rf"^tanh +N\(0, 0\.1²\) +2,500 +{PERCENT}",
            r"^rectified N\(0, 0\.1²\) +2,500 .* ([\d.]+) *$",
            r"^tanh +N\(0, 0\.1²\) +2,500 .* ([\d.]+) *$",
        ),
        '(relu["test accuracy"] > tanh["test accuracy"] + 0.015).all()',
        lambda rectified, tanh, tighter, looser: rectified > tanh + 1.5 and tighter < 0.7 * looser,
    ),
    Finding(
        POSTERIOR,
        "mnist-answer",
        "Most of what the mean field loses to the tempered fit is the fault of the approximation, and the rest the "
        "model's: of the test images the posterior itself, by long chains, reads {} %, its mean field {} % and the "
        "tempered fit {} %.",
        (
            rf"^posterior, T = 1 \(chains\) +{PERCENT}",
            rf"^mean-field, T = 1 +{PERCENT}",
            rf"^mean-field, tempered to T = 0.05 +{PERCENT}",
        ),
        'mean_field["accuracy"] + 0.015 < true["accuracy"] < tempered["accuracy"] - 0.005',
        lambda true, mean_field, tempered: mean_field + 1.5 < true < tempered - 0.5,
    ),
    Finding(
        POSTERIOR,
        "mnist-small-chains",
        "Two samplers of all images, one from trained networks and one from the prior, agree on the posterior of a "
        "network of 50 units: they read {} % and {} % of the test images, its mean field {} %.",
        (
            rf"^posterior, chains from trained networks +{PERCENT}",
            rf"^posterior, chains from the prior +{PERCENT}",
            rf"^mean-field, T = 1 +{PERCENT}",
        ),
        'abs(of_small["accuracy"] - from_trained["accuracy"]) < 0.001',
        lambda trained, prior, mean_field: abs(trained - prior) < 0.1 < 0.3 < prior - mean_field,
    ),
    Finding(
        POSTERIOR,
        "mnist-conv-chains",
        "In chains of a convolutional network mini-batches heat the first filters to {} times the temperature that was "
        "asked for, where the mean over all weights says {}.",
        (r"^first filters +([\d.]+) ", r"^mean over all weights +([\d.]+) "),
        'heats.loc["first filters", "steps alike"] > 1.5',
        lambda first, mean: first > 1.5 > 1.05 > mean,
    ),
    Finding(
        POSTERIOR,
        "mnist-certificate",
        "A bound certifies, without held-out images, that draws of the convolutional posterior misread at most a "
        "share of {} of all digits there are; of the test images they misread {}.",
        (
            r"^mnist-convolutional +[\d.]+ +[\d.]+ +([\d.]+)",
            r"^mnist-convolutional +(?:[\d.]+ +[\d.]+ +[\d.]+ +)?([\d.]+) *$",
        ),
        'certificates["certified"]["mnist-convolutional"] < 0.3',
        lambda certified, tested: tested < certified < 0.3,
    ),
    Finding(
        POSTERIOR,
        "mnist-split",
        "A prior that half of the images have taught brings the certificate of the dense network from {} % to {} %, "
        "with nothing weighed down in the other half.",
        (rf"^dense +released +[\d.]+ +{PERCENT}", rf"^ +split prior +[\d.]+ +{PERCENT}"),
        'taught["certificate"] < 0.2 * released["certificate"]',
        lambda released, taught: taught < 0.2 * released,
    ),
    Finding(
        HIERARCHICAL,
        "mnist-search",
        "The best of six fixed scales, 0.07, has a tighter bound than six learned ones have from the chapter's start, "
        "{} against {} nats, and a looser one than from three other starts. Another, 0.2, reads more validation "
        "images, {} % against {} %.",
        (
            r"^-ELBO: fixed at 0\.07 ([\d.]+) nats an image, learned ([\d.]+);",
            rf"^fixed at 0\.2 +1 +{PERCENT}",
            rf"^learned scales +1 +{PERCENT}",
        ),
        'by_bound == "fixed at 0.07" and by_accuracy == "fixed at 0.2"',
        lambda best, learned, wide, narrow: best < learned and narrow < wide,
    ),
    Finding(
        CONVOLUTIONAL,
        "mnist-hier-conv",
        "The post's hierarchical network was not worse by overfitting: ours, from the same start, "
        "has an accuracy of {} on training images and {} on test images after a tenth of the post's steps.",
        (r"^training accuracy +[\d.]+ +([\d.]+)$", r"^test accuracy +[\d.]+ +([\d.]+)$"),
        'abs(posts["training accuracy"] - posts["test accuracy"]) < 0.02',
        lambda training, test: abs(training - test) < 0.02,
    ),
    Finding(
        STRANGE,
        "mnist-regular",
        "A regular network shows its errors, too: its doubt finds them with an AUROC of {}.",
        (r"^ +errors .*\n(?:.*\n)*?.*plain +(0\.\d+) ",),
        'auroc.loc["plain", "errors"] > 0.97',
        lambda auroc: auroc > 0.97,
    ),
    Finding(
        STRANGE,
        "mnist-regular",
        "On clothes, which no network has seen, posteriors are ahead: the worst of {} Bayesian runs notices them with "
        "an AUROC of {}, the best of {} plain networks and ensembles with as many steps in all with {}. Ensembles with "
        "five times the steps come level: {}, {} and {}.",
        (
            r"^Fashion-MNIST: the worst of (\d+) Bayesian runs ([\d.]+), the best of (\d+) others ([\d.]+)",
            r"^Fashion-MNIST: an ensemble, five times the steps, seed by seed ([\d.]+), ([\d.]+), ([\d.]+)",
        ),
        "worst > best",
        lambda runs, worst, others, best, *full: worst > best and max(abs(one - worst) for one in full) < 0.01,
    ),
    Finding(
        LEAGUE,
        "mnist-widths",
        "At full weight the bound of two layers of tanh is {} times as loose with 800 units as with 25, that of "
        "rectified units {} times; with 800 these read {} points more of the test images.",
        (
            r"^two layers: .* it is ([\d.]+) times as loose",
            r"^two layers, rectified: .* it is ([\d.]+) times as loose",
            r"^rectified units over tanh.*800: \+([\d.]+)",
        ),
        'np.ptp(of_rectified["test accuracy"].loc[50:]) < 0.005 and ahead.loc[800] > 1.5',
        lambda tanh, rectified, more: tanh > rectified + 0.5 and more > 1.5,
    ),
    Finding(
        LEAGUE,
        "mnist-codes",
        "Sent block by block, each by a fit to the blocks before it, a plain network pays {} nats for each label from "
        "200 to 400, and a mean field {}, as much as guessing; after 2,000 images chains of the same prior have a log "
        "score of {}, where the mean field has {}.",
        (
            rf"^nats a label from 200 to 400: plain {NUMBER};.*; mean-field {NUMBER};",
            rf"^log scores after 2,000 images: chains {NUMBER}, mean field {NUMBER}$",
        ),
        'a_label.loc["plain", 1600] < of_2000.iloc[0]',
        lambda plain, mean_field, chains, late: plain < 0.7 and mean_field > 2.25 and chains < 0.5 * late,
    ),
    Finding(
        LEAGUE,
        "mnist-evidence",
        "The bound of the wide dense mean field rises when the prior's scale is doubled, from {} to {} nats per image. "
        "An estimate of minus the log evidence, by a Laplace approximation whose own bound does not support it there, "
        "falls from {} to {}, and chains have a better log score under the wider prior, too: {} and {} on validation "
        "images.",
        (
            rf"-ELBO of the mean field {NUMBER} and {NUMBER}$",
            rf"^800 and 800 units: -log evidence {NUMBER} at 0\.1 and {NUMBER} at 0\.2",
            rf"^chains, log score on validation images: 0\.1: {NUMBER}, 0\.2: {NUMBER}$",
        ),
        "after_all.iloc[1] < after_all.iloc[0] - 0.015",
        lambda before, after, estimate, wider, one, twice: (
            before + 0.1 < after and wider < estimate - 0.03 and twice < one - 0.015
        ),
    ),
    Finding(
        LEAGUE,
        "mnist-league",
        "On digits, at equal steps, a tempered fit has a better log score than a plain network with a tuned decay: by "
        "{} nats with the first seed, {} standard errors. With the largest of three rates the plain network "
        "halves that lead.",
        (rf"^tempered, seed by seed: a log score better by {NUMBER}.*, in standard errors {NUMBER}",),
        'by_pairs.loc["tempered", ["in errors", "scaled, in errors"]].max(axis=None) < -5',
        lambda better, errors: better > 0.003 and errors > 3,
    ),
    Finding(
        LEAGUE,
        "mnist-clothes",
        "On clothes an ensemble of five is ahead of a plain network by more than chance: with the first seed its log "
        "score is better by {} of its standard errors, and that of a tempered fit by {}.",
        (
            rf"^ensemble of 5 - gain in log score, in standard errors: {NUMBER}",
            rf"^tempered - gain in log score, in standard errors: {NUMBER}",
        ),
        'by_pairs.loc["ensemble of 5", "log score"].max() < -0.03',
        lambda ensemble, tempered: min(ensemble, tempered) > 3,
    ),
    Finding(
        REGRESSION,
        "bbb-plain",
        "Pyro's `AutoNormal` estimates what the weights cost from draws, with a spread of {} nats; a guide whose "
        "divergence has a closed form has a spread of {}.",
        (r"^AutoNormal: .* spread of ([\d.]+)", r"^MeanFieldGuide: .* spread of ([\d.]+)"),
        '(np.std(costs) > 5) == (name == "AutoNormal")',
        lambda sampled, closed: closed < 5 < sampled,
    ),
    Finding(
        REGRESSION,
        "bbb-mean-pass",
        "A single pass at the mean weights is not the mean of the draws: among the points of the post's curve the two "
        "differ by {} on average, {} times the Monte-Carlo error.",
        (r"^trained means \(its code\): the two differ by ([\d.]+) on average inside, (\d+) Monte-Carlo",),
        "gap[inside].mean() > 4 * error[inside].mean()",
        lambda gap, times: gap > 0 and times > 4,
    ),
    Finding(
        BAND,
        "bbb-gentle",
        "The poor fit of the post's regression is one of its optimisation, and not of its prior: with gentler "
        "settings the error of the mean under N(0, 1) falls from {} to {}.",
        (r"^N\(0, 1\) +post +([\d.]+) ", r"^N\(0, 1\) +post .*\n +gentle +([\d.]+) "),
        'table.loc["N(0, 1)", "error of the mean, inside"]["gentle"] <',
        lambda post, gentle: gentle < post,
    ),
    Finding(
        BAND,
        "bbb-reference",
        "With the noise learned, mean-field calls the curve noise: it learns {} where 1 is true, and NUTS, on the same "
        "model, {}.",
        (r"^all layers, N\(0, 1\) +([\d.]+) ", r"^NUTS +([\d.]+) "),
        'figures.loc["all layers, N(0, 1)", "noise"] > 3',
        lambda mean_field, nuts: mean_field > 3 > nuts,
    ),
    Finding(
        BAND,
        "bbb-collapse",
        "Its own bound prefers that collapse: it is best at a noise of {}, with {} nats; at {}, next to what NUTS "
        "finds, it is {}.",
        (rf"^lowest at {NUMBER}: {NUMBER} nats; at {NUMBER}, next to the mean of NUTS, (\d+)",),
        "total[near] > total.min() + 20",
        lambda at, least, near, there: there > least + 20 and near < at,
    ),
    Finding(
        BAND,
        "bbb-points-shrink",
        "Epistemic doubt shrinks with data: inside, {} at 32 points, {} at 320 and {} at 3,200. Beyond the "
        "data it shrinks, too.",
        (rf"^inside: +32 points {NUMBER}, 320 points {NUMBER}, 3,200 points {NUMBER}",),
        "means_inside[0] > 1.5 * means_inside[1]",
        lambda few, more, many: few > 1.5 * more > 1.5 * many,
    ),
    Finding(
        BAND,
        "bbb-input",
        "One number for the noise is right on average alone: its 95 % band holds {} % of the quiet third "
        "and {} % of the loud one.",
        (rf"^one number for the noise: .* left, middle, right: {PERCENT}, [\d.]+%, {PERCENT}",),
        'thirds["one number for the noise"][0] >',
        lambda quiet, loud: quiet > 95 > loud,
    ),
    Finding(
        LENET,
        "lenet-averaging",
        "A single pass at the mean weights has a better log score ({}) than the average of 50 draws ({}).",
        (r"^one pass at the means +[\d.]+ +([\d.]+) ", r"^50 draws averaged +[\d.]+ +([\d.]+) "),
        'confidence < averaged["accuracy"] and means["NLL"] < averaged["NLL"]',
        lambda means, averaged: means < averaged,
    ),
    Finding(
        REFUSING,
        "lenet-fake-data",
        "The printed code makes the post's picture of refused noise with one switch, which trains the network on ten "
        "images of noise: it then puts {} % of new noise, and {} % of digits, below the post's cut-off.",
        (
            rf"^the switch on +[\d.]+% +[\d.]+% +{PERCENT}",
            rf"^the switch on +[\d.]+% +[\d.]+% +[\d.]+% +{PERCENT}",
        ),
        "min(own[6000], held[6000], digit[6000]) > 0.95",
        lambda noise, digits: min(noise, digits) > 95,
    ),
    Finding(
        DESIGN,
        "bbb-three-gradients",
        "On batches of 512, local reparameterisation has a gradient with {} times less variance than one draw for all "
        "rows, flipout {} times.",
        (rf"^less noise, local .*?{NUMBER} ± [\d.]+ *$", rf"^less noise, flipout .*?{NUMBER} ± [\d.]+ *$"),
        "(gain[-1, 1:3] > 3.5).all()",
        lambda local, flipout: local > flipout > 3.5,
    ),
    Finding(
        DESIGN,
        "bbb-start",
        "Standard deviations that start at 0.5 leave nothing learned after 1,000 steps: accuracy {} %, against {} % "
        "from 0.02.",
        (rf"^start at 0\.5 .* {PERCENT} *$", rf"^start at 0\.02 .* {PERCENT} *$"),
        'starts.loc[0.5, "accuracy"] < 0.2',
        lambda wide, narrow: wide < 20 < narrow,
    ),
    Finding(
        RIVALS,
        "bbb-partial",
        "To refuse noise, a posterior on all layers helps most ({} % of shuffled images refused on the worst of three "
        "seeds, {} % by a plain network), and it costs log score: {} instead of {}.",
        (
            rf"^all +[\d.]+% +[\d.]+% +[\d.]+% +{PERCENT}",
            rf"^none +[\d.]+% +[\d.]+% +[\d.]+% +{PERCENT}",
            r"^all +([\d.]+) ",
            r"^none +([\d.]+) ",
        ),
        'of_layers.loc["all", "nll"] > 1.4 *',
        lambda bayesian, plain, its_score, score: bayesian > plain and its_score > 1.4 * score,
    ),
    Finding(
        RIVALS,
        "bbb-others",
        "Of eight ways to more than one network, the ensemble of five has the best accuracy ({} %), log score ({}) "
        "and AUROC on clothes ({}) in the medians of three seeds, for 1.4 times the processor time of one variational "
        "fit.",
        (
            rf"^ensemble of 5 +[\d.]+ +{PERCENT}",
            r"^ensemble of 5 +([\d.]+) ",
            r"^ensemble of 5 +[\d.]+ +[\d.]+% +([\d.]+) ",
        ),
        'set(best) == {"ensemble of 5"}',
        lambda accuracy, score, auroc: accuracy > 90 and score < 0.5 < auroc,
    ),
    Finding(
        RIVALS,
        "bbb-others",
        "Three paired seeds tell {} of {} ways from the plain network by their log score, and {} by their AUROC for "
        "clothes.",
        (r"^told from the plain network by three seeds: (\d+) of (\d+) ways by the log score, (\d+) by",),
        'clothes.index[clothes["clear"]].tolist() == ["SWAG"]',
        lambda by_score, ways, by_clothes: by_clothes == 1 < by_score <= ways,
    ),
    Finding(
        SYMPTOMS,
        "symptom-mean",
        "A loss that averages over the rows, while the divergence is a sum, gives the prior back: the fit explains {}"
        " % of a curve's variance, and {} % once the loss is a sum as well.",
        (r"^mean of the loss +(-?\d+)%", r"^sum of the loss +(-?\d+)%"),
        'explained["the network itself"] > 0.85 and explained["sum of the loss"] > 0.93',
        lambda mean, total: mean < 40 < 93 < total,
    ),
    Finding(
        SYMPTOMS,
        "symptom-worse",
        "That a mean field is worse than the plain network may be the approximation's fault: its error is {}, the "
        "plain network's {}, and that of the posterior, sampled, {}.",
        (r"^mean-field +([\d.]+)", r"^plain network +([\d.]+)", r"^the posterior, sampled +([\d.]+)"),
        'error["the posterior, sampled"] < 1.3 * error["plain network"]',
        lambda mean_field, plain, sampled: mean_field > 1.5 * plain and sampled < 0.75 * mean_field,
    ),
    Finding(
        UCI,
        "field-wins",
        "On the yachts of the field's table, a mean field is {} nats per row behind five maxima of the posterior after "
        "2,000 steps, and {} after 20,000: the larger half of its bad name is its budget.",
        (r"^mean field +-([\d.]+) \(", r"^mean field, ten times the steps +-([\d.]+) \("),
        "((longer - short) > 0.5 * behind).all()",
        lambda short, longer: longer < 0.5 * short,
    ),
    Finding(
        UCI,
        "field-rows",
        "Chains that start at an ensemble's members do well on that table and are not the posterior: on energy the "
        "worst prediction has an R-hat of {}, and {} draws of 125 count.",
        (r"^energy +125 +([\d.]+) ", r"^energy +125 +[\d.]+ +([\d.]+)$"),
        'agreement["R-hat"].min() > 1.5',
        lambda r_hat, effective: r_hat > 1.5 and effective < 15,
    ),
]
"""What the book found, chapter by chapter."""
