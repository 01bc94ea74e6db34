"""Posteriors, however they were found: draws, predictions, diagnostics, pruning and files.

Explained in `book/reference/how_a_fit_works`, section "The posterior"; the chapter `book/pymc/moons` introduces it.
"""

from companion.posterior.base import ModelPosterior, PosteriorBase
from companion.posterior.chains import ChainPosterior, Health
from companion.posterior.dependence import compare, dependence
from companion.posterior.diagnostics import Convergence, diagnose
from companion.posterior.forward import Forward, compile_forward
from companion.posterior.given import checked_draws, checked_inputs, checked_names
from companion.posterior.losses import Trend, trend
from companion.posterior.lowered import LoweredPosterior
from companion.posterior.marginals import Moments, moments
from companion.posterior.predictive import Predictive, in_parts
from companion.posterior.protocol import Draws, Measuring, Posterior
from companion.posterior.pruning import prune
from companion.posterior.pymc import ApproximationPosterior, SampledPosterior
from companion.posterior.record import Record
from companion.posterior.state import FitState
from companion.posterior.storage import (
    Packed,
    Storable,
    half_precision,
    load_form,
    load_posterior,
    register,
    save_posterior,
)
from companion.posterior.variables import unconstrained
from companion.posterior.variational import VariationalPosterior

__all__ = [
    "ApproximationPosterior",
    "ChainPosterior",
    "Convergence",
    "Draws",
    "FitState",
    "Forward",
    "Health",
    "LoweredPosterior",
    "Measuring",
    "ModelPosterior",
    "Moments",
    "Packed",
    "Posterior",
    "PosteriorBase",
    "Predictive",
    "Record",
    "SampledPosterior",
    "Storable",
    "Trend",
    "VariationalPosterior",
    "checked_draws",
    "checked_inputs",
    "checked_names",
    "compare",
    "compile_forward",
    "dependence",
    "diagnose",
    "half_precision",
    "in_parts",
    "load_form",
    "load_posterior",
    "moments",
    "prune",
    "register",
    "save_posterior",
    "trend",
    "unconstrained",
]
