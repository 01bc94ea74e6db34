"""Scores, measures of uncertainty and parts of the images that every study of images takes."""

from companion import datasets, uncertainty
from companion.datasets import KINDS, Observations

BINS = 15


def scores(p, y):
    return {
        "accuracy": uncertainty.accuracy(p, y),
        "nll": uncertainty.log_score(p, y),
        "ece": uncertainty.reliability(p, y, bins=BINS).ece,
        "brier": uncertainty.brier_score(p, y),
    }


def binned(p, y):
    """What a reliability diagram draws, number by number: the bins are counted from 0, and empty ones left out."""
    found = uncertainty.reliability(p, y, bins=BINS)
    parts = {"stated": found.stated, "happened": found.happened, "count": found.count}
    numbers = (found.stated * BINS).astype(int).clip(max=BINS - 1)
    return {
        f"bin {n} {name}": value for name, values in parts.items() for n, value in zip(numbers, values, strict=True)
    }


def first(part, rows):
    """Keep the first rows, as tiny runs do."""
    return Observations(part.x[:rows], part.y[:rows])


def measures(p):
    """Every measure of uncertainty, so that more means less sure: name to (points,)."""
    parts = uncertainty.decompose_entropy(p)
    found = {"entropy": parts.total, "probability": 1 - p.mean(axis=0).max(axis=1)}
    if len(p) > 1:
        found |= {"mutual information": parts.epistemic, "variation ratio": uncertainty.variation_ratio(p)}
    return found


def unfamiliar(digits, noise=1000, fashion=None):
    """Images that are not digits, so many of each kind of noise and of Fashion-MNIST: name to (points, 28, 28)."""
    made = {kind: datasets.noise_images(kind, noise, images=digits.test.x, seed=0) for kind in KINDS}
    return {"Fashion-MNIST": datasets.fashion_mnist().x[:fashion], "letters": datasets.omniglot().x, **made}


def detected(measured, own, strangers):
    """How well each measure tells strange images from its own kind: "kind, measure" to a detection.

    ``measured`` gives the measures of images, ``own`` are those of the own kind, ``strangers`` images by kind.
    """
    return {
        f"{kind}, {name}": uncertainty.detect(own[name], seen)
        for kind, images in strangers.items()
        for name, seen in measured(images).items()
    }
