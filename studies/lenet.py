"""Fit the LeNets of the Bayes by Backprop part on several seeds, with the settings that validation chose.

`python studies/lenet.py` takes an hour or two on two cores, and may be stopped; see `runs`. It writes
companion/shelf/files/lenet.npz, from which the chapter makes its tables. The fit that starts where TensorFlow
Probability starts is among the companion's releases, and its first seed is only scored here; with ``--release`` it is
fitted and stored anew, and looked at every 400 steps (lenet_steps.npz).
"""

import time
from functools import partial

import numpy as np
import runs
from judging import measures, scores, unfamiliar

from companion import datasets, load_posterior, shelf, uncertainty
from companion.bayes_by_backprop import Classifier, fit, to_bayesian
from companion.inference import Machine, Start
from companion.networks import lenet, lenet5
from companion.posterior import save_posterior
from companion.priors import Gaussian

DRAWS = 50
EARLY = 400
CUT_OFF = 0.2
RELEASED = "TensorFlow's start"
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
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
    # Weights and biases start at N(0, 0.1^2), as TensorFlow Probability's layers do; the others at sqrt(2 / inputs).
    RELEASED: (partial(lenet, scale=0.1), Gaussian(1.0), {"elbo_draws": 2}),
    "narrower start": (lenet, Gaussian(1.0), {}),
    "cosine": (lenet, Gaussian(1.0), {"schedule": "cosine"}),
    "tempered": (lenet, Gaussian(1.0), TEMPERED),
    # What the tempered fits change at once, one at a time: the temperature, the schedule, the sum of the rates.
    "tempered, constant rate": (lenet, Gaussian(1.0), {"temperature": 0.3}),
    "half the rate": (lenet, Gaussian(1.0), {"learning_rate": 0.0005}),
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


class Steps:
    """Looks at a fit every 400 steps: where its weights lie, and how sure it is of the post's noise."""

    def __init__(self, digits, seed):
        self.held_out, self.seed, self.found = digits.validation, seed, []
        self.noise = np.random.default_rng(1000 + seed).normal(size=(100, 28, 28)).astype(np.float32)

    def __call__(self, step, state):
        if step % EARLY:
            return
        posterior = state.posterior().best()
        kernels = [m for name, m in posterior.moments().items() if name.endswith("weight")]
        p = posterior.predictive(self.held_out.x[:500], 10, self.seed)
        sure = posterior.predictive(self.noise, DRAWS, self.seed).mean(axis=0).max(axis=1)
        self.found.append(
            {
                "step": step,
                "scale": [np.quantile(m.scale, QUANTILES) for m in kernels],
                "mean": [np.quantile(abs(m.mean), QUANTILES) for m in kernels],
                "held-out nats": -uncertainty.log_score(p, self.held_out.y[:500]),
                "noise, largest": np.quantile(sure, QUANTILES),
                "noise, below 0.2": np.mean(sure < CUT_OFF),
            }
        )

    def write(self):
        arrays = {name: np.array([own[name] for own in self.found], np.float32) for name in self.found[0]}
        about = {"script": "studies/lenet.py", "method": RELEASED, "seed": self.seed, "quantiles": QUANTILES}
        shelf.write_result(shelf.FILES / "lenet_steps.npz", arrays, about)


def released(method, seed):
    """Say whether it is the fit that comes with the companion."""
    return method == RELEASED and not seed


def fitted(method, seed, digits):
    """Fit once; the fit that comes with the companion is looked at on its way, and stored."""
    network, prior, settings = METHODS[method]
    model = Classifier(to_bayesian(network(seed=seed), prior))
    steps = Steps(digits, seed) if released(method, seed) else None
    posterior = fit(model, digits.train, **POST | settings, callback=steps, seed=seed, progressbar=False)
    if steps is not None:
        steps.write()
        save_posterior(posterior, shelf.FILES / shelf.RELEASES["lenet"].file)
    return posterior


def run(method, seed, release):
    """Fit once; scores as plain numbers."""
    digits = datasets.mnist()
    posterior = load_posterior("lenet") if released(method, seed) and not release else fitted(method, seed, digits)
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
    parser = runs.parser(__doc__, "lenet")
    parser.add_argument("--release", action="store_true")
    given = parser.parse_args()
    runs.restore(given, "lenet")
    runs.complete(given, METHODS, lambda method, seed: run(method, seed, given.release))
    settings = {m: runs.described({"prior": prior, **POST, **own}) for m, (_, prior, own) in METHODS.items()}
    runs.collect(given, METHODS, "lenet", {"script": "studies/lenet.py", "settings": settings, "draws": DRAWS})


if __name__ == "__main__":
    main()
