"""The limit of infinite width of a tanh network's prior: a Gaussian process whose kernel can be computed.

Explained in the chapter `book/mnist/posterior`, section "The limit of infinite width".

Under independent normal weights and biases the outputs of a network become a Gaussian process as its hidden layers
widen, with the sum of the variances that reach a unit held fixed (Neal 1996; Lee et al. 2018; Matthews et al. 2018).
Regression on that process is the posterior of the limit, without any approximation. Under a classifier's own likelihood
the limit is sampled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pymc as pm
import torch
from pytensor.configdefaults import config
from scipy import linalg, special

from companion.checks import positive, whole
from companion.errors import DataError, ModelError
from companion.inference import Machine, sample
from companion.machine import slices

__all__ = ["LimitDraws", "LimitRegression", "network_kernel", "regress", "sample_limit"]

_ORDER = 41  # highest degree of the Hermite series of tanh that is told apart
_NODES = 200
_AT_ONCE = 2**20  # numbers of a matrix that are computed at a time
_JITTER = 1e-6  # on the diagonal of a kernel that is decomposed


class LimitRegression(NamedTuple):
    """The regression on the limit under one variance of the noise.

    Attributes
    ----------
    noise
        Variance of the noise on the targets.
    mean
        Predictive means (points, outputs).
    evidence
        Log marginal likelihood of all targets, in nats; outputs are independent.
    """

    noise: float
    mean: np.ndarray
    evidence: float


class LimitDraws(NamedTuple):
    """Draws of the limit's logits at new inputs.

    Attributes
    ----------
    means
        Means of the logits (draws, points, classes), given each draw of the logits at the training inputs; chain after
        chain.
    left
        Standard deviation that is left of each point's logits (points,), the same for every class and draw.
    """

    means: np.ndarray
    left: np.ndarray

    def probabilities(self, seed: int = 0) -> np.ndarray:
        """Draw the logits once for each draw, and give their class probabilities (draws, points, classes)."""
        noise = np.random.default_rng(seed).standard_normal(self.means.shape, dtype=self.means.dtype)
        return special.softmax(self.means + self.left[:, None] * noise, axis=2)


@cache
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Give nodes and weights for expectations under the standard normal law."""
    z, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    return z, weights / weights.sum()


def _hermite(deviation: np.ndarray) -> np.ndarray:
    r"""Expand tanh of normal variables in Hermite polynomials.

    With :math:`u = \sigma z` and the normalised polynomials :math:`h_n`, which are orthonormal under
    :math:`z \sim \mathcal{N}(0, 1)`, the coefficients (odd degrees, points) are
    :math:`a_n(\sigma) = E[\tanh(\sigma z) \, h_n(z)]`. Those of even degrees are zero. The last one stands for all
    degrees above, so that the squares add up to :math:`E[\tanh(\sigma z)^2]`.
    """
    z, weights = _quadrature()
    below, own, kept = np.zeros_like(z), np.ones_like(z), []
    values = np.tanh(np.asarray(deviation, float)[:, None] * z)
    for degree in range(1, _ORDER + 1):
        below, own = own, (z * own - np.sqrt(degree - 1) * below) / np.sqrt(degree)
        if degree % 2:
            kept.append(values @ (weights * own))
    above = (values**2) @ weights - np.square(kept).sum(axis=0)
    return np.array([*kept, np.sqrt(above.clip(min=0))])


