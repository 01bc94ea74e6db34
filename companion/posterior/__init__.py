"""Posteriors, however they were found: draws, predictions, diagnostics, pruning and files.

Explained in `book/reference/how_a_fit_works`, section "The posterior"; the chapter `book/pymc/moons` introduces it.
"""

from companion.posterior.diagnostics import Convergence, diagnose
from companion.posterior.forward import Forward, compile_forward
from companion.posterior.losses import Trend, trend
from companion.posterior.predictive import in_parts
from companion.posterior.protocol import Draws, Posterior
from companion.posterior.pruning import Moments, moments, prune
from companion.posterior.pymc import ApproximationPosterior, SampledPosterior
from companion.posterior.record import Record
from companion.posterior.state import FitState
from companion.posterior.storage import load_posterior, save_posterior
from companion.posterior.variational import VariationalPosterior

__all__ = [
    "ApproximationPosterior",
    "Convergence",
    "Draws",
    "FitState",
    "Forward",
    "Moments",
    "Posterior",
    "Record",
    "SampledPosterior",
    "Trend",
    "VariationalPosterior",
    "compile_forward",
    "diagnose",
    "in_parts",
    "load_posterior",
    "moments",
    "prune",
    "save_posterior",
    "trend",
]
