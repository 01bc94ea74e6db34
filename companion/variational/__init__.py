"""The mathematics of variational inference: families, gradient estimators, the objective and its bound.

Explained in `book/reference/how_a_fit_works`, section "The objective".
"""

from companion.variational.estimators import Estimator
from companion.variational.evaluation import elbo, log_weights, standard_noise
from companion.variational.families import (
    EmpiricalBayes,
    Family,
    FamilyName,
    FullRank,
    LowRank,
    MeanField,
    Parameters,
    PointMass,
    family_named,
    register_family,
)
from companion.variational.layer_noise import Gaussian, LayerNoise, layer_weights, noise_for
from companion.variational.layout import Layout
from companion.variational.objective import Gradient, Objective, Terms
from companion.variational.scales import ScaleUpdate, best_scale

__all__ = [
    "EmpiricalBayes",
    "Estimator",
    "Family",
    "FamilyName",
    "FullRank",
    "Gaussian",
    "Gradient",
    "LayerNoise",
    "Layout",
    "LowRank",
    "MeanField",
    "Objective",
    "Parameters",
    "PointMass",
    "ScaleUpdate",
    "Terms",
    "best_scale",
    "elbo",
    "family_named",
    "layer_weights",
    "log_weights",
    "noise_for",
    "register_family",
    "standard_noise",
]
