"""The draws of the companion's own samplers, with what tells whether they can be trusted.

Explained in `book/reference/how_a_fit_works`, section "The posterior".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pymc as pm
import torch

from companion.bridge import torch_log_density
from companion.checks import whole
from companion.errors import ModelError
from companion.machine import BUDGET_BYTES, PRECISIONS, device_named, slices
from companion.posterior.container import pack, with_log_likelihood
from companion.posterior.dependence import compare
from companion.posterior.diagnostics import Convergence, diagnose, worst
from companion.posterior.given import check_own_model, checked_names, picked
from companion.posterior.lowered import LoweredPosterior, layout_as_json
from companion.posterior.marginals import Moments
from companion.posterior.predictive import SomeDraws
from companion.posterior.record import Record
from companion.posterior.storage import Packed, register
from companion.posterior.variables import deterministics
from companion.variational import Objective, PointMass

__all__ = ["ChainPosterior", "Health"]

_PREDICTED = 1000  # draws of a chain that are compared by their predictions
_COPIES = 16  # of a double for each draw that comparing chains holds at once


class Health(NamedTuple):
    """What a sampler's own statistics say of its chains.

    Attributes
    ----------
    divergences
        Number of draws of each chain (chains,) with a step whose energy error was too large, so that a place of high
        curvature may have been left out. Any is a warning.
    bfmi
        Bayesian fraction of missing information of each chain (chains,): how far the energy moves from draw to draw.
        Below 0.3 the tails are explored slowly. NaN where a sampler has no energy, and of one draw.
    acceptance
        Mean share of accepted proposals of each chain (chains,); NaN where nothing is rejected.
    lost
        Numbers of the chains that diverged for good, and are left out.
    temperature
        Mean temperature of each chain's momentum (chains,), over the one that was asked for. About 1 where the steps
        are small enough; NaN where a sampler has no momentum, or tells no temperature.
    """

    divergences: np.ndarray
    bfmi: np.ndarray
    acceptance: np.ndarray
    lost: tuple[int, ...]
    temperature: np.ndarray


@register("chains")
class ChainPosterior(LoweredPosterior):
    """The draws of several chains; what `companion.inference.sample` returns.

    Parameters
    ----------
    model
        Model that was sampled.
    objective
        The lowered model.
    values
        Draws of the unconstrained values (draws, chains, size), perhaps a map of a file.
    stats
        Statistics of the draws, under ArviZ's names: name to array (draws, chains).
    record
        Record of the sampling. Chains that diverged for good have weight zero there, and are left out everywhere.
    """

    def __init__(
        self, model: pm.Model, objective: Objective, values: np.ndarray, stats: Mapping[str, np.ndarray], record: Record
    ) -> None:
        self.model, self.objective, self.values, self.stats, self.record = model, objective, values, stats, record

    @property
    def chains(self) -> np.ndarray:
        """Numbers of the chains that are kept."""
        return np.flatnonzero(self.record.weights)

    @property
    def draws_per_chain(self) -> int:
        """Number of draws of each chain."""
        return len(self.values)

    @cached_property
    def draws(self) -> dict[str, np.ndarray]:
        r"""Every draw of the free variables, chain after chain: name to array (chains * draws, \*shape)."""
        return self._arrays(np.arange(len(self)), self.variables)

    def __len__(self) -> int:
        return self.draws_per_chain * len(self.chains)

    def chain(self, number: int) -> ChainPosterior:
        """Keep one chain.

        Raises
        ------
        ModelError
            If there is none of that number.
        """
        if number not in self.chains:
            raise ModelError(f"chain {number} asked for; there are {self.chains.tolist()}, counted from 0.")
        weights = np.eye(len(self.record.weights))[number]
        return ChainPosterior(self.model, self.objective, self.values, self.stats, self.record.weighted(weights))

    def copied(self) -> ChainPosterior:
        """Copy the draws, which a sampler under way, or a file, would change."""
        return ChainPosterior(self.model, self.objective, np.array(self.values), self.stats, self.record)

    # --- draws and predictions --------------------------------------------------------------------------

    def _flat(self, rows: np.ndarray) -> torch.Tensor:
        """Take some draws, by their numbers chain after chain, as unconstrained values (draws, size)."""
        chain, draw = np.divmod(rows, self.draws_per_chain)
        taken = np.asarray(self.values[draw, self.chains[chain]])
        return torch.as_tensor(taken).to(self.objective.density.device, self.objective.density.dtype)

    def _constrained(self, rows: np.ndarray, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """Compute variables (draws, ...) of some draws, by their numbers."""
        with torch.no_grad():
            return self._of_values(self._flat(rows), names)

    def _arrays(self, rows: np.ndarray, names: Sequence[str], entries: slice | None = None) -> dict[str, np.ndarray]:
        r"""Compute variables (draws, \*shape) of some draws; of some of their entries alone, (draws, entries)."""
        at_once = max(1, BUDGET_BYTES // (16 * self.objective.layout.size))
        found: dict[str, np.ndarray] = {}
        for at in slices(len(rows), at_once):
            for name, values in self._constrained(rows[at], names).items():
                part = (values if entries is None else values.reshape(len(values), -1)[:, entries]).cpu().numpy()
                if name not in found:
                    found[name] = np.empty((len(rows), *part.shape[1:]), part.dtype)
                found[name][at] = part
        return {name: found[name] for name in names}

    def _in_parts(self, name: str) -> Iterator[np.ndarray]:
        """Give all draws of a variable, some of its entries at a time (chains * draws, entries)."""
        first = self._constrained(np.zeros(1, dtype=int), [name])[name]
        each = max(1, BUDGET_BYTES // (8 * _COPIES * len(self)))
        at_once = max(each, BUDGET_BYTES // (first.element_size() * len(self)))  # all draws are read for each of these
        for entries in slices(first.numel(), at_once):
            draws = self._arrays(np.arange(len(self)), [name], entries)[name]
            yield from (draws[:, part] for part in slices(draws.shape[1], each))

    def _drawn(self, n: int, seed: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        return self._arrays(picked(n, len(self), seed), names)

    def _some(self, n: int, seed: int) -> SomeDraws:
        rows = picked(n, len(self), seed)
        return lambda at: self._constrained(rows[at], self.variables)

    def moments(self) -> dict[str, Moments]:
        """Return the mean and the standard deviation of each value over all draws, in the unconstrained space."""
        size = self.objective.layout.size
        mean, squares = np.zeros(size), np.zeros(size)
        centre = np.asarray(self.values[0, self.chains[0]], dtype=float)
        for draw in self.values:  # one draw of all chains at a time: they may lie on the disk
            moved = draw[self.chains].astype(float) - centre
            mean += moved.sum(0)
            squares += np.square(moved).sum(0)
        mean /= len(self)
        scale = np.sqrt(np.maximum(squares - len(self) * mean**2, 0) / max(1, len(self) - 1))
        layout = self.objective.layout
        means, scales = (layout.split(torch.as_tensor(a)) for a in (centre + mean, scale))
        return {name: Moments(means[name].numpy(), scales[name].numpy()) for name in layout.names}

    # --- diagnostics ------------------------------------------------------------------------------------

    def diagnose(self, x: Any = None, *, names: Sequence[str] | None = None) -> pd.DataFrame:
        """Compare the chains: R-hat and effective sample sizes of the variables, and of predictions.

        A network's weights need not agree between chains, because other weights give the same function. Its predictions
        have to.

        Parameters
        ----------
        x
            Inputs to predict at, as `predict` takes them; no predictions are compared where they are left out.
        names
            Names of the variables to compare; all of them when left out, none by an empty list.

        Returns
        -------
        pandas.DataFrame
            One row for each variable and one for "predictions", each the worst of its entries: the columns ``r_hat``,
            1 where the chains agree, ``ess`` in the bulk and ``ess_tail`` in the tails, in draws. Of longer chains,
            a thousand predictions each are compared, evenly spaced, and count for all draws.

        Raises
        ------
        ModelError
            If fewer than two chains are kept, or they have fewer than 4 draws.

        Notes
        -----
        Vehtari et al. (2021), "Rank-normalization, folding, and localization: An improved R-hat".
        """
        chosen, chains = checked_names(names, self.variables), len(self.chains)
        rows: dict[str, Convergence] = {}
        for name in chosen:
            rows[name] = worst(diagnose({name: part}, chains)[name] for part in self._in_parts(name))
        if x is not None:
            each = np.unique(np.linspace(0, self.draws_per_chain - 1, min(_PREDICTED, self.draws_per_chain), dtype=int))
            at = (np.arange(chains)[:, None] * self.draws_per_chain + each).ravel()
            found = self._predictive.predict_in_parts(
                x, len(at), lambda part: self._constrained(at[part], self.variables)
            )
            rows |= diagnose({"predictions": found}, chains)
        return pd.DataFrame.from_dict({n: c._asdict() for n, c in rows.items()}, orient="index")

    def health(self) -> Health:
        """Read what the sampler's own statistics say: divergences, energy, acceptance and lost chains."""
        kept, missing = self.chains, np.full(len(self.chains), np.nan)
        divergences = self.stats.get("diverging", np.zeros((0, len(self.record.weights))))[:, kept].sum(0).astype(int)
        energy = self.stats.get("energy")
        accepted, heat = self.stats.get("acceptance_rate"), self.stats.get("temperature")
        return Health(
            divergences,
            missing if energy is None else _bfmi(energy[:, kept]),
            missing if accepted is None else accepted[:, kept].mean(0),
            tuple(np.flatnonzero(np.isneginf(self.record.bounds[:, 0])).tolist()),
            missing if heat is None else heat[:, kept].mean(0) / float(self.record.settings.get("temperature", 1)),
        )

    # --- ArviZ, copies and files ------------------------------------------------------------------------

    def to_arviz(
        self, n: int | None = None, seed: int = 0, *, names: Sequence[str] | None = None, log_likelihood: bool = False
    ) -> Any:
        """Put the draws, in their chains, into ArviZ's container, or ``n`` of them as one chain.

        Parameters
        ----------
        n
            Number of draws to pick; all of them, in their chains, when left out.
        seed
            Seed of the choice.
        names
            Names of the free variables and deterministics to put in; all of them when left out.
        log_likelihood
            Whether to compute the log likelihood of each observation.

        Raises
        ------
        ModelError
            If there are fewer than ``n`` draws, a name is unknown, or the log likelihood can't be computed.
        """
        chosen = self._names_to_put(names, log_likelihood)
        whole("n", 1 if n is None else n, 1)
        rows = np.arange(len(self)) if n is None else picked(n, len(self), whole("seed", seed, 0))
        shape = (len(self.chains), -1) if n is None else (1, -1)
        computed = [name for name in chosen if name not in self.variables]
        free = self.variables if computed or log_likelihood else [v for v in self.variables if v in chosen]
        draws = self._arrays(rows, free)
        arrays = {**draws, **(deterministics(self.model, draws, computed) if computed else {})}
        dtypes = {name: self.model[name].type.dtype for name in chosen}
        put = {n: np.asarray(arrays[n], dtypes[n]).reshape(*shape, *arrays[n].shape[1:]) for n in chosen}
        chain, draw = np.divmod(rows, self.draws_per_chain)
        stats = {name: _stat(name, a[draw, self.chains[chain]]).reshape(shape) for name, a in self.stats.items()}
        said = {"sampling_time": self.record.seconds, "tuning_steps": self.record.settings.get("warmup")}
        found = pack(self.model, put, stats, said if n is None else None)
        return with_log_likelihood(found, self.model) if log_likelihood else found

    def _parts(self) -> tuple[Any, ...]:
        return self.model, np.array(self.values), dict(self.stats), self.record, str(self.objective.density.device)

    @classmethod
    def _from_parts(cls, *parts: Any) -> ChainPosterior:
        model, values, stats, record, device = parts
        reachable = torch.device(device).type == "cpu" or torch.cuda.is_available()
        return cls._of(model, values, stats, record, device_named(device if reachable else "auto"))

    @classmethod
    def _of(
        cls,
        model: pm.Model,
        values: np.ndarray,
        stats: Mapping[str, np.ndarray],
        record: Record,
        device: torch.device,
    ) -> ChainPosterior:
        """Lower the model again."""
        density = torch_log_density(model, dtype=PRECISIONS[record.precision], device=device)
        return cls(model, Objective(density, PointMass()), values, stats, record)

    def packed(self, half: bool) -> Packed:
        """Pack draws and statistics of the chains that are kept; see `companion.posterior.Storable`."""
        kept = self.chains
        tensors = {f"stats/{name}": torch.as_tensor(np.ascontiguousarray(a[:, kept])) for name, a in self.stats.items()}
        values = self.values if len(kept) == self.values.shape[1] else self.values[:, kept]
        tensors["values"] = torch.as_tensor(np.ascontiguousarray(values))
        about = {"layout": layout_as_json(self.objective.layout), "depends": self._depends()}
        return Packed(about, tensors, self.record)

    @classmethod
    def unpacked(cls, packed: Packed, model: Any, device: torch.device) -> ChainPosterior:
        """Make the posterior again; see `companion.posterior.Storable`."""
        about, tensors, record = packed
        check_own_model(model)
        stats = {n.removeprefix("stats/"): t.numpy() for n, t in tensors.items() if n.startswith("stats/")}
        found = cls._of(model, tensors["values"].numpy(), stats, record, device)
        packed.check_layout(layout_as_json(found.objective.layout))
        compare(about["depends"], found._depends())
        return found

    def _depends(self) -> dict[str, Any]:
        """Describe what predictions depend on beside the draws."""
        return self._depends_at(self._flat(np.zeros(1, dtype=int))[0])


def _bfmi(energy: np.ndarray) -> np.ndarray:
    """Compute the Bayesian fraction of missing information of energies (draws, chains), as Betancourt (2016) does.

    It is NaN of fewer than two draws.
    """
    if len(energy) < 2:
        return np.full(energy.shape[1], np.nan)
    return np.square(np.diff(energy, axis=0)).mean(0) / energy.var(0, ddof=1)


def _stat(name: str, values: np.ndarray) -> np.ndarray:
    """Give a statistic the type that PyMC gives it."""
    return values.astype(bool if name == "diverging" else int if name == "n_steps" else float)
