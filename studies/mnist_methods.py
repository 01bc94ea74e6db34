"""The methods that the MNIST chapters compare, by part and name, with the settings that validation images chose.

Each takes training images and a seed, and returns a predictor (images in, probabilities (draws, points, classes) out)
and the engine's posterior, or None where the method has none.
"""

from functools import partial

import alternatives
import chains
import numpy as np
import torch

from companion.inference import Machine, Rates, Start, fit
from companion.models import torch_classifier
from companion.networks import convolutional, dense
from companion.prediction import predict
from companion.priors import FanIn, Gaussian, LearnedScale, RelevanceDetermination, ScaleMixture

DRAWS = 50
CPU = Machine("cpu", "bfloat16")


def dense_network(seed, hidden=(800, 800), activation=torch.nn.Tanh):
    return torch.nn.Sequential(torch.nn.Flatten(), *dense(784, *hidden, 10, activation=activation, seed=seed))


def convolutional_network(seed, hidden=256):
    return convolutional(hidden=hidden, seed=seed)


def engine(network, prior, draws=DRAWS, **settings):
    """Fit the prior's posterior with the companion's engine."""

    def method(data, seed):
        model = torch_classifier(data, network(seed), prior)
        start = settings.get("start")
        given = settings | ({"start": start(model, seed)} if callable(start) else {})
        posterior = fit(model, **given, machine=CPU, elbo_draws=20, seed=seed, progressbar=False)
        return partial(predict, posterior, draws=draws, seed=seed), posterior

    return method


def other(function, network, steps, **settings):
    """Fit with one of `alternatives`, or of `chains`."""
    return lambda data, seed: (function(network, data, steps, seed, **settings), None)


def of_the_post(model, seed):
    """Start where the post did: the weights from N(0, 1), as it says; scales at 1, and deviations of 1 by PyMC3."""
    rng = np.random.default_rng(seed)
    shapes = model.eval_rv_shapes()
    values = {
        rv.name: np.ones(shapes[rv.name]) if rv.name.endswith("scale") else rng.normal(size=shapes[rv.name])
        for rv in model.free_RVs
    }
    return Start(values, scale=1.0)


# A step of local reparameterisation takes longer, so that it has half the steps.
COMMON = {"batch_size": 500, "steps": 5000, "learning_rate": 0.003, "start": Start(scale=0.01)}
LOCAL = COMMON | {"steps": 2500, "estimator": "local", "learning_rate": 0.005}
LONG = LOCAL | {"steps": 10_000}
EACH = {"each": "parameter"}

DENSE = {
    "mean-field": engine(dense_network, Gaussian(0.1), **LOCAL),
    "mean-field, 10,000 steps": engine(dense_network, Gaussian(0.1), **LONG),
    "one draw for all rows": engine(dense_network, Gaussian(0.1), **COMMON),
    "the post's start": engine(dense_network, Gaussian(0.1), **COMMON | {"start": of_the_post}),
    "start at the mode": engine(
        dense_network, Gaussian(0.1), **COMMON | {"start": Start(scale=0.01, map_steps=1000), "steps": 4000}
    ),
    "learned scales": engine(dense_network, LearnedScale(1.0, **EACH), **LOCAL),
    "learned scales, 50 units": engine(
        partial(dense_network, hidden=(50,)), LearnedScale(1.0, **EACH), **LOCAL | {"learning_rate": 0.01}
    ),
    "tempered": engine(dense_network, Gaussian(0.1), **COMMON, temperature=0.05),
    "tempered, 8,000 steps": engine(dense_network, Gaussian(0.1), **COMMON | {"steps": 8000}, temperature=0.05),
    "mixture of 3, tempered": engine(
        dense_network, Gaussian(0.1), **COMMON | {"steps": 1667}, restarts=3, keep="mixture", temperature=0.05
    ),
    "plain": other(alternatives.plain, dense_network, 5000, decay=10.0),
    "ensemble of 5": other(alternatives.ensemble, dense_network, 5000, decay=10.0),
    "MC dropout": other(alternatives.dropout, dense_network, 5000),
    "Laplace, last layer": other(alternatives.laplace, dense_network, 5000),
    "SGLD": other(chains.sgld, dense_network, 5000),
}

SCALES = (0.02, 0.05, 0.07, 0.1, 0.2, 0.5)
HIERARCHICAL = {
    "learned scales": engine(dense_network, LearnedScale(1.0, **EACH), **LOCAL),
    "non-centred": engine(dense_network, LearnedScale(1.0, centred=False, **EACH), **LOCAL),
    "a scale for each pixel": engine(dense_network, RelevanceDetermination(1.0), **LOCAL),
    "a scale for each pixel, 50 units": engine(
        partial(dense_network, hidden=(50,)), RelevanceDetermination(1.0), **LOCAL | {"learning_rate": 0.01}
    ),
    "learned scales, tempered": engine(
        dense_network, LearnedScale(1.0, **EACH), **COMMON | {"learning_rate": Rates(0.003, 0.005)}, temperature=0.03
    ),
    **{f"fixed at {s}": engine(dense_network, Gaussian(s), **LOCAL) for s in SCALES},
    "fixed at 0.1, tempered": DENSE["tempered"],
}

