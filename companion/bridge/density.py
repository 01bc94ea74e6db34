"""The bridge out: a `pymc.Model` in, its log density as torch functions out.

Priors, transforms with their Jacobians, the likelihood, ``total_size`` and wrapped modules become torch code of the
unconstrained values and of the data, so that a training loop can run in torch alone, on CPU or GPU. Explained in the
chapter `book/mnist/dense`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import torch
from pytensor.graph.traversal import ancestors

from companion.bridge.graph import ModelGraph, model_graph
from companion.bridge.lowering import Torch, lower
from companion.errors import ModelError

__all__ = ["LogDensity", "Observed", "torch_log_density"]

Values = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Observed:
    """An observed variable.

    Attributes
    ----------
    name
        In the model.
    scaled
        Whether the model gives it a ``total_size``, and so scales the likelihood of a mini-batch itself.
    rows
        The data input that holds its values, one a row; ``None`` where the model was given a plain array.
    data
        The data inputs that its likelihood reads.
    """

    name: str
    scaled: bool
    rows: str | None
    data: frozenset[str]


class LogDensity:
    r"""A model's log density in torch, in nats; what `torch_log_density` returns.

    All of its functions take ``values``, a mapping from the name of each unconstrained value (as in
    ``model.initial_point()``) to a tensor, and ``data``, a mapping from the name of each data input to a tensor; data
    that are left out are the model's own. They are plain differentiable torch code: `torch.func.grad`, `torch.vmap`
    and `torch.compile` apply.

    Attributes
    ----------
    start
        The model's initial point: name to array.
    data
        The model's data: name to tensor. Mini-batches of `pymc.Minibatch` stand here as what they are drawn from.
    minibatch
        Rows in each of the model's own mini-batches, or None.
    observed
        The observed variables.
    gaussian
        Values with a normal prior, whose expected log prior under a Gaussian has a closed form.
    independent
        Those of them whose prior depends on no other value.
    dtype, device
        Of the computation.
    """

    def __init__(self, graph: ModelGraph, dtype: torch.dtype, device: torch.device) -> None:
        self._graph = graph
        self.dtype, self.device = dtype, device
        self.start = graph.start
        self.minibatch = graph.minibatch
        self.gaussian = graph.gaussian
        self.independent = graph.independent
        self.data = {name: _copied(a, dtype, device) for name, a in graph.data.items()}
        self.observed = tuple(Observed(o.name, o.scaled, o.rows, o.data) for o in graph.observed)
        every = [*graph.value_inputs.values(), *graph.data_inputs.values()]
        self._prior = lower(every, [graph.prior], dtype=dtype, device=device)
        self._likelihood = lower(every, [o.logp for o in graph.observed], dtype=dtype, device=device)
        self._expected: Torch | None = None
        self._constrained: dict[tuple[str, ...], Torch] = {}

    def __call__(self, values: Values, data: Values | None = None) -> torch.Tensor:
        """Compute log p(data, values): the prior plus every likelihood, as ``model.compile_logp()`` does."""
        return self.prior(values, data) + sum(self.likelihoods(values, data).values())

    def prior(self, values: Values, data: Values | None = None) -> torch.Tensor:
        """Compute the log prior with the transforms' Jacobians, and the model's potentials."""
        [logp] = self._prior(*self._arguments(values, data))
        return torch.as_tensor(logp)

    def likelihoods(self, values: Values, data: Values | None = None) -> dict[str, torch.Tensor]:
        """Compute the log likelihood of each observed variable, summed over its rows."""
        logps = self._likelihood(*self._arguments(values, data))
        return {o.name: logp for o, logp in zip(self.observed, logps, strict=True)}

    def expected_prior(self, values: Values, means: Values, variances: Values, data: Values | None = None) -> Any:
        r"""Compute the log prior, in expectation over the values with a normal prior.

        For :math:`w \sim \mathcal{N}(m, s^2)` under the prior and :math:`w \sim \mathcal{N}(\mu, \sigma^2)` under the
        approximation, :math:`\mathbb{E}[\log p(w)] = \log\mathcal{N}(\mu \mid m, s^2) - \sigma^2 / (2 s^2)`, given the
        other values.

        Parameters
        ----------
        values
            A draw of all values.
        means, variances
            Of the approximation, for the names in `gaussian`.
        """
        if self._expected is None:
            graph = self._graph
            inputs = [*graph.value_inputs.values(), *graph.data_inputs.values(), *graph.mean_inputs.values()]
            outputs = [graph.expected_prior, *graph.prior_variances.values()]
            self._expected = lower(inputs, outputs, dtype=self.dtype, device=self.device)
        logp, *priors = self._expected(*self._arguments(values, data), *(means[name] for name in self.gaussian))
        spread = sum(((variances[name] / v).sum() for name, v in zip(self.gaussian, priors, strict=True)), 0.0)
        return logp - 0.5 * spread

    def constrained(self, values: Values, names: tuple[str, ...] | None = None, data: Values | None = None) -> Any:
        """Compute variables and deterministics of the model from values.

        Parameters
        ----------
        names
            Which; the free variables when left out.
        """
        names = tuple(self._graph.free) if names is None else names
        if names not in self._constrained:
            every = [*self._graph.value_inputs.values(), *self._graph.data_inputs.values()]
            outputs = [self._graph.variable(name) for name in names]
            self._constrained[names] = lower(every, outputs, dtype=self.dtype, device=self.device)
        return dict(zip(names, self._constrained[names](*self._arguments(values, data)), strict=True))

    def names(self) -> tuple[str, ...]:
        """List the free variables, and the deterministics that don't depend on data."""
        found = self._graph.variables.items()
        data = set(self._graph.data_inputs.values())
        observed = {o.name for o in self.observed}
        return tuple(
            name
            for name, v in found
            if name not in self.data and name not in observed and not data & set(ancestors([v]))
        )

    def _arguments(self, values: Values, data: Values | None) -> list[torch.Tensor]:
        given = self.data if not data else {**self.data, **data}
        if strange := set(given) - set(self.data) or set(self.start) - set(values):
            raise ModelError(
                f"{sorted(strange)} doesn't fit: expected values for {list(self.start)} and data among "
                f"{list(self.data)}."
            )
        return [*(values[name] for name in self.start), *(given[name] for name in self.data)]


