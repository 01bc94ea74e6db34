"""Priors over the weights of a torch module: each serves as variables of a PyMC model and as sites of a Pyro model.

Explained in the chapters `book/mnist/hierarchical` (scales that are learned for every layer, every parameter or every
input), `book/mnist/convolutional` (scales that follow the fan-in) and `book/bayes_by_backprop/design_rivals` (a
comparison of priors).

Examples
--------
>>> import pymc as pm, torch
>>> from companion.priors import LearnedScale, parameters
>>> with pm.Model() as model:
...     weights = LearnedScale().pymc(parameters(torch.nn.Linear(3, 2)))
>>> sorted(rv.name for rv in model.free_RVs)
['bias', 'scale', 'weight']
"""

from companion.priors.base import Prior, check_prior
from companion.priors.gaussian import FanIn, Gaussian, IndependentNormal
from companion.priors.hierarchical import LearnedScale
from companion.priors.informed import Informed
from companion.priors.laplace import Laplace
from companion.priors.mixtures import ScaleMixture, SpikeAndSlab
from companion.priors.parameter import Parameter, parameters
from companion.priors.relevance import RelevanceDetermination
from companion.priors.shrinkage import GroupHorseshoe, RegularisedHorseshoe
from companion.priors.trained import TrainedLocation, TrainedPrior, TrainedScaleMixture
from companion.priors.units import Side, UnitScale

__all__ = [
    "FanIn",
    "Gaussian",
    "GroupHorseshoe",
    "IndependentNormal",
    "Informed",
    "Laplace",
    "LearnedScale",
    "Parameter",
    "Prior",
    "RegularisedHorseshoe",
    "RelevanceDetermination",
    "ScaleMixture",
    "Side",
    "SpikeAndSlab",
    "TrainedLocation",
    "TrainedPrior",
    "TrainedScaleMixture",
    "UnitScale",
    "check_prior",
    "parameters",
]
