"""A Bayesian network for classes, as a scikit-learn classifier.

Explained in the book's data page (`book/reference/data`), section "With scikit-learn".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from companion.datasets import Observations
from companion.errors import DataError
from companion.estimators.network import BayesianNetwork
from companion.models import torch_classifier
from companion.prediction import mean_probabilities
from companion.uncertainty import Decisions, Decomposition, decide, decompose_entropy

__all__ = ["BayesianClassifier"]


class BayesianClassifier(ClassifierMixin, BayesianNetwork):  # type: ignore[misc]
    """A network with a distribution over its weights that tells classes apart, and says how sure it is.

    Inputs are standardised inside, with the mean and scale of the rows that it learns from.

    Parameters
    ----------
    hidden, activation, prior, method, steps, restarts, learning_rate, batch_size, draws, machine, random_state
        Settings of `BayesianNetwork`.

    Attributes
    ----------
    classes_
        Classes, as they stand in y, sorted.
    posterior_
        Posterior over the weights, of the engine; it can be saved, put into ArviZ, and scored as any other.
    n_features_in_, feature_names_in_
        Number of inputs, and their names where X had some.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from companion.estimators import BayesianClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = BayesianClassifier(steps=500).fit(X, y)
    >>> model.predict_proba(X).shape
    (150, 3)
    """

    classes_: np.ndarray

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> BayesianClassifier:
        """Approximate the posterior over the weights.

        Parameters
        ----------
        X
            Inputs (points, features): an array, or a frame of pandas or polars whose columns are numbers.
        y
            Classes (points,), numbers or words.
        sample_weight
            How often each row counts, (points,), from 0: a weight of 2 says the same as the row twice. It weighs the
            likelihood, and the means and scales of the standardisation. None counts each row once.

        Raises
        ------
        ValueError
            If X, y or the weights can't be used, such as NaN in X or a single class in y; it is also raised as a
            `DataError` or a `ModelError`, which are ValueErrors.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(
                f"y holds one class alone, {self.classes_.tolist()[0]!r}; a classifier expects two classes or more."
            )
        weights = self._weights(X, sample_weight)
        rows = Observations(self._standardised(X, weights), labels.astype(np.int32), weights)
        outputs = 1 if len(self.classes_) == 2 else len(self.classes_)
        self._fit(torch_classifier(rows, self._network(outputs), self._prior()), len(rows))
        return self

    def predict_draws(self, X: Any) -> np.ndarray:
        """Predict class probabilities for each draw of the posterior, (draws, points, classes).

        It is the shape that `companion.uncertainty` takes.
        """
        inputs = self._inputs(X)
        return self.posterior_.predictive(inputs, self.draws, self.seed_)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities, averaged over the draws, (points, classes) in the order of ``classes_``."""
        return mean_probabilities(self.predict_draws(X))

    def predict(self, X: Any) -> np.ndarray:
        """Predict the most probable class of each point, (points,)."""
        chosen = self.predict_proba(X).argmax(axis=1)
        return self.classes_[chosen]

    def doubt(self, X: Any) -> Decomposition:
        """Split the entropy of the prediction into overlap of the classes and ignorance of the network, in nats."""
        return decompose_entropy(self.predict_draws(X))

    def decide(self, X: Any, costs: Mapping[str, Sequence[float]]) -> Decisions:
        """Choose the action with the lowest expected cost for each point.

        Parameters
        ----------
        X
            Inputs (points, features).
        costs
            Mapping from the name of each action to its cost in each class, in the order of ``classes_``.

        Raises
        ------
        ModelError
            If there is no action, or one doesn't have one finite cost for each class.
        """
        return decide(self.predict_draws(X), costs)
