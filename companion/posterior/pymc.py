"""Posteriors that PyMC finds: its variational approximations, and the draws of its samplers.

Explained in the chapters `book/pymc/moons`, section "ADVI", and `book/pymc/moons_posterior`, section "The reference".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import torch
from pymc.pytensorf import find_rng_nodes, reseed_rngs

from companion.bridge import Response
from companion.checks import whole
from companion.compat import observed_once
from companion.errors import ModelError
from companion.posterior.base import ModelPosterior
from companion.posterior.container import pack, with_log_likelihood
from companion.posterior.dependence import compare
from companion.posterior.given import check_own_model, checked_names, picked
from companion.posterior.marginals import Moments
from companion.posterior.predictive import Predictive, predictive_of
from companion.posterior.protocol import Draws
from companion.posterior.record import Record
from companion.posterior.storage import Packed, register
from companion.posterior.variables import constrained, deterministics, unconstrained

__all__ = ["ApproximationPosterior", "SampledPosterior"]

_CPU = torch.device("cpu")

_OF_A_FIT = {
    "posterior": "the posterior alone, without .posterior",
    "history": ".record.history, which is for all rows; PyMC's own is .approximation.hist",
    "elbo": ".record.elbo",
    "elbo_se": ".record.elbo_se",
    "seconds": ".record.seconds",
    "seed": '.record.settings["seed"]',
}


class _PyMCPosterior(ModelPosterior):
    """A posterior that predicts in double precision, as PyMC computes."""

    def __init__(self, model: pm.Model) -> None:
        self.model = model

    @cached_property
    def _response(self) -> Response:
        return Response(observed_once(self.model), torch.float64, _CPU)

    @property
    def _predictive(self) -> Predictive:
        """How it predicts, with the data that the model holds now: `pymc.set_data` changes them."""
        data = {}
        for variable in self.model.data_vars:
            array = np.asarray(variable.get_value())
            data[variable.name] = torch.as_tensor(array.astype(float) if array.dtype.kind == "f" else array)
        return predictive_of(self._response, data, self._rows_held(), torch.float64, _CPU)

    def _rows_held(self) -> int | None:
        """Count the observations that the model holds."""
        if self._response.rows is not None:
            return self._response.rows
        value = self.model.rvs_to_values[self.model.observed_RVs[0]]
        return int(value.shape[0].eval()) if value.type.ndim else None


@register("approximation")
class ApproximationPosterior(_PyMCPosterior):
    """A fitted PyMC approximation, such as that of ADVI.

    Parameters
    ----------
    approximation
        What `pymc.fit` returned.
    model
        The model to predict with: the one that was fitted or, after a fit on mini-batches, the same model with
        all rows.
    record
        How it was fitted, where `companion.inference.fit_advi` did; otherwise what PyMC's own history tells.
    """

    def __init__(self, approximation: Any, model: pm.Model, record: Record | None = None) -> None:
        super().__init__(model)
        self.approximation = approximation
        self.record = _record_of(approximation) if record is None else record

    def __getattr__(self, name: str) -> Any:
        """Say what became of the names of `Fit`, which carried the posterior before."""
        if name in _OF_A_FIT:
            raise AttributeError(f"fit_advi returns the posterior itself now: write {_OF_A_FIT[name]}.")
        raise AttributeError(f"an ApproximationPosterior has no {name!r}")

    def _drawn(self, n: int, seed: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        sample, generators = self._sampler
        reseed_rngs(generators, seed)
        drawn = {rv.name: a for rv, a in zip(self.approximation.model.free_RVs, sample(n), strict=True)}
        return {name: drawn[name] for name in names}

    @cached_property
    def _sampler(self) -> tuple[Callable[[int], list[np.ndarray]], list[Any]]:
        """All variables of ``n`` draws by one compiled function, and the generators that it draws from.

        `Approximation.sample` draws the same, and then takes each draw apart in Python, which takes many times as long.
        """
        size = pt.iscalar("size")
        found = self.approximation.sample_node(list(self.approximation.model.free_RVs), size=size)
        drawn = list(found) if isinstance(found, list | tuple) else [found]  # PyMC gives one variable as it is
        return pm.compile([size], drawn), find_rng_nodes(drawn)

    def moments(self) -> dict[str, Moments]:
        """Return the mean and the standard deviation of each value, in the unconstrained space of the fit."""
        found = {}
        for group in self.approximation.groups:
            mean, scale = np.asarray(group.mean.eval()), np.asarray(group.std.eval())
            for name, at, shape, _ in group.ordering.values():
                found[name] = Moments(mean[at].reshape(shape), scale[at].reshape(shape))
        return found

    def _parts(self) -> tuple[Any, ...]:
        return self.approximation, self.model, self.record

    def packed(self, half: bool) -> Packed:
        """Pack the approximation's parameters; see `companion.posterior.Storable`."""
        group = self._group()
        about = {
            "approximation": type(self.approximation).__name__,
            "layout": {name: list(shape) for name, _, shape, _ in group.ordering.values()},
            "depends": self._depends_on(self._centre()),
        }
        tensors = {n: torch.as_tensor(np.array(p.get_value())).contiguous() for n, p in group.params_dict.items()}
        return Packed(about, tensors, self.record)

    @classmethod
    def unpacked(cls, packed: Packed, model: Any, device: torch.device) -> ApproximationPosterior:
        """Make the posterior again; see `companion.posterior.Storable`."""
        about, tensors, record = packed
        check_own_model(model)
        kind = about["approximation"]
        if kind not in _KINDS:
            raise ModelError(f"it is an approximation of the kind {kind!r}; this version of PyMC loads {list(_KINDS)}.")
        with model:
            approximation = _KINDS[kind](model, tensors)
        found = cls(approximation, model, record)
        layout = {name: list(shape) for name, _, shape, _ in found._group().ordering.values()}
        packed.check_layout(layout)
        for name, parameter in found._group().params_dict.items():
            parameter.set_value(tensors[name].numpy())
        compare(about["depends"], found._depends_on(found._centre()))
        return found

    def _group(self) -> Any:
        """Return the only group of variables that are approximated together.

        Raises
        ------
        ModelError
            If there are several, or a flow.
        """
        kind = type(self.approximation).__name__
        if len(self.approximation.groups) > 1 or kind not in _KINDS:
            raise ModelError(
                f"an approximation {kind} of {len(self.approximation.groups)} groups can't be saved; expected one "
                f"group, {' or '.join(_KINDS)}."
            )
        return self.approximation.groups[0]

    def _centre(self) -> Draws:
        """Return the draw at the mean."""
        return constrained(self.model, {name: m.mean[None] for name, m in self.moments().items()})


