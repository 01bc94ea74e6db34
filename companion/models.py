"""Ready-made PyMC models for observations.

`binary_classifier` is the network of Wiecki's posts, written in PyMC: two hidden layers of tanh units, no biases, a
standard normal prior on every weight. `torch_classifier` takes any torch network and any prior. Explained in the
chapter *Two moons* (`book/pymc/moons`); the breast-cancer and the Chinese chapter share it. `torch_regression` does for
measurements what `torch_classifier` does for classes. It is explained in `book/reference/data`, section "Measurements".
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import pymc as pm
import torch

from companion.bridge import bayesian, observe_weighted
from companion.checks import choice, positive
from companion.datasets import Measurements, Observations
from companion.errors import DataError, ModelError
from companion.priors import Prior

__all__ = ["Likelihood", "binary_classifier", "network", "torch_classifier", "torch_regression"]

_MOST_COUNTS = 1000
"""Larger counts are so close to a normal distribution that the zeros among them tell of something else."""
_MOST_TIMES = 100
"""Measurements above 0 that differ by a larger factor have noise that multiplies: their logarithms are modelled."""


class Likelihood(StrEnum):
    """Distribution of a measurement around what a network says."""

    NORMAL = "normal"
    """Normal noise."""
    STUDENT_T = "student-t"
    """Noise with heavy tails, as heavy as the data ask for: a few wild measurements don't bend the curve."""
    LOG_NORMAL = "log-normal"
    """Noise that multiplies: for measurements above 0 whose scatter grows with their size, such as prices."""
    COUNTS = "counts"
    """Whole numbers from 0, scattered as counts are or more: a negative binomial distribution."""

    @classmethod
    def of(cls, y: np.ndarray) -> Likelihood:
        """Choose the distribution that measurements ask for by themselves.

        Parameters
        ----------
        y
            Measurements, of any shape.

        Returns
        -------
        Likelihood
            `COUNTS` for whole numbers from 0, some of them 0, none as large as 1,000; `LOG_NORMAL` for numbers above 0
            of which the largest is more than a hundred times the smallest; `NORMAL` for all others.
        """
        y = np.asarray(y)
        if (y >= 0).all() and (y == np.floor(y)).all() and (y == 0).any() and y.max() < _MOST_COUNTS:
            return cls.COUNTS
        return cls.LOG_NORMAL if (y > 0).all() and y.max() > _MOST_TIMES * y.min() else cls.NORMAL


def binary_classifier(
    data: Observations,
    *,
    hidden: int = 5,
    batch_size: int | None = None,
    total_size: int | None = None,
    seed: int = 0,
    feature_names: Sequence[str] = (),
) -> pm.Model:
    r"""Build the two-hidden-layer Bayesian classifier of the posts, for labels 0 and 1.

    .. math::

        W_1, W_2, w_3 \sim \mathcal{N}(0, 1), \quad
        p = \sigma\bigl(\tanh(\tanh(x W_1) W_2)\, w_3\bigr), \quad
        y \sim \mathrm{Bernoulli}(p)

    Parameters
    ----------
    data
        Training rows: ``x`` of shape (rows, features), ``y`` of shape (rows,) with labels 0 and 1.
    hidden
        Units in each of the two hidden layers.
    batch_size
        ``None`` uses every row at every step. A number draws that many rows anew at every step, inputs and
        labels together, and scales their likelihood up to all rows.
    total_size
        Rows that `data` stands for, where it is the first of many batches that `companion.inference.feed` puts in.
    seed
        Seed of the starting weights, drawn from the prior as in the posts: at zero the hidden units are all alike
        and their gradients vanish.
    feature_names
        The model's coordinates of its dimension ``feature``, one for each column; numbers from 0 by default.

    Returns
    -------
    pymc.Model
        A model with weights ``w_in_1`` (features, hidden), ``w_1_2`` (hidden, hidden) and ``w_2_out`` (hidden,), the
        probability ``p`` of class 1, the labels ``y``, and, without mini-batches, the data ``x`` and ``labels``.

    Raises
    ------
    DataError
        If a label is neither 0 nor 1, ``x`` is not a table, or the rows have weights.
    ModelError
        If ``hidden`` or ``batch_size`` is out of range, or the features' names don't fit the table.

    Notes
    -----
    The network is that of Wiecki (2016), "Bayesian Deep Learning".
    """
    _check(data, hidden, batch_size, total_size)
    rows, features = data.x.shape
    if feature_names and (len(feature_names) != features or len(set(feature_names)) != features):
        raise ModelError(
            f"feature_names={list(feature_names)}; expected {features} different names, one for each column."
        )
    coords = {"feature": list(feature_names) or range(features), "hidden_1": range(hidden), "hidden_2": range(hidden)}
    with pm.Model(coords=coords) as model:
        if batch_size is None:
            x = pm.Data("x", data.x, dims=("row", "feature"))
            y = pm.Data("labels", data.y, dims="row")
            network(x, y, features=features, hidden=hidden, seed=seed, total_size=total_size, dims="row")
        else:  # one call for both: two calls would pair inputs with the labels of other rows
            x, y = pm.Minibatch(data.x, data.y, batch_size=batch_size)
            network(x, y, features=features, hidden=hidden, seed=seed, total_size=rows)
    return model


