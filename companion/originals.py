"""The originals' mistakes, rebuilt on purpose so that a chapter can run them and show what they do.

Explained in the errata of the chapter `book/pymc/moons`. Nothing else should use them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pymc as pm

from companion.datasets import Observations
from companion.models import binary_classifier, network

__all__ = ["builder_that_ignores_its_arguments", "separate_minibatches"]


def builder_that_ignores_its_arguments(data: Observations, seed: int = 0) -> Callable[[Any, Any], pm.Model]:
    """Make a model builder with the scope of the post's: its arguments are overwritten by the whole data.

    Parameters
    ----------
    data
        The training rows, which the post's builder read as globals.
    seed
        Of the starting weights.

    Returns
    -------
    callable
        ``construct(inputs, labels)``, which returns the model of all rows whatever it is given.
    """

    def construct(inputs: Any, labels: Any) -> pm.Model:
        inputs, labels = data.x, data.y  # the post's line: the names now mean something else
        return binary_classifier(Observations(inputs, labels), seed=seed)

    return construct


def separate_minibatches(data: Observations, batch_size: int, seed: int = 0) -> pm.Model:
    """Build the classifier on two mini-batches drawn apart, as the post's calls do under today's PyMC.

    Parameters
    ----------
    data
        The training rows.
    batch_size
        Rows in each mini-batch.
    seed
        Of the starting weights.
    """
    rows, features = data.x.shape
    with pm.Model(coords={"feature": range(features), "hidden_1": range(5), "hidden_2": range(5)}) as model:
        x = pm.Minibatch(data.x, batch_size=batch_size)
        y = pm.Minibatch(data.y, batch_size=batch_size)
        network(x, y, features=features, seed=seed, total_size=rows)
    return model
