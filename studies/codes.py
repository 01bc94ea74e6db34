"""Send the labels of MNIST by codes that learn as they go, and compare their lengths with what bounds promise.

Sender and receiver have the images. Labels go in blocks, each as long as all before it: the first is sent at ten to
one, and each of the others by what was fitted to the labels that are there already. A label costs minus the logarithm
of its probability, so a block costs its summed log score. By the chain rule the posterior itself would need minus the
logarithm of the evidence in all, if it learned from each label at once; with blocks it needs a little more. For that
evidence a variational fit has a bound, by a fit of the same settings to all labels. A Laplace approximation with
Kronecker factors estimates it, under four standard deviations of the prior, and the bound of the same normal law stands
beside it. The images are in an order of each seed.

Settings are those of the league and of `mnist.py`, with as many passes over few images as over all, but at least
`LEAST` steps, and batches of at most a tenth of the images. The first labels are sent with five times as many, too.

`python studies/codes.py` writes companion/shelf/files/mnist_codes.npz. It may be stopped; see `runs`. ``--tiny`` does
all of it with few images and steps, and writes no file.
"""

import math
from functools import partial

import numpy as np
import runs
from judging import scores
from mnist_methods import LOCAL, convolutional_network, dense_network

from companion import book, datasets, inference, uncertainty
from companion.datasets import Observations
from companion.inference import Machine, fit
from companion.models import torch_classifier
from companion.prediction import predict
from companion.priors import Gaussian

FIRST, MOST, DRAWS = 100, 500, 50
STEPS, LEAST, DECAY, RATE = 2500, 500, 10.0, 1e-3
SCALES, FEW, JUDGED = (0.05, 0.1, 0.2, 0.4), 20, 2000  # of the Laplace approximations
TO_THE_MODE = {"steps": 5000, "learning_rate": RATE, "polish": 15, "tolerance": 1.0}
NARROW, NARROW_RATE = partial(dense_network, hidden=(50,)), 0.01


def plain(network):
    """Train one network, with a decay."""

    def run(data, seed, steps, **settings):
        model = torch_classifier(data, network(seed), Gaussian(DECAY**-0.5))
        return inference.ensemble(model, steps, members=1, learning_rate=RATE, seed=seed, **settings), 1

    return run


def mean_field(network, **own):
    """Fit a mean field under the post's prior."""
    own = {name: v for name, v in {**LOCAL, "elbo_draws": 2, **own}.items() if name not in ("steps", "batch_size")}

    def run(data, seed, steps, **settings):
        model = torch_classifier(data, network(seed), Gaussian(0.1))
        return fit(model, steps, **own, seed=seed, **settings), DRAWS

    return run


def at_the_mode(data, network, scale, seed, draws, **settings):
    """Approximate the posterior around a mode; what it says of the evidence, and how its linear model predicts."""
    model, test = torch_classifier(data, network(seed), Gaussian(scale)), datasets.mnist().test
    settings = TO_THE_MODE | settings
    found = inference.laplace(model, structure="kronecker", seed=seed, elbo_draws=draws, **settings)
    p = predict(found, test.x[:JUDGED], draws=draws, seed=seed)
    return {
        "negative log evidence": -found.record.log_evidence / len(data),
        "negative elbo": -found.record.elbo / len(data),
        "distance": found.record.settings["distance"],
        **{f"test {name}": value for name, value in scores(p, test.y[:JUDGED]).items()},
    }


