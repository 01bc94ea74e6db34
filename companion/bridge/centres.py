"""What each likelihood predicts: the mean of an observation, or the probabilities of its classes.

Explained in `book/reference/how_a_fit_works`, section "Prediction".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.moments import mean
from pymc.exceptions import UndefinedMomentException
from pytensor.tensor.random.op import RandomVariable

from companion.bridge.graph import a_distribution, kind_of
from companion.compat import op_kind
from companion.errors import ModelError

__all__ = ["centre"]

Graph = Any  # a pytensor.Variable, whose type parameters say nothing here
Whole = Callable[[Graph], Graph]

# Which parameter is the centre itself. The others may then be known for the rows of the fit alone, such as the errors
# of measurements.
_PARAMETER: Mapping[str, int] = {
    "BernoulliRV": 0, "CARRV": 0, "CategoricalRV": 0, "KroneckerNormalRV": 0, "LaplaceRV": 0, "LogisticRV": 0,
    "MatrixNormalRV": 0, "MvNormalRV": 0, "MvStudentTRV": 1, "NormalRV": 0, "StudentTRV": 1, "VonMisesRV": 0,
}  # fmt: skip

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(40)


def _logit_normal(mu: Graph, sigma: Graph) -> Graph:
    """Take the mean of a sigmoid of a normal number by Gauss and Hermite's quadrature."""
    at = pt.expand_dims(mu, -1) + pt.expand_dims(sigma, -1) * _NODES
    return (pt.sigmoid(at) * (_WEIGHTS / _WEIGHTS.sum())).sum(axis=-1)


def _truncated_normal(mu: Graph, sigma: Graph, lower: Graph, upper: Graph) -> Graph:
    r"""Compute the mean of a truncated normal number.

    .. math::

        \mu + \sigma^2 \, (p(l) - p(u)), \qquad p \text{ the density at the bounds.}
    """
    inside = pm.TruncatedNormal.dist(mu, sigma, lower=lower, upper=upper)

    def density(bound: Graph) -> Graph:
        infinite = pt.isinf(bound)
        return pt.switch(infinite, 0.0, pt.exp(pm.logp(inside, pt.switch(infinite, mu, bound))))

    return mu + sigma**2 * (density(lower) - density(upper))


def _skew_student(a: Graph, b: Graph, mu: Graph, sigma: Graph) -> Graph:
    """Compute the mean of Jones and Faddy's distribution; PyMC's own leaves the scale out."""
    logs = pt.gammaln(a - 0.5) + pt.gammaln(b - 0.5) - pt.gammaln(a) - pt.gammaln(b)
    return mu + sigma * (a - b) * pt.sqrt(a + b) / 2 * pt.exp(logs)


# Without a mean, which PyMC says of most of them itself.
_NONE = frozenset({"HalfCauchyRV"})

# PyMC's means of these are of other distributions: one leaves the spreads out, the other has another shape.
_UNKNOWN = frozenset({"LKJCorrRV", "_LKJCholeskyCovRV"})

# Means that PyMC lacks, has no number for, or takes of the wrong parameters.
_FORMULA: Mapping[str, Callable[..., Graph]] = {
    "ExGaussianRV": lambda mu, sigma, nu: mu + nu,
    "InvGammaRV": lambda alpha, beta: pt.switch(alpha > 1, beta / pt.maximum(alpha - 1, 1e-300), np.inf),
    "LogitNormal": _logit_normal,
    "ParetoRV": lambda alpha, m: pt.switch(alpha > 1, alpha * m / pt.maximum(alpha - 1, 1e-300), np.inf),
    "SkewStudentTRV": _skew_student,
    "TruncatedNormalRV": _truncated_normal,
    "WaldRV": lambda mu, lam, alpha: mu + alpha,
}


def centre(rv: Graph, whole: Whole) -> Graph:
    """Build the graph of what is predicted for a random variable.

    Parameters
    ----------
    rv
        The random variable, observed or a part of one.
    whole
        Function that gives a parameter for all observations, where PyMC holds it for those that aren't missing.

    Returns
    -------
    TensorVariable
        The mean, in the parameters' own size, whatever size the observations have. For Bernoulli and Categorical, the
        probability of 1, or those of all classes.

    Raises
    ------
    ModelError
        If the distribution has no mean, or none that is known here.
    """
    node, kind = rv.owner, op_kind(rv.owner.op)
    if kind in ("MixtureRV", "_HurdleRV"):
        _, weights, *components = node.inputs
        return (_mixture if kind == "MixtureRV" else _hurdle)(whole(weights), components, whole)
    if kind == "DiracDeltaRV":
        return whole(node.inputs[-1])
    if kind in _NONE:
        raise _refusal(rv, "no mean")
    if kind in _UNKNOWN:
        raise _refusal(rv, "")
    if not isinstance(node.op, RandomVariable) and getattr(node.op, "extended_signature", None) is None:
        raise _refusal(rv, "")
    try:
        parameters = [whole(p) for p in node.op.dist_params(node)]
        if kind in _PARAMETER:
            return parameters[_PARAMETER[kind]]
        if kind in _FORMULA:
            return _FORMULA[kind](*parameters)
        mean(rv)  # whether there is one, before the variable is made anew
        return mean(_without_size(node, parameters))
    except UndefinedMomentException as error:
        raise _refusal(rv, "no mean") from error
    except (NotImplementedError, AttributeError) as error:
        raise _refusal(rv, "") from error


def _without_size(node: Graph, parameters: Sequence[Graph]) -> Graph:
    """Make a random variable of these parameters, in the size that they have themselves."""
    if isinstance(node.op, RandomVariable):
        return node.op.make_node(node.inputs[0], None, *parameters).outputs[1]
    return type(node.op).rv_op(*parameters, size=None)


def _mixture(weights: Graph, components: Sequence[Graph], whole: Whole) -> Graph:
    """Weigh the components' means; a single component holds all of them, in the last dimension of its batch."""
    support = components[0].owner.op.ndim_supp
    if any(op_kind(c.owner.op) == "CategoricalRV" for c in components):
        raise _refusal(components[0], "")
    means = [centre(c, whole) for c in components]
    padded = pt.expand_dims(weights, tuple(range(-support, 0)))
    if len(components) == 1:
        return (padded * means[0]).sum(axis=-support - 1)
    return pt.add(*(pt.take(padded, k, axis=-support - 1) * m for k, m in enumerate(means)))


def _hurdle(weights: Graph, components: Sequence[Graph], whole: Whole) -> Graph:
    """Weigh the mean of what isn't zero; PyMC truncates counts at 1, whose mean follows from that of all counts."""
    _, positive = components
    if op_kind(positive.owner.op) == "TruncatedRV":
        *inputs, _, _ = positive.owner.inputs
        node = positive.owner.op.base_rv_op.make_node(*inputs)
        counts = _without_size(node, [whole(p) for p in node.op.dist_params(node)])
        return weights[..., 1] * centre(counts, whole) / -pt.expm1(pm.logcdf(counts, 0))
    return weights[..., 1] * centre(positive, whole)


def _refusal(rv: Graph, what: str) -> ModelError:
    kind = kind_of(rv)
    return ModelError(
        f"{repr(rv.name) if rv.name else 'a part of the likelihood'} is {a_distribution(kind)}, "
        + ("which has no mean to predict" if what else "whose mean prediction has no formula for")
        + ". Draw with draw(n, seed) and compute what you need from the draws; or name it in the model, such as "
        "pm.Deterministic('location', ...), and compute it at new inputs by "
        "companion.posterior.compile_forward(model, 'location')."
    )
