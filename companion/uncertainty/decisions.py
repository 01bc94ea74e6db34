"""What to do: probabilities and costs in, actions out; doubts and errors in, risk against coverage out.

Explained in the chapter `book/pymc/breast_cancer`, section "A decision".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from companion.errors import DataError, ModelError
from companion.prediction import mean_probabilities
from companion.uncertainty.scores import labels_of

__all__ = ["Decisions", "RiskCoverage", "decide", "risk_coverage"]


@dataclass(frozen=True, eq=False)
class Decisions:
    """The cheapest action for each point, by what the model believes.

    Attributes
    ----------
    actions
        Names, in the order of the costs.
    chosen
        Index of each point's action, (points,).
    expected
        Its expected cost, (points,), in the unit of the costs.
    costs
        (actions, classes).
    """

    actions: tuple[str, ...]
    chosen: np.ndarray
    expected: np.ndarray
    costs: np.ndarray

    def paid(self, y: np.ndarray) -> np.ndarray:
        """Cost of each point's action, (points,), now that its label in `y` (points,) is known.

        Raises
        ------
        DataError
            If there isn't one label for each point, or a label has no class.
        """
        labels = labels_of(y, len(self.chosen), self.costs.shape[1], "decisions")
        cost: np.ndarray = self.costs[self.chosen, labels]
        return cost

    def share(self, action: str) -> float:
        """Share of the points for which an action was chosen.

        Raises
        ------
        ModelError
            If there is no such action.
        """
        if action not in self.actions:
            raise ModelError(f"no action {action!r}; there are {', '.join(self.actions)}.")
        return float(np.mean(self.chosen == self.actions.index(action)))


def decide(probabilities: np.ndarray, costs: Mapping[str, Sequence[float]]) -> Decisions:
    r"""Choose, for each point, the action with the lowest expected cost :math:`\sum_c \bar p_c\, L_{a c}`.

    Parameters
    ----------
    probabilities
        Shape (draws, points, classes); averaged over the draws first, as a Bayesian's expectation is.
    costs
        Name of each action to its cost :math:`L_{a c}` in each class, (classes,). To ask a person is an action like any
        other: its cost hardly depends on the class.

    Raises
    ------
    ModelError
        If there is no action, or an action doesn't have one finite cost for each class.

    Notes
    -----
    Berger (1985), "Statistical Decision Theory and Bayesian Analysis"; the option to refuse is that of Chow (1970), "On
    Optimum Recognition Error and Reject Tradeoff". Explained in the chapter `book/pymc/breast_cancer`.
    """
    mean = mean_probabilities(probabilities)
    if not costs:
        raise ModelError("no action to choose; expected a mapping from names to costs, one for each class.")
    for action, row in costs.items():
        if np.shape(row) != mean.shape[1:] or not np.isfinite(np.asarray(row, dtype=float)).all():
            raise ModelError(f"costs of {action!r}: {list(row)}; expected {mean.shape[1]} numbers, one for each class.")
    table = np.array(list(costs.values()), dtype=float)
    expected = mean @ table.T
    chosen = expected.argmin(axis=1)
    return Decisions(tuple(costs), chosen, expected[np.arange(len(mean)), chosen], table)


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """The error among the points that a model is most sure of, as it answers for more and more of them.

    Attributes
    ----------
    coverage
        Share of the points that are answered, (points,), rising to 1.
    risk
        Share of errors among those, (points,).
    """

    coverage: np.ndarray
    risk: np.ndarray

    @property
    def area(self) -> float:
        """Area under the curve (AURC), the mean risk over all coverages: lower is better."""
        return float(self.risk.mean())

    def at(self, coverage: float) -> float:
        """Risk when at least this share of the points is answered.

        Raises
        ------
        ModelError
            If it isn't above 0 and at most 1.
        """
        if not 0 < coverage <= 1:
            raise ModelError(f"coverage={coverage}; expected a share above 0, up to 1.")
        return float(self.risk[np.searchsorted(self.coverage, coverage - 1e-12)])


def risk_coverage(doubt: np.ndarray, probabilities: np.ndarray, y: np.ndarray) -> RiskCoverage:
    """Let a model answer where it doubts least, and count its errors there.

    Parameters
    ----------
    doubt
        Any uncertainty, (points,), such as an entropy: the larger, the sooner the point is refused.
    probabilities
        Shape (draws, points, classes).
    y
        Labels (points,).

    Raises
    ------
    DataError
        If the lengths differ, there are no points, or a doubt is NaN.

    Notes
    -----
    El-Yaniv and Wiener (2010), "On the Foundations of Noise-free Selective Classification". Points of equal doubt share
    their errors evenly. Explained in the chapter `book/pymc/breast_cancer`.
    """
    mean, doubt = mean_probabilities(probabilities), np.asarray(doubt, dtype=float)
    labels = labels_of(y, *mean.shape)
    if doubt.shape != labels.shape or not len(doubt):
        raise DataError(f"doubt has shape {doubt.shape} for {len(labels)} points; expected one for each, and a point.")
    if np.isnan(doubt).any():
        raise DataError(f"{int(np.isnan(doubt).sum())} doubts are NaN; look at the probabilities that they come from.")
    wrong = (mean.argmax(axis=1) != labels).astype(float)
    _, group, size = np.unique(doubt, return_inverse=True, return_counts=True)
    evened = (np.bincount(group, wrong) / size)[group][np.argsort(doubt, kind="stable")]
    answered = np.arange(1, len(doubt) + 1)
    return RiskCoverage(answered / len(doubt), np.cumsum(evened) / answered)
