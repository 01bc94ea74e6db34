"""What a step costs: a deterministic network against the same network by Bayes by Backprop, for each estimator.

Seconds are of the processor, of one thread, so that a busy machine changes them little. A ratio of two estimators is
taken seed by seed: the runs of a seed stand together. Bytes are those that the forward pass keeps
for the backward pass, counted once for each storage; they are the same on every machine.
"""

import time

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from companion.bayes_by_backprop import (
    Classifier,
    MeanFieldGuide,
    computing,
    free_energy,
    layer_noise,
    to_bayesian,
    weights_of_layers,
)
from companion.networks import lenet, lenet5
from companion.priors import Gaussian

BATCH, STEPS, WARM = 128, 60, 15
NETWORKS = {"lenet": lenet, "LeNet-5": lenet5}
ESTIMATORS = ("deterministic", "reparameterisation", "local", "flipout")


def cost(network, estimator):
    """Measure one network with one estimator."""

    def method(digits, seed):
        with computing(torch.device("cpu"), "float32"):
            return measured(network(seed=seed), estimator, digits, seed)

    return method


def measured(module, estimator, digits, seed):
    torch.set_num_threads(1)  # process time sums the threads, and a step has to be one core's
    x, y = torch.tensor(digits.train.x[:BATCH]), torch.tensor(digits.train.y[:BATCH], dtype=torch.long)
    torch.manual_seed(seed)
    if estimator == "deterministic":
        weights, loss = list(module.parameters()), lambda: cross_entropy(module(x), y)
    else:
        model = Classifier(to_bayesian(module, Gaussian(0.1)))
        guide = MeanFieldGuide(model, x[:16], y[:16], start_scale=0.02)
        names = weights_of_layers(estimator, model, guide, x[:16], y[:16])
        weights = list(guide.parameters())

        def loss():
            with layer_noise(estimator, names):
                return free_energy(model, guide, x, y) / BATCH

    adam, seconds = torch.optim.Adam(weights, lr=1e-4, fused=True), []
    for _ in range(STEPS + WARM):
        began = time.process_time()
        adam.zero_grad()
        loss().backward()
        adam.step()
        seconds.append(time.process_time() - began)
    return {
        "step cpu seconds": float(np.median(seconds[WARM:])),
        "trained numbers": float(sum(w.numel() for w in weights)),
        "bytes kept": float(kept(loss, weights)),
    }


def kept(loss, weights):
    """Count the bytes that a forward pass keeps, beside the weights themselves."""
    own = {w.untyped_storage().data_ptr() for w in weights}
    found = {}

    def pack(tensor):
        found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        graph = loss()  # alive until the count is done, so that no storage is used twice
    total = sum(size for place, size in found.items() if place not in own)
    del graph
    return total


METHODS = {f"cost: {name}, {e}": cost(network, e) for name, network in NETWORKS.items() for e in ESTIMATORS}
