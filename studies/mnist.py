"""Fit and score every method of the MNIST chapters on several seeds, with the settings that validation chose.

`python studies/mnist.py dense` (or hierarchical, starts, rectified, convolutional) takes hours on two cores, and may be
stopped; see `runs`. It writes companion/shelf/files/mnist_<part>.npz, from which the chapter makes its tables. With
``--release`` it also stores the headline fit of seed 0 among the companion's releases.
"""

import time

import runs
from judging import detected, measures, scores, unfamiliar
from mnist_methods import ONCE, PARTS, RELEASED, SAME

from companion import book, datasets, uncertainty
from companion.posterior import save_posterior
from companion.prediction import predicted_labels
from companion.shelf import FILES, RELEASES


def detection(predictor, p, digits):
    """AUROC and FPR at 95 % TPR of every measure, for spotting errors and images that are not digits."""
    right = predicted_labels(p) == digits.test.y
    own = measures(p)
    found = {f"errors, {name}": uncertainty.detect(seen[right], seen[~right]) for name, seen in own.items()}
    found |= detected(lambda images: measures(predictor(images)), own, unfamiliar(digits))
    return {f"auroc, {k}": d.auroc for k, d in found.items()} | {f"fpr95, {k}": d.fpr95 for k, d in found.items()}


def run(part, method, seed):
    """Fit once; scores on validation and on test images, as plain numbers."""
    digits = datasets.mnist()
    begun = time.perf_counter()
    predictor, posterior = PARTS[part][method](digits.train, seed)
    row = {"seconds": time.perf_counter() - begun}
    if posterior is not None:
        row |= {
            "negative elbo": float(-posterior.record.elbo / len(digits.train)),
            "temperature": posterior.record.temperature,
            "fit seconds": posterior.record.seconds,
        }
    p = predictor(digits.validation.x)
    row |= {f"validation {k}": v for k, v in scores(p, digits.validation.y).items()}
    begun = time.perf_counter()
    p = predictor(digits.test.x)
    row["prediction seconds"] = time.perf_counter() - begun
    row |= {f"test {k}": v for k, v in scores(p, digits.test.y).items()}
    if part == "convolutional":
        row |= detection(predictor, p, digits)
    if posterior is not None:
        sample = predictor(digits.train.x[:2000])
        row["training accuracy"] = uncertainty.accuracy(sample, digits.train.y[:2000])
        row |= scales(posterior)
    return row, posterior


def scales(posterior):
    """Posterior mean of every learned scale that is one number."""
    names = [rv.name for rv in posterior.model.free_RVs if rv.name.endswith("_scale") and rv.ndim == 0]
    return {f"posterior {n}": a.mean() for n, a in posterior.draw(200, seed=0, names=names).items()} if names else {}


def same_run(part, method):
    """Part and name under which a run is kept."""
    return SAME.get((part, method), (part, method))


def main():
    parser = runs.parser(__doc__, "mnist")
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--release", action="store_true")
    given = parser.parse_args()
    book.setup()
    part = given.part

    def one(method, seed):
        row, posterior = run(part, method, seed)
        released = RELEASED.get(same_run(part, method))
        if given.release and seed == 0 and released:
            save_posterior(posterior, FILES / RELEASES[released].file)
        return row

    name = lambda method: "-".join(same_run(part, method))  # noqa: E731
    runs.restore(given, f"mnist_{part}", name=name)
    runs.complete(given, PARTS[part], one, limits=dict.fromkeys(ONCE[part], 1), name=name)
    runs.collect(given, PARTS[part], f"mnist_{part}", {"script": f"studies/mnist.py {part}"}, name=name)


if __name__ == "__main__":
    main()
