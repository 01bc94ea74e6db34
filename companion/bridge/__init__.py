"""Two bridges between PyMC and torch: a torch module in a PyMC model, and a PyMC model as a torch function.

Explained in the chapter `book/mnist/dense` and in `book/reference/how_a_fit_works`, section "Lowering".
"""

from companion.bridge.density import LogDensity, torch_log_density
from companion.bridge.graph import Description, Observed, check_continuous, check_model
from companion.bridge.parameters import ObservedParameters
from companion.bridge.response import LinearisedResponse, Response
from companion.bridge.scales import CentredScales, Scaled
from companion.bridge.simplifying import largest
from companion.bridge.support import refuse_impossible
from companion.bridge.trial import refuse_random
from companion.bridge.vectorising import Tools, fastest, looped, vectorised
from companion.bridge.weighing import observe_weighted
from companion.bridge.wrap import WrappedModule, bayesian, check_module, wrap_torch

__all__ = [
    "CentredScales",
    "Description",
    "LinearisedResponse",
    "LogDensity",
    "Observed",
    "ObservedParameters",
    "Response",
    "Scaled",
    "Tools",
    "WrappedModule",
    "bayesian",
    "check_continuous",
    "check_model",
    "check_module",
    "fastest",
    "largest",
    "looped",
    "observe_weighted",
    "refuse_impossible",
    "refuse_random",
    "torch_log_density",
    "vectorised",
    "wrap_torch",
]
