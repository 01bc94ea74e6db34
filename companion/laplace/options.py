"""The choices of a Laplace approximation.

Explained in `book/reference/how_a_fit_works`, section "Laplace".
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Curvature", "LaplacePredictive", "Scales", "Structure", "Subset"]


class Structure(StrEnum):
    """What is kept of the precision matrix of the normal approximation."""

    FULL = "full"
    """All of it, for up to 5,000 values."""

    KRONECKER = "kronecker"
    """One Kronecker product for each linear or convolution layer, and one whole block for all other values."""

    DIAGONAL = "diagonal"
    """Its diagonal."""


class Curvature(StrEnum):
    """What stands for the curvature of the likelihood; that of the prior is always exact."""

    GGN = "ggn"
    """The generalised Gauss-Newton matrix, which is never negative: the Fisher information of the observed variables'
    distributions, carried back to the values."""

    HESSIAN = "hessian"
    """The second derivatives themselves, which are positive definite at a proper mode alone."""


class Subset(StrEnum):
    """Variables that the approximation spreads; all others stay at the mode."""

    ALL = "all"
    """Every variable."""

    LAST_LAYER = "last-layer"
    """The weight and the bias of the last linear layer."""


class Scales(StrEnum):
    """What becomes of learned scales: variables that the priors of others depend on by more than their location."""

    MARGINAL = "marginal"
    """They stand at the maximum of the Laplace approximation of their own marginal density."""

    JOINT = "joint"
    """They are approximated together with everything else."""


class LaplacePredictive(StrEnum):
    """How a Laplace approximation predicts."""

    LINEARISED = "linearised"
    """The network's outputs taken as linear in the weights around the mode, as the Gauss-Newton matrix takes them."""

    SAMPLED = "sampled"
    """The network itself, at drawn weights."""
