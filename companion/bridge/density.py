"""The bridge out: the log density of any continuous PyMC model, as torch functions.

Priors, transforms with their Jacobians, the likelihood, ``total_size`` and wrapped modules become torch code of the
unconstrained values and of the data, so that a training loop can run in torch alone, on CPU or GPU. Explained in
`book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pymc as pm
import torch
from pytensor.graph.traversal import ancestors

from companion import moved
from companion.bridge.graph import Description, ModelGraph, a_distribution, check_model, model_graph
from companion.bridge.lowering import LoweringError, Torch, lower
from companion.bridge.rounding import terms_in_float64
from companion.bridge.scales import CentredScales, structure
from companion.errors import ModelError

__all__ = ["LogDensity", "torch_log_density"]

Values = Mapping[str, torch.Tensor]


def __getattr__(name: str) -> Any:
    """Give a name that moved to another module, with a warning."""
    return moved.moved_name("companion.bridge.density", name)


class LogDensity(Description):
    r"""A model's log density in torch, in nats; what `torch_log_density` returns.

    All of its functions take ``values``, a mapping from the name of each unconstrained value (as in
    ``model.initial_point()``) to a tensor, and ``data``, a mapping from the name of each data input to a tensor; data
    that are left out are the model's own. They are plain differentiable torch code: `torch.func.grad`, `torch.vmap`
    and `torch.compile` apply.

    Attributes
    ----------
    start, observed, gaussian, independent, minibatch
        See `companion.bridge.Description`.
    data
        The model's data: name to tensor. Mini-batches of `pymc.Minibatch` stand here as what they are drawn from.
    dtype, device
        Floating dtype and device of the computation.
    wide
        Names of the observed variables whose likelihood is computed in float64, since float32 can't hold it; an empty
        name stands for the prior.
    """

    def __init__(self, graph: ModelGraph, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(**vars(graph.description))
        self._graph = graph
        self.dtype, self.device = dtype, device
        self.data = self.tensors(graph.data)
        self.wide: frozenset[str] = frozenset()
        try:
            self.wide = terms_in_float64(graph, dtype, device)
            self._prior = self._lowered([graph.prior], wide="" in self.wide)
            sums = {o.name: entries.sum() for o, entries in zip(self.observed, graph.likelihoods, strict=True)}
            self._likelihood = {
                wide: (names, self._lowered([sums[name] for name in names], wide=wide))
                for wide in (False, True)
                if (names := [name for name in sums if (name in self.wide) is wide])
            }
        except LoweringError as error:
            raise self._named(error) from error
        self._expected: Torch | None = None
        self._constrained: dict[tuple[str, ...], Torch] = {}
        self._observations: Torch | None = None
        self._parameters: Torch | None = None

    def to(self, dtype: torch.dtype, device: str | torch.device) -> LogDensity:
        """Lower the same model for another dtype or device."""
        return LogDensity(self._graph, dtype, torch.device(device))

    def tensors(self, arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
        """Take values over as tensors of the dtype and on the device of the computation."""
        return {name: _copied(np.asarray(a), self.dtype, self.device) for name, a in arrays.items()}

    def _lowered(self, outputs: Sequence[Any], *more: Any, wide: bool = False) -> Torch:
        """Make a torch function of graphs of the values, the data and perhaps more inputs.

        Where it is wide, it computes in float64 between inputs and outputs of the density's own dtype.
        """
        inputs = [*self._graph.inputs, *more]
        function = lower(inputs, outputs, dtype=torch.float64 if wide else self.dtype, device=self.device)
        if not wide:
            return function

        def call(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            found = function(*(t.double() if t.is_floating_point() else t for t in tensors))
            return tuple(o.to(self.dtype) if torch.as_tensor(o).is_floating_point() else o for o in found)

        return call

    def _named(self, error: LoweringError) -> ModelError:
        """Say which term of the log density can't be lowered."""
        observed = {f"{o.name!r}, {a_distribution(o.distribution)}": o for o in self.observed}
        for what, term in [*self._graph.prior_terms.items(), *zip(observed, self._graph.likelihoods, strict=True)]:
            try:
                self._lowered([term])
            except LoweringError as own:
                return ModelError(f"torch can't compute the log density of {what}: {own}")
        return error

    def __call__(self, values: Values, data: Values | None = None) -> torch.Tensor:
        """Compute log p(data, values): the prior plus every likelihood, as ``model.compile_logp()`` does."""
        return self.prior(values, data) + sum(self.likelihoods(values, data).values())

    def prior(self, values: Values, data: Values | None = None) -> torch.Tensor:
        """Compute the log prior with the transforms' Jacobians, and the model's potentials."""
        [logp] = self._prior(*self._arguments(values, data))
        return torch.as_tensor(logp)

    def priors(self, values: Values) -> dict[str, torch.Tensor]:
        """Compute the log prior of each free variable, with its Jacobian; of those alone that read none of the data."""
        names, function = self._own_priors
        return dict(zip(names, function(*self._arguments(values, None)), strict=True))

    @cached_property
    def _own_priors(self) -> tuple[list[str], Torch]:
        data = set(self._graph.data_inputs.values())
        of_free = dict(zip(self._graph.free, self._graph.prior_terms.values(), strict=False))  # potentials come last
        own = {name: term.sum() for name, term in of_free.items() if not data & set(ancestors([term]))}
        return list(own), self._lowered(list(own.values()), wide="" in self.wide)

    def likelihoods(self, values: Values, data: Values | None = None) -> dict[str, torch.Tensor]:
        """Compute the log likelihood of each observed variable, summed over its rows."""
        arguments = self._arguments(values, data)
        found: dict[str, torch.Tensor] = {}
        for names, function in self._likelihood.values():
            found |= dict(zip(names, function(*arguments), strict=True))
        return {o.name: found[o.name] for o in self.observed}

    def observations(self, values: Values, data: Values | None = None) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Compute each observed variable's log likelihood, one number for each observation, and the observed values."""
        if self._observations is None:
            outputs = [*self._graph.likelihoods, *self._graph.observations]
            self._observations = self._lowered(outputs, wide=bool(self.wide - {""}))
        found = self._observations(*self._arguments(values, data))
        count = len(self.observed)
        pairs = zip(found[:count], found[count:], strict=True)
        return {
            o.name: (torch.as_tensor(a), torch.as_tensor(b)) for o, (a, b) in zip(self.observed, pairs, strict=True)
        }

    def parameters(self, values: Values, data: Values | None = None) -> dict[str, tuple[torch.Tensor, ...]]:
        """Compute the parameters of each observed variable's distribution, in PyMC's order; they broadcast to it."""
        counts = [len(own) for own in self._graph.parameters]
        if self._parameters is None:
            self._parameters = self._lowered([p for own in self._graph.parameters for p in own])
        found = iter(self._parameters(*self._arguments(values, data)))
        return {
            o.name: tuple(torch.as_tensor(next(found)) for _ in range(count))
            for o, count in zip(self.observed, counts, strict=True)
        }

    def observed_shapes(self, data: Values) -> dict[str, tuple[int, ...]]:
        """Give the shape of each observed variable's values."""
        values = self._lowered(self._graph.observations)(*self._arguments(self.tensors(self.start), data))
        return {o.name: tuple(torch.as_tensor(v).shape) for o, v in zip(self.observed, values, strict=True)}

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
            Moments of the approximation, for the names in `gaussian`.
        """
        if self._expected is None:
            graph = self._graph
            outputs = [graph.expected_prior, *graph.prior_variances.values()]
            self._expected = self._lowered(outputs, *graph.mean_inputs.values(), wide="" in self.wide)
        logp, *priors = self._expected(*self._arguments(values, data), *(means[name] for name in self.gaussian))
        spread = sum(((variances[name] / v).sum() for name, v in zip(self.gaussian, priors, strict=True)), 0.0)
        return logp - 0.5 * spread

    @cached_property
    def centred_scales(self) -> CentredScales:
        """The half-normal scales of normal values around constants, and what they multiply.

        They are found by the model's graph and by moving each of them, in float64.
        """
        graph, exact, cpu = self._graph, torch.float64, torch.device("cpu")
        scales = [graph.value_inputs[name] for name in graph.scale_widths]
        inputs = set(scales)
        reads = {
            name: frozenset(v.name for v in inputs & set(ancestors([variance])))
            for name, variance in graph.prior_variances.items()
        }
        reads = {name: own for name, own in reads.items() if own}
        if not reads:
            return CentredScales({}, ())
        constants = [*graph.scale_widths.values(), *(graph.prior_means[name] for name in reads)]
        # Means and widths depend on nothing: a value's shape is all that they read of it.
        given = [torch.from_numpy(np.array(self.start[name], dtype=np.float64)) for name in graph.value_inputs]
        every, means = list(graph.value_inputs.values()), [graph.mean_inputs[name] for name in reads]
        shaped = [torch.zeros(self.start[name].shape, dtype=exact) for name in reads]
        settled = lower([*every, *means], constants, dtype=exact, device=cpu)(*given, *shaped)
        variances = lower([*scales, *means], [graph.prior_variances[n] for n in reads], dtype=exact, device=cpu)

        def deviations(at: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            moved = [torch.from_numpy(np.asarray(at[name])) for name in graph.scale_widths]
            found = variances(*moved, *shaped)
            return {name: variance.sqrt().numpy() for name, variance in zip(reads, found, strict=True)}

        arrays = [np.asarray(t) for t in settled]
        widths = {n: np.broadcast_to(a, self.start[n].shape) for n, a in zip(graph.scale_widths, arrays, strict=False)}
        return structure(widths, dict(zip(reads, arrays[len(widths) :], strict=True)), deviations, reads)

    def constrained(self, values: Values, names: tuple[str, ...] | None = None, data: Values | None = None) -> Any:
        """Compute variables and deterministics of the model from values.

        Parameters
        ----------
        names
            Names of what to compute; the free variables when left out.
        """
        names = tuple(self._graph.free) if names is None else names
        if names not in self._constrained:
            self._constrained[names] = self._lowered([self._graph.variable(name) for name in names])
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
                f"{sorted(strange)}: missing among the values, or unknown among the data; expected values for "
                f"{list(self.start)}, and data among {list(self.data)}."
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
        Floating dtype of the computation: float64 as PyMC computes by default, float32 for speed.
    device
        Device of the computation.

    Returns
    -------
    LogDensity

    Raises
    ------
    ModelError
        If `model` is not a model, has discrete or no free variables, or holds an Op without a torch counterpart; the
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
    """
    check_model(model)
    return LogDensity(model_graph(model), dtype, torch.device(device))


def _copied(array: np.ndarray, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Copy once, to the dtype and the device of the computation: data can be the largest thing in memory."""
    return torch.tensor(array, dtype=dtype if array.dtype.kind == "f" else None, device=device)
