"""What posteriors share, so that each class only says what is its own.

Explained in `book/reference/how_a_fit_works`, section "The posterior".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pymc as pm
import torch

from companion.bridge import ObservedParameters
from companion.checks import whole
from companion.compat import from_dict, observed_once
from companion.errors import ModelError
from companion.posterior.container import container_of
from companion.posterior.dependence import dependence, frozen
from companion.posterior.given import checked_names
from companion.posterior.marginals import Moments
from companion.posterior.predictive import Predictive, SomeDraws
from companion.posterior.protocol import Draws
from companion.posterior.record import Record
from companion.posterior.storage import save_posterior

__all__ = ["ModelPosterior", "PosteriorBase"]

Tensors = Mapping[str, torch.Tensor]


class PosteriorBase(ABC):
    """A posterior, given its variables, its draws, how it predicts, and its moments.

    A class of your own defines the methods and properties that are abstract here; `Posterior` says what they mean.
    """

    record: Record

    # --- what a class defines ---------------------------------------------------------------------------

    @property
    @abstractmethod
    def variables(self) -> Sequence[str]:
        """Names of what is drawn."""

    @abstractmethod
    def _drawn(self, n: int, seed: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        r"""Draw ``n`` sets of the variables named: name to array (n, \*shape)."""

    @property
    @abstractmethod
    def _predictive(self) -> Predictive:
        """How it predicts from draws."""

    @abstractmethod
    def moments(self) -> dict[str, Moments]:
        """Return the mean and the standard deviation of each value, in the unconstrained space of the fit."""

    @abstractmethod
    def _parts(self) -> tuple[Any, ...]:
        """Return the arguments of `_from_parts`, from which a copy is made; whatever is large or compiled stays out."""

    @classmethod
    def _from_parts(cls, *parts: Any) -> PosteriorBase:
        """Make a copy of its parts: by the constructor, unless a class knows better."""
        return cls(*parts)

    # --- what a class may define, where there is a better way -------------------------------------------

    _kind_of_names = "free variables"

    def _some(self, n: int, seed: int) -> SomeDraws:
        """Return a function that makes some of ``n`` draws; here all are made at once."""
        draws = self._drawn(n, seed, self.variables)
        predictive = self._predictive
        return lambda at: {name: predictive.tensor(a[at]) for name, a in draws.items()}

    # --- what all have ----------------------------------------------------------------------------------

    def draw(self, n: int, seed: int, names: Sequence[str] | None = None) -> Draws:
        r"""Draw ``n`` sets of the variables, or of those named: name to array (n, \*shape).

        The same seed gives the same draws, whichever are named. Predicting needs them all.

        Raises
        ------
        ModelError
            If `n` is below 1, the seed isn't a whole number, or a name is unknown.
        """
        whole("n", n, 1)
        whole("seed", seed, 0)
        return self._drawn(n, seed, checked_names(names, self.variables, self._kind_of_names))

    def predict(self, x: Any, draws: Draws) -> np.ndarray:
        r"""Predict class probabilities (draws, points, classes) or means (draws, points) at inputs.

        Parameters
        ----------
        x
            Inputs (points, \*features) in place of the model's own; a mapping from names to arrays where it reads
            several.
        draws
            Draws of the variables, from this posterior or another one of the same model.

        Raises
        ------
        ModelError
            If inputs or draws don't fit the model.
        """
        return self._predictive.predict(x, draws)

    def predictive(self, x: Any, n: int, seed: int) -> np.ndarray:
        """Predict with ``n`` draws: the same as `predict` with `draw`, where it can be in less memory."""
        whole("n", n, 1)
        whole("seed", seed, 0)
        return self._predictive.predict_in_parts(x, n, self._some(n, seed))

    def to_arviz(
        self, n: int = 1000, seed: int = 0, *, names: Sequence[str] | None = None, log_likelihood: bool = False
    ) -> Any:
        """Put ``n`` draws as one chain into ArviZ's container.

        Raises
        ------
        ModelError
            If the log likelihood is asked for: such a posterior doesn't keep the observations.
        """
        if log_likelihood:
            raise ModelError(
                f"a {type(self).__name__} doesn't keep the observations, so their log likelihood can't be computed. "
                "Leave log_likelihood=True out."
            )
        return from_dict({name: a[None] for name, a in self.draw(n, seed, names).items()})

    def save(self, path: str | Path, *, half: bool = True) -> Path:
        """Write it to a file that `companion.load_posterior` reads; see `save_posterior`."""
        return save_posterior(self, path, half=half)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.record})"

    def __reduce__(self) -> tuple[Any, ...]:
        # cloudpickle takes what pickle doesn't, such as PyMC's models and modules that a notebook defines
        return _restored, (type(self), cloudpickle.dumps(self._parts()))


def _restored(kind: type[PosteriorBase], packed: bytes) -> PosteriorBase:
    return kind._from_parts(*cloudpickle.loads(packed))


class ModelPosterior(PosteriorBase):
    """A posterior of a PyMC model."""

    model: pm.Model

    @property
    def variables(self) -> Sequence[str]:
        """Names of the model's free variables."""
        return tuple(rv.name for rv in self.model.free_RVs)

    def _depends_on(self, centre: Draws) -> dict[str, Any]:
        """Describe what predictions depend on beside the draws, at one of them."""
        try:
            predictive: Predictive | None = self._predictive
        except ModelError:  # of a likelihood that prediction doesn't know, or of mini-batches
            predictive = None
        return dependence(predictive, centre, frozen(self.model))

    def _names_to_put(self, names: Sequence[str] | None, log_likelihood: bool) -> tuple[str, ...]:
        """Choose the free variables and deterministics that go into a container; the log likelihood needs all free."""
        known = [*self.variables, *(v.name for v in self.model.deterministics)]
        chosen = checked_names(names, known, "free variables and deterministics")
        if log_likelihood and set(self.variables) - set(chosen):
            raise ModelError(f"names={names!r} with log_likelihood=True; the log likelihood needs all free variables.")
        return chosen

    def to_arviz(
        self, n: int = 1000, seed: int = 0, *, names: Sequence[str] | None = None, log_likelihood: bool = False
    ) -> Any:
        """Put ``n`` draws as one chain into ArviZ's container, with what the model says of them.

        Dims, coords, deterministics, observed and constant data are those that PyMC puts beside draws of the same
        model, and its own functions take the container, such as `pymc.sample_posterior_predictive`.

        Parameters
        ----------
        n
            Number of draws.
        seed
            Seed of the draws.
        names
            Names of the free variables and deterministics to put in; all of them when left out.
        log_likelihood
            Whether to compute the log likelihood of each observation, which `arviz.loo` asks for, and with it the log
            density of each draw, ``lp`` among the sample statistics.

        Raises
        ------
        ModelError
            If `n` is below 1, a name is unknown, or the log likelihood is asked for of some variables alone or of a
            model on mini-batches.
        """
        observed_once(self.model)
        chosen = self._names_to_put(names, log_likelihood)
        free = [name for name in self.variables if name in chosen]
        whole_sets = log_likelihood or len(free) < len(chosen)
        draws = self.draw(n, seed, None if whole_sets else free)
        return container_of(self.model, draws, chosen, self._stats(n, seed), log_likelihood=log_likelihood)

    def observed_parameters(self, x: Any, n: int, seed: int) -> tuple[str, dict[str, np.ndarray]]:
        r"""Compute the parameters of the likelihood at inputs, under ``n`` draws.

        Parameters
        ----------
        x
            Inputs (points, \*features), as for `predict`.
        n
            Number of draws.
        seed
            Seed of the draws.

        Returns
        -------
        tuple
            Name of the distribution, such as "NormalRV", and the name of each of its parameters to an array (draws,
            points), or (draws, points, targets) of a model with several.

        Raises
        ------
        ModelError
            If the inputs don't fit the model, or its likelihood isn't one of `companion.bridge.ObservedParameters`.
        """
        whole("n", n, 1)
        whole("seed", seed, 0)
        usual = self._predictive
        response = self._likelihood(usual.dtype, usual.device)
        known = {**usual.fixed, **usual.inputs}
        if others := [name for name in response.inputs if name not in known]:
            raise ModelError(
                f"the likelihood reads {others}, on which its mean doesn't depend; expected one that reads the same "
                f"inputs as its mean, {list(usual.inputs)}."
            )

        def respond(draw: Tensors, points: Tensors) -> torch.Tensor:
            return response(draw, {**usual.fixed, **points})

        found = replace(usual, respond=respond).predict_in_parts(x, n, self._some(n, seed))
        return response.kind, {name: found[..., k] for k, name in enumerate(response.names)}

    def _likelihood(self, dtype: torch.dtype, device: torch.device) -> Any:
        """Lower the parameters of the likelihood."""
        return ObservedParameters(observed_once(self.model), dtype, device)

    def _stats(self, n: int, seed: int) -> Mapping[str, np.ndarray]:
        """Return statistics of the draws that the same seed makes: name to array (n,)."""
        return {}
