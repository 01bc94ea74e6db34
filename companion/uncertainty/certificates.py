"""Certificates: a bound on the error of new rows that is computed from the training rows alone.

Explained in the chapter `book/mnist/posterior`, section "A certificate".
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq

from companion.checks import fraction, numbers, whole
from companion.errors import ModelError

__all__ = ["certificate"]


def certificate(divergence: float, errors: np.ndarray, rows: int, *, delta: float = 0.05) -> float:
    r"""Bound the error that a posterior makes on new rows, by its training error and its divergence from the prior.

    With probability :math:`1 - \delta` over the training rows and the draws, the error :math:`R` of a network that is
    drawn from the posterior :math:`q`, on rows of the same origin and averaged over draws, is below the solution of

    .. math::

        \mathrm{kl}(\bar R \,\|\, R) = \frac{\mathrm{KL}(q \,\|\, p) + \log (4 \sqrt n / \delta)}{n},
        \qquad
        \mathrm{kl}(\hat R \,\|\, \bar R) = \frac{\log (4 / \delta)}{m},

    where :math:`\hat R` is the mean of ``errors`` over :math:`m` draws, and
    :math:`\mathrm{kl}(a \,\|\, b) = a \log \frac ab + (1 - a) \log \frac{1 - a}{1 - b}`.

    Parameters
    ----------
    divergence
        Divergence :math:`\mathrm{KL}(q \,\|\, p)` of the posterior from its prior, in nats, at full weight whatever the
        temperature of the fit.
    errors
        Share of training rows that each draw gets wrong (draws,), between 0 and 1. Draws must be independent, and which
        rows a draw is tried on must not depend on it; each may be tried on rows of its own, chosen at random, and
        many draws on few rows each make the bound tighter than few draws on many.
    rows
        Number of training rows :math:`n` that the posterior was fitted to.
    delta
        Probability with which the bound may fail.

    Returns
    -------
    float
        Bound on the error of one draw, between 0 and 1. The vote of many draws errs at most twice as often as one draw
        does on average, so that twice the bound holds for it.

    Raises
    ------
    ModelError
        If the divergence isn't one number, 0 or more; an error is not between 0 and 1, there are no draws, or ``delta``
        is not between 0 and 1.

    Notes
    -----
    The prior must not have seen the training rows, nor may it have been chosen by them: a choice among :math:`k` priors
    costs :math:`\log k` nats, which belong to the divergence. The first bound is that of Seeger (2002), "PAC-Bayesian
    generalisation error bounds for Gaussian process classification", with the constant of Maurer (2004), "A note on
    the PAC Bayesian theorem"; the second is Langford and Caruana's (2002), "(Not) bounding the true error".
    """
    shares = "shares (draws,), each between 0 and 1"
    rates, n = np.atleast_1d(numbers("errors", errors, shares)).astype(float), whole("rows", rows, 1)
    nats = numbers("divergence", divergence, "one number of nats, 0 or more")
    if nats.ndim or not 0 <= nats < math.inf:
        raise ModelError(f"divergence={divergence!r}; expected one number of nats, 0 or more.")
    if rates.ndim != 1 or not rates.size or not ((rates >= 0) & (rates <= 1)).all():
        raise ModelError(f"errors has the shape {rates.shape}; expected {shares}.")
    fraction("delta", delta, "the probability with which the bound may fail")
    on_training = _largest(float(rates.mean()), np.log(4 / delta) / len(rates))
    return _largest(on_training, (float(nats) + np.log(4 * np.sqrt(n) / delta)) / n)


def _largest(share: float, nats: float) -> float:
    """Find the largest probability whose Bernoulli law is within so many nats of that of a share."""

    def excess(p: float) -> float:
        return sum(a * math.log(a / b) for a, b in ((share, p), (1 - share, 1 - p)) if a > 0) - nats

    top = 1 - 1e-15
    if share >= top or excess(top) <= 0:
        return 1.0
    return float(brentq(excess, share, top, xtol=1e-12))
