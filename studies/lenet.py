"""Fit the LeNets of the Bayes by Backprop part on several seeds, with the settings that validation chose.

`python studies/lenet.py` takes an hour or two on two cores, and may be stopped; see `runs`. It writes
companion/shelf/files/lenet.npz, from which the chapter makes its tables.
"""

import time

import numpy as np
import runs
from judging import measures, scores, unfamiliar

from companion import datasets, uncertainty
from companion.bayes_by_backprop import Classifier, fit, to_bayesian
from companion.inference import Machine, Start
from companion.networks import lenet, lenet5
from companion.priors import Gaussian

DRAWS = 50
REFUSED = 0.01
POST = {
    "steps": 6000,
    "batch_size": 128,
    "learning_rate": 0.001,
    "schedule": "constant",
    "start": Start(scale=0.05),
    "estimator": "flipout",
    "machine": Machine(precision="bfloat16"),
    "elbo_draws": 20,
}
TEMPERED = {"temperature": 0.3, "schedule": "cosine"}
METHODS = {
    "the post's": (lenet, Gaussian(1.0), {}),
    "tempered": (lenet, Gaussian(1.0), TEMPERED),
    "LeNet-5": (lenet5, Gaussian(1.0), {}),
    "LeNet-5, tempered": (lenet5, Gaussian(1.0), TEMPERED),
}


def refusals(predictor, held_out, p, digits):
    """Share of every kind of image that is refused where 1 in 100 validation digits is, by every measure."""
    thresholds = {n: uncertainty.choose_threshold(own, REFUSED) for n, own in measures(held_out).items()}
    seen = {"digits": p} | {kind: predictor(x[:1000]) for kind, x in unfamiliar(digits).items()}
    return {
        f"refused, {kind}, {name}": np.mean(measure > thresholds[name])
        for kind, probabilities in seen.items()
        for name, measure in measures(probabilities).items()
    } | {f"threshold, {name}": value for name, value in thresholds.items()}


def run(method, seed):
    """Fit once; scores as plain numbers."""
    digits = datasets.mnist()
    network, prior, settings = METHODS[method]
    model = Classifier(to_bayesian(network(seed=seed), prior))
    posterior = fit(model, digits.train, **POST | settings, seed=seed, progressbar=False)
    begun = time.perf_counter()
    p = posterior.predictive(digits.test.x, DRAWS, seed)
    row = {"prediction seconds": time.perf_counter() - begun, "fit seconds": posterior.record.seconds}
    row |= {"temperature": posterior.record.temperature}
    row |= {"negative elbo": -posterior.record.elbo / len(digits.train)}
    row |= {f"test {k}": v for k, v in scores(p, digits.test.y).items()}
    row |= {"test accuracy of one draw": np.mean([uncertainty.accuracy(one[None], digits.test.y) for one in p])}
    at_means = posterior.predict(digits.test.x, posterior.means())
    row |= {f"test {k} at the means": v for k, v in scores(at_means, digits.test.y).items()}
    held_out = posterior.predictive(digits.validation.x, DRAWS, seed)
    row |= {f"validation {k}": v for k, v in scores(held_out, digits.validation.y).items()}
    row |= refusals(lambda x: posterior.predictive(x, DRAWS, seed), held_out, p, digits)
    return row


def main():
    given = runs.parser(__doc__, "lenet").parse_args()
    runs.restore(given, "lenet")
    runs.complete(given, METHODS, run)
    settings = {m: runs.described({"prior": prior, **POST, **own}) for m, (_, prior, own) in METHODS.items()}
    runs.collect(given, METHODS, "lenet", {"script": "studies/lenet.py", "settings": settings, "draws": DRAWS})


if __name__ == "__main__":
    main()
