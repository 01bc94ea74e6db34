"""Uncertainty: predictive probabilities in, scores out.

Explained in the chapters on the moons (`book/pymc/moons`), which splits uncertainty into its parts, and on breast
cancer (`book/pymc/breast_cancer`), which scores it and decides by it. All functions take probabilities of shape (draws,
points, classes); those of a method without draws are (1, points, classes).
"""

from companion.uncertainty.calibration import Reliability, reliability
from companion.uncertainty.decisions import Decisions, RiskCoverage, decide, risk_coverage
from companion.uncertainty.decomposition import Decomposition, decompose_entropy, decompose_variance
from companion.uncertainty.scores import accuracy, brier_score, log_score

__all__ = [
    "Decisions",
    "Decomposition",
    "Reliability",
    "RiskCoverage",
    "accuracy",
    "brier_score",
    "decide",
    "decompose_entropy",
    "decompose_variance",
    "log_score",
    "reliability",
    "risk_coverage",
]
