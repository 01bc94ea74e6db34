"""The same Bayesian LeNet-5 by three front ends: PyMC's own ADVI, the engine, and Pyro.

On the first 8,000 training images, so that PyMC's ELBO on all rows fits into memory; network, prior, batch size, steps,
learning rate, start and gradient estimator are the same for all. Each returns scores as plain numbers.
"""

import time

import numpy as np
import pymc as pm
import torch
from judging import scores
from torch.func import functional_call

from companion.bayes_by_backprop import Classifier, to_bayesian
from companion.bayes_by_backprop import fit as fit_pyro
from companion.bridge import bayesian
from companion.datasets import Observations
from companion.inference import Machine, Start, fit, fit_advi
from companion.models import torch_classifier
from companion.networks import lenet5
from companion.priors import Gaussian

IMAGES, TEST, BATCH, STEPS, RATE, START, DRAWS = 8000, 5000, 128, 6000, 0.003, 0.02, 20
PRIOR = Gaussian(0.1)
COMMON = {
    "steps": STEPS,
    "batch_size": BATCH,
    "learning_rate": RATE,
    "schedule": "constant",
    "start": Start(scale=START),
    "elbo_draws": DRAWS,
    "progressbar": False,
}


def by_pymc(data, seed):
    with pm.Model() as model:
        x, labels = pm.Minibatch(data.x, data.y, batch_size=BATCH)
        logits = bayesian(lenet5(seed=seed), PRIOR, x)
        pm.Categorical("y", logit_p=logits, observed=labels, total_size=len(data))
    full = torch_classifier(data, lenet5(seed=seed), PRIOR)
    return fit_advi(
        model, STEPS, optimizer=pm.adam(learning_rate=RATE), seed=seed, full_model=full, start_scale=START,
        elbo_draws=DRAWS,
    )  # fmt: skip


def by_engine(data, seed):
    model = torch_classifier(data, lenet5(seed=seed), PRIOR)
    return fit(model, **COMMON, machine=Machine("cpu", compile=False), seed=seed)


def by_pyro(data, seed):
    model = Classifier(to_bayesian(lenet5(seed=seed), PRIOR))
    return fit_pyro(model, data, **COMMON, machine="cpu", seed=seed)


def predicted(draws, images):
    """Class probabilities (draws, points, classes), by plain torch for every front end."""
    network, x = lenet5(), torch.tensor(images)
    with torch.no_grad():
        sets = [{name: torch.tensor(a[k], dtype=torch.float32) for name, a in draws.items()} for k in range(DRAWS)]
        return np.stack([functional_call(network, weights, (x,)).softmax(dim=1).numpy() for weights in sets])


def scored(front_end):
    """Fit, and score on all test images."""

    def method(digits, seed):
        data = Observations(digits.train.x[:IMAGES], digits.train.y[:IMAGES])
        began = time.process_time()
        posterior = front_end(data, seed)
        row = {"cpu seconds": time.process_time() - began}
        row |= {"negative elbo": -posterior.record.elbo / IMAGES}
        row["negative elbo, standard error"] = posterior.record.elbo_se / IMAGES
        p = predicted(posterior.draw(DRAWS, seed), digits.test.x[:TEST])
        row |= scores(p, digits.test.y[:TEST])
        return {k: float(v) for k, v in row.items()}

    return method


METHODS = {
    "front end: PyMC": scored(by_pymc),
    "front end: engine": scored(by_engine),
    "front end: Pyro": scored(by_pyro),
}
