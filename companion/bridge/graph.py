"""The graphs of a PyMC model's log density, as functions of its unconstrained values and its data alone.

Explained in `book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.custom import CustomSymbolicDistRV
from pymc.distributions.shape_utils import change_dist_size
from pymc.distributions.transforms import log as log_transform
from pymc.logprob.basic import logp, transformed_conditional_logp
from pymc.logprob.utils import replace_rvs_by_values
from pymc.pytensorf import constant_fold
from pymc.variational.minibatch_rv import MinibatchRandomVariable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.basic import HalfNormalRV, NormalRV
from pytensor.tensor.random.type import RandomType

from companion.bridge.scales import candidates
from companion.bridge.sources import Sources, remade
from companion.bridge.weighing import Weighted, row_weights, without_weights
from companion.compat import observed_once
from companion.errors import ModelError

__all__ = [
    "Description",
    "ModelGraph",
    "Observed",
    "a_distribution",
    "check_continuous",
    "check_model",
    "kind_of",
    "model_graph",
]

Graph = Any  # a pytensor.Variable, whose type parameters say nothing here

# Names that readers know, where PyMC prints others.
_NAMES = {
    "LKJCorrRV": "LKJCorr",
    "MultivariateNormal": "MvNormal",
    "PG": "PolyaGamma",
    "_lkjcholeskycov": "LKJCholeskyCov",
}


@dataclass(frozen=True)
class Observed:
    """What a fit has to know of one observed variable.

    Attributes
    ----------
    name
        Its name in the model.
    scaled
        Whether the model gives it a ``total_size``, and so scales the likelihood of a mini-batch itself.
    rows
        Name of the data input that holds its values, one per row; ``None`` where the model was given a plain array.
    data
        Names of the data inputs that its likelihood reads.
    distribution
        PyMC's name of its distribution, such as ``"Normal"``.
    weights
        Name of the data input with a weight for each row; ``None`` where all rows count once.
    """

    name: str
    scaled: bool
    rows: str | None
    data: frozenset[str]
    distribution: str = field(default="", compare=False)
    weights: str | None = field(default=None, compare=False)


@dataclass(eq=False)
class Description:
    """What is known of a model before anything is computed.

    Attributes
    ----------
    start
        The model's initial point: name of each unconstrained value to its array.
    observed
        The observed variables.
    gaussian
        Names of the values with a normal prior, whose expected log prior under a Gaussian has a closed form.
    independent
        Names of those among them whose prior depends on no other value.
    minibatch
        Number of rows in each of the model's own mini-batches, or ``None`` where it has none.
    """

    start: dict[str, np.ndarray]
    observed: tuple[Observed, ...]
    gaussian: tuple[str, ...]
    independent: tuple[str, ...]
    minibatch: int | None


@dataclass(frozen=True, eq=False)
class ModelGraph:
    """The graphs of a model's log density.

    Attributes
    ----------
    description
        The model's initial point, and what is known of its variables.
    value_inputs, data_inputs, mean_inputs
        Inputs of the graphs: the values, the data, and the means of the values with a normal prior.
    data
        The data's own arrays.
    free
        Names of the free variables.
    prior_terms
        The terms of the log prior by what they belong to, such as "'scale', a HalfNormal".
    likelihoods, observations
        The log likelihood of each observed variable, one number for each observation, and the observed values.
    parameters
        The parameters of each observed variable's distribution, in PyMC's order; none where it isn't one of PyMC's own.
    expected_prior, prior_means, prior_variances
        The log prior with the normal values at their means, and the means and variances of their priors.
    scale_widths
        Name of each value that is nothing but a scale of such priors to the scale of its own half-normal prior.
    variables
        Everything that has a name in the model, as a function of the values and the data.
    """

    description: Description
    value_inputs: dict[str, Graph]
    data_inputs: dict[str, Graph]
    mean_inputs: dict[str, Graph]
    data: dict[str, np.ndarray]
    free: tuple[str, ...]
    prior_terms: dict[str, Graph]
    likelihoods: tuple[Graph, ...]
    observations: tuple[Graph, ...]
    parameters: tuple[tuple[Graph, ...], ...]
    expected_prior: Graph
    prior_means: dict[str, Graph]
    prior_variances: dict[str, Graph]
    scale_widths: dict[str, Graph]
    variables: dict[str, Graph]

    @property
    def prior(self) -> Graph:
        """The log prior, a scalar."""
        return _total(self.prior_terms.values())

    @property
    def inputs(self) -> list[Graph]:
        """The values, then the data: what every function of the model takes."""
        return [*self.value_inputs.values(), *self.data_inputs.values()]

    def variable(self, name: str) -> Graph:
        """Look up the graph of a variable or deterministic of the model."""
        if name not in self.variables:
            raise ModelError(f"the model has no variable {name!r}; it has {sorted(self.variables)}.")
        return self.variables[name]


def check_model(model: Any) -> None:
    """Refuse anything but a PyMC model.

    Parameters
    ----------
    model
        Object that should be one.

    Raises
    ------
    ModelError
        If it is anything else.
    """
    if not isinstance(model, pm.Model):
        raise ModelError(f"model is a {type(model).__name__}; expected a pymc.Model.")


def check_continuous(model: pm.Model) -> None:
    """Refuse a model without free variables, or with discrete ones.

    Raises
    ------
    ModelError
        If it has no free variables, or discrete ones.
    """
    if not model.free_RVs:
        raise ModelError("the model has no free variables: there is nothing to infer.")
    discrete = [rv.name for rv in model.free_RVs if rv.type.numpy_dtype.kind != "f"]
    if discrete:
        raise ModelError(
            f"the variables {discrete} are discrete; the gradients that every method here follows need continuous "
            "ones. Sum them out, for example with pm.Mixture or pymc_extras.marginalize, or relax them as "
            "companion.priors.SpikeAndSlab does."
        )


def model_graph(model: pm.Model) -> ModelGraph:
    """Collect a model's graphs.

    Raises
    ------
    ModelError
        If the model has no free variables, or discrete ones.
    """
    check_continuous(model)
    observed_once(model)
    values = {v.name: v for v in model.value_vars}
    sources = Sources.of(model)
    closed = _Closed(model, sources)
    gaussian = _gaussians(model)
    means = {model.rvs_to_values[rv].name: model.rvs_to_values[rv].type() for rv in gaussian}

    free_terms = closed.logp(model.free_RVs)
    variables = dict(zip(model.named_vars, closed.by_values(list(closed.named.values())), strict=True))
    potentials = [variables[v.name] for v in model.potentials]
    priors = _priors(closed, gaussian)
    expected_terms, independent = _expected(model, priors, means, free_terms)

    of = [f"{rv.name!r}, {a_distribution(kind_of(rv))}" for rv in model.free_RVs]
    of += [f"the potential {v.name!r}" for v in model.potentials]
    likelihoods = tuple(closed.logp(model.observed_RVs))
    half_normal = _half_normals(model, closed)
    others = [t for rv, t in zip(model.free_RVs, free_terms, strict=True) if rv not in {*gaussian, *half_normal}]
    moments = {
        name: (pt.broadcast_to(priors[rv][0], at.shape), pt.broadcast_to(priors[rv][1], at.shape))
        for rv, (name, at) in zip(gaussian, means.items(), strict=True)
    }
    scales = candidates(
        {model.rvs_to_values[rv]: width for rv, width in half_normal.items()},
        moments, [*others, *potentials, *likelihoods], model.value_vars, sources.inputs.values(),
    )  # fmt: skip
    return ModelGraph(
        description=Description(
            start={name: np.asarray(a) for name, a in model.initial_point().items()},
            observed=tuple(
                _observed(rv, closed.values[closed.named[rv.name]], likelihood, sources)
                for rv, likelihood in zip(model.observed_RVs, likelihoods, strict=True)
            ),
            gaussian=tuple(means),
            independent=independent,
            minibatch=next(iter(sources.batch.values()), None),
        ),
        value_inputs=values,
        data_inputs=sources.inputs,
        mean_inputs=means,
        data=sources.arrays(),
        free=tuple(rv.name for rv in model.free_RVs),
        prior_terms=dict(zip(of, [*free_terms, *potentials], strict=True)),
        likelihoods=likelihoods,
        observations=tuple(closed.values[closed.named[rv.name]] for rv in model.observed_RVs),
        parameters=tuple(closed.parameters(rv) for rv in model.observed_RVs),
        expected_prior=_total([*expected_terms, *potentials]),
        prior_means={name: mean for name, (mean, _) in moments.items()},
        prior_variances={name: deviation**2 for name, (_, deviation) in moments.items()},
        scale_widths={value.name: width for value, width in scales.items()},
        variables=variables,
    )


def a_distribution(kind: str) -> str:
    """Put an article before PyMC's name of a distribution; an empty name is one of the reader's own."""
    return f"an {kind}" if kind[:1] in tuple("AEIO") else f"a {kind or 'distribution of this kind'}"


def _total(terms: Iterable[Graph]) -> Graph:
    return pt.add(pt.zeros(()), *(t.sum() for t in terms))


class _Closed:
    """A model's variables as graphs of inputs: made of them, PyMC's densities are for any number of rows.

    PyMC builds the rows of a mini-batch into a density as constants, wherever it knows them.
    """

    def __init__(self, model: pm.Model, sources: Sources) -> None:
        observed = [model.rvs_to_values[rv] for rv in model.observed_RVs]
        graphs = sources.close([*model.named_vars.values(), *observed], keep=model.value_vars)
        self.named: dict[str, Graph] = dict(zip(model.named_vars, graphs, strict=False))
        values = dict(model.rvs_to_values)
        for rv, value in zip(model.observed_RVs, graphs[len(self.named) :], strict=True):
            values[rv], self.named[rv.name] = value, _with_rows_of(value, self.named[rv.name])
        self.values = {self.named[rv.name]: value for rv, value in values.items()}
        self._transforms = {self.named[rv.name]: transform for rv, transform in model.rvs_to_transforms.items()}

    def logp(self, rvs: Sequence[Graph]) -> list[Graph]:
        """Build the log density of each of the model's random variables, unsummed, with its transform's Jacobian."""
        if not rvs:
            return []
        named = [self.named[rv.name] for rv in rvs]
        terms = transformed_conditional_logp(named, rvs_to_values=self.values, rvs_to_transforms=self._transforms)
        return list(terms)

    def by_values(self, graphs: Sequence[Graph]) -> list[Graph]:
        """Put the values in the random variables' places."""
        return list(replace_rvs_by_values(graphs, rvs_to_values=self.values, rvs_to_transforms=self._transforms))

    def parameters(self, rv: Graph) -> tuple[Graph, ...]:
        """List the parameters of an observed variable's distribution; none where they are distributions themselves.

        Such are the components of a mixture, and what is censored.
        """
        found = self.by_values(_parameters(self.named[rv.name]))
        random = any(isinstance(v.type, RandomType) for v in ancestors(found))
        return () if random else tuple(found)


