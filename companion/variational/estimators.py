"""The gradient estimators: ways to estimate the gradient of the ELBO from a few draws.

Explained in `book/reference/how_a_fit_works`, section "Estimators".
"""

from __future__ import annotations

from enum import StrEnum

from companion.checks import choice

__all__ = ["Estimator"]


class Estimator(StrEnum):
    """The ways to estimate the gradient of the ELBO; each of them is unbiased."""

    REPARAMETERISATION = "reparameterisation"
    """All rows of a step share one draw of the weights (Kingma and Welling 2014)."""

    LOCAL = "local"
    """Each row has its own noise on a linear layer's pre-activations (Kingma, Salimans and Welling 2015). Layers that
    use a weight at several positions of a row get flipout: independent noise would belong to another model's ELBO."""

    FLIPOUT = "flipout"
    """All rows share one draw of the weights, with random signs for each row (Wen et al. 2018)."""

    STICKING_THE_LANDING = "sticking-the-landing"
    """The gradient is the path derivative alone, which has no noise where q is the posterior (Roeder et al. 2017)."""

    @classmethod
    def of(cls, name: str | Estimator) -> Estimator:
        """Look an estimator up by its name.

        Raises
        ------
        ModelError
            If there is not an estimator of that name.
        """
        return choice(cls, "estimator", name)

    @property
    def acts_on_layers(self) -> bool:
        """Whether the estimator needs layers with independent normal weights."""
        return self in (Estimator.LOCAL, Estimator.FLIPOUT)