def network(
    x: Any,
    y: Any,
    *,
    features: int,
    hidden: int = 5,
    seed: int = 0,
    total_size: int | None = None,
    dims: str | None = None,
) -> Any:
    """Lay the network of `binary_classifier` into the model whose context this runs in.

    Parameters
    ----------
    x, y
        Inputs (rows, features) and labels (rows,): data of the model, or a mini-batch of them.
    features, hidden
        Width of the inputs and of each hidden layer.
    seed
        Seed of the starting weights.
    total_size
        Number of rows that a mini-batch stands for; its likelihood counts ``total_size / rows`` times.
    dims
        Name of the rows' dimension, where the model has one.

    Returns
    -------
    TensorVariable
        The probability ``p`` of class 1 (rows,).
    """
    rng = np.random.default_rng(seed)
    start_1, start_2 = rng.normal(size=(features, hidden)), rng.normal(size=(hidden, hidden))
    start_out = rng.normal(size=hidden)

    w_in_1 = pm.Normal("w_in_1", 0, 1, dims=("feature", "hidden_1"), initval=start_1)
    w_1_2 = pm.Normal("w_1_2", 0, 1, dims=("hidden_1", "hidden_2"), initval=start_2)
    w_2_out = pm.Normal("w_2_out", 0, 1, dims="hidden_2", initval=start_out)

    layer_1 = pm.math.tanh(x @ w_in_1)
    layer_2 = pm.math.tanh(layer_1 @ w_1_2)
    p = pm.Deterministic("p", pm.math.sigmoid(layer_2 @ w_2_out), dims=dims)
    pm.Bernoulli("y", p, observed=y, total_size=total_size, dims=dims)
    return p


def torch_classifier(data: Observations, module: torch.nn.Module, prior: Prior) -> pm.Model:
    r"""Put a torch network with a prior on its weights into a classifier.

    .. math::

        \theta \sim \text{prior}, \quad y \sim \mathrm{Bernoulli}(\sigma(f_\theta(x)))
        \;\text{or}\; \mathrm{Categorical}(\mathrm{softmax}(f_\theta(x)))

    Parameters
    ----------
    data
        Training rows: ``x`` of shape (rows, ...) as the module takes it, ``y`` of shape (rows,) with labels from 0, and
        ``weights`` (rows,) where rows count more than once, or less.
    module
        A network that turns ``x`` into logits (rows, outputs): one output for labels 0 and 1, otherwise one per class.
        Its own weights are where inference starts; it is not changed.
    prior
        One of `companion.priors`.

    Returns
    -------
    pymc.Model
        A model with the data ``x`` and ``labels``, and ``weights`` where rows have some, the weights of the network
        under the module's names, and the labels ``y``; for one output also the probability ``p`` of class 1.

    Raises
    ------
    DataError
        If there are labels that the module has no output for.
    ModelError
        If the module doesn't take the data, or gives no logits (rows, outputs).
    """
    if not isinstance(data, Observations):
        raise DataError(f"data is a {type(data).__name__}; expected companion.datasets.Observations(x, y).")
    with pm.Model() as model:
        x = pm.Data("x", data.x)
        labels = pm.Data("labels", data.y)
        logits = bayesian(module, prior, x)
        if _outputs(logits, data.y) == 1:
            p = pm.Deterministic("p", pm.math.sigmoid(logits[:, 0]))
            _observed(pm.Bernoulli, data.weights, labels, p)
        else:
            _observed(pm.Categorical, data.weights, labels, logit_p=logits)
    return model