LONG = {"least": 5 * LEAST, "labels": 800}  # the first labels again, with fits of more steps
METHODS = {
    "plain": {"fit": plain(dense_network)},
    "plain, 50 units": {"fit": plain(NARROW)},
    "plain, convolutional": {"fit": plain(convolutional_network)},
    "mean-field": {"fit": mean_field(dense_network)},
    "mean-field, 50 units": {"fit": mean_field(NARROW, learning_rate=NARROW_RATE)},
    "plain, five times the steps": {"fit": plain(dense_network), **LONG},
    "mean-field, five times the steps": {"fit": mean_field(dense_network), **LONG},
    "mean-field, 50 units, five times the steps": {"fit": mean_field(NARROW, learning_rate=NARROW_RATE), **LONG},
    "bound of the mean-field": {"fit": mean_field(dense_network, elbo_draws=20), "all": True},
    "bound of the mean-field, 50 units": {
        "fit": mean_field(NARROW, learning_rate=NARROW_RATE, elbo_draws=20),
        "all": True,
    },
    **{
        f"Laplace{size}, scale {scale:g}": {"mode": partial(at_the_mode, network=network, scale=scale)}
        for scale in SCALES
        for size, network in (("", dense_network), (", 50 units", NARROW))
    },
}


def blocks(rows, first):
    """Cut rows where each block begins and ends: as many as all before it."""
    ends = [first * 2**k for k in range(math.ceil(math.log2(rows / first)))] + [rows]
    return list(zip([0, *ends[:-1]], ends, strict=True))


def run(given, method, seed):
    """Send the labels once; what the blocks cost, in nats. Or fit to all of them at once, for a bound or at a mode."""
    own, train = METHODS[method], datasets.mnist().train
    rows, first, least = own.get("labels", len(train)), FIRST, own.get("least", LEAST)
    machine = Machine("cpu", "bfloat16")
    if given.tiny:
        rows, first, least, machine = 200, 50, 10, Machine("cpu", compile=False)
    if "mode" in own:
        settings = {"steps": 20, "polish": 1, "tolerance": 100.0, "draws": 2} if given.tiny else {"draws": FEW}
        settings |= {"batch_size": min(MOST, rows // 10), "machine": machine, "progressbar": False}
        return own["mode"](Observations(train.x[:rows], train.y[:rows]), seed=seed, **settings)
    order = np.random.default_rng(seed).permutation(len(train))[:rows]
    x, y = train.x[order], train.y[order]

    def fitted(known):
        steps = max(least, round(STEPS * known / len(train)))
        settings = {"batch_size": min(MOST, known // 10), "machine": machine, "progressbar": False}
        return own["fit"](Observations(x[:known], y[:known]), seed, steps, **settings)

    if own.get("all"):
        posterior, _ = fitted(rows)
        return {"negative elbo": -posterior.record.elbo / rows}
    row, total = {}, 0.0
    for begin, end in blocks(rows, first):
        cost = (end - begin) * math.log(10)
        if begin:
            posterior, draws = fitted(begin)
            p = predict(posterior, x[begin:end], draws=draws, seed=seed)
            cost = (end - begin) * uncertainty.log_score(p, y[begin:end])
        total += cost
        row[f"labels {begin} to {end}, nats"] = cost
    return row | {"nats an image": total / rows, "kilobits": total / math.log(2) / 1000}


def main():
    given = runs.parser(__doc__, "mnist_codes", tiny="few images and steps, to see that it runs").parse_args()
    book.setup()
    runs.begin(given, "mnist_codes")
    runs.complete(given, METHODS, lambda method, seed: run(given, method, seed))
    if not given.tiny:
        own = {
            "first block": FIRST,
            "decay": DECAY,
            "rate of the plain ones": RATE,
            "steps": STEPS,
            "least steps": LEAST,
        }
        own |= {"prior scales of the modes": SCALES, "to the modes": TO_THE_MODE}
        own |= {"draws of the modes": FEW, "judged": JUDGED}
        own |= {"prior of the mean fields": "Gaussian(0.1)", "rate of 50 units": NARROW_RATE, "draws": DRAWS, **LONG}
        about = {"script": "studies/codes.py", "settings": own | {"mean field": runs.described(LOCAL)}}
        runs.collect(given, METHODS, "mnist_codes", about)


if __name__ == "__main__":
    main()
