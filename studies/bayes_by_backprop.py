"""Fit and score every row of the chapters on choices of the fit, and on priors, layers and other methods.

`python studies/bayes_by_backprop.py` takes some hours on one core, and may be stopped; see `runs`. It writes
companion/shelf/files/bayes_by_backprop.npz, from which the chapters make their tables.
"""

import time
from functools import partial

import alternatives
import chains
import costs
import front_ends
import runs
import torch
from judging import scores, unfamiliar

from companion import book, datasets, uncertainty
from companion.bayes_by_backprop import Classifier, fit, to_bayesian
from companion.inference import Machine, Rates, Start
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
    "precision": "bfloat16",
    "elbo_draws": 4,
}
LAYERS = {"first": ["1"], "last": ["14"]}


def backprop(prior, layers=None, temperature=1.0, steps=STEPS, **settings):
    """Bayes by Backprop on the classical LeNet-5."""

    s = SETTINGS | settings

    def method(data, seed):
        model = Classifier(to_bayesian(lenet5(seed=seed), prior, layers))
        posterior = fit(
            model,
            data,
            steps,
            batch_size=s["batch_size"],
            estimator=s["estimator"],
            learning_rate=Rates(means=s["learning_rate"], scales=s["scale_rate"]),
            schedule=s["schedule"],
            start=Start(scale=s["start_scale"]),
            temperature=temperature,
            machine=Machine("cpu", s["precision"]),
            elbo_draws=s["elbo_draws"],
            seed=seed,
            progressbar=False,
        )
        return partial(predict, posterior, draws=DRAWS, seed=seed), posterior

    return method


def other(function, steps=STEPS, **settings):
    """Fit with one of `alternatives`, or of `chains`."""
    network = lambda seed: lenet5(seed=seed)  # noqa: E731
    return lambda data, seed: (function(network, data, steps, seed, batch=BATCH, **settings), None)


HEADLINE = "Gaussian, 0.1"
LONGER = "one draw, 1.7 times the steps"  # about the processor time of flipout's
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
    "tempered": backprop(Gaussian(0.1), temperature=0.05),
    "ensemble of 5": other(alternatives.ensemble, 5 * STEPS, rate=0.003, decay=0.0),
    "MC dropout": other(alternatives.dropout, rate=0.003, draws=DRAWS),
    "Laplace, last layer": other(alternatives.laplace, rate=0.003, draws=DRAWS),
    "SGLD": other(chains.sgld, rate=0.003, draws=DRAWS),
    "SWAG": other(alternatives.swag, rate=0.003, draws=DRAWS),
    "one draw for all rows": backprop(Gaussian(0.1), estimator="reparameterisation"),
    "local": backprop(Gaussian(0.1), estimator="local"),
    LONGER: backprop(Gaussian(0.1), estimator="reparameterisation", steps=1700),
    "horseshoe": backprop(RegularisedHorseshoe()),
    **OTHERS,
}
PARTS = ("last layer", "first layer")
ALTERNATIVES = ("plain", "ensemble of 5", "MC dropout", "SGLD", "Laplace, last layer", "SWAG")
GRADIENTS = ("one draw for all rows", "local", LONGER)
GAUSSIANS = ("Gaussian, 0.03", "Gaussian, 0.3", "Gaussian, 1")
PRIORS = (*GAUSSIANS, "Laplace, 0.1", "scale mixture", "learned scales", "horseshoe")
# on several seeds; the rest on one
REPEATED = (HEADLINE, "tempered", *PRIORS, *GRADIENTS, *PARTS, *ALTERNATIVES, *OTHERS)


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
    doubt = 1 - mean_probabilities(predictor(digits.validation.x[:VALIDATION])).max(axis=1)
    threshold = uncertainty.choose_threshold(doubt, REFUSED)
    began = time.process_time()
    p = predictor(digits.test.x)
    row["prediction cpu seconds"] = time.process_time() - began
    row |= scores(p, digits.test.y) | {"cut-off": 1 - threshold}
    of_digits = 1 - mean_probabilities(p).max(axis=1)
    row["refused, digits"] = (of_digits > threshold).mean()
    for kind, images in unfamiliar(digits, NOISE, FASHION).items():
        of_images = 1 - mean_probabilities(predictor(images)).max(axis=1)
        row[f"refused, {kind}"] = (of_images > threshold).mean()
        row[f"auroc, {kind}"] = uncertainty.detect(of_digits, of_images).auroc
    return row


def main():
    given = runs.parser(__doc__, "bayes_by_backprop").parse_args()
    book.setup()
    runs.restore(given, "bayes_by_backprop")
    runs.complete(given, METHODS, run, limits=dict.fromkeys(METHODS, 1) | dict.fromkeys(REPEATED, runs.SEEDS))
    about = {"script": "studies/bayes_by_backprop.py", "settings": SETTINGS | {"steps": STEPS, "draws": DRAWS}}
    runs.collect(given, METHODS, "bayes_by_backprop", about | {"threads": torch.get_num_threads()})


if __name__ == "__main__":
    main()