def torch_regression(
    data: Measurements,
    module: torch.nn.Module,
    prior: Prior,
    *,
    likelihood: str = "normal",
    noise: float | str = "learned",
) -> pm.Model:
    r"""Put a torch network with a prior on its weights into a regression.

    .. math::

        \theta \sim \text{prior}, \quad \sigma \sim \mathrm{HalfNormal}(s), \quad
        y \sim \mathcal{N}(m + s\, f_\theta(x), \sigma^2)

    with the mean m and the standard deviation s of the measurements: the network sees a standardised target, and
    everything else is in the units of `data`. With "student-t", y has :math:`\nu` degrees of freedom, and
    :math:`\nu - 2 \sim \mathrm{Gamma}(2, 0.1)`, so that y has a variance. With "log-normal", the formula holds for the
    logarithm of y. With "counts", :math:`y \sim \mathrm{NegativeBinomial}(\mu, 1 / \sigma^2)`,
    :math:`\mu = \bar y \exp f_\theta(x)` and s = 1: a count's variance is :math:`\mu + \sigma^2 \mu^2`.

    Parameters
    ----------
    data
        Training rows: ``x`` (rows, features), ``y`` (rows,) or (rows, targets), in its own units, and ``weights``
        (rows,) where rows count more than once, or less: they weigh the mean and the scale, too.
    module
        A network that turns ``x`` into one number per target, (rows, targets); with ``noise="input"`` into twice as
        many, (rows, 2 targets), the second half for the noise. Its own weights are where inference starts.
    prior
        One of `companion.priors`.
    likelihood
        Distribution of y: a name of `Likelihood`.
    noise
        Noise :math:`\sigma`. ``"learned"`` is one unknown number per target, ``"noise"`` in the posterior. With
        ``"input"`` it depends on x: that number times :math:`\mathrm{softplus}(g_\theta(x)) / \log 2`, with the second
        half of the outputs as g. A number is taken as known, in the units of y, of its logarithm with "log-normal", and
        as the excess scatter :math:`\sigma` with "counts".

    Returns
    -------
    pymc.Model
        A model with the data ``x`` and ``measured``, and ``weights`` where rows have some, the weights of the network
        under the module's names, ``noise`` and, with "student-t", ``freedom``, and the measurements ``y``.

    Raises
    ------
    DataError
        If a target is the same in every row, or isn't what the likelihood describes: above 0, or whole from 0.
    ModelError
        If the module's outputs don't fit the targets, or a setting is unknown.

    Notes
    -----
    The prior of the degrees of freedom is that of Juárez and Steel (2010), "Model-Based Clustering of Non-Gaussian
    Panel Data Based on Skew-t Distributions", moved by 2.
    """
    if not isinstance(data, Measurements):
        raise DataError(f"data is a {type(data).__name__}; expected companion.datasets.Measurements(x, y).")
    kind = choice(Likelihood, "likelihood", likelihood)
    known = noise not in ("learned", "input") if isinstance(noise, str) else True
    given = positive("noise", noise, "'learned' or 'input'") if known else None
    centre, scale = _standard(data.y, kind, data.weights)
    with pm.Model() as model:
        x = pm.Data("x", data.x)
        measured = pm.Data("measured", data.y)
        out = _one_per_target(bayesian(module, prior, x), data.y, 2 if noise == "input" else 1)
        spread = pm.HalfNormal("noise", scale, shape=scale.shape) if given is None else np.full(scale.shape, given)
        if noise == "input":
            spread = spread * pm.math.log1pexp(out[1]) / np.log(2)
        _observe(kind, centre + scale * out[0], spread, measured, data.weights)
    return model


def _observe(kind: Likelihood, location: Any, spread: Any, measured: Any, weights: np.ndarray | None) -> None:
    """Put the likelihood into the model whose context this runs in."""
    if kind is Likelihood.NORMAL:
        _observed(pm.Normal, weights, measured, location, spread)
    elif kind is Likelihood.LOG_NORMAL:
        _observed(pm.LogNormal, weights, measured, location, spread)
    elif kind is Likelihood.STUDENT_T:
        freedom = pm.Deterministic("freedom", 2 + pm.Gamma("freedom_above_2", 2, 0.1))
        _observed(pm.StudentT, weights, measured, nu=freedom, mu=location, sigma=spread)
    else:
        _observed(pm.NegativeBinomial, weights, measured, mu=pm.math.exp(location), alpha=spread**-2)


def _observed(distribution: Any, weights: np.ndarray | None, observed: Any, *parameters: Any, **named: Any) -> None:
    """Observe ``y``, with weights where there are some."""
    if weights is None:
        distribution("y", *parameters, **named, observed=observed)
    else:
        observe_weighted("y", distribution.dist(*parameters, **named), pm.Data("weights", weights), observed)