def _expected_product(covariance: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    r"""Turn the covariances of two units' inputs into the expected products of the units, in place.

    ``left`` and ``right`` are the variances of the rows and of the columns. By Mehler's formula the expectation is
    :math:`\sum_n a_n(\sigma_u) \, a_n(\sigma_v) \, \rho^n`.
    """
    a, b = (_hermite(np.sqrt(v)).astype(covariance.dtype) for v in (left, right))
    by_row, by_column = (np.sqrt(v).astype(covariance.dtype) for v in (left, right))
    for at in _strips(*covariance.shape):  # whole, the temporary arrays would take several times as much memory again
        rho = np.clip(covariance[at] / (by_row[at, None] * by_column), -1, 1)
        squared, total = rho * rho, np.zeros_like(rho)
        for left_row, right_row in zip(a[::-1], b[::-1], strict=True):
            total *= squared
            total += left_row[at, None] * right_row
        covariance[at] = total * rho
    return covariance


def _handed_on(variance: np.ndarray, gain: np.floating, s2: np.floating) -> np.ndarray:
    """Compute the variances of a layer's sums from those of the layer before."""
    return np.asarray(gain * (_hermite(np.sqrt(variance)) ** 2).sum(axis=0) + s2)


def _variances(x: np.ndarray, scale: float, widths: Sequence[int]) -> np.ndarray:
    """Compute the diagonal of `network_kernel` at some inputs, without the rest."""
    s2 = x.dtype.type(scale**2)
    found = s2 * np.einsum("ij,ij->i", x, x) + s2
    for width in widths:
        found = _handed_on(found, s2 * width, s2)
    return found


def _strips(rows: int, columns: int) -> Iterator[slice]:
    """Cut the rows of a matrix into strips that are computed one at a time."""
    return slices(rows, max(1, _AT_ONCE // max(1, columns)))


def network_kernel(x: np.ndarray, others: np.ndarray, scale: float, widths: Sequence[int]) -> np.ndarray:
    r"""Compute the prior covariance of the outputs of a tanh network whose hidden layers are infinitely wide.

    A layer of :math:`H` units with weights and biases from :math:`\mathcal{N}(0, s^2)` hands on the covariance

    .. math::

        K_{l+1}(x, x') = s^2 + s^2 H \, E[\tanh(u) \tanh(v)], \qquad (u, v) \sim \mathcal{N}(0, K_l),

    and the first layer :math:`K_1(x, x') = s^2 + s^2 \, x^\top x'`. The limit keeps :math:`s^2 H`.

    Parameters
    ----------
    x, others
        Inputs (rows, features) and (columns, features). The result has the numbers' type, float32 or float64.
    scale
        Standard deviation of every weight and bias of the network.
    widths
        Number of tanh units of each hidden layer, from the first to the last.

    Returns
    -------
    numpy.ndarray
        Covariances (rows, columns) of one output; outputs are independent.

    Raises
    ------
    DataError
        If the inputs aren't two arrays (rows, features) with the same features.
    ModelError
        If the scale is not positive or a width is not a whole number.

    Notes
    -----
    Lee et al. (2018), "Deep neural networks as Gaussian processes". The expectation is summed by Mehler's formula, in
    which tanh has its Hermite coefficients from quadrature, so that no table is wanted and arcsine need not stand in.
    """
    if x.ndim != 2 or others.ndim != 2 or x.shape[1] != others.shape[1]:
        raise DataError(
            f"Inputs have shapes {x.shape} and {others.shape}; expected (rows, features), the same features."
        )
    s2 = x.dtype.type(positive("scale", scale) ** 2)
    kernel = x @ others.T
    kernel *= s2
    kernel += s2
    left, right = (s2 * np.einsum("ij,ij->i", a, a) + s2 for a in (x, others))
    for width in widths:
        gain = s2 * whole("widths", width, 1)
        kernel = _expected_product(kernel, left, right)
        kernel *= gain
        kernel += s2
        left, right = (_handed_on(v, gain, s2) for v in (left, right))
    return kernel


def regress(
    x: np.ndarray,
    targets: np.ndarray,
    new: np.ndarray,
    noises: Iterable[float],
    *,
    scale: float,
    widths: Sequence[int],
) -> Iterator[LimitRegression]:
    """Regress on the limit of infinite width, for several variances of the noise.

    Parameters
    ----------
    x, targets
        Inputs (rows, features), and targets (rows, outputs) that are zero on average.
    new
        Inputs (points, features) to predict at.
    noises
        Variances of the noise on the targets. Each costs a decomposition of a matrix (rows, rows): in float32 some 7
        minutes on one core and 10 GB of memory for 50,000 rows. Float32 can't tell a variance below about a
        ten-millionth of the rows times the kernel from zero.
    scale, widths
        Prior of the network; see `network_kernel`.

    Yields
    ------
    LimitRegression
        One for each variance, in their order.

    Raises
    ------
    DataError
        If targets are not (rows, outputs), or inputs and new ones differ in their features.
    ModelError
        If a variance is too small for the numbers' type.

    Notes
    -----
    Rasmussen and Williams (2006), "Gaussian processes for machine learning", algorithm 2.1.
    """
    if targets.ndim != 2 or len(targets) != len(x):
        raise DataError(f"targets has the shape {targets.shape} for {len(x)} rows; expected (rows, outputs).")
    for noise in noises:
        kernel = np.asfortranarray(network_kernel(x, x, scale, widths))
        kernel[np.diag_indices_from(kernel)] += kernel.dtype.type(positive("noises", noise))
        try:
            factor = linalg.cholesky(kernel, lower=True, overwrite_a=True, check_finite=False)
        except linalg.LinAlgError:
            raise ModelError(
                f"A noise of variance {noise:g} is lost in {kernel.dtype} beside a kernel of {len(x)} rows. "
                "Expected a larger one, or inputs in float64."
            ) from None
        del kernel
        weights = linalg.cho_solve((factor, True), targets, check_finite=False)
        halves = np.log(np.diag(factor).astype(float)).sum()
        evidence = -0.5 * np.sum(targets * weights) - targets.shape[1] * halves
        del factor
        strips = (network_kernel(new[at], x, scale, widths) @ weights for at in _strips(len(new), len(x)))
        mean = np.concatenate(list(strips))
        yield LimitRegression(noise, mean, float(evidence - 0.5 * targets.size * np.log(2 * np.pi)))


def sample_limit(
    x: np.ndarray,
    labels: np.ndarray,
    new: np.ndarray,
    *,
    scale: float,
    widths: Sequence[int],
    classes: int = 10,
    draws: int = 50,
    warmup: int = 150,
    chains: int = 4,
    temperature: float = 1.0,
    machine: str | torch.device | Machine = "auto",
    seed: int = 0,
    progressbar: bool = False,
) -> LimitDraws:
    r"""Sample the limit's posterior under a softmax likelihood, and carry it to new inputs.

    With the Cholesky factor :math:`L` of the kernel at the training inputs, the model is

    .. math::

        z \sim \mathcal{N}(0, 1), \qquad y_n \sim \operatorname{Categorical}(\operatorname{softmax}((L z)_n)),

    with a column of :math:`z` for each class. `companion.inference.sample` draws from it.

    Parameters
    ----------
    x, labels
        Training inputs (rows, features), and labels (rows,) from 0 to ``classes - 1``.
    new
        Inputs (points, features) to predict at.
    scale, widths
        Prior of the network; see `network_kernel`.
    classes
        Number of classes.
    draws, warmup, chains, machine, seed, progressbar
        Settings of `companion.inference.sample`, with the same meaning.
    temperature
        The likelihood is raised to the power of one over this: 1 is the posterior, below 1 a tempered one.

    Returns
    -------
    LimitDraws
        ``chains * draws`` draws.

    Raises
    ------
    DataError
        If the labels don't fit the inputs or the classes, or inputs and new ones differ in their features.
    ModelError
        If the temperature is not positive, or a setting of the prior or of the sampler is out of range.

    Notes
    -----
    Rasmussen and Williams (2006), "Gaussian processes for machine learning", sections 2.2 and 3.3. A step multiplies by
    a matrix (rows, rows): some seconds for 2,000 rows, and not for more than some 10,000.
    """
    labels, power = np.asarray(labels), 1 / positive("temperature", temperature)
    if labels.shape != (len(x),) or not np.isin(labels, np.arange(classes)).all():
        raise DataError(
            f"labels have the shape {labels.shape} and lie between {labels.min(initial=0)} and {labels.max(initial=0)}"
            f"; expected ({len(x)},), one for each row, from 0 to {classes - 1}."
        )
    x, new = np.asarray(x, dtype=float), np.asarray(new, dtype=float)
    factor = linalg.cholesky(network_kernel(x, x, scale, widths) + _JITTER * np.eye(len(x)), lower=True)
    with config.change_flags(floatX="float32"), pm.Model() as model:
        z = pm.Normal("z", 0, 1, shape=(len(x), classes))
        logits = pm.Data("factor", factor.astype(np.float32)) @ z
        pm.Categorical("y", logit_p=logits, observed=labels, total_size=round(power * len(x)))
    posterior = sample(model, draws, warmup=warmup, chains=chains, machine=machine, seed=seed, progressbar=progressbar)
    z = posterior.draw(chains * draws, seed=seed)["z"]
    means = np.empty((len(z), len(new), classes), dtype=np.float32)
    left = np.empty(len(new), dtype=np.float32)
    for at in _strips(len(new), len(x)):
        across = linalg.solve_triangular(factor, network_kernel(x, new[at], scale, widths), lower=True)  # (rows, strip)
        own = _variances(new[at], scale, widths)
        left[at] = np.sqrt(np.clip(own - (across**2).sum(axis=0), 0, None))
        means[:, at] = across.T @ z
    return LimitDraws(means, left)
