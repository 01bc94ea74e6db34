"""Decisions by predictive probabilities: the cheapest action at any price, and which points to leave to a person.

Explained in the chapter `book/pymc/breast_cancer_decisions`, sections "A decision" and "Risk against coverage".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from companion.errors import DataError, ModelError
from companion.prediction import mean_probabilities
from companion.uncertainty.scores import labels_of, mean_and_labels

__all__ = ["Decisions", "RiskCoverage", "decide", "net_benefit", "paid_at", "risk_coverage"]


@dataclass(frozen=True, eq=False)
class Decisions:
    """The action for each point that the model expects to be the cheapest.

    Attributes
    ----------
    actions
        Names of the actions, in the order of the rows of `costs`.
    chosen
        Index of each point's action in `actions`, (points,).
    expected
        Expected cost of each point's action, (points,), in the unit of the costs.
    costs
        Cost of every action in every class, (actions, classes).
    """

    actions: tuple[str, ...]
    chosen: np.ndarray
    expected: np.ndarray
    costs: np.ndarray

    def paid(self, y: np.ndarray) -> np.ndarray:
        """Return what each point's action has cost, now that its label is known.

        Parameters
        ----------
        y
            Labels (points,).

        Returns
        -------
        numpy.ndarray
            Costs (points,).

        Raises
        ------
        DataError
            If there isn't one label for each point, or a label has no class.
        """
        labels = labels_of(y, len(self.chosen), self.costs.shape[1], "decisions")
        return self.costs[self.chosen, labels]

    def share(self, action: str) -> float:
        """Compute the share of the points for which an action was chosen.

        Parameters
        ----------
        action
            Name of the action.

        Raises
        ------
        ModelError
            If there is no action of that name.
        """
        if action not in self.actions:
            raise ModelError(f"no action {action!r}; there are {', '.join(self.actions)}.")
        return float(np.mean(self.chosen == self.actions.index(action)))


def decide(probabilities: np.ndarray, costs: Mapping[str, Sequence[float]]) -> Decisions:
    r"""Choose, for each point, the action with the lowest expected cost :math:`\sum_c \bar p_c\, L_{a c}`.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes); they are averaged over the draws first.
    costs
        Mapping from the name of each action to its cost :math:`L_{a c}` in each class, (classes,). To ask a person is
        an action like any other, with a cost that hardly depends on the class.

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities, there is no action, or an action doesn't have one finite cost for
        each class.

    Notes
    -----
    Berger (1985), "Statistical Decision Theory and Bayesian Analysis"; the option to refuse is that of Chow (1970), "On
    Optimum Recognition Error and Reject Tradeoff".
    """
    mean = mean_probabilities(probabilities)
    if not costs:
        raise ModelError("no action to choose; expected a mapping from names to costs, one cost for each class.")
    for action, row in costs.items():
        if np.shape(row) != mean.shape[1:] or not np.isfinite(np.asarray(row, dtype=float)).all():
            raise ModelError(f"costs of {action!r}: {list(row)}; expected {mean.shape[1]} numbers, one for each class.")
    table = np.array(list(costs.values()), dtype=float)
    expected = mean @ table.T
    chosen = expected.argmin(axis=1)
    return Decisions(tuple(costs), chosen, expected[np.arange(len(mean)), chosen], table)


def paid_at(
    probabilities: np.ndarray,
    y: np.ndarray,
    costs: Callable[[float], Mapping[str, Sequence[float]]],
    prices: Sequence[float] | np.ndarray,
) -> np.ndarray:
    """Compute what each point costs when actions are chosen by expected cost, for every value of a price.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes); they are averaged over the draws first.
    y
        Labels (points,).
    costs
        Function that gives, for a price, the costs of the actions as `decide` takes them.
    prices
        Values of the price, (prices,), such as what one missed case costs.

    Returns
    -------
    numpy.ndarray
        Costs (prices, points). Their mean over the points is the cost curve; `group_bootstrap` puts an interval around
        it, and around the difference of two methods.

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities, there is no price, or a price leads to costs that `decide`
        refuses.
    DataError
        If there isn't one label for each point, or a label has no class.

    Notes
    -----
    Drummond and Holte (2006), "Cost Curves: An Improved Method for Visualizing Classifier Performance", draw such
    curves for two actions.
    """
    asked = np.asarray(prices, dtype=float)
    if asked.ndim != 1 or not asked.size:
        raise ModelError(f"prices have shape {asked.shape}; expected a list of one or more.")
    return np.stack([decide(probabilities, costs(float(price))).paid(y) for price in asked])


def net_benefit(
    probabilities: np.ndarray, y: np.ndarray, thresholds: Sequence[float] | np.ndarray, *, of: int = 1
) -> np.ndarray:
    r"""Compute each point's part in the net benefit of treating where a probability reaches a threshold.

    A treated point of the class counts 1, a treated point of another class :math:`-t / (1 - t)` at the threshold
    :math:`t`, and an untreated point 0. To act at the threshold :math:`t` is to say that a missed case is as bad as
    :math:`(1 - t) / t` needless treatments.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes); they are averaged over the draws first. Those of one that treats
        everybody are 1 for the class.
    y
        Labels (points,).
    thresholds
        Probabilities from which on a point is treated, (thresholds,), each between 0 and 1.
    of
        Class that is treated.

    Returns
    -------
    numpy.ndarray
        Parts (thresholds, points). Their mean over the points is the net benefit, in treated cases per point;
        `group_bootstrap` puts an interval around it.

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities, a threshold isn't between 0 and 1, or `of` isn't one of the
        classes.
    DataError
        If there are no points, there isn't one label for each, or a label has no class.

    Notes
    -----
    Vickers and Elkin (2006), "Decision Curve Analysis: A Novel Method for Evaluating Prediction Models". With two
    actions, a needless treatment of cost 1 and a missed case of cost :math:`L = (1 - t) / t`, the mean cost of a point
    is :math:`L` times what the share of cases exceeds the net benefit by.
    """
    mean, labels = mean_and_labels(probabilities, y)
    given = np.asarray(thresholds, dtype=float)
    if given.ndim != 1 or not given.size or not ((given > 0) & (given < 1)).all():
        raise ModelError(f"thresholds={given.tolist()}; expected a list of probabilities between 0 and 1.")
    if not 0 <= of < mean.shape[1]:
        raise ModelError(f"of={of}; expected a class from 0 to {mean.shape[1] - 1}.")
    column = given[:, None]
    worth = np.where(labels == of, 1.0, -column / (1 - column))
    return np.where(mean[:, of] >= column, worth, 0.0)


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """The share of errors among the points that a model is most sure of, as it answers for more and more of them.

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
        """Area under the curve (AURC), the mean risk over all coverages; lower is better."""
        return float(self.risk.mean())

    def at(self, coverage: float) -> float:
        """Look up the risk when at least a given share of the points is answered.

        Parameters
        ----------
        coverage
            Share of the points, above 0 and up to 1.

        Raises
        ------
        ModelError
            If the share isn't above 0 and at most 1.
        """
        if not 0 < coverage <= 1:
            raise ModelError(f"coverage={coverage}; expected a share above 0, up to 1.")
        return float(self.risk[np.searchsorted(self.coverage, coverage - 1e-12)])


