"""A Bayesian network for measurements, as a scikit-learn regressor.

Explained in the book's data page (`book/reference/data`), section "With scikit-learn".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from companion.datasets import Measurements
from companion.estimators.network import BayesianNetwork
from companion.inference import Machine
from companion.models import torch_regression
from companion.priors import Prior
from companion.uncertainty import PredictiveDistribution, decide_measurements, predictive_distribution

__all__ = ["BayesianRegressor"]


class BayesianRegressor(RegressorMixin, BayesianNetwork):  # type: ignore[misc]
    """A network with a distribution over its weights that predicts measurements, each with the band that it lies in.

    Inputs and targets are standardised inside; what comes out is in the units of y.

    Parameters
    ----------
    hidden, activation, prior, method, steps, restarts, learning_rate, batch_size, draws, machine, random_state
        Settings of `BayesianNetwork`.
    likelihood
        Distribution of y around the network's curve: a name of `companion.models.Likelihood`.
    noise
        Noise around the curve, "learned", "input" or a number, as `companion.models.torch_regression` takes it.

    Attributes
    ----------
    posterior_
        Posterior over the weights and the noise, of the engine.
    n_features_in_, feature_names_in_
        Number of inputs, and their names where X had some.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from companion.estimators import BayesianRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = BayesianRegressor(steps=500).fit(X, y)
    >>> model.predict_interval(X, 0.9).shape
    (442, 2)
    """

    def __init__(
        self,
        hidden: Sequence[int] = (20, 20),
        *,
        likelihood: str = "normal",
        noise: float | str = "learned",
        activation: str = "tanh",
        prior: Prior | None = None,
        method: str = "ensemble",
        steps: int = 2000,
        restarts: int = 8,
        learning_rate: float = 0.01,
        batch_size: int | str | None = "auto",
        draws: int = 200,
        machine: str | torch.device | Machine | None = None,
        random_state: Any = 0,
    ) -> None:
        super().__init__(
            hidden, activation=activation, prior=prior, method=method, steps=steps, restarts=restarts,
            learning_rate=learning_rate, batch_size=batch_size, draws=draws, machine=machine, random_state=random_state,
        )  # fmt: skip
        self.likelihood = likelihood
        self.noise = noise

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> BayesianRegressor:
        """Approximate the posterior over the weights and the noise.

        Parameters
        ----------
        X
            Inputs (points, features): an array, or a frame of pandas or polars whose columns are numbers.
        y
            Measurements (points,), or (points, targets).
        sample_weight
            How often each row counts, (points,), from 0: a weight of 2 says the same as the row twice. It weighs the
            likelihood, and the means and scales of the standardisation. None counts each row once.

        Raises
        ------
        ValueError
            If X, y or the weights can't be used, such as NaN in X or a y that is the same in every row; it is also
            raised as a `DataError` or a `ModelError`, which are ValueErrors.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, ensure_min_samples=2)
        weights = self._weights(X, sample_weight)
        rows = Measurements(self._standardised(X, weights), y, weights)
        outputs = (1 if rows.y.ndim == 1 else rows.y.shape[1]) * (2 if self.noise == "input" else 1)
        model = torch_regression(
            rows, self._network(outputs), self._prior(), likelihood=self.likelihood, noise=self.noise
        )
        self._fit(model, len(rows))
        return self

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that several targets at once are fine."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict_distribution(self, X: Any) -> PredictiveDistribution:
        """Predict the distribution of the next measurement at each point."""
        inputs = self._inputs(X)
        return predictive_distribution(self.posterior_, inputs, self.draws, self.seed_)

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict the mean of the next measurement, and on request its standard deviation, noise included.

        Parameters
        ----------
        X
            Inputs (points, features).
        return_std
            Whether to return standard deviations, too.

        Returns
        -------
        numpy.ndarray or tuple
            Means, (points,) or (points, targets); or a tuple of means and standard deviations.
        """
        if not return_std:
            inputs = self._inputs(X)
            return self.posterior_.predictive(inputs, self.draws, self.seed_).mean(axis=0)
        found = self.predict_distribution(X)
        return found.mean, found.std

    def predict_interval(self, X: Any, level: float = 0.9) -> np.ndarray:
        """Predict the central range that holds the next measurement with a given probability.

        Returns
        -------
        numpy.ndarray
            Lower and upper ends, (points, 2) or (points, targets, 2).
        """
        found = self.predict_distribution(X).interval(level)
        return np.stack([found.low, found.high], axis=-1)

    def predict_quantiles(self, X: Any, levels: Sequence[float] = (0.05, 0.5, 0.95)) -> np.ndarray:
        """Predict the values below which the next measurement lies with given probabilities.

        Returns
        -------
        numpy.ndarray
            Quantiles, (points, levels) or (points, targets, levels).
        """
        return np.moveaxis(self.predict_distribution(X).quantiles(list(levels)), 0, -1)

    def decide(self, X: Any, costs: Mapping[str, Callable[[np.ndarray], Any]], seed: int = 0) -> np.ndarray:
        """Choose the action with the lowest expected cost for each point.

        Parameters
        ----------
        X
            Inputs (points, features).
        costs
            Mapping from the name of each action to a function that gives its cost for each measurement of an array.
        seed
            Seed of the measurements that expected costs are averaged over.

        Returns
        -------
        numpy.ndarray
            Names of the actions, (points,).

        Raises
        ------
        ModelError
            If there is no action, or a cost isn't one finite number for each measurement.
        """
        return decide_measurements(self.predict_distribution(X), costs, seed)
