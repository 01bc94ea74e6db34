"""The posterior that Bayes by Backprop fits: draws, predictions, moments and a file.

Explained in `book/reference/how_a_fit_works`, section "A Pyro model".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyro
import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger

from companion import moved
from companion.bayes_by_backprop.first_run import base_of, is_drawn
from companion.bayes_by_backprop.guide import MeanFieldGuide
from companion.bayes_by_backprop.member import Member, members_of
from companion.bayes_by_backprop.module import BayesianModule
from companion.checks import whole
from companion.errors import ModelError
from companion.machine import generator_for, has_bfloat16
from companion.posterior import (
    Draws,
    Moments,
    Packed,
    PosteriorBase,
    Predictive,
    Record,
    compare,
    dependence,
    half_precision,
    register,
)

__all__ = ["PyroPosterior", "computing"]

SomeDraws = Callable[[slice], dict[str, torch.Tensor]]


def __getattr__(name: str) -> Any:
    """Give a name that moved to another module, with a warning."""
    return moved.moved_name("companion.bayes_by_backprop.posterior", name)


@register("pyro")
@dataclass(frozen=True, eq=False, repr=False)
class PyroPosterior(PosteriorBase):
    """A Pyro model with its fitted mean-field guide.

    Attributes
    ----------
    members
        A model and a guide for each restart.
    shape
        Shape of one input.
    dtype
        Dtype of the inputs.
    record
        How it was fitted, with the weights of the restarts: one restart has all the weight, but for a posterior that a
        callback looks at.
    """

    members: tuple[Member, ...]
    shape: tuple[int, ...]
    dtype: torch.dtype
    record: Record

    _kind_of_names = "sites"

    # --- restarts ---------------------------------------------------------------------------------------

    @property
    def _member(self) -> Member:
        """The only restart that has weight."""
        kept = np.flatnonzero(self.record.weights)
        if len(kept) > 1:
            raise ModelError(
                f"this is a mixture of {len(kept)} restarts; take one with best() or restart(number). Predictions of "
                "several can be averaged: each restart may have trained parameters of its own."
            )
        return self.members[kept[0]]

    @property
    def model(self) -> Callable[..., Any]:
        """The Pyro model: called as ``model(x)``, it returns the distribution of what is observed."""
        return self._member.model

    @property
    def guide(self) -> MeanFieldGuide:
        """The fitted approximation."""
        return self._member.guide

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.members[0].guide.parameters()).device

    @property
    def precision(self) -> str:
        """Precision of its products."""
        return str(self.record.settings["precision"])

    def best(self) -> PyroPosterior:
        """Keep the restart with the highest ELBO: the tightest bound on the evidence."""
        return self.restart(self.record.best_restart)

    def restart(self, number: int) -> PyroPosterior:
        """Keep one restart."""
        return replace(self, record=self.record.alone(number))

    # --- what every posterior can do --------------------------------------------------------------------

    @property
    def variables(self) -> Sequence[str]:
        """Names of the sites, in the model's order."""
        return self.guide.names

    def means(self) -> Draws:
        r"""Return one set of values, the mean of each in the space of the fit: name to array (1, \*shape).

        For a weight this is its posterior mean; for a value that must be positive, such as a scale, its median.
        """
        with torch.no_grad():
            return {s.name: s.transform(s.mean)[None].cpu().numpy() for s in self.guide.sites()}

    def moments(self) -> dict[str, Moments]:
        """Return mean and standard deviation of every value, in the space of the fit; see `posterior.moments`."""
        with torch.no_grad():
            return {s.name: Moments(s.mean.cpu().numpy(), s.scale.cpu().numpy()) for s in self.guide.sites()}

    def predict_scale(self, x: Any, draws: Draws) -> np.ndarray:
        """Predict standard deviations (draws, points) of what is observed around the means, in the units of y.

        Raises
        ------
        ModelError
            If inputs or draws don't fit the model, or it is not one of measurements.
        """
        return self._predicting(_scale).predict(x, draws)

    def observed_parameters(self, x: Any, n: int, seed: int) -> tuple[str, dict[str, np.ndarray]]:
        r"""Compute the parameters of what is observed at inputs, under ``n`` draws.

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
            points); both are those of PyMC, as for a posterior of a PyMC model.

        Raises
        ------
        ModelError
            If the inputs don't fit the model, or it observes another distribution than a Normal, StudentT, LogNormal,
            Laplace, Poisson or NegativeBinomial.
        """
        whole("n", n, 1)
        whole("seed", seed, 0)
        kinds: dict[str, tuple[str, ...]] = {}

        def parameters(observed: Any) -> torch.Tensor:
            kind, own = _parameters(observed)
            kinds[kind] = tuple(own)
            return torch.stack(torch.broadcast_tensors(*own.values()), dim=-1)

        found = self._predicting(parameters).predict_in_parts(x, n, self._some(n, seed))
        [(kind, names)] = kinds.items()
        return kind, {name: found[..., k] for k, name in enumerate(names)}

    @property
    def _predictive(self) -> Predictive:
        return self._predicting(_center)

    def _predicting(self, what: Callable[[Any], torch.Tensor]) -> Predictive:
        """Compute something of the observations' distribution, for each draw and point."""
        model = self.model

        def respond(draw: Any, rows: Any) -> torch.Tensor:
            with _Undrawn():
                return what(poutine.condition(model, data=dict(draw))(rows["x"])).float()

        return Predictive(
            respond,
            variables={s.name: tuple(s.transform(s.mean).shape) for s in self.guide.sites()},
            inputs={"x": torch.zeros(1, *self.shape, dtype=self.dtype, device=self.device)},
            dtype=torch.float32,
            device=self.device,
            fixed={},
            context=partial(computing, self.device, self.precision),
        )

    def _drawn(self, n: int, seed: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        found = self._draws(np.arange(n), seed)
        return {name: found[name].cpu().numpy() for name in names}

    def _some(self, n: int, seed: int) -> SomeDraws:
        numbers = np.arange(n)
        return lambda at: self._draws(numbers[at], seed)

    def _draws(self, numbers: np.ndarray, seed: int) -> dict[str, torch.Tensor]:
        """Make draws by their numbers, so that it doesn't matter how many are made at once."""
        made: dict[str, list[torch.Tensor]] = {name: [] for name in self.guide.names}
        with torch.no_grad():
            for i in numbers:
                generator = generator_for(self.device, seed, "draw", int(i))
                for s in self.guide.sites():
                    noise = torch.randn(s.mean.shape, generator=generator, device=s.mean.device, dtype=s.mean.dtype)
                    made[s.name].append(s.transform(s.mean + s.scale * noise))
        return {name: torch.stack(parts) for name, parts in made.items()}

    def _parts(self) -> tuple[Any, ...]:
        return self.members, self.shape, self.dtype, self.record

    # --- on disk ----------------------------------------------------------------------------------------

    def packed(self, half: bool) -> Packed:
        """Pack the restart that has weight; see `companion.posterior.Storable`."""
        member = self._member
        tensors = {name: p.detach().cpu().contiguous() for name, p in member.parameters.items()}
        if half:
            tensors = half_precision(tensors)
        as_stored = replace(self.best(), members=(_with(member, tensors),), record=self._alone())
        about = {
            "sites": {s.name: list(s.mean.shape) for s in self.guide.sites()},
            "x": {"shape": list(self.shape), "dtype": str(self.dtype).removeprefix("torch.")},
            "depends": as_stored._depends(),
        }
        return Packed(about, tensors, self._alone())

    @classmethod
    def unpacked(cls, packed: Packed, model: Any, device: torch.device) -> PyroPosterior:
        """Make the posterior again; see `companion.posterior.Storable`."""
        about, tensors, record = packed
        if not callable(model):
            raise ModelError(f"it is a {type(model).__name__}; expected the Pyro model that was fitted, made anew.")
        shape, dtype = tuple(about["x"]["shape"]), getattr(torch, about["x"]["dtype"])
        x, y = torch.zeros(2, *shape, dtype=dtype, device=device), torch.zeros(2, dtype=torch.int64, device=device)
        if isinstance(model, torch.nn.Module):
            model = model.to(device)
        with torch.no_grad():
            guide = MeanFieldGuide(model, x, y).to(device)
        packed.check_layout({s.name: list(s.mean.shape) for s in guide.sites()}, "sites")
        member = Member(model, guide)
        if strange := set(tensors) ^ set(member.parameters):
            raise ModelError(
                f"the model lacks or adds the trained parameters {sorted(strange)}; expected those of the fit, "
                f"{sorted(tensors)}. Make the model as it was made then."
            )
        found = cls((_with(member, tensors),), shape, dtype, record)
        compare(about["depends"], found._depends())
        return found

    def _alone(self) -> Record:
        """Give the record of the restart that has weight."""
        return self.record.only(np.flatnonzero(self.record.weights))

    def _depends(self) -> dict[str, Any]:
        """Describe what predictions depend on beside the parameters."""
        fixed = _fixed(self.model) if isinstance(self.model, torch.nn.Module) else {}
        return dependence(self._predictive, self.means(), fixed)


def _fixed(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Collect the frozen parameters and the buffers of a model that no draw takes the place of, by name."""
    bayesian = [m for m in model.modules() if isinstance(m, BayesianModule)]
    drawn = {id(m.module.get_parameter(p.name)) for m in bayesian for p in m.weights}
    own = [*model.named_parameters(), *model.named_buffers()]
    return {name: t.detach() for name, t in own if not t.requires_grad and id(t) not in drawn}


def _with(member: Member, tensors: dict[str, torch.Tensor]) -> Member:
    """Copy a member with other numbers in its trained parameters."""
    copied = member.copy()
    own = copied.parameters
    members_of({name: tensors[name].to(p.device, p.dtype)[None] for name, p in own.items()}, [copied])
    return copied


class _Undrawn(Messenger):
    """Leaves out what a model would draw of its observations, whose distribution alone is asked for."""

    def _pyro_sample(self, msg: Any) -> None:
        if is_drawn(msg):
            msg["value"], msg["done"] = torch.zeros(msg["fn"].shape()), True


@contextmanager
def computing(device: torch.device, precision: str) -> Iterator[None]:
    """Give a Pyro model its device and its precision, and spare it checks that cost time at every call."""
    with ExitStack() as stack:
        if device != torch.get_default_device():  # a context in which each of torch's calls takes longer
            stack.enter_context(device)
        stack.enter_context(pyro.validation_enabled(False))
        if precision == "bfloat16" and has_bfloat16(device):
            # without autocast's own memory of casts, which would keep every step's means at those of the first
            stack.enter_context(torch.autocast(device.type, torch.bfloat16, cache_enabled=False))
        yield


def _center(observed: Any) -> torch.Tensor:
    """Return class probabilities (rows, classes), or means (rows,)."""
    if isinstance(observed, torch.distributions.Bernoulli):
        return torch.stack([1 - observed.probs, observed.probs], dim=-1)
    if isinstance(observed, torch.distributions.Categorical):
        return torch.as_tensor(observed.probs)
    law = _law(observed)
    if isinstance(law, torch.distributions.StudentT):
        return torch.as_tensor(law.loc)  # its centre, whether it has a mean or not
    try:
        mean = torch.as_tensor(observed.mean)
    except NotImplementedError as error:
        raise _no_mean(law) from error
    if isinstance(law, torch.distributions.Cauchy | torch.distributions.HalfCauchy):
        raise _no_mean(law)
    return mean


def _law(observed: Any) -> Any:
    if not isinstance(observed, torch.distributions.Distribution):
        raise ModelError(
            f"the model returned a {type(observed).__name__}; expected the distribution of what is observed, as "
            "Classifier and Regression return it."
        )
    return base_of(observed)


def _parameters(observed: Any) -> tuple[str, dict[str, torch.Tensor]]:
    """Return the name and the parameters that PyMC gives a distribution of torch or Pyro."""
    law = _law(observed)
    for kind, (own, parameters) in _KINDS.items():
        if isinstance(law, own):
            return kind, parameters(law)
    known = ", ".join(own.__name__ for own, _ in _KINDS.values())
    raise ModelError(
        f"the model observes a {type(law).__name__}; the distribution of the next measurement is known for {known}."
    )


_KINDS: Mapping[str, tuple[type, Callable[[Any], dict[str, torch.Tensor]]]] = {
    "NormalRV": (torch.distributions.Normal, lambda law: {"mu": law.loc, "sigma": law.scale}),
    "StudentTRV": (torch.distributions.StudentT, lambda law: {"nu": law.df, "mu": law.loc, "sigma": law.scale}),
    "LogNormalRV": (torch.distributions.LogNormal, lambda law: {"mu": law.loc, "sigma": law.scale}),
    "LaplaceRV": (torch.distributions.Laplace, lambda law: {"mu": law.loc, "b": law.scale}),
    "PoissonRV": (torch.distributions.Poisson, lambda law: {"rate": law.rate}),
    "NegBinomialRV": (torch.distributions.NegativeBinomial, lambda law: {"n": law.total_count, "p": 1 - law.probs}),
}
"""Name in PyMC of each distribution that is known: the class of torch, and the parameters by PyMC's names."""


def _no_mean(law: Any) -> ModelError:
    return ModelError(
        f"the model returned a {type(law).__name__}, which has no mean to predict. Draw with draw(n, seed) and compute "
        "what you need from the draws, or return a distribution that has one."
    )


def _scale(observed: Any) -> torch.Tensor:
    if not isinstance(observed, torch.distributions.Normal):
        raise ModelError(f"a {type(observed).__name__} has no scale to predict; expected the model of a Regression.")
    return observed.stddev
