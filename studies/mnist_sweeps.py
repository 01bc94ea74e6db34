"""Fit the dense and the convolutional MNIST network at seven temperatures, and networks of seven widths at T = 1.

The temperature is the weight of the divergence. Within a network all of its fits have the same start, steps, rate and
estimator, which validation images had chosen for the tempered fits of `mnist.py`, so nothing but the temperature
differs; a fit at T = 1 with settings of its own stands in `mnist.py`. The widths have one or two hidden layers, and a
prior that matches the scale of the outputs at every width: standard deviation 0.1 sqrt(800 / inputs), which for 800
inputs is the post's. Each width takes the better of two rates by the log score on validation images. Two layers were
also fitted with rectified units in the place of tanh.

`python studies/mnist_sweeps.py` writes companion/shelf/files/mnist_sweeps.npz. It may be stopped; see `runs`.
``--tiny`` does some of it with small networks on few images, to see that it runs, and writes no file.
"""

import math
from functools import partial

import runs
import torch
from fits import scored, setting
from mnist_methods import COMMON, DRAWS, LOCAL, TEMPERED, convolutional_network, dense_network

from companion import book
from companion.priors import FanIn, Gaussian

TEMPERATURES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
WIDTHS = (10, 25, 50, 100, 200, 400, 800)
DEPTHS = {1: "one layer", 2: "two layers"}
RATES = (0.005, 0.01)
SAME_FUNCTIONS = FanIn(0.1 * math.sqrt(800))


def temperatures(name, network, prior, draws, settings):
    """One fit for each temperature, all else the same."""
    return {f"{name}, T = {t:g}": setting(network, prior, draws, **settings | {"temperature": t}) for t in TEMPERATURES}


def widths(depth, width, rate, activation=torch.nn.Tanh):
    network = partial(dense_network, hidden=(width,) * depth, activation=activation)
    return setting(network, SAME_FUNCTIONS, DRAWS, **LOCAL | {"learning_rate": rate})


METHODS = {
    **temperatures("dense", dense_network, Gaussian(0.1), DRAWS, COMMON),
    **{
        f"{DEPTHS[depth]} of {width}, rate {rate:g}": widths(depth, width, rate)
        for width in WIDTHS
        for depth in DEPTHS
        for rate in RATES
    },
    **temperatures("convolutional", convolutional_network, FanIn(1.5), 30, TEMPERED | {"steps": 5000}),
    **{
        f"two layers of {width}, rectified, rate {rate:g}": widths(2, width, rate, torch.nn.ReLU)
        for width in WIDTHS
        for rate in RATES
    },
}


def run(given, method, seed):
    return scored(METHODS[method], seed, tiny=given.tiny, bins="T =" in method)


def main():
    given = runs.parser(__doc__, "mnist_sweeps", tiny="few images and steps, to see that it runs").parse_args()
    book.setup()
    runs.begin(given, "mnist_sweeps")
    methods = [m for m in METHODS if not given.tiny or " of 800" not in m]
    runs.complete(given, methods, partial(run, given))
    if not given.tiny:
        settings = {m: runs.described({"prior": own["prior"], **own["settings"]}) for m, own in METHODS.items()}
        runs.collect(given, METHODS, "mnist_sweeps", {"script": "studies/mnist_sweeps.py", "settings": settings})


if __name__ == "__main__":
    main()