def _standard(y: np.ndarray, kind: Likelihood, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the centre and the scale of the targets, (targets,) or (), where the network's output is 0 and 1."""
    values = np.asarray(y, dtype=float)
    if kind is Likelihood.COUNTS:
        if (values < 0).any() or (values != np.floor(values)).any() or not values.any(axis=0).all():
            raise DataError(
                f"y reaches from {values.min():.4g} to {values.max():.4g}; likelihood='counts' expects whole numbers "
                "from 0, and not 0 alone. For other measurements take 'normal' or 'student-t'."
            )
        return np.log(np.average(values, axis=0, weights=weights)), np.ones(values.shape[1:])
    if kind is Likelihood.LOG_NORMAL:
        if (values <= 0).any():
            raise DataError(
                f"{(values <= 0).sum():,} of {values.size:,} measurements are 0 or below; likelihood='log-normal' "
                "expects them above 0. Take 'normal' or 'student-t'."
            )
        values = np.log(values)
    centre = np.average(values, axis=0, weights=weights)
    scale = np.sqrt(np.average((values - centre) ** 2, axis=0, weights=weights))
    flat = scale <= 1e-6 * np.abs(values).max(axis=0)
    if flat.any():
        which = f"target {int(np.argmax(flat))}" if values.ndim > 1 else "y"
        raise DataError(
            f"{which} differs by no more than rounding between the rows; expected a quantity that varies. If it varies "
            "little around a large number, subtract that number first."
        )
    return centre, scale


def _one_per_target(out: Any, y: np.ndarray, each: int) -> list[Any]:
    """Split a network's outputs into parts of the shape of the targets, and refuse those that don't fit."""
    targets = 1 if y.ndim == 1 else y.shape[1]
    shape = out.type.shape
    if out.type.ndim != 2 or shape[1] != each * targets:
        why = " (noise='input' takes a second one for each target)" if each == 2 else ""
        raise ModelError(
            f"the module's output has shape {shape}; expected (rows, {each * targets}) for {targets} target"
            f"{'s' * (targets > 1)}{why}."
        )
    parts = [out[:, k * targets : (k + 1) * targets] for k in range(each)]
    return parts if y.ndim > 1 else [part[:, 0] for part in parts]


def _outputs(logits: Any, y: np.ndarray) -> int:
    """Count a network's outputs, and refuse those that don't fit the labels."""
    if logits.type.ndim != 2:
        raise ModelError(
            f"the module's output has shape {logits.type.shape}; expected logits (rows, outputs). End it with a "
            "layer that gives one number per class, or one for two classes."
        )
    outputs: int = logits.type.shape[1]
    most = 1 if outputs == 1 else outputs - 1
    if y.min() < 0 or y.max() > most:
        raise DataError(
            f"labels reach from {y.min()} to {y.max()}; a module with {outputs} outputs expects 0 to {most}."
        )
    return outputs


def _check(data: Observations, hidden: int, batch_size: int | None, total_size: int | None) -> None:
    """Refuse data and sizes that the classifier can't use."""
    if not isinstance(data, Observations):
        raise DataError(
            f"data is a {type(data).__name__}; expected companion.datasets.Observations(x, y), such as moons().train."
        )
    if data.weights is not None:
        raise DataError("the rows have weights, which binary_classifier doesn't read; take torch_classifier.")
    if data.x.ndim != 2:
        raise DataError(
            f"x has shape {data.x.shape}; the classifier expects a table (rows, features). "
            "Flatten images first: x.reshape(len(x), -1)."
        )
    strange = np.setdiff1d(data.y, (0, 1))
    if strange.size:
        raise DataError(
            f"labels outside 0 and 1: {strange[:5].tolist()}; a binary classifier expects 0 or 1 in every row. "
            "Recode them, for example y = (y == positive_label)."
        )
    if not isinstance(hidden, int | np.integer) or hidden < 1:
        raise ModelError(f"hidden={hidden}; expected the number of units in a hidden layer, 1 or more.")
    if batch_size is not None and not 1 <= batch_size <= len(data.y):
        raise ModelError(
            f"batch_size={batch_size}; expected 1 to {len(data.y)}, the number of rows, or None for all of them."
        )
    if total_size is not None and (batch_size is not None or total_size < len(data.y)):
        raise ModelError(
            f"total_size={total_size}, batch_size={batch_size}; expected a total of at least {len(data.y)}, the rows "
            "of this batch, and no batch_size: the model either draws its batches or is fed them."
        )
