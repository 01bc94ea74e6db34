"""Fitted posteriors that come with the companion, to be loaded by name, without an hour's wait or any data.

Each is the headline fit of a chapter, stored in half precision by `studies/mnist.py` or `studies/lenet.py`. Explained
in `book/reference/how_a_fit_works`, section "On disk".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from companion import posterior
from companion.bayes_by_backprop import Classifier, to_bayesian
from companion.datasets import Observations
from companion.errors import DataError, ModelError
from companion.models import torch_classifier
from companion.networks import convolutional, dense, lenet
from companion.priors import FanIn, Gaussian, LearnedScale, Prior

__all__ = ["RELEASES", "Release", "load_posterior"]


@dataclass(frozen=True)
class Release:
    """A posterior that comes with the companion.

    Attributes
    ----------
    file
        Name of the file in the folder `files`.
    network
        Function that makes the network, from images (rows, 28, 28) to logits (rows, 10).
    prior
        Prior on the network's weights.
    chapter
        Chapter that fits it and explains it.
    front
        Function that makes the model, from data, network and prior: a PyMC model, or a Pyro model.
    """

    file: str
    network: Callable[[], torch.nn.Module]
    prior: Prior
    chapter: str
    front: Callable[[Observations, torch.nn.Module, Prior], Any] = torch_classifier

    def model(self, data: Observations) -> Any:
        """Put the network with its prior over data: images (rows, 28, 28) and labels from 0 to 9."""
        return self.front(data, self.network(), self.prior)


def _dense() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Flatten(), *dense(784, 800, 800, 10, activation=torch.nn.Tanh))


def _in_pyro(data: Observations, network: torch.nn.Module, prior: Prior) -> Classifier:
    """Make a Pyro model, which is called with its data and doesn't hold any."""
    return Classifier(to_bayesian(network, prior))


RELEASES = {
    "mnist-dense": Release("mnist_dense.safetensors", _dense, Gaussian(0.1), "book/mnist/dense"),
    "mnist-hierarchical": Release(
        "mnist_hierarchical.safetensors", _dense, LearnedScale(1.0, each="parameter"), "book/mnist/hierarchical"
    ),
    "mnist-convolutional": Release(
        "mnist_convolutional.safetensors", convolutional, FanIn(1.5), "book/mnist/convolutional"
    ),
    "lenet": Release("lenet.safetensors", lenet, Gaussian(1.0), "book/bayes_by_backprop/lenet", front=_in_pyro),
}
"""Name to release."""


def load_posterior(source: str | Path, model: Any = None, *, device: str | torch.device = "auto") -> Any:
    """Load a fitted posterior: one that comes with the companion, or one of your own.

    Parameters
    ----------
    source
        Name of a release, such as "mnist-dense", or path of a file that `companion.save_posterior` wrote.
    model
        Model that was fitted, with these rows or others; a `companion.torch_regression` with the rows that were fitted,
        by which it standardises its target: new inputs are given to `companion.predict`. A release brings its own,
        over blank images, which is all that predicting needs; give one over the real data where the ELBO is to be
        estimated anew.
    device
        Name of the device to put it on; "auto" is a GPU where there is one.

    Returns
    -------
    Posterior
        A posterior of the class that was saved; a `VariationalPosterior` for a release of the MNIST chapters, and a
        `companion.bayes_by_backprop.PyroPosterior` for "lenet".

    Raises
    ------
    DataError
        If there is neither a release nor a readable file of that name.
    ModelError
        If a file is given without a model, or with another one than was fitted; the message names what differs.

    Examples
    --------
    >>> import companion
    >>> posterior = companion.load_posterior("mnist-convolutional")
    >>> posterior.record.temperature
    1.0
    """
    if source in RELEASES:
        release = RELEASES[str(source)]
        with as_file(files("companion.shelf") / "files" / release.file) as path:
            return posterior.load_posterior(path, model or release.model(_blank()), device=device)
    if not Path(source).exists():
        raise DataError(f"no posterior {str(source)!r}: no such file, and the releases are {', '.join(RELEASES)}.")
    if model is None:
        raise ModelError(f"a posterior of your own, {source}, was to be loaded without its model; give model=.")
    return posterior.load_posterior(source, model, device=device)


def _blank() -> Observations:
    """Give a blank image of each class: enough for a model's shapes."""
    return Observations(np.zeros((10, 28, 28), dtype=np.float32), np.arange(10, dtype=np.int32))
