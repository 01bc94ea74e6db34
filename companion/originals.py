"""Mistakes of the original posts, rebuilt on purpose so that a chapter can run them and show what they do.

Explained in the chapters `book/pymc/moons` and `book/pymc/breast_cancer`, section "Errata of the original" (model
builders and mini-batches), `book/mnist/strange_images`, section "The post's statistic", and `book/pymc/zh` (what the
blog post of 2016 printed while it trained). Nothing else should use them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm
from scipy.stats import chisquare

from companion.checks import counted
from companion.datasets import Observations
from companion.models import binary_classifier, network

__all__ = [
    "PRINTED_ELBOS",
    "PRINTED_STEPS",
    "builder_that_ignores_its_arguments",
    "chi_square_of_codes",
    "separate_minibatches",
]

PRINTED_STEPS = tuple(range(0, 50_001, 5_000))
"""Steps at which the blog post of 2016 prints the ELBO of its two fits, as its Chinese edition keeps them."""

PRINTED_ELBOS = {
    "all rows": (-368.86, -185.65, -197.23, -203.2, -192.46, -198.8, -183.39, -185.04, -187.56, -192.32, -225.56),
    "mini-batches": (-311.63, -162.34, -70.49, -153.64, -164.07, -135.05, -240.99, -111.71, -87.55, -97.5, -75.31),
}
"""ELBOs that the blog post of 2016 prints at `PRINTED_STEPS`, in nats, each estimated from one draw of the weights."""


def builder_that_ignores_its_arguments(data: Observations, seed: int = 0) -> Callable[[Any, Any], pm.Model]:
    """Make a model builder that overwrites its arguments with the whole data, as the post's does.

    Parameters
    ----------
    data
        Training rows, which the post's builder read as globals.
    seed
        Seed of the starting weights.

    Returns
    -------
    callable
        Function ``construct(inputs, labels)`` that returns the model of all rows, whatever its arguments are.
    """

    def construct(inputs: Any, labels: Any) -> pm.Model:
        inputs, labels = data.x, data.y  # the post's line: the names now mean something else
        return binary_classifier(Observations(inputs, labels), seed=seed)

    return construct


def separate_minibatches(data: Observations, batch_size: int, seed: int = 0) -> pm.Model:
    """Build the classifier on inputs and labels of two separate mini-batches, as the post's calls do in today's PyMC.

    Parameters
    ----------
    data
        Training rows.
    batch_size
        Number of rows in each mini-batch.
    seed
        Seed of the starting weights.
    """
    rows, features = data.x.shape
    with pm.Model(coords={"feature": range(features), "hidden_1": range(5), "hidden_2": range(5)}) as model:
        x = pm.Minibatch(data.x, batch_size=batch_size)
        y = pm.Minibatch(data.y, batch_size=batch_size)
        network(x, y, features=features, seed=seed, total_size=rows)
    return model


def chi_square_of_codes(labels: np.ndarray) -> np.ndarray:
    r"""Compute the post's "chi-square statistic", which takes the codes of the labels for counts.

    For the sampled labels :math:`k_1, \dots, k_n` of a point it is :math:`\sum_i (k_i - \bar k)^2 / \bar k`, a spread
    of codes, by which 0 and 9 are further apart than 3 and 4. Labels that all agree give 0, and labels that are all 0
    give 0 / 0, NaN, which the post drops. So the statistic is high where the model is uncertain, while Pearson's
    statistic of the class counts, `companion.uncertainty.chi_square`, is high where the model is certain.

    Parameters
    ----------
    labels
        Sampled labels (draws, points), whole numbers of 0 or more, such as `companion.uncertainty.sample_labels` gives.

    Returns
    -------
    numpy.ndarray
        Statistics (points,); NaN where all labels are 0.

    Raises
    ------
    DataError
        If the shape differs, or a label isn't a whole number of 0 or more.

    Notes
    -----
    Wiecki (2016), "Bayesian Deep Learning Part II": ``preds.apply(lambda x: chisquare(x).statistic)``.
    """
    labels = counted("labels", labels, "(draws, points), as `sample_labels` gives")
    with np.errstate(invalid="ignore"):  # 0 / 0 is what the post got
        return chisquare(labels, axis=0).statistic