def _with_rows_of(value: Graph, rv: Graph) -> Graph:
    """Give an observed variable, which PyMC made in the size of the model's own mini-batch, the size of its value."""
    if rv.owner is None or rv.type.shape[:1] == value.type.shape[:1]:
        return rv
    if isinstance(rv.owner.op, MinibatchRandomVariable | Weighted):
        inner, *others = rv.owner.inputs
        return remade(rv.owner, [_with_rows_of(value, inner), *others])[0]
    sized = change_dist_size(rv, value.shape[: value.type.ndim - rv.owner.op.ndim_supp])
    if isinstance(rv.owner.op, CustomSymbolicDistRV):  # PyMC makes it of the parameters that it had at first
        return remade(sized.owner, [sized.owner.inputs[0], *rv.owner.inputs[1:]])[0]
    return sized


def _parameters(rv: Graph) -> list[Graph]:
    """List the parameters of a variable's distribution, without what scales its density."""
    node = without_weights(rv).owner
    if node is None or not hasattr(node.op, "dist_params") or getattr(node.op, "extended_signature", "") is None:
        return []  # without a signature, such as pm.Truncated has none, PyMC can't tell which inputs they are
    return list(node.op.dist_params(node))


def _gaussians(model: pm.Model) -> list[Graph]:
    """List the free variables with a plain normal prior."""
    return [
        rv
        for rv in model.free_RVs
        if rv.owner is not None and isinstance(rv.owner.op, NormalRV) and model.rvs_to_transforms[rv] is None
    ]


