"""What Bayes by Backprop fitted: a guide in, draws, predictions, moments and an ArviZ container out.

Explained in the chapter `book/bayes_by_backprop/regression`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyro
import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger

from companion.bayes_by_backprop.first_run import is_drawn
from companion.bayes_by_backprop.guide import MeanFieldGuide
from companion.checks import whole
from companion.compat import from_dict
from companion.errors import ModelError
from companion.machine import generator_for, has_bfloat16
from companion.posterior import Draws, Moments, Trend, in_parts, trend

__all__ = ["PyroPosterior", "PyroRecord", "computing"]


@dataclass(frozen=True, eq=False)
class PyroRecord:
    """How a posterior was fitted.

    Attributes
    ----------
    settings
        What was asked for, by name: steps, batch_size, estimator and the others of `companion.bayes_by_backprop.fit`.
    history
        Estimates of what was minimised, (steps,), in nats: the negative ELBO where the temperature is 1.
    elbo, elbo_se
        On all rows at full weight, whatever the temperature, and its standard error, in nats; NaN in a snapshot.
    seconds
        Wall time of the steps.
    device
        Where it was computed.
    stopped
        Why it ended early; None where it didn't.
    """

    settings: Mapping[str, Any]
    history: np.ndarray
    elbo: float
    elbo_se: float
    seconds: float
    device: str
    stopped: str | None = None

    @property
    def temperature(self) -> float:
        """Weight of the KL divergence in what was minimised; 1 is Bayes."""
        return float(self.settings["temperature"])

    def trend(self, share: float = 0.2) -> Trend:
        """Say whether the loss still falls; see `companion.posterior.losses`."""
        return trend(self.history, share)


@dataclass(frozen=True, eq=False)
class PyroPosterior:
    """A Pyro model with its fitted mean-field guide.

    Attributes
    ----------
    model
        Called as ``model(x)``, it returns the distribution of what is observed.
    guide
        The fitted approximation.
    shape
        Of one input.
    record
        How it was fitted.
    snapshots
        The posterior as it was after so many steps, for those that were asked for.
    """

    model: Callable[..., Any]
    guide: MeanFieldGuide
    shape: tuple[int, ...]
    record: PyroRecord
    snapshots: Mapping[int, PyroPosterior] = field(default_factory=dict)

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
            return {name: to(mean)[None].cpu().numpy() for name, to, mean, _ in self.guide.sites()}

    def moments(self) -> dict[str, Moments]:
        """Mean and standard deviation of every value, in the space of the fit; see `companion.inference.moments`."""
        with torch.no_grad():
            return {n: Moments(mean.cpu().numpy(), s.cpu().numpy()) for n, _, mean, s in self.guide.sites()}

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
                for name, to, mean, scale in self.guide.sites():
                    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
                    made[name].append(to(mean + scale * noise))
        return {name: torch.stack(parts) for name, parts in made.items()}

    def _given(self, draws: Draws) -> tuple[int, Callable[[slice], dict[str, torch.Tensor]]]:
        """Take draws over."""
        if not isinstance(draws, Mapping):
            raise ModelError(
                f"draws is a {type(draws).__name__}; expected a mapping of names to arrays, such as "
                "posterior.draw(50, seed=0) gives."
            )
        shapes = {name: tuple(to(mean).shape) for name, to, mean, _ in self.guide.sites()}
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
        data = {"x": torch.tensor(array, dtype=torch.float32, device=self.device)}

        def respond(draw: Mapping[str, torch.Tensor], rows: Mapping[str, torch.Tensor]) -> torch.Tensor:
            with _Undrawn():
                return of(poutine.condition(self.model, data=dict(draw))(rows["x"]))

        with computing(self.device, str(self.record.settings["precision"])):
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
