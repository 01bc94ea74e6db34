"""What is known of the next measurement: its distribution under a posterior, and how it is judged.

Explained in the book's data page (`book/reference/data`), section "Measurements".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import logsumexp

from companion.checks import fraction, whole
from companion.errors import DataError, ModelError
from companion.posterior import Measuring
from companion.uncertainty.calibration import Reliability
from companion.uncertainty.decomposition import Decomposition
from companion.uncertainty.intervals import Interval

__all__ = [
    "PredictiveDistribution",
    "crps",
    "decide_measurements",
    "predictive_distribution",
    "quantile_calibration",
    "rmse",
]

_LAWS: Mapping[str, Any] = {
    "LaplaceRV": lambda mu, b: stats.laplace(mu, b),
    "LogNormalRV": lambda mu, sigma: stats.lognorm(sigma, scale=np.exp(mu)),
    "NegBinomialRV": lambda n, p: stats.nbinom(n, p),
    "NormalRV": lambda mu, sigma: stats.norm(mu, sigma),
    "PoissonRV": lambda rate: stats.poisson(rate),
    "StudentTRV": lambda nu, mu, sigma: stats.t(nu, mu, sigma),
}
_COUNTS = ("NegBinomialRV", "PoissonRV")
_HALVINGS = 60


@dataclass(frozen=True, eq=False)
class PredictiveDistribution:
    r"""Distribution of the next measurement at each point: a mixture of one distribution per draw of the posterior.

    .. math::

        p(y \mid x, \mathcal{D}) \approx \frac{1}{S} \sum_{s=1}^S p(y \mid x, \theta_s)

    Everything is in the units of the measurements. Shapes end with (targets,) where several were measured.

    Attributes
    ----------
    kind
        Name of the draws' distribution, as a posterior's `observed_parameters` gives it.
    parameters
        Name of each of its parameters to an array (draws, points).
    """

    kind: str
    parameters: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        if self.kind not in _LAWS:
            raise ModelError(f"kind={self.kind!r}; expected one of {sorted(_LAWS)}.")

    @cached_property
    def _law(self) -> Any:
        """The draws' distributions, of SciPy."""
        return _LAWS[self.kind](**{name: np.asarray(a, dtype=float) for name, a in self.parameters.items()})

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the measurements, (points,) or (points, targets)."""
        return next(iter(self.parameters.values())).shape[1:]

    @cached_property
    def means(self) -> np.ndarray:
        """Mean under each draw, (draws, points): the curves."""
        return np.asarray(self._law.mean())

    @property
    def mean(self) -> np.ndarray:
        """Mean, (points,)."""
        return self.means.mean(axis=0)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation, (points,)."""
        return np.sqrt(self.variance.total)

    @cached_property
    def variance(self) -> Decomposition:
        r"""Variance, split by the law of total variance.

        .. math::

            \operatorname{Var}[y] = \underbrace{\mathbb{E}_\theta \operatorname{Var}[y \mid \theta]}_{\text{aleatoric}}
            + \underbrace{\operatorname{Var}_\theta \mathbb{E}[y \mid \theta]}_{\text{epistemic}}
        """
        aleatoric, epistemic = np.asarray(self._law.var()).mean(axis=0), self.means.var(axis=0)
        return Decomposition(aleatoric + epistemic, aleatoric, epistemic)

    def log_density(self, y: np.ndarray) -> np.ndarray:
        """Compute the log density, or the log probability of counts, of measurements, (points,), in nats.

        With several targets it is that of each target by itself.

        Raises
        ------
        DataError
            If there isn't one finite measurement for each point.
        """
        measured = self.checked(y)
        each = self._law.logpmf(measured) if self.kind in _COUNTS else self._law.logpdf(measured)
        return np.asarray(logsumexp(each, axis=0) - np.log(len(each)))

    def below(self, y: np.ndarray) -> np.ndarray:
        """Compute the probability of a measurement up to `y`, (points,).

        Raises
        ------
        DataError
            If there isn't one finite number for each point.
        """
        return np.asarray(self._law.cdf(self.checked(y)).mean(axis=0))

    def quantiles(self, levels: float | Sequence[float]) -> np.ndarray:
        """Find the values below which the next measurement lies with given probabilities.

        Parameters
        ----------
        levels
            One probability between 0 and 1, or several.

        Returns
        -------
        numpy.ndarray
            Quantiles (points,), or (levels, points). Of counts, the smallest count that reaches the level.

        Raises
        ------
        ModelError
            If a level isn't between 0 and 1.
        """
        asked = [fraction("a level", level, "such as 0.05") for level in np.atleast_1d(levels).tolist()]
        found = np.stack([self._quantile(level) for level in asked])
        return found[0] if np.ndim(levels) == 0 else found

    def _quantile(self, level: float) -> np.ndarray:
        """Halve the range between the smallest and the largest quantile of the draws, which holds the mixture's."""
        each = self._law.ppf(level)
        low, high = each.min(axis=0) - (self.kind in _COUNTS), each.max(axis=0)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if self.kind in _COUNTS:
                middle = np.floor(middle)
            reached = self._law.cdf(middle).mean(axis=0) >= level
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
            if (high - low <= (1 if self.kind in _COUNTS else 1e-7 * np.abs(high) + 1e-300)).all():
                break
        return np.asarray(high)

    def interval(self, level: float = 0.95) -> Interval:
        """Find the central range that holds the next measurement with a given probability.

        Parameters
        ----------
        level
            Probability between 0 and 1.

        Raises
        ------
        ModelError
            If the level isn't between 0 and 1.
        """
        level = fraction("level", level, "such as 0.95")
        return Interval(*self.quantiles([(1 - level) / 2, (1 + level) / 2]))

    def sample(self, seed: int) -> np.ndarray:
        """Draw one measurement under each draw of the posterior, (draws, points)."""
        rng = np.random.default_rng(whole("seed", seed, 0))
        return np.asarray(self._law.rvs(size=next(iter(self.parameters.values())).shape, random_state=rng))

    def of_target(self, target: int) -> PredictiveDistribution:
        """Keep one of several targets, counted from 0.

        Raises
        ------
        ModelError
            If there is no such target.
        """
        if len(self.shape) != 2 or not 0 <= target < self.shape[1]:
            raise ModelError(
                f"target {target} was asked for, and the measurements have shape {self.shape}; expected the number of "
                "a column of measurements (points, targets), counted from 0."
            )
        return PredictiveDistribution(self.kind, {name: a[..., target] for name, a in self.parameters.items()})

    def checked(self, y: Any) -> np.ndarray:
        """Return measurements as floats, one for each point.

        Raises
        ------
        DataError
            If the shape is another, or a number isn't finite.
        """
        measured = np.asarray(y, dtype=float)
        if measured.shape != self.shape or not np.isfinite(measured).all():
            raise DataError(f"y has shape {measured.shape}; expected finite measurements of shape {self.shape}.")
        return measured


