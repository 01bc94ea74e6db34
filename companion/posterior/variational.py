"""The posterior that the engine fits: a variational approximation, or a mixture of several restarts'.

Explained in `book/reference/how_a_fit_works`, section "The posterior".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import torch

from companion.checks import whole
from companion.compat import psis_k
from companion.errors import ModelError
from companion.machine import BUDGET_BYTES, device_named, seed_for, slices
from companion.posterior.dependence import compare
from companion.posterior.given import check_own_model
from companion.posterior.lowered import LoweredPosterior, layout_as_json
from companion.posterior.marginals import Moments
from companion.posterior.predictive import SomeDraws
from companion.posterior.record import Record
from companion.posterior.storage import Packed, half_precision, register
from companion.training import Batches, Settings, batches_for, objective_for
from companion.variational import (
    Dropout,
    Family,
    Layout,
    Objective,
    Parameters,
    PointMass,
    divergence,
    family_named,
    log_weights,
    standard_noise,
)

__all__ = ["VariationalPosterior"]

_SMALL = 2000


@register("variational")
@dataclass(frozen=True, eq=False, repr=False)
class VariationalPosterior(LoweredPosterior):
    """A fitted approximation, or a mixture of the restarts'.

    Attributes
    ----------
    model
        The model that was fitted.
    objective
        What the fit minimised: the lowered model and the family.
    batches
        Rows of the fit, for diagnostics.
    parameters
        Parameters of the family for every restart: name to tensor (restarts, ...).
    record
        How it was fitted, with the weights of the restarts.
    """

    model: pm.Model
    objective: Objective
    batches: Batches
    parameters: Parameters
    record: Record

    @property
    def weights(self) -> np.ndarray:
        """Weight of each restart, (restarts,); they sum to 1."""
        return self.record.weights

    # --- restarts ---------------------------------------------------------------------------------------

    def best(self) -> VariationalPosterior:
        """Keep the restart with the highest ELBO: the tightest bound on the evidence."""
        return self.restart(self.record.best_restart)

    def restart(self, number: int) -> VariationalPosterior:
        """Keep one restart."""
        return dataclasses.replace(self, record=self.record.alone(number))

    def mixture(self, weights: str | np.ndarray = "equal") -> VariationalPosterior:
        """Mix the restarts.

        Parameters
        ----------
        weights
            "equal", the deep ensemble's, for every restart that did not diverge; "elbo" for those proportional to
            exp(ELBO), which maximise a bound on the mixture's ELBO where components don't overlap; or numbers
            (restarts,).

        Raises
        ------
        ModelError
            If the weights are something else, or no restart has a finite ELBO.
        """
        elbo = self.record.bounds[:, 0]
        if isinstance(weights, str):
            if weights not in ("equal", "elbo"):
                raise ModelError(f"weights={weights!r}; expected 'equal', 'elbo' or numbers.")
            if not np.isfinite(elbo).any():
                raise ModelError("no restart has a finite ELBO, so there is none to mix; `restart(number)` gives one.")
            found = np.isfinite(elbo).astype(float) if weights == "equal" else np.exp(elbo - elbo.max())
        else:
            found = np.asarray(weights, dtype=float)
            if found.shape != elbo.shape or (found < 0).any() or not found.sum() > 0 or not np.isfinite(found).all():
                raise ModelError(f"weights={weights!r}; expected {len(elbo)} numbers, none negative, not all zero.")
        return dataclasses.replace(self, record=self.record.weighted(found / found.sum()))

    # --- diagnostics --------------------------------------------------------------------------------------

    def k_hat(self, draws: int = 1000, seed: int = 0) -> float:
        """Diagnose the approximation by Pareto-smoothed importance sampling: above 0.7 it is far from the posterior.

        It looks where the approximation itself has draws. So a low value says that the approximation covers what is
        there; regions of the posterior that it never visits, such as another mode, it can't see.

        Raises
        ------
        ModelError
            If the model has more than 2,000 values, where it says nothing any more; if the posterior is a mixture or a
            point; if the model holds other rows than those of the fit.

        Notes
        -----
        Yao et al. (2018), "Yes, but did it work?".
        """
        size = self.objective.layout.size
        if size > _SMALL or draws < 100 or isinstance(self.objective.family, PointMass | Dropout):
            raise ModelError(
                f"k-hat was asked for with {draws} draws of a posterior of {size:,} values and of the family "
                f"{self.objective.family.name!r}; expected 100 draws or more, at most {_SMALL:,} values, and a family "
                "with a density, such as 'mean-field'."
            )
        own = self.own_parameters("k-hat")
        return psis_k(log_weights(self.objective, own, self.batches.parts(20_000), draws, seed))

    def divergence(self, draws: int = 20, seed: int = 0) -> tuple[float, float]:
        r"""Compute the divergence :math:`\mathrm{KL}(q \,\|\, p)` from the prior, at full weight.

        It is the part of the bound that the weights cost: the ELBO is the expected log likelihood less this.

        Parameters
        ----------
        draws
            Number of draws, 2 or more, over which what has no closed form is averaged: a prior that learned scales
            make random, or one that isn't normal.
        seed
            Seed of the draws.

        Returns
        -------
        float, float
            The divergence in nats, and its standard error: 0 where all of it has a closed form.

        Raises
        ------
        ModelError
            If the posterior is a mixture, or a family without a density: a point, or dropout.
        """
        whole("draws", draws, 2)
        if isinstance(self.objective.family, PointMass | Dropout):
            raise ModelError(
                f"the posterior is of the family {self.objective.family.name!r}, which has no density and so no "
                "divergence from the prior; expected a family with one, such as 'mean-field'."
            )
        return divergence(self.objective, self.own_parameters("the divergence"), draws, whole("seed", seed, 0))

    def own_parameters(self, what: str) -> Parameters:
        """Give the family's parameters of the only restart that has weight; `what` needs them.

        Raises
        ------
        ModelError
            If the posterior is a mixture.
        """
        kept = np.flatnonzero(self.weights)
        if len(kept) > 1:
            raise ModelError(
                f"{what} is defined for one restart, and this is a mixture of {len(kept)} restarts; take one with "
                "best() or restart(number)."
            )
        return {name: p[kept[0]] for name, p in self.parameters.items()}

    def moments(self) -> dict[str, Moments]:
        """Return the mean and the standard deviation of each value, in the unconstrained space of the fit.

        Raises
        ------
        ModelError
            If the posterior is a mixture.
        """
        own = self.own_parameters("a moment")
        layout, family = self.objective.layout, self.objective.family
        means, scales = layout.split(own["mean"]), layout.split(family.variance(own).sqrt())
        return {name: Moments(means[name].cpu().numpy(), scales[name].cpu().numpy()) for name in layout.names}

    # --- draws and predictions --------------------------------------------------------------------------

    def _drawn(self, n: int, seed: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        at_once = max(1, BUDGET_BYTES // (16 * self.objective.layout.size))
        parts = [self._constrained(np.arange(n)[at], n, seed, names) for at in slices(n, at_once)]
        return {name: np.concatenate([part[name].cpu().numpy() for part in parts]) for name in names}

    def _some(self, n: int, seed: int) -> SomeDraws:
        numbers = np.arange(n)
        return lambda at: self._constrained(numbers[at], n, seed, self.variables)

    def _stats(self, n: int, seed: int) -> Mapping[str, np.ndarray]:
        """Return the restart that each draw comes from."""
        return {"restart": self._restarts(n, seed)}

    def _restarts(self, n: int, seed: int) -> np.ndarray:
        """Choose the restart of each of ``n`` draws, (n,)."""
        rng = np.random.default_rng(seed_for(seed, "restart"))
        kept = np.flatnonzero(self.weights)
        if np.allclose(self.weights[kept], 1 / len(kept)):  # then each gives the same number of draws
            return rng.permutation(kept[np.arange(n) % len(kept)])
        return rng.choice(len(self.weights), n, p=self.weights)

    def _constrained(self, numbers: np.ndarray, n: int, seed: int, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """Compute variables (draws, ...) of some of ``n`` draws, by their numbers."""
        restarts, family = self._restarts(n, seed), self.objective.family
        flat = []
        with torch.no_grad():
            for i in numbers:
                own = {name: p[restarts[i]] for name, p in self.parameters.items()}
                flat.append(family.draw(own, standard_noise(self.objective, seed, "draw", int(i))))
            return self._of_values(torch.stack(flat), names)

    # --- copies and files -------------------------------------------------------------------------------

    def _parts(self) -> tuple[Any, ...]:
        parameters = {name: p.detach().cpu() for name, p in self.parameters.items()}
        device = str(self.objective.density.device)
        return self.model, self.objective.family, self.objective.rows, parameters, self.record, device

    @classmethod
    def _from_parts(cls, *parts: Any) -> VariationalPosterior:
        model, family, rows, parameters, record, device = parts
        reachable = torch.device(device).type == "cpu" or torch.cuda.is_available()
        return cls._of_a_fit(model, family, rows, parameters, record, device_named(device if reachable else "auto"))

    @classmethod
    def _of_a_fit(
        cls,
        model: pm.Model,
        family: Family,
        rows: int | None,
        parameters: Parameters,
        record: Record,
        device: torch.device,
    ) -> VariationalPosterior:
        """Lower the model again; ``rows`` are those of the fit, where they are known."""
        objective = cls._objective_of(model, family, record, device)
        batches, held = batches_for(objective.density, None, None, int(record.settings["seed"]), 0, 1, 0)
        if rows not in (None, held):
            batches = _OtherRows(rows, held)
        objective = dataclasses.replace(objective, rows=held if rows is None else rows)
        there = {name: p.to(device, objective.density.dtype) for name, p in parameters.items()}
        return cls(model, objective, batches, there, record)

    @classmethod
    def _objective_of(cls, model: pm.Model, family: Family, record: Record, device: torch.device) -> Objective:
        """Lower the model with the precision of the fit."""
        return objective_for(model, Settings.of_record(record.settings, family), family, device)

    @classmethod
    def _family_of(cls, packed: Packed) -> Family:
        """Find the family of a file."""
        return family_named(packed.record.settings["family"])

    def packed(self, half: bool) -> Packed:
        """Pack the restarts that have weight; see `companion.posterior.Storable`."""
        kept = np.flatnonzero(self.weights)
        tensors = {name: p[kept].detach().cpu().contiguous() for name, p in self.parameters.items()}
        if half:
            tensors = half_precision(tensors)
        stored = {
            name: t.to(p.device, p.dtype)
            for (name, t), p in zip(tensors.items(), self.parameters.values(), strict=True)
        }
        as_stored = dataclasses.replace(self, parameters=stored, record=self.record.only(kept))
        about = {
            "layout": layout_as_json(self.objective.layout),
            "rows": self.objective.rows,
            "depends": as_stored._depends(),
        }
        return Packed(about, tensors, self.record)

    @classmethod
    def unpacked(cls, packed: Packed, model: Any, device: torch.device) -> VariationalPosterior:
        """Make the posterior again; see `companion.posterior.Storable`."""
        about, tensors, record = packed
        check_own_model(model)
        packed.check_layout(layout_as_json(Layout.of(model.initial_point())))
        found = cls._of_a_fit(model, cls._family_of(packed), about.get("rows"), tensors, record, device)
        if "depends" in about:
            compare(about["depends"], found._depends())
        return found

    def _depends(self) -> dict[str, Any]:
        """Describe what predictions depend on beside the parameters."""
        return self._depends_at(self.parameters["mean"][np.flatnonzero(self.weights)[0]])


@dataclass(frozen=True)
class _OtherRows:
    """Stands for the rows of a fit where the model that its posterior was loaded with holds others."""

    fitted: int | None
    held: int | None

    def at(self, step: int) -> Any:
        return self.parts()

    def drawn(self, step: int) -> Any:
        return self.parts()

    def data_of(self, drawn: Any) -> Any:
        return self.parts()

    def parts(self, most: int = 0) -> Any:
        raise ModelError(
            f"the posterior was fitted to {self.fitted:,} rows, and the model that it was loaded with holds "
            f"{self.held or 0:,}. Load it with the model over the rows of the fit."
        )
