"""List what the originals claimed, and where our figure of the same thing stands.

A chapter gets in by adding rows here. `tools.pages.measured` makes the scoreboard from this list: `make pages` writes
it, and a test fails when the page and the results have grown apart. No figure of ours is typed: each is read from a
stored notebook (what a cell printed, so what nbval and the chapter's assertions hold) or from a result file of a longer
run. The originals' figures are those that their posts print. Rows of a chapter that is not in the contents yet wait
until it is.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from companion import datasets, shelf
from companion.versions import by_name
from tools.contents import notebook_of
from tools.notebooks import code_cells, plain, read

Figures = npt.NDArray[np.floating[Any]]

MINUTE, HOUR = 60.0, 3600.0


class NotFoundError(LookupError):
    """A figure that isn't where its row says."""


@dataclass(frozen=True)
class Printed:
    """A figure that a cell of a stored notebook prints.

    Attributes
    ----------
    pattern
        Regular expression whose one group is the number; the last place where it is found counts.
    every
        Whether every place counts, as of a table with a row for each run.
    """

    pattern: str
    every: bool = False

    def figures(self, page: str) -> Figures:
        """Read the number that a page prints, as the only run (1,), or that of every run (runs,).

        Raises
        ------
        NotFoundError
            If the page prints nothing that the pattern fits.
        """
        found = re.findall(self.pattern, "\n".join(outputs(page)), flags=re.MULTILINE)
        if not found:
            raise NotFoundError(
                f"{page} prints nothing like {self.pattern!r}: mend the row in tools/pages/scoreboard.py"
            )
        return np.array([float(number.replace(",", "")) for number in (found if self.every else found[-1:])])

    def machine(self, page: str) -> str:
        """Say what the notebook ran on, by its last cell."""
        return about(page)["machine"]


@dataclass(frozen=True)
class Stored:
    """A figure of every run in a result file that comes with the companion.

    Attributes
    ----------
    result
        Name of the result file.
    figures_of
        Function that takes the result and returns a figure for each run, (runs,).
    """

    result: str
    figures_of: Callable[[shelf.Result], Figures]

    def figures(self, page: str) -> Figures:
        """Compute the figure of every run, (runs,)."""
        return np.atleast_1d(self.figures_of(shelf.load_result(self.result)))

    def machine(self, page: str) -> str:
        """Say what the runs were made on."""
        return "; ".join(shelf.load_result(self.result).machines())


@dataclass(frozen=True)
class Row:
    """One claim.

    Attributes
    ----------
    chapter
        Page that rebuilds it.
    what
        Name of what is measured.
    unit
        Unit of both figures: ``"%"``, ``"s"``, ``"ms"``, ``"steps/s"`` or ``"nats"``.
    original
        Figure that the post prints; None where it claims in words alone.
    ours
        Source of our own figure.
    points
        Number of held-out points on which either accuracy was measured, for the standard error of their difference.
    """

    chapter: str
    what: str
    unit: str
    original: float | None
    ours: Printed | Stored
    points: int | None = None


@cache
def outputs(page: str) -> list[str]:
    """List what the outputs of a stored notebook say as plain text, one after the other."""
    return [plain(output) for _, cell in code_cells(read(notebook_of(page))) for output in cell.outputs]


def about(page: str) -> dict[str, str]:
    """Return the versions and the machine that a stored notebook's last cell prints."""
    return by_name(outputs(page)[-1])


def of_method(quantity: str, method: str, factor: float = 1.0) -> Callable[[shelf.Result], Figures]:
    """Choose one method of a quantity (methods, seeds), times a factor, on the seeds on which it was run."""

    def figures(result: shelf.Result) -> Figures:
        methods: Sequence[str] = result.about["methods"]
        if method not in methods:
            raise NotFoundError(f"there is no method {method!r}; there are {', '.join(methods)}")
        found = np.asarray(factor * result.arrays[quantity][methods.index(method)], dtype=float)
        done: Figures = found[~np.isnan(found)]
        return done

    return figures


def of_runs(quantity: str, factor: float = 1.0) -> Callable[[shelf.Result], Figures]:
    """Take an array of a figure for each run (runs,), times a factor."""
    return lambda result: np.asarray(factor * result.arrays[quantity], dtype=float)


def mean_of(quantity: str, factor: float = 1.0) -> Callable[[shelf.Result], Figures]:
    """Average an array over its entries, such as data sets, times a factor."""
    return lambda result: np.asarray([factor * result.arrays[quantity].mean()], dtype=float)