def risk_coverage(doubt: np.ndarray, probabilities: np.ndarray, y: np.ndarray) -> RiskCoverage:
    """Compute the share of errors among the points that a model doubts least, for every number of points answered.

    Parameters
    ----------
    doubt
        Uncertainty of each point, (points,), of any kind, such as an entropy; the largest are refused first.
    probabilities
        Class probabilities (draws, points, classes).
    y
        Labels (points,).

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities.
    DataError
        If there are no points, there isn't one doubt and one label for each, a label has no class, or a doubt is NaN.

    Notes
    -----
    El-Yaniv and Wiener (2010), "On the Foundations of Noise-free Selective Classification". Points of equal doubt share
    their errors evenly.
    """
    mean, labels = mean_and_labels(probabilities, y)
    doubt = np.asarray(doubt, dtype=float)
    if doubt.shape != labels.shape:
        raise DataError(f"doubt has shape {doubt.shape} for {len(labels)} points; expected one number for each.")
    if np.isnan(doubt).any():
        raise DataError(f"{int(np.isnan(doubt).sum())} doubts are NaN; look at the probabilities that they come from.")
    wrong = (mean.argmax(axis=1) != labels).astype(float)
    _, group, size = np.unique(doubt, return_inverse=True, return_counts=True)
    evened = (np.bincount(group, wrong) / size)[group][np.argsort(doubt, kind="stable")]
    answered = np.arange(1, len(doubt) + 1)
    return RiskCoverage(answered / len(doubt), np.cumsum(evened) / answered)
