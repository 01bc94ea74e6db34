"""The posterior that Bayes by Backprop fits: draws, predictions, moments and an ArviZ container.

Explained in the chapter `book/bayes_by_backprop/regression`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyro
import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger

from companion.bayes_by_backprop.first_run import is_drawn
from companion.bayes_by_backprop.guide import MeanFieldGuide
from companion.bayes_by_backprop.member import Member
from companion.checks import whole
from companion.compat import from_dict
from companion.errors import ModelError
from companion.machine import generator_for, has_bfloat16
from companion.posterior import Draws, Moments, Record, in_parts

__all__ = ["PyroPosterior", "computing"]


@dataclass(frozen=True, eq=False)
class PyroPosterior:
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
    def precision(self) -> str:
        """Precision of its products."""
        return str(self.record.settings["precision"])

    def best(self) -> PyroPosterior:
        """Keep the restart with the highest ELBO: the tightest bound on the evidence."""
        return self.restart(self.record.best_restart)

    def restart(self, number: int) -> PyroPosterior:
        """Keep one restart."""
        if not 0 <= number < len(self.members):
            raise ModelError(f"restart {number} asked for; there are {len(self.members)}, counted from 0.")
        return replace(self, record=self.record.weighted(np.eye(len(self.members))[number]))

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.guide.parameters()).device

    def draw(self, n: int, seed: int, names: Sequence[str] | None = None) -> Draws:
        r"""Draw ``n`` sets of values, or of those named: name to array (n, \*shape).

        The same seed gives the same draws, whichever are named. Predicting needs them all.

        Raises
        ------
        ModelError
            If `n` is below 1, or a name is unknown.
        """
        whole("n", n, 1)
        if isinstance(names, str) or set(names or ()) - set(self.guide.names):
            raise ModelError(f"names={names!r}; expected names of sites, some of {list(self.guide.names)}.")
        found = self._draws(np.arange(n), seed)
        return {name: a.cpu().numpy() for name, a in found.items() if names is None or name in names}

    def means(self) -> Draws:
        r"""One set of values, the mean of each in the space of the fit: name to array (1, \*shape).

        For a weight this is its posterior mean; for a value that must be positive, such as a scale, its median.
        """
        with torch.no_grad():
            return {s.name: s.transform(s.mean)[None].cpu().numpy() for s in self.guide.sites()}

    def moments(self) -> dict[str, Moments]:
        """Mean and standard deviation of every value, in the space of the fit; see `companion.inference.moments`."""
        with torch.no_grad():
            return {s.name: Moments(s.mean.cpu().numpy(), s.scale.cpu().numpy()) for s in self.guide.sites()}

    def predict(self, x: np.ndarray, draws: Draws) -> np.ndarray:
        """Class probabilities (draws, points, classes) or means (draws, points) at inputs; see `Posterior.predict`.

        Raises
        ------
        ModelError
            If inputs or draws don't fit the model.
        """
        return self._respond(x, *self._given(draws), _center)

    def predict_scale(self, x: np.ndarray, draws: Draws) -> np.ndarray:
        """Standard deviations (draws, points) of what is observed around the means, in the units of y."""
        return self._respond(x, *self._given(draws), _scale)

    def predictive(self, x: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Predict with ``n`` draws, made a few at a time: the same as `predict` with `draw`, in less memory."""
        whole("n", n, 1)
        numbers = np.arange(n)
        return self._respond(x, n, lambda at: self._draws(numbers[at], seed), _center)

    def to_arviz(self, n: int = 1000, seed: int = 0) -> Any:
        """``n`` draws as one chain in ArviZ's container."""
        return from_dict({name: a[None] for name, a in self.draw(n, seed).items()})

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

    def _given(self, draws: Draws) -> tuple[int, Callable[[slice], dict[str, torch.Tensor]]]:
        """Take draws over."""
        if not isinstance(draws, Mapping):
            raise ModelError(
                f"draws is a {type(draws).__name__}; expected a mapping of names to arrays, such as "
                "posterior.draw(50, seed=0) gives."
            )
        shapes = {s.name: tuple(s.transform(s.mean).shape) for s in self.guide.sites()}
        found = {}
        for name, shape in shapes.items():
            array = np.asarray(draws[name]) if name in draws else np.empty(0)
            if array.shape[1:] != shape or not len(array):
                raise ModelError(
                    f"draws of {name!r} have shape {array.shape}; expected (draws, {', '.join(map(str, shape))}). "
                    f"The draws hold {sorted(draws)}."
                )
            found[name] = torch.tensor(array, dtype=torch.float32, device=self.device)
        counts = {len(a) for a in found.values()}
        if len(counts) > 1:
            raise ModelError(f"the sites differ in their number of draws: {sorted(counts)}.")
        return counts.pop(), lambda at: {name: a[at] for name, a in found.items()}

    def _respond(
        self, x: Any, count: int, draws: Callable[[slice], dict[str, torch.Tensor]], of: Callable[[Any], torch.Tensor]
    ) -> np.ndarray:
        """Compute something of the observations' distribution, for each draw and point."""
        array = np.asarray(x)
        if array.dtype.kind not in "fiub" or array.shape[1:] != self.shape or not array.size:
            raise ModelError(
                f"x has shape {array.shape} and dtype {array.dtype}; expected numbers {('points', *self.shape)}."
            )
        if not np.isfinite(array).all():
            raise ModelError("x holds NaN or infinity; expected finite numbers.")
        if array.dtype.kind == "f" and not self.dtype.is_floating_point and (array != np.round(array)).any():
            raise ModelError(f"x holds numbers with fractions; those of the fit are whole ({self.dtype}).")
        data = {"x": torch.tensor(array, device=self.device).to(self.dtype)}

        def respond(draw: Mapping[str, torch.Tensor], rows: Mapping[str, torch.Tensor]) -> torch.Tensor:
            with _Undrawn():
                return of(poutine.condition(self.model, data=dict(draw))(rows["x"]))

        with computing(self.device, self.precision):
            found: np.ndarray = in_parts(respond, count, draws, data).float().numpy()
        return found


