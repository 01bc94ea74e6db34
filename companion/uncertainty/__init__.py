"""Uncertainty: scores of predictive probabilities, decisions by them, and bands of measurements.

Explained in the chapters on the moons (`book/pymc/moons`), which splits uncertainty into its parts, on breast cancer
(`book/pymc/breast_cancer_decisions`), which scores it, decides by it and puts intervals around both, on images
(`book/mnist/strange_images`), which counts how the draws disagree and detects by it what is unfamiliar, and on bands
around measurements (`book/bayes_by_backprop/band`). Probabilities have the shape (draws, points, classes); those of a
method without draws are (1, points, classes).
"""

from companion.uncertainty.calibration import (
    Calibration,
    Reliability,
    calibration_floor,
    check_calibration,
    reliability,
)
from companion.uncertainty.certificates import certificate
from companion.uncertainty.conformal import ConformalBand, ConformalSets, SetScore, conformal_band, conformal_sets
from companion.uncertainty.decisions import Decisions, RiskCoverage, decide, net_benefit, paid_at, risk_coverage
from companion.uncertainty.decomposition import Decomposition, decompose_entropy, decompose_variance
from companion.uncertainty.detection import Detection, choose_threshold, detect
from companion.uncertainty.disagreement import chi_square, class_counts, sample_labels, variation_ratio
from companion.uncertainty.intervals import (
    Interval,
    decompose_measurements,
    interval,
    sample_measurements,
    sigma_interval,
)
from companion.uncertainty.measurements import (
    PredictiveDistribution,
    crps,
    decide_measurements,
    predictive_distribution,
    quantile_calibration,
    rmse,
)
from companion.uncertainty.resampling import Estimate, group_bootstrap, repeated_split_interval
from companion.uncertainty.scores import accuracy, brier_score, labels_of, log_score
from companion.uncertainty.temperature import TemperatureScaling, temperature_scaling

__all__ = [
    "Calibration",
    "ConformalBand",
    "ConformalSets",
    "Decisions",
    "Decomposition",
    "Detection",
    "Estimate",
    "Interval",
    "PredictiveDistribution",
    "Reliability",
    "RiskCoverage",
    "SetScore",
    "TemperatureScaling",
    "accuracy",
    "brier_score",
    "calibration_floor",
    "certificate",
    "check_calibration",
    "chi_square",
    "choose_threshold",
    "class_counts",
    "conformal_band",
    "conformal_sets",
    "crps",
    "decide",
    "decide_measurements",
    "decompose_entropy",
    "decompose_measurements",
    "decompose_variance",
    "detect",
    "group_bootstrap",
    "interval",
    "labels_of",
    "log_score",
    "net_benefit",
    "paid_at",
    "predictive_distribution",
    "quantile_calibration",
    "reliability",
    "repeated_split_interval",
    "risk_coverage",
    "rmse",
    "sample_labels",
    "sample_measurements",
    "sigma_interval",
    "temperature_scaling",
    "variation_ratio",
]
