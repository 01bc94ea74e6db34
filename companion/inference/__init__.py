"""Inference: a model in; a posterior with its history and its ELBO out.

`fit` is the engine: any continuous PyMC model, fitted in torch. `fit_advi` is PyMC's own algorithm. Explained in the
chapters `book/pymc/moons` and `book/mnist/dense`.
"""

from companion.inference.advi import Fit, best_fit, fit_advi
from companion.inference.diagnostics import Convergence, diagnose
from companion.inference.engine import fit
from companion.inference.estimators import Estimator
from companion.inference.families import Family, FullRank, LowRank, MeanField, PointMass
from companion.inference.feeding import feed, minibatches
from companion.inference.pruning import Moments, moments, prune
from companion.inference.storage import load_posterior, save_posterior
from companion.inference.trend import Trend, trend
from companion.inference.variational import Record, VariationalPosterior

__all__ = [
    "Convergence",
    "Estimator",
    "Family",
    "Fit",
    "FullRank",
    "LowRank",
    "MeanField",
    "Moments",
    "PointMass",
    "Record",
    "Trend",
    "VariationalPosterior",
    "best_fit",
    "diagnose",
    "feed",
    "fit",
    "fit_advi",
    "load_posterior",
    "minibatches",
    "moments",
    "prune",
    "save_posterior",
    "trend",
]