class _Undrawn(Messenger):
    """Leaves out what a model would draw of its observations, whose distribution alone is asked for."""

    def _pyro_sample(self, msg: Any) -> None:
        if is_drawn(msg):
            msg["value"], msg["done"] = torch.zeros(msg["fn"].shape()), True


@contextmanager
def computing(device: torch.device, precision: str) -> Iterator[None]:
    """Give a Pyro model its device and its precision, and spare it checks that cost time at every call."""
    with ExitStack() as stack:
        stack.enter_context(device)
        stack.enter_context(pyro.validation_enabled(False))
        if precision == "bfloat16" and has_bfloat16(device):
            # without autocast's own memory of casts, which would keep every step's means at those of the first
            stack.enter_context(torch.autocast(device.type, torch.bfloat16, cache_enabled=False))
        yield


def _center(observed: Any) -> torch.Tensor:
    """Class probabilities (rows, classes), or means (rows,)."""
    if isinstance(observed, torch.distributions.Bernoulli):
        return torch.stack([1 - observed.probs, observed.probs], dim=-1)
    if isinstance(observed, torch.distributions.Categorical):
        return torch.as_tensor(observed.probs)
    if not isinstance(observed, torch.distributions.Distribution):
        raise ModelError(
            f"the model returned a {type(observed).__name__}; expected the distribution of what is observed, as "
            "Classifier and Regression return it."
        )
    return torch.as_tensor(observed.mean)


def _scale(observed: Any) -> torch.Tensor:
    if not isinstance(observed, torch.distributions.Normal):
        raise ModelError(f"a {type(observed).__name__} has no scale to predict; expected the model of a Regression.")
    return observed.stddev
