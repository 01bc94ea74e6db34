r"""Microcanonical Langevin Monte Carlo: chains of constant speed, whose direction follows the gradient.

Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from companion.checks import choice, positive
from companion.errors import ModelError
from companion.sampling.adaptation import EnergyError, Metric, autocorrelation_time, window_ends
from companion.sampling.hmc import Dynamics, FullBatch, Mass, Metropolis, Proposals, Stride, Trajectory
from companion.sampling.kernel import Gradient, Info, Noise, Problem, State, Tensors, chosen

__all__ = ["MCLMC", "AdjustedMCLMC"]

_OUTER = 0.1931833275037836  # McLachlan's minimal-norm integrator: two gradients in a step
_INNER = 1 - 2 * _OUTER
_OF_TAU = 0.4  # share of the autocorrelation time after which a direction is to be forgotten
_WATCHED, _KEPT = 64, 512  # values and steps of each chain from which the autocorrelation time is estimated
_MASS, _STEP = 0.5, 0.7  # shares of the warm-up at which the mass and the step size are settled
_DIVERGED = 1000.0
_AT_ONCE, _NOISE = 20, 2**20  # steps that are taken at once, and numbers of their noise
_MOVING = ("position", "lp", "gradient", "direction")


@dataclass(frozen=True)
class MCLMC(FullBatch):
    r"""Microcanonical Langevin Monte Carlo, unadjusted.

    A chain moves with constant speed, in a direction :math:`u` of length 1 in :math:`d` dimensions,

    .. math::

        \dot z = u, \qquad
        \dot u = (I - u u^\top) \frac{\nabla \log p(z)}{d - 1}, \qquad
        u \leftarrow \frac{u + \nu \xi}{\lVert u + \nu \xi \rVert},
        \quad \nu^2 = \frac{e^{2 \epsilon / L} - 1}{d},

    with :math:`\xi` standard normal. Nothing is rejected: the step size :math:`\epsilon` is so small that the error in
    the energy, and with it the bias, stays small. The warm-up learns :math:`\epsilon` from that error, the mass in
    Stan's windows, and the length :math:`L`, over which a direction is forgotten, from the autocorrelation time.

    Parameters
    ----------
    energy_error
        Variance of the error in the energy, per step and dimension, that the step size is adapted to.
    mass
        What is learned of the posterior's shape: a name of `companion.sampling.Mass`.
    step_size, length
        The step size and the length L in the coordinates in which the mass is one; ``None`` learns them.

    Raises
    ------
    ModelError
        If a setting is out of range.

    Notes
    -----
    **Cost.** Two gradients in a step, and a draw is kept every `thin` steps. Memory holds five numbers for each value
    of each chain, and the matrix of a dense mass.

    **When not to use it.** Not where a bias of some hundredths of a standard deviation matters: use `AdjustedMCLMC` or
    `companion.sampling.HMC` there. Not for mini-batches, nor for a single value.

    **Sources.** Robnik, De Luca, Silverstein and Seljak (2023), "Microcanonical Hamiltonian Monte Carlo"; Robnik and
    Seljak (2024), "Fluctuation without dissipation: microcanonical Langevin Monte Carlo"; for neural networks, started
    from an ensemble: Sommer, Robnik, Nozadze, Seljak and Rügamer (2025), "Microcanonical Langevin ensembles".
    """

    energy_error: float = 5e-4
    mass: str = "diagonal"
    step_size: float | None = None
    length: float | None = None

    def __post_init__(self) -> None:
        choice(Mass, "mass", self.mass)
        positive("energy_error", self.energy_error, "such as 5e-4", self)
        for name in ("step_size", "length"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name), "such as 0.1, or None to learn it", self)

    @property
    def name(self) -> str:
        """Name in the record."""
        return "mclmc"

    @property
    def warmup(self) -> int:
        """Number of steps of the warm-up where none are asked for."""
        return 5000

    @property
    def thin(self) -> int:
        """Number of steps for each draw that is kept, where none are asked for."""
        return 10

    def kernel(self, problem: Problem) -> Langevin:
        """Build the kernel; see `companion.sampling.Sampler`."""
        _check_size(problem.size)
        return Langevin(self, problem)


@dataclass(frozen=True)
class AdjustedMCLMC(Proposals):
    r"""Microcanonical Monte Carlo whose trajectories are accepted or rejected, and so without bias.

    A draw begins in a new direction :math:`u` of length 1, drawn evenly from the sphere in :math:`d` dimensions, and
    moves with constant speed for a time :math:`a T`, with :math:`a` between 0 and 1 as for `companion.sampling.HMC`:

    .. math::

        \dot z = u, \qquad \dot u = (I - u u^\top) \frac{\nabla \log p(z)}{d - 1} .

    The leapfrog moves :math:`z` along :math:`u`, and in between turns :math:`u` towards the gradient :math:`g` for a
    time :math:`h`, which changes the kinetic energy. With :math:`e = g / \lVert g \rVert` and
    :math:`\delta = h \lVert g \rVert / (d - 1)`, the end :math:`z'` is accepted with probability

    .. math::

        \min\Bigl(1, \frac{p(z')}{p(z)} \, e^{-K}\Bigr), \qquad
        K = (d - 1) \sum_{\text{turns}} \log(\cosh \delta + e \cdot u \, \sinh \delta) .

    The step size is adapted to a share of accepted proposals, and the length :math:`T` by ChEES, both in the
    coordinates in which the mass is one. Without noise on the way, the motion is that of `MCLMC`.

    Parameters
    ----------
    mass, target_accept, step_size, trajectory, most_steps
        See `companion.sampling.HMC`.

    Raises
    ------
    ModelError
        If a setting is out of range.

    Notes
    -----
    **Cost.** One gradient for each step :math:`\epsilon` of a trajectory, :math:`\lceil a T / \epsilon \rceil` of them
    for a draw, often 5 to 50. Memory holds about eight numbers for each value of each chain, and the matrix of a dense
    mass.

    **When not to use it.** Not for mini-batches, whose noise no proposal survives, nor for a single value. Where a
    small bias does no harm, `MCLMC` moves farther for the same number of gradients.

    **Sources.** Robnik, Cohn-Gordon and Seljak (2025), "Metropolis adjusted microcanonical Hamiltonian Monte Carlo".
    """

    target_accept: float = 0.9

    @property
    def name(self) -> str:
        """Name in the record."""
        return "adjusted-mclmc"

    def kernel(self, problem: Problem) -> Metropolis:
        """Build the kernel; see `companion.sampling.Sampler`."""
        _check_size(problem.size)
        return Metropolis(self, Isokinetic(), problem)


@dataclass(frozen=True)
class Isokinetic(Dynamics):
    """Motion at constant speed."""

    def begin(self, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return _unit(noise), noise.new_zeros(len(noise))

    def length(self, size: int) -> float:
        return math.sqrt(size)

    def carried(self, narrower: torch.Tensor) -> float:
        """Keep a length right for the widest value, which had set it in the old coordinates.

        A length that begins too long comes back slowly. Carried over by the mean, as `Hamiltonian` does, six of twelve
        warm-ups of 300 steps on a Gaussian, whose scales differ by a factor of 100, ended at 1.7 to 14 times the length
        of the other six; this way all twelve end within a fifth of one another.
        """
        return math.exp(float(narrower.min()))

    def turned(self, stride: Stride, at: Trajectory, share: float | torch.Tensor) -> Trajectory:
        slope = stride.metric.gradient(stride.scale, at.gradient)
        velocity, gained = _turned(at.velocity, slope, share * stride.size)
        return Trajectory(at.position, at.lp, at.gradient, velocity, at.kinetic + gained)


class Langevin:
    """Steps of `MCLMC`.

    Parameters
    ----------
    settings
        Settings of the sampler.
    problem
        What the kernel is built for.
    """

    def __init__(self, settings: MCLMC, problem: Problem) -> None:
        self._settings, self._gradient, self._size = settings, problem.gradient, problem.size
        self._loops, self._total, self._in_library = problem.loops, problem.steps, False
        several = max(1, min(_AT_ONCE, _NOISE // (problem.chains * problem.size)))
        self._fresh = torch.empty(several, problem.chains, problem.size, device=problem.device, dtype=problem.dtype)
        self._metric = Metric(settings.mass == Mass.DENSE)
        self._tuning = EnergyError(settings.energy_error)
        self._first, self._ends = window_ends(int(_MASS * problem.warmup))
        self._settled = int(_STEP * problem.warmup)
        self._every = max(1, math.ceil((problem.warmup - self._settled) / _KEPT))

    def begin(self, position: torch.Tensor, noise: Noise) -> State:
        """Start in directions that are drawn evenly from the sphere; see `companion.sampling.Kernel`."""
        lp, gradient = self._gradient(position, 0)
        size = self._settings.step_size or 0.05 * math.sqrt(self._size)
        return {
            "position": position,
            "lp": lp,
            "gradient": gradient,
            "direction": _unit(noise.normal("direction", self._size)),
            "shared_scale": self._metric.start(position),
            "shared_step_size": position.new_tensor(size, dtype=torch.float64),
            "shared_length": position.new_tensor(self._settings.length or math.sqrt(self._size), dtype=torch.float64),
            "shared_tuning": self._tuning.start(size, position),
            **self._metric.empty(position),
        }

    def step(self, state: State, noise: Noise, step: int) -> tuple[State, Info]:
        """Take one step; a chain whose energy isn't finite afterwards stays, and turns."""
        new, info, _ = self.steps(state, lambda _: noise, step, 1)
        return new, info

    def steps(self, state: State, noise: Callable[[int], Noise], step: int, most: int) -> tuple[State, Info, int]:
        """Take several steps where a library does, and one otherwise; see `companion.sampling.SeveralSteps`."""
        size, length = float(state["shared_step_size"]), float(state["shared_length"])
        spread = _spread(size, length, self._size)
        count = min(most, len(self._fresh)) if self._in_library else 1
        for k in range(count):
            noise(step + k).normal("direction", self._size, out=self._fresh[k])
        moved = self._in_one_call(state, size, spread, count)
        self._in_library = moved is not None
        if moved is None:
            at = tuple(state[name] for name in _MOVING)
            moved = self._move(self._gradient, state["shared_scale"], size, spread, self._fresh[0], at)
        *end, error, diverging = moved
        info = {
            "lp": end[1],
            "energy_error": error.nan_to_num(nan=torch.inf),
            "diverging": diverging,
            "n_steps": torch.full_like(error, 2 * count),
            "step_size": torch.full_like(error, size),
        }
        return {**state, **dict(zip(_MOVING, end, strict=True))}, info, count

    def adapt(self, state: State, info: Info, step: int, total: int) -> State:
        """Learn mass, step size and length, one after another; see `companion.sampling.Kernel`."""
        state = dict(state)
        if self._settings.step_size is None and step < self._settled:
            state["shared_tuning"] = self._tuning.update(state["shared_tuning"], info["energy_error"], self._size)
            state["shared_step_size"] = state["shared_tuning"][3].clone()
        if self._first <= step and self._ends and step < self._ends[-1]:
            state |= self._metric.add(state, state["position"])
            if step + 1 in self._ends:
                state |= self._new_mass(state)
        if step >= self._settled and self._settings.length is None:
            state |= self._watch(state, step, total)
        return state

    def _new_mass(self, state: State) -> State:
        """End a window: take its scale, and begin the step size anew in its coordinates."""
        new = self._metric.scale(state)
        size = self._settings.step_size or min(float(state["shared_step_size"]), 0.05 * math.sqrt(self._size))
        return {
            "shared_scale": new,
            "shared_tuning": self._tuning.start(size, new),
            "shared_step_size": state["shared_step_size"].new_tensor(size),
            **self._metric.empty(state["position"]),
        }

    def _watch(self, state: State, step: int, total: int) -> State:
        """Keep some values of every few steps, and make the length of their autocorrelation time at the end."""
        found: State = {}
        at, due = divmod(step - self._settled, self._every)
        if due == 0:
            values = self._metric.coordinates(state["shared_scale"], state["position"])
            chosen = torch.linspace(0, self._size - 1, min(self._size, _WATCHED), device=values.device).long()
            shape = len(values), math.ceil((total - self._settled) / self._every), len(chosen)
            found["watched"] = state["watched"] if "watched" in state else values.new_zeros(shape)
            found["watched"][:, at] = values[:, chosen]  # in place: it is large, and the same step writes the same
        if step + 1 == total:
            watched = found.get("watched", state.get("watched"))
            if watched is not None and watched.shape[1] >= 10:
                tau = float(autocorrelation_time(watched).mean()) * self._every
                longest = 10 * math.sqrt(self._size)
                length = min(max(_OF_TAU * tau * float(state["shared_step_size"]), 1e-3 * longest), longest)
                found["shared_length"] = state["shared_length"].new_tensor(length)
            found["watched"] = state["position"].new_zeros(len(state["position"]), 0)
        return found

    def _in_one_call(self, state: State, size: float, spread: float, count: int) -> Tensors | None:
        """Take steps in a library, with the noise that was drawn; ``None`` where there is none, or not yet."""
        if self._loops is None:
            return None
        none = torch.zeros_like(state["lp"])
        numbers = torch.tensor([size, spread], dtype=torch.float64)
        carried = (*(state[name] for name in _MOVING), none, none)
        given = (state["shared_scale"], numbers, self._fresh)
        return self._loops.repeat(self._motion, count, self._total, carried, given)

    def _motion(self, gradient: Gradient, k: torch.Tensor, carried: Tensors, given: Tensors) -> Tensors:
        """Take one of several steps; a `companion.sampling.Motion`."""
        scale, numbers, fresh = given
        now = fresh.index_select(0, k.reshape(1)).squeeze(0)
        *end, error, diverging = self._move(gradient, scale, numbers[0], numbers[1], now, carried[:4])
        return *end, error, torch.maximum(diverging, carried[5])

    def _move(
        self,
        gradient: Gradient,
        scale: torch.Tensor,
        size: float | torch.Tensor,
        spread: float | torch.Tensor,
        fresh: torch.Tensor,
        at: Tensors,
    ) -> Tensors:
        """Move all chains by one step: where they are, the errors in their energy, and whether they diverged."""
        position, lp, slope, direction = at
        turned = _unit(direction + spread * fresh)
        end = self._integrate(gradient, scale, size, Trajectory(position, lp, slope, turned, torch.zeros_like(lp)))
        error = end.kinetic - (end.lp - lp)
        fine = torch.isfinite(error) & (error.abs() < _DIVERGED)
        return (
            chosen(fine, end.position, position),
            chosen(fine, end.lp, lp),
            chosen(fine, end.gradient, slope),
            chosen(fine, end.velocity, _unit(fresh)),
            error,
            (~fine).to(error.dtype),
        )

    def _integrate(
        self, gradient: Gradient, scale: torch.Tensor, size: float | torch.Tensor, begin: Trajectory
    ) -> Trajectory:
        """Take one step of the minimal-norm integrator."""
        moved = 0.5 * size * scale
        position, lp, slope, direction, _ = begin
        direction, gained = _turned(direction, self._metric.gradient(scale, slope), _OUTER * size)
        for share in (_INNER, _OUTER):
            position = position + self._metric.forward(moved, direction)
            lp, slope = gradient(position, 0)
            direction, more = _turned(direction, self._metric.gradient(scale, slope), share * size)
            gained = gained + more
        return Trajectory(position, lp, slope, direction, gained)


def _turned(
    direction: torch.Tensor, slope: torch.Tensor, time: float | torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Turn directions (chains, size) towards the gradient of the log density for some time.

    The kinetic energy (chains,) that it costs is :math:`(d - 1) \log(\cosh\delta + e \cdot u \sinh\delta)`, with
    :math:`\delta` the time times the gradient's length over d - 1, written without overflow.
    """
    freedom = direction.shape[1] - 1
    length = slope.norm(dim=1, keepdim=True)
    towards = slope / length.clamp_min(torch.finfo(slope.dtype).tiny)
    along = (direction * towards).sum(1, keepdim=True)
    delta = time * length / freedom
    decay = torch.exp(-delta)
    turned = towards * ((1 - decay) * (1 + decay + along * (1 - decay))) + 2 * decay * direction
    gained = freedom * (delta - math.log(2) + torch.log1p(along + (1 - along) * decay.square()))
    return _unit(turned), gained.squeeze(1)


def _spread(size: float, length: float, values: int) -> float:
    """Give the scale of the noise by which a step of this size forgets a part of its direction."""
    return math.sqrt(math.expm1(min(2 * size / length, 100.0)) / values)


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    return vectors / vectors.norm(dim=1, keepdim=True).clamp_min(torch.finfo(vectors.dtype).tiny)


def _check_size(size: int) -> None:
    if size < 2:
        raise ModelError(
            "the model has a single value; a direction of constant speed needs two or more. Use sampler='chees-hmc'."
        )