def breast_cancer_accuracy(features: int, name: str) -> Callable[[shelf.Result], Figures]:
    """Compute the accuracy in per cent on each of the splits of the breast cancer study."""
    columns = ("mean radius", "mean texture") if features == 2 else None

    def figures(result: shelf.Result) -> Figures:
        probability = result.arrays[f"probability, {features}, {name}"]
        truth = [datasets.breast_cancer(columns, seed=s, positive="malignant").test.y for s in result.about["seeds"]]
        return np.asarray(100 * np.mean((probability > 0.5) == np.stack(truth), axis=1), dtype=float)

    return figures


NUMBER = r"([\d,]*\.?\d+)"
MOONS, CANCER, ZH = "pymc/moons", "pymc/breast_cancer", "pymc/zh"
DENSE, HIERARCHICAL = "mnist/dense", "mnist/hierarchical"
CONVOLUTIONAL, STRANGE = "mnist/convolutional", "mnist/strange_images"
REGRESSION, BAND = "bayes_by_backprop/regression", "bayes_by_backprop/band"
LENET, REFUSING = "bayes_by_backprop/lenet", "bayes_by_backprop/lenet_refusing"
RIVALS = "bayes_by_backprop/design_rivals"

ROWS = [
    Row(
        MOONS,
        "loss (negative ELBO) after 30,000 steps",
        "nats",
        131.92,
        Stored("moons", of_method("loss", "AdaGrad 0.001, 500 rows")),
    ),
    Row(
        MOONS,
        "held-out accuracy after 30,000 steps",
        "%",
        94.2,
        Stored("moons", of_method("accuracy", "AdaGrad 0.001, 500 rows", 100)),
        points=500,
    ),
    Row(
        MOONS,
        "time of 30,000 steps, compilation included",
        "s",
        15.3,
        Printed(rf"^seconds of 30,000 steps, compilation included: {NUMBER}"),
    ),
    Row(
        MOONS,
        "speed, all rows, AdaGrad",
        "steps/s",
        2074,
        Printed(rf"^steps a second, all rows +[\d,]+ +{NUMBER}"),
    ),
    Row(
        MOONS,
        "speed, batches of 50, AdaGrad",
        "steps/s",
        3587,
        Printed(rf"^steps a second, batches of 50 +[\d,]+ +{NUMBER}"),
    ),
    Row(
        MOONS, "predicting by sampled labels", "ms", 2570, Printed(rf"^predicting by sampled labels .*ms +{NUMBER} ms")
    ),
    Row(MOONS, "predicting by one function", "ms", 53.5, Printed(rf"^predicting by one function .*ms +{NUMBER} ms")),
    Row(
        CANCER,
        "accuracy, 2 features, the post's network, 20 splits",
        "%",
        91.2281,
        Stored("breast_cancer", breast_cancer_accuracy(2, "post")),
        points=285,  # of one split, the post's or ours
    ),
    Row(
        CANCER,
        "time of 30,000 steps, compilation included (ours: of the processor)",
        "s",
        26,
        Printed(rf"^seconds of 30,000 steps, compilation included +[\d.]+ +{NUMBER}"),
    ),
    Row(
        CANCER,
        "time of 40,000 mini-batch steps, compilation included (ours: of the processor)",
        "s",
        33,
        Printed(rf"^seconds of 40,000 mini-batch steps, compilation\S*(?: included)? +[\d.]+ +{NUMBER}"),
    ),
    Row(
        ZH,
        "time of 50,000 steps, compilation included (ours: of the processor)",
        "s",
        37.2,
        Printed(rf"^全部数据，50,000 步，秒 +[\d.]+ +{NUMBER}"),
    ),
    Row(
        ZH,
        "time of 50,000 mini-batch steps from a generator, compilation included (ours: of the processor)",
        "s",
        17.5,
        Printed(rf"^小批量（生成器），50,000 步，秒 +\S+ +{NUMBER}"),
    ),
    Row(
        ZH,
        "held-out accuracy (the post's is of another run than its times)",
        "%",
        94.2,
        Printed(rf"^测试集准确率，全部数据 +\S+ +{NUMBER}%"),
        points=500,
    ),
    Row(DENSE, "test accuracy", "%", 89.81, Stored("mnist_dense", of_method("test accuracy", "mean-field", 100))),
    Row(
        DENSE,
        "loss (negative ELBO; the post's is its average near the end)",
        "nats",
        104_369.28,
        Stored("mnist_dense", of_method("negative elbo", "mean-field", 50_000)),
    ),
    Row(
        DENSE,
        "test accuracy, tempered (T = 0.05)",
        "%",
        None,
        Stored("mnist_dense", of_method("test accuracy", "tempered", 100)),
    ),
    Row(
        DENSE,
        "time of the fit, compilation included",
        "s",
        4 * HOUR + 6 * MINUTE,
        Stored("mnist_dense", of_method("seconds", "mean-field")),
    ),
    Row(
        DENSE,
        "predicting the test images (the post: 500 draws, 100 of them for labels; ours: 100 draws)",
        "s",
        45 + 108,
        Printed(rf"^100 draws of ten probabilities for 10,000 images in {NUMBER} s"),
    ),
    Row(
        HIERARCHICAL,
        "test accuracy",
        "%",
        92.26,
        Stored("mnist_hierarchical", of_method("test accuracy", "learned scales", 100)),
    ),
    Row(
        HIERARCHICAL,
        "loss (negative ELBO; the post's is its average near the end)",
        "nats",
        110_551.60,
        Stored("mnist_hierarchical", of_method("negative elbo", "learned scales", 50_000)),
    ),
    Row(
        HIERARCHICAL,
        "time of the fit, compilation included",
        "s",
        4 * HOUR + 46 * MINUTE,
        Stored("mnist_hierarchical", of_method("seconds", "learned scales")),
    ),
    Row(
        CONVOLUTIONAL,
        "test accuracy",
        "%",
        98.03,
        Stored("mnist_convolutional", of_method("test accuracy", "mean-field", 100)),
    ),
    Row(
        CONVOLUTIONAL,
        "loss (negative ELBO; the post's is its average near the end)",
        "nats",
        20_160.79,
        Stored("mnist_convolutional", of_method("negative elbo", "mean-field", 50_000)),
    ),
    Row(
        CONVOLUTIONAL,
        'test accuracy, learned scales (the post\'s "95%")',
        "%",
        95,
        Stored("mnist_convolutional", of_method("test accuracy", "learned scales", 100)),
    ),
    Row(
        CONVOLUTIONAL,
        "test accuracy, tempered (T = 0.1)",
        "%",
        None,
        Stored("mnist_convolutional", of_method("test accuracy", "tempered, 8,000 steps", 100)),
    ),
    Row(
        CONVOLUTIONAL,
        "time of the fit, compilation included",
        "s",
        12 * HOUR + 40 * MINUTE,
        Stored("mnist_convolutional", of_method("seconds", "mean-field")),
    ),
    Row(
        STRANGE,
        "errors among the surest 95 % of the digits, by entropy",
        "%",
        None,
        Printed(rf"^predictive entropy: .* among the surest 95 % {NUMBER}%"),
    ),
    Row(
        STRANGE,
        "the same, of a plain network",
        "%",
        None,
        Printed(rf"^entropy of the plain network: .* among the surest 95 % {NUMBER}%"),
    ),
    Row(
        REGRESSION,
        "share of the true curve in its ± 2 σ, inside the data",
        "%",
        None,
        Stored("band", of_runs("settings, trained means, to the letter, curve held by two sigma", 100)),
    ),
    Row(
        BAND,
        "measurements in the 95 % band, truths drawn from the prior, noise known",
        "%",
        None,
        Stored("band", mean_of("prior, noise known, measurements held", 100)),
    ),
    Row(
        LENET, "test accuracy, T = 1", "%", None, Stored("lenet", of_method("test accuracy", "TensorFlow's start", 100))
    ),
    Row(
        LENET, "test accuracy, T = 0.3, cosine", "%", None, Stored("lenet", of_method("test accuracy", "tempered", 100))
    ),
    Row(LENET, "time of the fit, T = 0.3, cosine", "s", None, Stored("lenet", of_method("fit seconds", "tempered"))),
    Row(
        REFUSING,
        "noise below 0.2, if trained on ten images of noise",
        "%",
        None,
        Stored("lenet_noise", of_method("step 6000, held-out noise, below 0.2", "flipout", 100)),
    ),
    Row(
        REFUSING,
        "noise below 0.2, if trained on digits",
        "%",
        None,
        Printed(rf"^the post's noise below 0\.2 +{NUMBER}%"),
    ),
    Row(
        RIVALS,
        "test accuracy of LeNet-5 at temperature 1, 1,000 steps",
        "%",
        None,
        Stored("bayes_by_backprop", of_method("accuracy", "Gaussian, 0.1", 100)),
    ),
    Row(
        RIVALS,
        "the same, without distributions",
        "%",
        None,
        Stored("bayes_by_backprop", of_method("accuracy", "plain", 100)),
    ),
]