def predictive_distribution(posterior: Measuring, x: Any, draws: int = 200, seed: int = 0) -> PredictiveDistribution:
    r"""Predict the distribution of the next measurement, noise included.

    Parameters
    ----------
    posterior
        Posterior of a regression: of `companion.models.torch_regression`, of Bayes by Backprop, or of a model of your
        own, in PyMC or Pyro, with a Normal, StudentT, LogNormal, Laplace, Poisson or NegativeBinomial likelihood.
    x
        Inputs (points, \*features); a mapping from names to such arrays if the model reads several.
    draws
        Number of draws of the posterior.
    seed
        Seed of the draws.

    Raises
    ------
    ModelError
        If the inputs don't fit the model, or the likelihood is another one.
    """
    if not isinstance(posterior, Measuring):
        raise ModelError(
            f"posterior is a {type(posterior).__name__}; expected one of a PyMC model, such as companion.fit gives, or "
            "of Bayes by Backprop."
        )
    return PredictiveDistribution(*posterior.observed_parameters(x, draws, seed))


def rmse(distribution: PredictiveDistribution, y: np.ndarray) -> float:
    """Compute the root mean squared distance of the measurements from the predicted mean, in their units.

    Raises
    ------
    DataError
        If there isn't one finite measurement for each point.
    """
    return float(np.sqrt(np.mean((distribution.checked(y) - distribution.mean) ** 2)))