# How PyMC makes each kind of approximation anew, to be filled with the parameters of a file.
_KINDS: dict[str, Callable[[pm.Model, Mapping[str, torch.Tensor]], Any]] = {
    "MeanField": lambda model, stored: pm.MeanField(model=model),
    "FullRank": lambda model, stored: pm.FullRank(model=model),
    "Empirical": lambda model, stored: pm.Empirical(size=len(stored["histogram"]), model=model),
}


@register("sampled")
class SampledPosterior(_PyMCPosterior):
    """The draws of a sampler, such as NUTS.

    Parameters
    ----------
    samples
        What `pymc.sample` returned.
    model
        The model that was sampled.
    """

    def __init__(self, samples: Any, model: pm.Model) -> None:
        super().__init__(model)
        self.samples = samples
        self.record = _record_of_chains(samples)

    @cached_property
    def draws(self) -> dict[str, np.ndarray]:
        r"""Every draw in the sampler's order, chain after chain: name to array (chains * draws, \*shape)."""
        return {name: self._every("posterior")[name] for name in self.variables}

    def _every(self, group: str) -> dict[str, np.ndarray]:
        r"""Return what the sampler recorded in a group, chain after chain: name to array (chains * draws, \*shape)."""
        return {name: a.reshape(-1, *a.shape[2:]) for name, a in _arrays(self.samples, group).items()}

    def _drawn(self, n: int, seed: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        rows = self._rows(n, seed)
        return {name: self.draws[name][rows] for name in names}

    def _rows(self, n: int, seed: int) -> np.ndarray:
        """Choose ``n`` of the sampler's draws without repetition."""
        return picked(n, len(next(iter(self.draws.values()))), seed)

    def moments(self) -> dict[str, Moments]:
        """Return the mean and the standard deviation of each value over all draws, in the unconstrained space."""
        values = unconstrained(self.model, self.draws)
        return {name: Moments(a.mean(axis=0), a.std(axis=0, ddof=1)) for name, a in values.items()}

    def to_arviz(
        self, n: int | None = None, seed: int = 0, *, names: Sequence[str] | None = None, log_likelihood: bool = False
    ) -> Any:
        """Return the sampler's own container, or ``n`` of its draws as one chain.

        Parameters
        ----------
        n
            Number of draws to pick; all of them, in their chains, when left out.
        seed
            Seed of the choice.
        names
            Names of the free variables and deterministics to put in; all of them when left out.
        log_likelihood
            Whether to compute the log likelihood of each observation, in a copy of the container.

        Raises
        ------
        ModelError
            If there are fewer than ``n`` draws, a name is unknown, or the log likelihood can't be computed.
        """
        recorded = list(_arrays(self.samples, "posterior"))
        chosen = checked_names(names, recorded, "free variables and deterministics")
        if n is None and names is None:
            if not log_likelihood or "log_likelihood" in self.samples:
                return self.samples
            return with_log_likelihood(self.samples.copy(), self.model)
        whole("n", 1 if n is None else n, 1)
        every = self._every("posterior")
        rows = np.arange(len(every[recorded[0]])) if n is None else self._rows(n, whole("seed", seed, 0))
        shape = (self.record.settings["chains"], -1) if n is None else (1, -1)
        picked = {name: every[name][rows].reshape(*shape, *every[name].shape[1:]) for name in chosen}
        stats = {name: a[rows].reshape(*shape, *a.shape[1:]) for name, a in self._every("sample_stats").items()}
        found = pack(self.model, picked, stats)
        return with_log_likelihood(found, self.model) if log_likelihood else found

    def _parts(self) -> tuple[Any, ...]:
        return self.samples, self.model

    def packed(self, half: bool) -> Packed:
        """Pack draws and statistics in their chains; see `companion.posterior.Storable`."""
        recorded = _arrays(self.samples, "posterior")
        groups = {
            "posterior": {n: recorded[n] for n in self.variables},
            "sample_stats": _arrays(self.samples, "sample_stats"),
        }
        arrays = {
            f"{group}/{name}": torch.as_tensor(np.ascontiguousarray(a))
            for group, own in groups.items()
            for name, a in own.items()
        }
        posterior = dict(self.samples["posterior"].attrs)
        kept = {name: posterior[name] for name in ("sampling_time", "tuning_steps") if name in posterior}
        about = {
            "layout": {name: list(a.shape[1:]) for name, a in self.draws.items()},
            "attributes": kept,
            "deterministics": [v.name for v in self.model.deterministics if v.name in recorded],
            "depends": self._depends_on(self._first()),
        }
        return Packed(about, arrays, self.record)

    @classmethod
    def unpacked(cls, packed: Packed, model: Any, device: torch.device) -> SampledPosterior:
        """Make the posterior again; see `companion.posterior.Storable`."""
        about, tensors, _ = packed
        check_own_model(model)
        shapes = model.eval_rv_shapes()
        layout = {rv.name: list(map(int, shapes[rv.name])) for rv in model.free_RVs}
        packed.check_layout(layout)
        groups: dict[str, dict[str, np.ndarray]] = {"posterior": {}, "sample_stats": {}}
        for name, tensor in tensors.items():
            group, _, own = name.partition("/")
            groups[group][own] = tensor.numpy()
        groups["posterior"] |= _recomputed(model, groups["posterior"], about["deterministics"])
        samples = pack(model, groups["posterior"], groups["sample_stats"], about["attributes"])
        found = cls(samples, model)
        compare(about["depends"], found._depends_on(found._first()))
        return found

    def _first(self) -> Draws:
        """Return the first draw."""
        return {name: a[:1] for name, a in self.draws.items()}


def _recomputed(model: pm.Model, draws: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    r"""Compute deterministics of draws (chains, draws, \*shape) anew: the model may hold other rows."""
    known = [v.name for v in model.deterministics if v.name in names]
    if not known:
        return {}
    chains = len(next(iter(draws.values())))
    flat = {name: a.reshape(-1, *a.shape[2:]) for name, a in draws.items()}
    found = deterministics(model, flat, known)
    return {name: a.reshape(chains, -1, *a.shape[1:]) for name, a in found.items()}


def _arrays(samples: Any, group: str) -> dict[str, np.ndarray]:
    r"""Take the numbers of a group: name to array (chains, draws, \*shape)."""
    if group not in samples:
        return {}
    every = {name: np.asarray(a.values) for name, a in samples[group].data_vars.items()}
    return {name: a for name, a in every.items() if a.dtype.kind in "fiub"}


def _record_of(approximation: Any) -> Record:
    """Tell what PyMC's own history tells: its losses, for all rows."""
    history = np.asarray(getattr(approximation, "hist", ()), dtype=float)
    rows = float(approximation.symbolic_normalizing_constant.eval())
    return Record(
        method=type(approximation).__name__,
        settings={"steps": len(history)},
        losses=rows * history[:, None],
        bounds=np.full((1, 2), np.nan),
        weights=np.ones(1),
        seconds=float("nan"),
    )


def _record_of_chains(samples: Any) -> Record:
    """Tell how long a sampler took and how many chains it made; it has no losses and no bound."""
    posterior = samples["posterior"]
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    attributes = dict(posterior.attrs)
    return Record(
        method="sampling",
        settings={"chains": chains, "draws": draws, "tune": attributes.get("tuning_steps")},
        losses=np.empty((0, chains)),
        bounds=np.full((chains, 2), np.nan),
        weights=np.full(chains, 1 / chains),
        seconds=float(attributes.get("sampling_time", "nan")),
    )
