"""Two bridges between PyMC and torch: a torch module in a PyMC model, and a PyMC model as a torch function.

Explained in the chapter `book/mnist/dense`.
"""

from companion.bridge.density import LogDensity, torch_log_density
from companion.bridge.graph import Description, Observed
from companion.bridge.response import Response
from companion.bridge.wrap import WrappedModule, bayesian, check_module, wrap_torch

__all__ = [
    "Description",
    "LogDensity",
    "Observed",
    "Response",
    "WrappedModule",
    "bayesian",
    "check_module",
    "torch_log_density",
    "wrap_torch",
]
