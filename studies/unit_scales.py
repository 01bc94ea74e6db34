"""Fit the dense MNIST network at full weight with a learned scale for each unit, for each matrix, and for products.

`python studies/unit_scales.py` first takes three candidates of the rate, 3,000 steps each on seed 0, and keeps
the one with the best log score on validation images. With its settings it fits the product of row and column scales on
three seeds, and on one seed the same without the warm-up or from other starts, fewer scales and none. It writes
companion/shelf/files/unit_scales.npz, and may be stopped; see `runs`. ``--tiny`` takes two candidates and all methods,
with a network of 20 units on 500 images, in a minute, to see that it runs; it writes no file.
"""

import numpy as np
import runs
import torch
from judging import first, scores
from mnist_methods import CPU, DRAWS, dense_network

from companion import book, datasets
from companion.inference import Machine, Schedule, Start, fit
from companion.models import torch_classifier
from companion.prediction import predict
from companion.priors import Gaussian, LearnedScale, UnitScale

COMMON = {
    "batch_size": 500,
    "estimator": "local",
    "family": "empirical-bayes",
    "prior": UnitScale(1.0),
    "activation": torch.nn.Tanh,
}

CANDIDATES = {
    f"rate {rate:g}, warm-up {share:g}": {"learning_rate": rate, "warm_up": share, "start": 0.01}
    for rate, share in ((0.003, 0.4), (0.005, 0.4), (0.01, 0.4))
}
METHODS = {
    "rows times columns": {"steps": 6000},
    "rows times columns, 12,000 steps": {"steps": 12_000},
    "rows times columns, paid for": {"steps": 6000, "family": "optimal-scales"},
    "rows": {"steps": 6000, "prior": UnitScale(1.0, "incoming")},
    "columns": {"steps": 6000, "prior": UnitScale(1.0, "outgoing")},
    "one for each matrix": {"steps": 6000, "prior": LearnedScale(1.0, each="parameter")},
    "rows times columns, no warm-up": {"steps": 6000, "warm_up": 0.0},
    **{f"rows times columns, widths from {width:g}": {"steps": 6000, "start": width} for width in (0.003, 0.03)},
    "fixed at 0.1": {"steps": 6000, "family": "mean-field", "prior": Gaussian(0.1)},
    "rows times columns, rectified": {"steps": 6000, "activation": torch.nn.ReLU},
}
ONCE = dict.fromkeys((m for m in METHODS if m != "rows times columns"), 1)

LEAST_NATS = 10.0


def mnist(tiny):
    digits = datasets.mnist()
    if not tiny:
        return digits.train, digits.validation, digits.test
    return (first(digits.train, 500), first(digits.test, 100)) * 2


def fitted(tiny, settings, seed):
    """Fit once, with the settings of a candidate and what differs from them."""
    given = COMMON | {"steps": 3000} | settings
    network = dense_network(seed, (20, 20) if tiny else (800, 800), given["activation"])
    model = torch_classifier(mnist(tiny)[0], network, given["prior"])
    return fit(
        model,
        30 if tiny else given["steps"],
        batch_size=50 if tiny else given["batch_size"],
        family=given["family"],
        estimator=given["estimator"],
        learning_rate=given["learning_rate"],
        schedule=Schedule("cosine", kl_warmup=given["warm_up"]),
        start=Start(scale=given["start"]),
        machine=Machine("cpu", compile=False) if tiny else CPU,
        elbo_draws=20,
        seed=seed,
        progressbar=False,
    )


def run(tiny, settings, seed):
    """Fit once; scores on validation and on test images, the bound, and what is left of the network."""
    train, validation, test, *_ = mnist(tiny)
    posterior = fitted(tiny, settings, seed)
    row = {"negative elbo": -posterior.record.elbo / len(train), "fit seconds": posterior.record.seconds}
    for name, part in (("validation", validation), ("test", test)):
        p = predict(posterior, part.x, draws=DRAWS, seed=seed)
        row |= {f"{name} {k}": v for k, v in scores(p, part.y).items()}
    return row | alive(posterior, (COMMON | settings)["prior"])


def width_of(moments, name, prior=None):
    """Standard deviation of a parameter's prior, an array as large as the parameter, with its scales at their means."""
    width = np.full(moments[name].mean.shape, prior.scale if isinstance(prior, Gaussian) else 1.0)
    for suffix, axis in (("_scale", None), ("_in_scale", 1), ("_out_scale", 0)):
        if (own := moments.get(f"{name}{suffix}_log__")) is not None:
            scale = np.exp(own.mean)
            width = width * (scale if axis is None else np.expand_dims(scale, axis))
    return width


def alive(posterior, prior):
    """Number of hidden units whose incoming weights carry more than 10 nats, of each hidden layer."""
    moments = posterior.moments()
    matrices = [name for name, own in moments.items() if name.endswith("weight") and own.mean.ndim == 2]
    found = {}
    for name in matrices[:-1]:
        mean, sd = moments[name].mean, moments[name].scale
        width = width_of(moments, name, prior)
        nats = (np.log(width / sd) + (mean**2 + sd**2) / (2 * width**2) - 0.5).sum(axis=1)
        found[f"units alive, {name}"] = (nats > LEAST_NATS).sum()
    return found


def main():
    given = runs.parser(__doc__, "unit_scales", tiny="a network of 20 units, to see that it runs").parse_args()
    book.setup()
    runs.begin(given, "unit_scales")
    candidates = list(CANDIDATES)[: 2 if given.tiny else None]
    runs.complete(
        given, candidates, lambda m, seed: run(given.tiny, CANDIDATES[m], seed), limits=dict.fromkeys(CANDIDATES, 1)
    )
    chosen = runs.lowest(given, candidates, "validation nll")
    settings = {m: CANDIDATES[chosen] | own for m, own in METHODS.items()}
    runs.complete(given, METHODS, lambda m, seed: run(given.tiny, settings[m], seed), limits=ONCE)
    if not given.tiny:
        about = {name: runs.described(COMMON | own) for name, own in {**CANDIDATES, **settings}.items()}
        about = {"script": "studies/unit_scales.py", "chosen": chosen, "settings": about}
        runs.collect(given, {**METHODS, **CANDIDATES}, "unit_scales", about)


if __name__ == "__main__":
    main()
