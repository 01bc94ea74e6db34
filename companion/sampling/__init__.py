"""Samplers on torch: kernels, their adaptation, and the chains that they move.

Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from companion.sampling.chains import Broken, Chains, Plan
from companion.sampling.gathering import Drawn
from companion.sampling.hmc import HMC, Mass
from companion.sampling.kernel import Gradient, Info, Kernel, Noise, Problem, Sampler, State
from companion.sampling.microcanonical import MCLMC, AdjustedMCLMC
from companion.sampling.names import SamplerName, register_sampler, sampler_named
from companion.sampling.starts import ChainStart, start_named, starting_positions
from companion.sampling.store import Store
from companion.sampling.target import Target

__all__ = [
    "HMC",
    "MCLMC",
    "AdjustedMCLMC",
    "Broken",
    "ChainStart",
    "Chains",
    "Drawn",
    "Gradient",
    "Info",
    "Kernel",
    "Mass",
    "Noise",
    "Plan",
    "Problem",
    "Sampler",
    "SamplerName",
    "State",
    "Store",
    "Target",
    "register_sampler",
    "sampler_named",
    "start_named",
    "starting_positions",
]
