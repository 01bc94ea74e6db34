"""Send the labels of MNIST by codes that learn as they go, and compare their lengths with what bounds promise.

Sender and receiver have the images. Labels go in blocks, each as long as all before it: the first is sent at ten to
one, and each of the others by what was fitted to the labels that are there already. A label costs minus the logarithm
of its probability, so a block costs its summed log score. By the chain rule the posterior itself would need minus the
logarithm of the evidence in all, for which a variational fit has a bound. The images are in an order of each seed.

Settings are those of the league and of `mnist.py`, with as many passes over few images as over all, but at least
`LEAST` steps, and batches of at most a tenth of the images.

`python studies/codes.py` writes companion/shelf/files/mnist_codes.npz. It may be stopped; see `runs`. ``--tiny`` does
all of it with few images and steps, and writes no file.
"""

import math
from functools import partial

import numpy as np
import runs
from mnist_methods import LOCAL, convolutional_network, dense_network

from companion import book, datasets, inference, uncertainty
from companion.datasets import Observations
from companion.inference import Machine, fit
from companion.models import torch_classifier
from companion.prediction import predict
from companion.priors import Gaussian

FIRST, MOST, DRAWS = 100, 500, 50
LEAST, DECAY, RATE = 500, 10.0, 1e-3
NARROW = partial(dense_network, hidden=(50,))


def plain(network):
    """Train one network, with a decay."""

    def run(data, seed, steps, **settings):
        model = torch_classifier(data, network(seed), Gaussian(DECAY**-0.5))
        return inference.ensemble(model, steps, members=1, learning_rate=RATE, seed=seed, **settings), 1

    return run


def mean_field(network, **own):
    """Fit a mean field under the post's prior."""
    own = {name: value for name, value in {**LOCAL, **own}.items() if name not in ("steps", "batch_size")}

    def run(data, seed, steps, **settings):
        model = torch_classifier(data, network(seed), Gaussian(0.1))
        return fit(model, steps, **own, elbo_draws=2, seed=seed, **settings), DRAWS

    return run


METHODS = {
    "plain": (plain(dense_network), 2500),
    "plain, 50 units": (plain(NARROW), 2500),
    "plain, convolutional": (plain(convolutional_network), 2500),
    "mean-field": (mean_field(dense_network), 2500),
    "mean-field, 50 units": (mean_field(NARROW, learning_rate=0.01), 2500),
}


def blocks(rows, first):
    """Cut rows where each block begins and ends: as many as all before it."""
    ends = [first * 2**k for k in range(math.ceil(math.log2(rows / first)))] + [rows]
    return list(zip([0, *ends[:-1]], ends, strict=True))


def run(given, method, seed):
    """Send all labels once; what the blocks cost, in nats."""
    fitted, steps = METHODS[method]
    train = datasets.mnist().train
    rows, first = (len(train), FIRST) if not given.tiny else (200, 50)
    order = np.random.default_rng(seed).permutation(len(train))[:rows]
    x, y = train.x[order], train.y[order]
    row, total = {}, 0.0
    for begin, end in blocks(rows, first):
        cost = (end - begin) * math.log(10)
        if begin:
            own = max(LEAST, round(steps * begin / rows)) if not given.tiny else 10
            machine = Machine("cpu", "bfloat16") if not given.tiny else Machine("cpu", compile=False)
            settings = {"batch_size": min(MOST, begin // 10), "machine": machine, "progressbar": False}
            posterior, draws = fitted(Observations(x[:begin], y[:begin]), seed, own, **settings)
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
        own = {"first block": FIRST, "decay": DECAY, "rate of the plain ones": RATE, "least steps": LEAST}
        about = {"script": "studies/codes.py", "settings": own | {"mean field": runs.described(LOCAL)}}
        runs.collect(given, METHODS, "mnist_codes", about)


if __name__ == "__main__":
    main()
