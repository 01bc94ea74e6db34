"""Fit and score every row of the chapter on design choices: priors, layers, starts, estimators, other methods.

`python benchmarks/bayes_by_backprop.py` takes about an hour on one core. Every run that is done is kept in the folder
of ``--work``, so that a stopped script goes on where it was; ``--collect`` writes
companion/results/bayes_by_backprop.npz, from which the chapter makes its tables.
"""

import argparse
import json
import logging
import time
from functools import partial
from pathlib import Path

import alternatives
import costs
import front_ends
import numpy as np
import torch
from mnist import scores

from companion import datasets, results, uncertainty
from companion.bayes_by_backprop import Classifier, fit, to_bayesian
from companion.datasets.unfamiliar import KINDS
from companion.inference.denormals import denormals_flushed
from companion.networks import lenet5
from companion.prediction import mean_probabilities, predict
from companion.priors import Gaussian, Laplace, LearnedScale, RegularisedHorseshoe, ScaleMixture

DRAWS = 20
BATCH = 128
STEPS = 1000
REFUSED = 0.01  # of the validation digits: what the cut-off may cost
VALIDATION, NOISE, FASHION = 5000, 250, 500  # images that are looked at
SETTINGS = {
    "batch_size": BATCH,
    "estimator": "flipout",
    "learning_rate": 0.003,
    "scale_rate": 0.02,
    "schedule": "cosine",
    "start_scale": 0.02,
    "precision": "float32",
    "elbo_draws": 4,
}
LAYERS = {"first": ["1"], "last": ["14"]}


def backprop(prior, layers=None, **settings):
    """Bayes by Backprop on the classical LeNet-5."""

    def method(data, seed):
        model = Classifier(to_bayesian(lenet5(seed=seed), prior, layers))
        posterior = fit(model, data, STEPS, **SETTINGS | settings, seed=seed, device="cpu", progressbar=False)
        return partial(predict, posterior, draws=DRAWS, seed=seed), posterior

    return method


def other(function, steps=STEPS, **settings):
    """Fit with one of `alternatives`."""
    network = lambda seed: lenet5(seed=seed)  # noqa: E731
    return lambda data, seed: (function(network, data, steps, seed, batch=BATCH, **settings), None)


HEADLINE = "Gaussian, 0.1"
OTHERS = front_ends.METHODS | costs.METHODS
METHODS = {
    HEADLINE: backprop(Gaussian(0.1)),
    "plain": other(alternatives.plain, rate=0.003, decay=0.0),
    "last layer": backprop(Gaussian(0.1), LAYERS["last"]),
    "first layer": backprop(Gaussian(0.1), LAYERS["first"]),
    "Gaussian, 0.03": backprop(Gaussian(0.03)),
    "Gaussian, 0.3": backprop(Gaussian(0.3)),
    "Gaussian, 1": backprop(Gaussian(1.0)),
    "Laplace, 0.1": backprop(Laplace(0.1)),
    "scale mixture": backprop(ScaleMixture(0.25, 0.3, 0.03)),
    "learned scales": backprop(LearnedScale(1.0)),
    "start at 0.001": backprop(Gaussian(0.1), start_scale=0.001),
    "start at 0.5": backprop(Gaussian(0.1), start_scale=0.5),
    "cold": backprop(Gaussian(0.1), temperature=0.05),
    "ensemble of 5": other(alternatives.ensemble, 5 * STEPS, rate=0.003, decay=0.0),
    "MC dropout": other(alternatives.dropout, rate=0.003, draws=DRAWS),
    "Laplace, last layer": other(alternatives.laplace, rate=0.003, draws=DRAWS),
    "SGLD": other(alternatives.sgld, rate=0.003, draws=DRAWS),
    "SWAG": other(alternatives.swag, rate=0.003, draws=DRAWS),
    "one draw for all rows": backprop(Gaussian(0.1), estimator="reparameterisation"),
    "local": backprop(Gaussian(0.1), estimator="local"),
    "horseshoe": backprop(RegularisedHorseshoe()),
    **OTHERS,
}
PARTS = ("last layer", "first layer")
ALTERNATIVES = ("plain", "ensemble of 5", "MC dropout", "SGLD", "Laplace, last layer", "SWAG")
SEEDS = dict.fromkeys((HEADLINE, *PARTS, *ALTERNATIVES, *OTHERS), 3)


