"""Marginal means and standard deviations of a posterior's values.

Explained in the chapter `book/mnist/pruning`, section "Why only 95 %".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from companion.errors import ModelError

__all__ = ["Moments", "moments"]


class Moments(NamedTuple):
    r"""Mean and standard deviation of each entry of a variable, both (\*shape)."""

    mean: np.ndarray
    scale: np.ndarray

    @property
    def signal_to_noise(self) -> np.ndarray:
        r"""Ratio :math:`|\mu| / \sigma` (\*shape): how surely a weight differs from zero."""
        return np.abs(self.mean) / self.scale


def moments(posterior: Any) -> dict[str, Moments]:
    """Ask a posterior for the mean and the standard deviation of each of its values.

    Values are those of the unconstrained space in which a posterior is fitted or sampled: a weight itself, and the
    logarithm of a scale (named ``"0.scale_log__"``).

    Parameters
    ----------
    posterior
        Any posterior.

    Returns
    -------
    dict
        Name of each value to its `Moments`.

    Raises
    ------
    ModelError
        If it isn't a posterior, or one without moments, such as a mixture of restarts.
    """
    ask = getattr(posterior, "moments", None)
    if not callable(ask):
        raise ModelError(
            f"the posterior is a {type(posterior).__name__}; expected one that companion.fit or another fit returned."
        )
    return ask()
