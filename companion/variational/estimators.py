"""Gradient estimators: the ways to estimate the gradient of the ELBO from a few draws.

Explained in `book/reference/how_a_fit_works`, section "Estimators".
"""

from __future__ import annotations

from enum import StrEnum

from companion.checks import choice

__all__ = ["Estimator"]


class Estimator(StrEnum):
    """How the gradient of the ELBO is estimated; every one is unbiased."""

    REPARAMETERISATION = "reparameterisation"
    """One draw of the weights for all rows (Kingma and Welling 2014)."""

    LOCAL = "local"
    """Noise on each row's pre-activations (Kingma, Salimans and Welling 2015) in linear layers; flipout in those that
    use a weight at several positions of a row, where independent noise would be another model's ELBO."""

    FLIPOUT = "flipout"
    """One draw of the weights, with random signs for each row (Wen et al. 2018)."""

    STICKING_THE_LANDING = "sticking-the-landing"
    """The path derivative alone: exact, without noise, where the family fits the posterior (Roeder et al. 2017)."""

    @classmethod
    def of(cls, name: str | Estimator) -> Estimator:
        """Look an estimator up by its name.

        Raises
        ------
        ModelError
            If there is none of that name.
        """
        return choice(cls, "estimator", name)

    @property
    def acts_on_layers(self) -> bool:
        """Whether it needs layers with independent normal weights."""
        return self in (Estimator.LOCAL, Estimator.FLIPOUT)