def _half_normals(model: pm.Model, closed: _Closed) -> dict[Graph, Graph]:
    """Give the scale of each free half-normal variable around 0."""
    found = {}
    for rv in model.free_RVs:
        if rv.owner is None or not isinstance(rv.owner.op, HalfNormalRV):
            continue
        node = closed.named[rv.name].owner
        centre, width = closed.by_values(node.op.dist_params(node))
        [at] = constant_fold([centre], raise_not_constant=False)
        if isinstance(at, np.ndarray) and not at.any() and model.rvs_to_transforms[rv] is log_transform:
            found[rv] = width
    return found


def _priors(closed: _Closed, gaussian: Sequence[Graph]) -> dict[Graph, tuple[Graph, Graph]]:
    """Give the mean and the standard deviation of each normal prior."""
    nodes = [closed.named[rv.name].owner for rv in gaussian]
    replaced = closed.by_values([p for node in nodes for p in node.op.dist_params(node)])
    return {rv: (replaced[2 * i], replaced[2 * i + 1]) for i, rv in enumerate(gaussian)}


def _expected(
    model: pm.Model, priors: dict[Graph, tuple[Graph, Graph]], means: dict[str, Graph], terms: Sequence[Graph]
) -> tuple[list[Graph], tuple[str, ...]]:
    """Put each normal value at its mean in its own term, and nowhere else.

    The names of those whose prior depends on no value come second.
    """
    values = set(model.value_vars)
    expected, independent = [], []
    for rv, term in zip(model.free_RVs, terms, strict=True):
        if rv not in priors:
            expected.append(term)
            continue
        mean, deviation = priors[rv]
        at = means[model.rvs_to_values[rv].name]
        expected.append(logp(pm.Normal.dist(mean, deviation, shape=at.shape), at))
        if not values & set(ancestors([mean, deviation])):
            independent.append(model.rvs_to_values[rv].name)
    return expected, tuple(independent)


def _observed(rv: Graph, value: Graph, likelihood: Graph, sources: Sources) -> Observed:
    """Describe an observed variable; the data that its likelihood reads are those of the graph."""
    rows = next((name for name in sources.read_by([value]) if sources.behind[name].type.ndim), None)
    weights = row_weights(rv)
    weighted = next(iter(sources.read_by([weights])), None) if weights is not None else None
    return Observed(rv.name, _is_scaled(rv), rows, frozenset(sources.read_by([likelihood])), kind_of(rv), weighted)


def _is_scaled(rv: Graph) -> bool:
    return rv.owner is not None and isinstance(rv.owner.op, MinibatchRandomVariable)


def kind_of(rv: Graph) -> str:
    """Give PyMC's name of a variable's distribution."""
    inner = without_weights(rv)
    if inner.owner is None:
        return ""
    printed = str(getattr(inner.owner.op, "_print_name", [""])[0] or "")
    return "CustomDist" if printed.startswith("CustomDist") else _NAMES.get(printed, printed)
