"""Samplers on torch: kernels, their adaptation, and the chains that they move.

Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from companion.sampling.kernel import Gradient, Info, Kernel, Noise, Problem, Sampler, State
from companion.sampling.preconditioning import Preconditioner
from companion.sampling.step_sizes import StepSchedule
from companion.sampling.stochastic_gradient import SGHMC, SGLD, SGNHT

__all__ = [
    "SGHMC",
    "SGLD",
    "SGNHT",
    "Gradient",
    "Info",
    "Kernel",
    "Noise",
    "Preconditioner",
    "Problem",
    "Sampler",
    "State",
    "StepSchedule",
]