# Where learned scales and the weights' deviations begin; 1 and 0.01 is "learned scales" above. What sets scales in
# closed form forgets where they began.
FROM = ((1.0, 0.003), (1.0, 0.03), (0.1, 0.003), (0.1, 0.01), (0.1, 0.03))
STARTS = {
    f"mean-field, scales from {scale:g}, widths from {width:g}": engine(
        dense_network, LearnedScale(1.0, start=scale, **EACH), **LOCAL | {"start": Start(scale=width)}
    )
    for scale, width in FROM
} | {
    f"optimal-scales, widths from {width:g}": engine(
        dense_network, LearnedScale(1.0, **EACH), **LOCAL | {"family": "optimal-scales", "start": Start(scale=width)}
    )
    for width in (0.003, 0.01, 0.03)
}

RECTIFIED = {  # what sets the fits of Blundell et al. (2015) apart from the post's network: units, prior, steps
    f"{name}{told}": engine(partial(dense_network, activation=torch.nn.ReLU), prior, **steps)
    for told, steps in (("", LOCAL), (", 10,000 steps", LONG))
    for name, prior in {
        "fixed at 0.1": Gaussian(0.1),
        "mixture of 1 and 0.0025": ScaleMixture(0.5),
        "mixture of 0.14 and 0.0025": ScaleMixture(0.5, wide=np.exp(-2)),
    }.items()
}

CONVOLUTION = {"batch_size": 250, "steps": 5000, "learning_rate": Rates(0.005, 0.02), "start": Start(scale=0.03)}
TEMPERED = CONVOLUTION | {"steps": 8000, "learning_rate": 0.003, "temperature": 0.1}
CONVOLUTIONAL = {
    "mean-field, the post's prior": engine(convolutional_network, Gaussian(0.1), 30, **CONVOLUTION),
    "the post's prior and start": engine(
        convolutional_network, Gaussian(0.1), 30, **CONVOLUTION | {"start": of_the_post}
    ),
    "mean-field": engine(convolutional_network, FanIn(1.5), 30, **CONVOLUTION),
    "start at the mode": engine(
        convolutional_network,
        FanIn(1.5),
        30,
        **CONVOLUTION | {"start": Start(scale=0.03, map_steps=1000), "steps": 4000},
    ),
    "tempered, 8,000 steps": engine(convolutional_network, FanIn(1.5), 30, **TEMPERED),
    "learned scales": engine(convolutional_network, LearnedScale(1.0, start=0.2, **EACH), 30, **CONVOLUTION),
    "learned scales, 50 units": engine(
        partial(convolutional_network, hidden=50), LearnedScale(1.0, start=0.2, **EACH), 30, **CONVOLUTION
    ),
    "learned scales, tempered, 8,000 steps": engine(
        convolutional_network, LearnedScale(1.0, start=0.2, **EACH), 30, **TEMPERED
    ),
    "learned scales, the post's start": engine(
        convolutional_network, LearnedScale(1.0, **EACH), 30, **CONVOLUTION | {"start": of_the_post}
    ),
    "plain": other(alternatives.plain, convolutional_network, 5000, decay=1.0, batch=250),
    "ensemble of 5": other(alternatives.ensemble, convolutional_network, 5000, decay=1.0, batch=250),
}

# The same run under another name: done once, used twice.
SAME = {
    ("hierarchical", "fixed at 0.1"): ("dense", "mean-field"),
    ("hierarchical", "fixed at 0.1, tempered"): ("dense", "tempered"),
    ("hierarchical", "learned scales"): ("dense", "learned scales"),
}

# Done on one seed: they show what a choice does, and no median is claimed of them.
ONCE = {
    "dense": (
        "mean-field, 10,000 steps",
        "one draw for all rows",
        "the post's start",
        "start at the mode",
        "tempered, 8,000 steps",
        "mixture of 3, tempered",
        "MC dropout",
        "Laplace, last layer",
        "SGLD",
    ),
    "hierarchical": (
        "non-centred",
        "a scale for each pixel",
        "a scale for each pixel, 50 units",
        "fixed at 0.02",
        "fixed at 0.5",
    ),
    "starts": tuple(STARTS),
    "rectified": tuple(name for name in RECTIFIED if name != "fixed at 0.1"),
    "convolutional": (
        "mean-field, the post's prior",
        "the post's prior and start",
        "start at the mode",
        "learned scales, the post's start",
    ),
}

PARTS = {
    "dense": DENSE,
    "hierarchical": HIERARCHICAL,
    "starts": STARTS,
    "rectified": RECTIFIED,
    "convolutional": CONVOLUTIONAL,
}
RELEASED = {
    ("dense", "mean-field"): "mnist-dense",
    ("dense", "learned scales"): "mnist-hierarchical",
    ("convolutional", "mean-field"): "mnist-convolutional",
}