def unfamiliar(digits):
    """Images that are no digits: name to (points, 28, 28)."""
    noise = {kind: datasets.noise_images(kind, NOISE, images=digits.test.x, seed=0) for kind in KINDS}
    return noise | {"Fashion-MNIST": datasets.fashion_mnist().x[:FASHION], "letters": datasets.omniglot().x}


def run(name, seed):
    """Fit once; scores on test images and shares of images refused, as plain numbers."""
    digits = datasets.mnist()
    if name in OTHERS:
        return OTHERS[name](digits, seed)
    began, wall = time.process_time(), time.perf_counter()
    predictor, posterior = METHODS[name](digits.train, seed)
    row = {"wall seconds": time.perf_counter() - wall, "cpu seconds": time.process_time() - began}
    if posterior is not None:
        record = posterior.record
        row |= {
            "negative elbo": -record.elbo / len(digits.train),
            "negative elbo, standard error": record.elbo_se / len(digits.train),
            "last loss": record.history[-50:].mean() / len(digits.train),
            "wall seconds of steps": record.seconds,
        }
    sure = mean_probabilities(predictor(digits.validation.x[:VALIDATION])).max(axis=1)
    cut_off = np.quantile(sure, REFUSED)
    began = time.process_time()
    p = predictor(digits.test.x)
    row["prediction cpu seconds"] = time.process_time() - began
    row |= scores(p, digits.test.y) | {"cut-off": cut_off}
    of_digits = mean_probabilities(p).max(axis=1)
    row["refused, digits"] = (of_digits < cut_off).mean()
    for kind, images in unfamiliar(digits).items():
        of_images = mean_probabilities(predictor(images)).max(axis=1)
        row[f"refused, {kind}"] = (of_images < cut_off).mean()
        row[f"auroc, {kind}"] = uncertainty.detect(1 - of_digits, 1 - of_images).auroc
    return {k: float(v) for k, v in row.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("_build/bayes_by_backprop"))
    parser.add_argument("--only", nargs="*", help="rows; all by default")
    parser.add_argument("--seeds", type=int, default=max(SEEDS.values()), help="at most so many")
    parser.add_argument("--collect", action="store_true", help="write the file from the runs that are done")
    given = parser.parse_args()
    logging.getLogger("pytensor.tensor.blas").setLevel(logging.ERROR)
    given.work.mkdir(parents=True, exist_ok=True)
    for seed in range(given.seeds):
        for name in [] if given.collect else given.only or METHODS:
            kept = place(given.work, name, seed)
            if kept.exists() or seed >= SEEDS.get(name, 1):
                continue
            with denormals_flushed():
                row = run(name, seed)
            kept.write_text(json.dumps(row, indent=1))
            print(f"{name}, seed {seed}: " + ", ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)
    if not given.only:
        collect(given.work, given.seeds)


def place(work, name, seed):
    return work / f"{name.replace(' ', '_').replace(',', '')}-{seed}.json"


def collect(work, seeds):
    """Write one array (methods, seeds) for each score; NaN where a row has none, or was not run on that seed."""
    rows = {name: [read(place(work, name, seed)) for seed in range(seeds)] for name in METHODS}
    rows = {name: of_row for name, of_row in rows.items() if of_row[0]}
    keys = sorted({key for of_row in rows.values() for row in of_row for key in row})
    arrays = {
        key: np.array([[row.get(key, np.nan) for row in of_row] for of_row in rows.values()], dtype=np.float32)
        for key in keys
    }
    about = {
        "script": "benchmarks/bayes_by_backprop.py",
        "methods": list(rows),
        "settings": SETTINGS | {"steps": STEPS, "draws": DRAWS},
        "seeds": list(range(seeds)),
        "threads": torch.get_num_threads(),
    }
    results.write(Path(results.__file__).parent / "bayes_by_backprop.npz", arrays, about)


def read(kept):
    return json.loads(kept.read_text()) if kept.exists() else {}


if __name__ == "__main__":
    main()