def torch_log_density(
    model: pm.Model, *, dtype: torch.dtype = torch.float64, device: str | torch.device = "cpu"
) -> LogDensity:
    r"""Lower a PyMC model to torch.

    Parameters
    ----------
    model
        Any model of continuous free variables.
    dtype
        Of every floating number: float64 as PyMC computes by default, float32 for speed.
    device
        Where it computes.

    Returns
    -------
    LogDensity

    Raises
    ------
    ModelError
        If `model` is no model, has discrete or no free variables, or holds an Op without a torch counterpart; the
        message names the Op, the variable and what to use instead.

    Examples
    --------
    >>> import pymc as pm, torch
    >>> from companion.bridge import torch_log_density
    >>> with pm.Model() as model:
    ...     scale = pm.HalfNormal("scale")
    >>> density = torch_log_density(model)
    >>> round(float(density({"scale_log__": torch.tensor(0.0, dtype=torch.float64)})), 4)
    -0.7258

    Notes
    -----
    Explained in the chapter `book/mnist/dense`.
    """
    if not isinstance(model, pm.Model):
        raise ModelError(f"model is a {type(model).__name__}; expected a pymc.Model.")
    return LogDensity(model_graph(model), dtype, torch.device(device))


def _copied(array: np.ndarray, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Copy once, to the dtype and the device of the computation: data can be the largest thing in memory."""
    return torch.tensor(array, dtype=_kind(array, dtype), device=device)


def _kind(array: np.ndarray, dtype: torch.dtype) -> torch.dtype | None:
    return dtype if array.dtype.kind == "f" else None