def crps(distribution: PredictiveDistribution, y: np.ndarray, seed: int = 0) -> float:
    r"""Compute the continuous ranked probability score, in the units of y; lower is better.

    .. math::

        \mathrm{CRPS} = \mathbb{E}\lvert Y - y \rvert - \tfrac12 \mathbb{E}\lvert Y - Y' \rvert

    Of a single value instead of a distribution it is the absolute error. It is estimated from one measurement per draw
    of the posterior, without bias.

    Parameters
    ----------
    distribution
        Distribution of the measurements, with two draws or more.
    y
        Measurements (points,).
    seed
        Seed of the sampled measurements.

    Raises
    ------
    DataError
        If there isn't one finite measurement for each point.
    ModelError
        If there is a single draw.

    Notes
    -----
    Gneiting and Raftery (2007), "Strictly Proper Scoring Rules, Prediction, and Estimation".
    """
    measured = distribution.checked(y)
    sample = np.sort(distribution.sample(seed), axis=0)
    n = len(sample)
    if n < 2:
        raise ModelError("a distribution of one draw; expected two draws or more, to compare with each other.")
    ranks = (2 * np.arange(1, n + 1) - n - 1).reshape(-1, *[1] * measured.ndim)
    apart = 2 * (ranks * sample).sum(axis=0) / (n * (n - 1))
    return float(np.mean(np.abs(sample - measured).mean(axis=0) - apart / 2))


def quantile_calibration(
    distribution: PredictiveDistribution, y: np.ndarray, levels: Sequence[float] = tuple(np.linspace(0.05, 0.95, 19))
) -> Reliability:
    """Compare the levels of predicted quantiles with the shares of measurements that lie below them.

    Parameters
    ----------
    distribution
        Distribution of the measurements.
    y
        Measurements (points,).
    levels
        Probabilities between 0 and 1.

    Returns
    -------
    Reliability
        Levels, shares, and the number of measurements, which each level has; `plots.reliability_diagram` draws it. A
        count is below a quantile with its whole probability, so that the shares of small counts lie above the levels.

    Raises
    ------
    DataError
        If there isn't one finite measurement for each point.
    ModelError
        If a level isn't between 0 and 1.

    Notes
    -----
    Kuleshov, Fenner and Ermon (2018), "Accurate Uncertainties for Deep Learning Using Calibrated Regression".
    """
    measured = distribution.checked(y).ravel()
    quantiles = distribution.quantiles(levels).reshape(len(levels), -1)
    shares = (measured <= quantiles).mean(axis=1)
    return Reliability(np.asarray(levels, dtype=float), shares, np.full(len(levels), measured.size))


def decide_measurements(
    distribution: PredictiveDistribution, costs: Mapping[str, Callable[[np.ndarray], Any]], seed: int = 0
) -> np.ndarray:
    r"""Choose, for each point, the action with the lowest expected cost :math:`\mathbb{E}[L_a(y)]`.

    Parameters
    ----------
    distribution
        Distribution of the measurements.
    costs
        Mapping from the name of each action to a function of measurements (draws, points) that gives the action's cost
        for each of them, in the same shape.
    seed
        Seed of the measurements that the expectation is averaged over, one per draw of the posterior.

    Returns
    -------
    numpy.ndarray
        Names of the actions, (points,).

    Raises
    ------
    ModelError
        If there is no action, or a cost isn't one finite number for each measurement.
    """
    if not costs:
        raise ModelError("no action to choose; expected a mapping from names to functions of the measurement.")
    sample = distribution.sample(seed)
    expected = []
    for action, cost in costs.items():
        paid = np.broadcast_to(np.asarray(cost(sample), dtype=float), sample.shape)
        if not np.isfinite(paid).all():
            raise ModelError(f"costs of {action!r} hold NaN or infinity; expected a finite number per measurement.")
        expected.append(paid.mean(axis=0))
    return np.array(list(costs), dtype=object)[np.argmin(expected, axis=0)]
