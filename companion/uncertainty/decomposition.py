"""The two parts of predictive uncertainty: what the data leave open, and what we have not learned.

Explained in the chapters `book/pymc/moons`, section "What the uncertainty surface means" (variance), and
`book/mnist/strange_images`, section "The measures that the field settled on" (entropy).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from companion.prediction import check_probabilities

__all__ = ["Decomposition", "decompose_entropy", "decompose_variance"]


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Predictive uncertainty of each point and its two parts; ``total = aleatoric + epistemic``.

    Attributes
    ----------
    total
        Uncertainty of the next label or measurement, (points,).
    aleatoric
        The part that would remain if the weights were known, because classes overlap or measurements are noisy,
        (points,).
    epistemic
        The part that more data could remove, because the draws disagree, (points,).
    """

    total: np.ndarray
    aleatoric: np.ndarray
    epistemic: np.ndarray


def decompose_variance(probabilities: np.ndarray) -> Decomposition:
    r"""Split the variance of the label's indicator by the law of total variance.

    For class :math:`c` with probability :math:`p_c(\theta)` under weights :math:`\theta`,

    .. math::

        \underbrace{\bar p_c (1 - \bar p_c)}_{\text{total}}
        = \underbrace{\mathbb{E}_\theta[p_c(1 - p_c)]}_{\text{aleatoric}}
        + \underbrace{\operatorname{Var}_\theta[p_c]}_{\text{epistemic}},
        \qquad \bar p_c = \mathbb{E}_\theta[p_c].

    With two classes the figures are those of either class; with more, they are summed over the classes.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes).

    Returns
    -------
    Decomposition
        Variances (points,). With two classes the total is at most 1/4, and its root is the standard deviation of
        sampled labels.

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities.

    Notes
    -----
    Depeweg et al. (2018), "Decomposition of Uncertainty in Bayesian Deep Learning".
    """
    probabilities = check_probabilities(probabilities)
    mean = probabilities.mean(axis=0)
    parts = (mean * (1 - mean), (probabilities * (1 - probabilities)).mean(axis=0), probabilities.var(axis=0))
    share = 0.5 if mean.shape[1] == 2 else 1.0  # both classes of a pair carry the same variance: count it once
    total, aleatoric, epistemic = (share * part.sum(axis=1) for part in parts)
    return Decomposition(total, aleatoric, epistemic)


def decompose_entropy(probabilities: np.ndarray) -> Decomposition:
    r"""Split the predictive entropy into expected entropy and mutual information, in nats.

    .. math::

        \underbrace{H[\bar p]}_{\text{total}}
        = \underbrace{\mathbb{E}_\theta\bigl[H[p(\theta)]\bigr]}_{\text{aleatoric}}
        + \underbrace{I(y; \theta)}_{\text{epistemic}},
        \qquad H[p] = -\textstyle\sum_c p_c \log p_c.

    Parameters
    ----------
    probabilities
        Class probabilities (draws, points, classes).

    Returns
    -------
    Decomposition
        Entropies in nats, (points,).

    Raises
    ------
    ModelError
        If `probabilities` aren't class probabilities.

    Notes
    -----
    Depeweg et al. (2018), "Decomposition of Uncertainty in Bayesian Deep Learning".
    """
    probabilities = check_probabilities(probabilities)
    mean = probabilities.mean(axis=0)
    total = -xlogy(mean, mean).sum(axis=1)
    aleatoric = -xlogy(probabilities, probabilities).sum(axis=2).mean(axis=0)
    return Decomposition(total, aleatoric, total - aleatoric)
