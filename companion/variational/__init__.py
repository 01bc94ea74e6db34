"""The mathematics of variational inference: families, gradient estimators, the objective and its bound.

Explained in `book/reference/how_a_fit_works`, section "The objective".
"""

from companion.variational.dropout import Dropout, for_units
from companion.variational.estimators import Estimator
from companion.variational.evaluation import divergence, elbo, log_weights, rows_at_once, shares, standard_noise
from companion.variational.families import (
    EmpiricalBayes,
    Family,
    FamilyName,
    FullRank,
    LowRank,
    MeanField,
    OptimalScales,
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
    "Dropout",
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
    "OptimalScales",
    "Parameters",
    "PointMass",
    "ScaleUpdate",
    "Terms",
    "best_scale",
    "divergence",
    "elbo",
    "family_named",
    "for_units",
    "layer_weights",
    "log_weights",
    "noise_for",
    "register_family",
    "rows_at_once",
    "shares",
    "standard_noise",
]
