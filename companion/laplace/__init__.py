"""Laplace approximations: the curvature around a mode, the evidence, and predictions that are linear in the weights.

Explained in `book/reference/how_a_fit_works`, section "Laplace".
"""

from companion.laplace.approximation import Approximation, Choices, approximate
from companion.laplace.blocks import Block, BlockKind, NormalBlocks
from companion.laplace.evidence import log_evidence_with_gradient
from companion.laplace.mode import polished
from companion.laplace.options import Curvature, LaplacePredictive, Scales, Structure, Subset
from companion.laplace.posterior import LaplacePosterior
from companion.laplace.selection import HeldPoint, scales_named
from companion.laplace.target import Target

__all__ = [
    "Approximation",
    "Block",
    "BlockKind",
    "Choices",
    "Curvature",
    "HeldPoint",
    "LaplacePosterior",
    "LaplacePredictive",
    "NormalBlocks",
    "Scales",
    "Structure",
    "Subset",
    "Target",
    "approximate",
    "log_evidence_with_gradient",
    "polished",
    "scales_named",
]
