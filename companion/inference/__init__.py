"""Inference: a model in, a fit with its posterior, its history and its ELBO out.

Explained in the chapter `book/pymc/moons`.
"""

from companion.inference.advi import Fit, best_fit, fit_advi
from companion.inference.diagnostics import Convergence, diagnose

__all__ = ["Convergence", "Fit", "best_fit", "diagnose", "fit_advi"]
