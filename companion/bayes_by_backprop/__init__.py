"""Bayes by Backprop in Pyro, from a torch module and a prior to a fitted posterior.

The same priors, estimators and posterior protocol as the PyMC side, so that every score and plot serves both. Explained
in the chapters `book/bayes_by_backprop/regression`, `book/bayes_by_backprop/lenet` and
`book/bayes_by_backprop/design_choices`.
"""

from typing import Any

from companion import moved
from companion.bayes_by_backprop.adversarial import adversarial
from companion.bayes_by_backprop.bound import estimate_elbo, free_energy
from companion.bayes_by_backprop.fitting import fit
from companion.bayes_by_backprop.gradients import GradientNoise, gradient_noise
from companion.bayes_by_backprop.guide import MeanFieldGuide
from companion.bayes_by_backprop.layers import layer_noise, weights_of_layers
from companion.bayes_by_backprop.likelihoods import Classifier, Regression
from companion.bayes_by_backprop.module import BayesianModule, to_bayesian
from companion.bayes_by_backprop.posterior import PyroPosterior, computing

__all__ = [
    "BayesianModule",
    "Classifier",
    "GradientNoise",
    "MeanFieldGuide",
    "PyroPosterior",
    "Regression",
    "adversarial",
    "computing",
    "estimate_elbo",
    "fit",
    "free_energy",
    "gradient_noise",
    "layer_noise",
    "to_bayesian",
    "weights_of_layers",
]


def __getattr__(name: str) -> Any:
    """Give a name that moved to another room, with a warning."""
    return moved.moved_name("companion.bayes_by_backprop", name)
