"""Samplers on torch: kernels, their adaptation, and the chains that they move.

Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from companion.sampling.chains import Broken, Chains, Plan
from companion.sampling.gathering import Drawn
from companion.sampling.hmc import HMC, Mass
from companion.sampling.kernel import (
    Gradient,
    Info,
    Kernel,
    Loops,
    Motion,
    Noise,
    Problem,
    Sampler,
    SeveralSteps,
    State,
    kept_steps,
)
from companion.sampling.microcanonical import MCLMC, AdjustedMCLMC
from companion.sampling.names import SamplerName, register_sampler, sampler_named
from companion.sampling.preconditioning import Preconditioner
from companion.sampling.relaxation import warn_ahead
from companion.sampling.starts import ChainStart, start_named, starting_positions
from companion.sampling.step_sizes import StepSchedule
from companion.sampling.stochastic_gradient import SGHMC, SGLD, SGNHT, StochasticGradient
from companion.sampling.store import Store
from companion.sampling.target import Target

__all__ = [
    "HMC",
    "MCLMC",
    "SGHMC",
    "SGLD",
    "SGNHT",
    "AdjustedMCLMC",
    "Broken",
    "ChainStart",
    "Chains",
    "Drawn",
    "Gradient",
    "Info",
    "Kernel",
    "Loops",
    "Mass",
    "Motion",
    "Noise",
    "Plan",
    "Preconditioner",
    "Problem",
    "Sampler",
    "SamplerName",
    "SeveralSteps",
    "State",
    "StepSchedule",
    "StochasticGradient",
    "Store",
    "Target",
    "kept_steps",
    "register_sampler",
    "sampler_named",
    "start_named",
    "starting_positions",
    "warn_ahead",
]
