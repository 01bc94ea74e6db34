"""Samplers on torch: kernels, their adaptation, and the chains that they move.

Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from companion.sampling.kernel import Gradient, Info, Kernel, Noise, Problem, Sampler, State

__all__ = ["Gradient", "Info", "Kernel", "Noise", "Problem", "Sampler", "State"]
