"""The posterior that the engine fits: parameters of a family in, draws, predictions and an ArviZ container out.

Explained in the chapter `book/mnist/dense`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pymc as pm
import torch

from companion.checks import whole
from companion.compat import from_dict, psis_k
from companion.errors import ModelError
from companion.machine import BUDGET_BYTES, seed_for, slices
from companion.posterior.predictive import Predictive
from companion.posterior.protocol import Draws
from companion.posterior.record import Record
from companion.training import Batches
from companion.variational import Objective, Parameters, PointMass, log_weights, standard_noise

__all__ = ["VariationalPosterior"]

_SMALL = 2000


@dataclass(frozen=True, eq=False)
class VariationalPosterior:
    """A fitted approximation, or a mixture of the restarts'.

    Attributes
    ----------
    model
        That was fitted.
    parameters
        Of the family, for every restart: name to tensor (restarts, ...).
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
        if not 0 <= number < len(self.weights):
            raise ModelError(f"restart {number} asked for; there are {len(self.weights)}, counted from 0.")
        return self._weighted(np.eye(len(self.weights))[number])

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
            If the weights are none of these, or no restart has a finite ELBO.
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
        return self._weighted(found / found.sum())

    def _weighted(self, weights: np.ndarray) -> VariationalPosterior:
        return dataclasses.replace(self, record=self.record.weighted(weights))

    # --- the protocol of posteriors ---------------------------------------------------------------------

    def draw(self, n: int, seed: int, names: Sequence[str] | None = None) -> Draws:
        r"""Draw ``n`` sets of the free variables, or of those named: name to array (n, \*shape).

        The same seed gives the same draws, whichever are named. Predicting needs them all.
        """
        known = tuple(rv.name for rv in self.model.free_RVs)
        if isinstance(names, str) or set(names or ()) - set(known):
            raise ModelError(f"names={names!r}; expected names of free variables, some of {list(known)}.")
        return self._named(n, seed, known if names is None else tuple(names))

    def predict(self, x: Any, draws: Draws) -> np.ndarray:
        """Class probabilities (draws, points, classes) or means (draws, points) at inputs; see `Posterior.predict`.

        Parameters
        ----------
        x
            What replaces the model's inputs; a mapping from names to arrays where it reads several.
        draws
            Of the free variables, from this posterior or another of the same model.
        """
        given = self._predictive.checked(draws)
        count = len(next(iter(given.values())))
        return self._predictive(x, count, lambda at: {n: self._predictive.tensor(a[at]) for n, a in given.items()})

    def predictive(self, x: Any, n: int, seed: int) -> np.ndarray:
        """Predict with ``n`` draws, made a few at a time: the same as `predict` with `draw`, in less memory."""
        whole("n", n, 1)
        names = tuple(rv.name for rv in self.model.free_RVs)
        numbers = np.arange(n)
        return self._predictive(x, n, lambda at: self._constrained(numbers[at], n, seed, names))

    def to_arviz(self, n: int = 1000, seed: int = 0) -> Any:
        """``n`` draws as one chain in ArviZ's container, with the deterministics that don't depend on data."""
        return from_dict({k: a[None] for k, a in self._named(n, seed, self._storable).items()})

    def k_hat(self, draws: int = 1000, seed: int = 0) -> float:
        """Diagnose the approximation by Pareto-smoothed importance sampling: below 0.7 it can be trusted.

        Raises
        ------
        ModelError
            For models of more than 2,000 values, where it says nothing any more; for mixtures and point masses.

        Notes
        -----
        Yao et al. (2018), "Yes, but did it work?". Explained in the chapter `book/pymc/moons`.
        """
        size = self.objective.layout.size
        if size > _SMALL or draws < 100 or isinstance(self.objective.family, PointMass):
            raise ModelError(
                f"k-hat of {size:,} values with {draws} draws, family {self.objective.family.name!r}; expected at most "
                f"{_SMALL:,} values, 100 draws or more, and a family with a density."
            )
        own = self.own_parameters("k-hat")
        return psis_k(log_weights(self.objective, own, self.batches.parts(), draws, seed))

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

    # --- draws ------------------------------------------------------------------------------------------

    def _named(self, n: int, seed: int, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        whole("n", n, 1)
        at_once = max(1, BUDGET_BYTES // (16 * self.objective.layout.size))
        parts = [self._constrained(np.arange(n)[at], n, seed, names) for at in slices(n, at_once)]
        return {name: np.concatenate([part[name].cpu().numpy() for part in parts]) for name in names}

    def _constrained(self, numbers: np.ndarray, n: int, seed: int, names: tuple[str, ...]) -> dict[str, torch.Tensor]:
        """Compute variables (draws, ...) of some of ``n`` draws, by their numbers."""
        rng = np.random.default_rng(seed_for(seed, "restart"))
        kept = np.flatnonzero(self.weights)
        equal = np.allclose(self.weights[kept], 1 / len(kept))  # then each gives the same number of draws
        restarts = (
            rng.permutation(kept[np.arange(n) % len(kept)])
            if equal
            else rng.choice(len(self.weights), n, p=self.weights)
        )
        density, family = self.objective.density, self.objective.family
        flat = []
        with torch.no_grad():
            for i in numbers:
                own = {name: p[restarts[i]] for name, p in self.parameters.items()}
                flat.append(family.draw(own, standard_noise(self.objective, seed, "draw", int(i))))
            every = torch.stack(flat)
            found = torch.vmap(lambda f: density.constrained(self.objective.layout.split(f), names))(every)
        return dict(found)

    @cached_property
    def _predictive(self) -> Predictive:
        return Predictive(self.model, self.objective)

    @cached_property
    def _storable(self) -> tuple[str, ...]:
        return self.objective.density.names()
