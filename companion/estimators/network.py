"""What both estimators share: a dense network, its fit to standardised inputs, and the draws that predict.

Explained in the book's data page (`book/reference/data`), section "With scikit-learn".
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import pymc as pm
import torch
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from companion.checks import choice, whole
from companion.errors import ModelError
from companion.inference import Machine, ensemble, fit, laplace
from companion.networks import dense
from companion.posterior import ModelPosterior
from companion.priors import FanIn, Prior

__all__ = ["Activation", "BayesianNetwork"]

_ROWS_AT_ONCE = 1000


class Activation(StrEnum):
    """Function of a hidden unit."""

    TANH = "tanh"
    """Hyperbolic tangent: smooth, and flat far from the data."""
    RELU = "relu"
    """Rectifier: straight, and rising without end."""
    SILU = "silu"
    """Smooth rectifier."""


_MODULES = {Activation.TANH: torch.nn.Tanh, Activation.RELU: torch.nn.ReLU, Activation.SILU: torch.nn.SiLU}


class BayesianNetwork(BaseEstimator):  # type: ignore[misc]
    """A dense network with a posterior over its weights; see `BayesianClassifier` and `BayesianRegressor`.

    Parameters
    ----------
    hidden
        Numbers of units of the hidden layers.
    activation
        Function of the hidden units: a name of `Activation`.
    prior
        Prior on the weights, one of `companion.priors`; ``FanIn(1.0)`` by default.
    method
        How the posterior is approximated: "ensemble", "laplace", or a family of `companion.inference.fit`, such as
        "mean-field", "low-rank:5" or "map".
    steps
        Number of optimiser steps.
    restarts
        Number of members of an ensemble, or of fits of a family that are mixed; "laplace" and "map" make one.
    learning_rate
        Learning rate of Adam.
    batch_size
        Number of rows in one step; "auto" takes all rows up to 1,000, and 1,000 of more.
    draws
        Number of draws of the posterior that predict.
    machine
        Where and with which numbers to compute: the name of a device or a `companion.inference.Machine`; by default in
        double precision, on a GPU where there is one.
    random_state
        Seed, a generator of NumPy's older kind, or None for another seed at each fit.
    """

    posterior_: ModelPosterior

    def __init__(
        self,
        hidden: Sequence[int] = (20, 20),
        *,
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
        self.hidden = hidden
        self.activation = activation
        self.prior = prior
        self.method = method
        self.steps = steps
        self.restarts = restarts
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.draws = draws
        self.machine = machine
        self.random_state = random_state

    # --- fitting ------------------------------------------------------------------------------------------

    def _weights(self, X: np.ndarray, given: Any) -> np.ndarray | None:
        """Check how often each row counts, (points,)."""
        if given is None:
            return None
        return np.asarray(_check_sample_weight(given, X, dtype=np.float64, ensure_non_negative=True))

    def _standardised(self, X: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        """Learn the mean and the scale of the inputs (points, features), and return them standardised."""
        self.scaler_ = StandardScaler().fit(X, sample_weight=weights)
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        return np.asarray(self.scaler_.transform(X))

    def _network(self, outputs: int) -> torch.nn.Module:
        widths = [whole("one of hidden", width, 1) for width in self.hidden]
        module = _MODULES[choice(Activation, "activation", self.activation)]
        return dense(self.n_features_in_, *widths, outputs, activation=module, seed=self.seed_)

    def _prior(self) -> Prior:
        if self.prior is not None and not isinstance(self.prior, Prior):
            raise ModelError(f"prior={self.prior!r}; expected one of companion.priors, such as FanIn(1.0).")
        return self.prior or FanIn(1.0)

    def _fit(self, model: pm.Model, rows: int) -> None:
        """Approximate the posterior of a model of so many rows."""
        whole("draws", self.draws, 1)
        batch = self.batch_size
        if batch == "auto":
            batch = _ROWS_AT_ONCE if rows > _ROWS_AT_ONCE else None
        settings: dict[str, Any] = {
            "steps": self.steps,
            "batch_size": batch,
            "learning_rate": self.learning_rate,
            "start": "prior",
            "machine": self.machine or Machine(precision="float64"),
            "seed": self.seed_,
            "progressbar": False,
        }
        if self.method == "ensemble":
            self.posterior_ = ensemble(model, members=self.restarts, **settings)
        elif self.method == "laplace":
            self.posterior_ = laplace(model, **settings)
        else:
            many = 1 if self.method == "map" else self.restarts
            self.posterior_ = fit(model, family=self.method, restarts=many, keep="mixture", elbo_draws=10, **settings)

    # --- predicting ---------------------------------------------------------------------------------------

    def _inputs(self, X: Any) -> np.ndarray:
        """Return new inputs (points, features), checked and standardised as those of the fit were."""
        check_is_fitted(self, "posterior_")
        values = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(self.scaler_.transform(values))
