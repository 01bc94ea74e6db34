"""Bayesian networks as scikit-learn estimators, for pipelines, searches and whatever else takes one.

Explained in the book's data page (`book/reference/data`), section "With scikit-learn".
"""

from companion.estimators.classifier import BayesianClassifier
from companion.estimators.network import Activation, BayesianNetwork
from companion.estimators.regressor import BayesianRegressor

__all__ = ["Activation", "BayesianClassifier", "BayesianNetwork", "BayesianRegressor"]
