r"""Hamiltonian Monte Carlo for many chains side by side, with a trajectory length that they share.

Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import torch

from companion.checks import choice, fraction, positive, whole
from companion.errors import ModelError
from companion.sampling.adaptation import Averaging, Lengths, Metric, window_ends
from companion.sampling.kernel import Gradient, Info, Loops, Motion, Noise, Problem, State, Tensors, chosen

__all__ = ["HMC", "Dynamics", "FullBatch", "Mass", "Metropolis", "Proposals", "Trajectory"]

_DIVERGED = 1000.0  # nats of error in the energy, as in Stan
_LARGEST_DENSE = 2000
_STEPS_OF_A_DRAW = 10  # about


class Mass(StrEnum):
    """What a sampler learns of the posterior's shape in its warm-up."""

    DIAGONAL = "diagonal"
    """The standard deviation of each value."""

    DENSE = "dense"
    """The covariance of all values, for up to 2,000 of them: its matrix is kept, and multiplied at every step."""


class Trajectory(NamedTuple):
    """The end of a trajectory of every chain.

    Attributes
    ----------
    position, lp, gradient
        Values (chains, size), their log density (chains,) and its gradient (chains, size).
    velocity
        Velocity (chains, size) in the coordinates in which the mass is one.
    kinetic
        Kinetic energy (chains,) at the end, up to what is the same at both ends.
    """

    position: torch.Tensor
    lp: torch.Tensor
    gradient: torch.Tensor
    velocity: torch.Tensor
    kinetic: torch.Tensor


class Stride(NamedTuple):
    """A step of a trajectory.

    Attributes
    ----------
    metric, scale
        Coordinates in which the mass is one.
    moved
        The scale times the step size.
    size
        The step size, a number or a tensor ().
    """

    metric: Metric
    scale: torch.Tensor
    moved: torch.Tensor
    size: float | torch.Tensor


class Dynamics:
    """What moves a chain between two proposals, by the leapfrog: one gradient in a step."""

    def begin(self, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn standard normal noise (chains, size) into velocities and their kinetic energies (chains,)."""
        raise NotImplementedError

    def length(self, size: int) -> float:
        """Give a length of the trajectory to start from."""
        raise NotImplementedError

    def carried(self, narrower: torch.Tensor) -> float:
        """Give the factor that takes a length over to new coordinates.

        Parameters
        ----------
        narrower
            Logarithm (size,) of the old scale over the new one, for each value.
        """
        raise NotImplementedError

    def turned(self, stride: Stride, at: Trajectory, share: float | torch.Tensor) -> Trajectory:
        """Let the gradient act on the velocities for a share of a step."""
        raise NotImplementedError

    def walk(
        self,
        gradient: Gradient,
        metric: Metric,
        scale: torch.Tensor,
        begin: Trajectory,
        step_size: float,
        steps: int,
        loops: Loops | None = None,
        times: int = 0,
    ) -> Trajectory:
        """Take some steps from the beginning of a trajectory, in one call where there is a library for them.

        Parameters
        ----------
        gradient, metric, scale
            Log density and gradient, and the coordinates in which the mass is one.
        begin
            Beginning of the trajectory.
        step_size, steps
            Size and number of the steps.
        loops, times
            What takes steps in a library, if there is something, and the number of all steps to come.
        """
        stride = Stride(metric, scale, step_size * scale, step_size)  # both products of a step at once
        at = self.turned(stride, begin, 0.5)
        if loops is not None:
            numbers = torch.tensor(step_size, dtype=torch.float64), torch.tensor(steps - 1)
            end = loops.repeat(self._motion(metric), steps, times, tuple(at), (scale, stride.moved, *numbers))
            if end is not None:
                return Trajectory(*end)
        for k in range(steps):
            at = self._leap(gradient, stride, at, 1.0 if k < steps - 1 else 0.5)
        return at

    def _motion(self, metric: Metric) -> Motion:
        """Make the motion of one of several steps."""

        def motion(gradient: Gradient, k: torch.Tensor, carried: Tensors, given: Tensors) -> Tensors:
            scale, moved, size, last = given
            share = torch.where(k < last, 1.0, 0.5)
            return tuple(self._leap(gradient, Stride(metric, scale, moved, size), Trajectory(*carried), share))

        return motion

    def _leap(self, gradient: Gradient, stride: Stride, at: Trajectory, share: float | torch.Tensor) -> Trajectory:
        """Take one step, whose last turn is for a share of it."""
        position = at.position + stride.metric.forward(stride.moved, at.velocity)
        lp, slope = gradient(position, 0)
        return self.turned(stride, Trajectory(position, lp, slope, at.velocity, at.kinetic), share)


@dataclass(frozen=True)
class Hamiltonian(Dynamics):
    """Newton's equations of motion."""

    def begin(self, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return noise, 0.5 * noise.square().sum(1)

    def length(self, size: int) -> float:
        return 1.0

    def carried(self, narrower: torch.Tensor) -> float:
        return math.exp(float(narrower.mean()))

    def turned(self, stride: Stride, at: Trajectory, share: float | torch.Tensor) -> Trajectory:
        velocity = at.velocity + share * stride.metric.gradient(stride.moved, at.gradient)
        return Trajectory(at.position, at.lp, at.gradient, velocity, 0.5 * velocity.square().sum(1))


class FullBatch:
    """What the settings of samplers that need all rows have in common; each is a frozen dataclass with a name."""

    @property
    def name(self) -> str:
        """Name in the record."""
        raise NotImplementedError

    @property
    def minibatches(self) -> bool:
        """False: it needs all rows."""
        return False

    @property
    def loops(self) -> bool:
        """True: its kernel asks for `companion.sampling.Loops`."""
        return True

    @property
    def warmup(self) -> int:
        """Number of steps of the warm-up where none are asked for."""
        return 500

    @property
    def thin(self) -> int:
        """Number of steps for each draw that is kept, where none are asked for."""
        return 1

    def as_json(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return {"sampler": self.name, **asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True)
class Proposals(FullBatch):
    """Settings of samplers that propose the end of a trajectory; what they mean stands at `HMC`."""

    mass: str = "diagonal"
    target_accept: float = 0.8
    step_size: float | None = None
    trajectory: float | None = None
    most_steps: int = 512

    def __post_init__(self) -> None:
        choice(Mass, "mass", self.mass)
        fraction("target_accept", self.target_accept, "such as 0.8", self)
        whole("most_steps", self.most_steps, 1)
        for name in ("step_size", "trajectory"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name), "such as 0.1, or None to learn it", self)

    @property
    def least_chains(self) -> int:
        """Number of chains, in each process, that a warm-up takes: a length is learned from where several end."""
        return 2 if self.trajectory is None else 1


@dataclass(frozen=True)
class HMC(Proposals):
    r"""Hamiltonian Monte Carlo, whose trajectory length all chains learn together by ChEES.

    A draw moves :math:`(z, v)` with :math:`v \sim \mathcal{N}(0, I)` along :math:`\dot z = v`,
    :math:`\dot v = \nabla \log p(z)` for a time :math:`u\,T`, with :math:`u` between 0 and 1 from a sequence that fills
    the interval evenly, and accepts the end with probability :math:`\min(1, e^{-\Delta H})`. The warm-up learns the
    step size by dual averaging, the mass in Stan's windows, and :math:`T` by the gradient of ChEES.

    Parameters
    ----------
    mass
        What is learned of the posterior's shape: a name of `Mass`.
    target_accept
        Share of accepted proposals that the step size is adapted to.
    step_size
        Step size in the coordinates in which the mass is one; ``None`` learns it.
    trajectory
        Longest time of a trajectory, in those coordinates; ``None`` learns it, which takes two chains or more.
    most_steps
        Largest number of leapfrog steps for one draw.

    Raises
    ------
    ModelError
        If a setting is out of range.

    Notes
    -----
    **Cost.** One gradient for each leapfrog step, :math:`\lceil u T / \epsilon \rceil` of them for a draw, often 5 to
    50. Memory holds about eight numbers for each value of each chain, and the matrix of a dense mass.

    **When not to use it.** Not for mini-batches, whose noise no proposal survives, and not for posteriors of many more
    than a hundred thousand values: use stochastic gradients there.

    **Sources.** Neal (2011), "MCMC using Hamiltonian dynamics"; Hoffman, Radul and Sountsov (2021), "An adaptive-MCMC
    scheme for setting trajectory lengths in Hamiltonian Monte Carlo"; Hoffman and Gelman (2014), "The No-U-Turn
    sampler", for dual averaging.
    """

    @property
    def name(self) -> str:
        """Name in the record: "chees-hmc", or "hmc" where the length is given."""
        return "chees-hmc" if self.trajectory is None else "hmc"

    def kernel(self, problem: Problem) -> Metropolis:
        """Build the kernel; see `companion.sampling.Sampler`."""
        return Metropolis(self, Hamiltonian(), problem)


class Metropolis:
    """Trajectories whose ends are accepted or rejected, and what the warm-up learns of them.

    Parameters
    ----------
    settings
        Settings, such as `HMC`.
    dynamics
        What moves a chain along a trajectory.
    problem
        What the kernel is built for.

    Raises
    ------
    ModelError
        If there are too many values for a dense mass.
    """

    def __init__(self, settings: Proposals, dynamics: Dynamics, problem: Problem) -> None:
        dense = settings.mass == Mass.DENSE
        if dense and problem.size > _LARGEST_DENSE:
            raise ModelError(
                f"mass='dense' with {problem.size:,} values needs a matrix of {problem.size:,} x {problem.size:,}; at "
                f"most {_LARGEST_DENSE:,} values are sensible. Use mass='diagonal'."
            )
        self._settings, self._dynamics, self._gradient = settings, dynamics, problem.gradient
        self._loops, self._times = problem.loops, _STEPS_OF_A_DRAW * problem.steps
        self._metric = Metric(dense)
        self._averaging, self._lengths = Averaging(settings.target_accept), Lengths()
        self._first, self._ends = window_ends(problem.warmup)

    def begin(self, position: torch.Tensor, noise: Noise) -> State:
        """Look for a step size that half of the proposals survive; see `companion.sampling.Kernel`."""
        lp, gradient = self._gradient(position, 0)
        scale = self._metric.start(position)
        state = {"position": position, "lp": lp, "gradient": gradient, "shared_scale": scale}
        step = self._settings.step_size or self._reasonable(state, noise)
        size = position.new_tensor(step, dtype=torch.float64)
        length = self._settings.trajectory or min(self._dynamics.length(position.shape[1]), 10 * step)
        return {
            **state,
            "shared_step_size": size,
            "shared_averaging": self._averaging.start(size),
            "shared_lengths": self._lengths.start(length, position),
            "shared_length": position.new_tensor(length, dtype=torch.float64),
            **self._metric.empty(position),
        }

    def step(self, state: State, noise: Noise, step: int) -> tuple[State, Info]:
        """Propose the end of a trajectory to each chain; see `companion.sampling.Kernel`."""
        size, length = float(state["shared_step_size"]), float(state["shared_length"])
        steps = max(1, min(math.ceil(_between(step) * length / size), self._settings.most_steps))
        begin, end = self._walk(state, noise, size, steps)
        change = (end.kinetic - begin.kinetic) - (end.lp - begin.lp)
        change = torch.where(torch.isfinite(change), change, torch.inf)
        accepted = torch.exp(-change).clamp(max=1.0)
        moved = noise.uniform("accept") < accepted
        lp = chosen(moved, end.lp, begin.lp)
        new = {
            **state,
            "position": chosen(moved, end.position, begin.position),
            "lp": lp,
            "gradient": chosen(moved, end.gradient, begin.gradient),
        }
        info = {
            "lp": lp,
            "energy": chosen(moved, end.kinetic, begin.kinetic) - lp,
            "acceptance_rate": accepted,
            "diverging": (change > _DIVERGED).to(lp.dtype),
            "n_steps": torch.full_like(lp, steps),
            "step_size": torch.full_like(lp, size),
            "_before": begin.position,
            "_after": end.position,
            "_velocity": end.velocity,
        }
        return new, info

    def adapt(self, state: State, info: Info, step: int, total: int) -> State:
        """Learn step size, mass and length; see `companion.sampling.Kernel`."""
        state = {**state, **self._learned(state, info)}
        last = step + 1 == total
        if self._first <= step and self._ends and step < self._ends[-1]:
            state |= self._metric.add(state, state["position"])
            if step + 1 in self._ends:
                state |= self._new_mass(state)
        if self._settings.step_size is None:
            step_size = self._averaging.step_size(state["shared_averaging"], final=last)
            state["shared_step_size"] = state["shared_step_size"].new_tensor(step_size)
        if self._settings.trajectory is None:
            length = self._lengths.length(state["shared_lengths"], final=last)
            state["shared_length"] = state["shared_length"].new_tensor(length)
        return state

    def _learned(self, state: State, info: Info) -> State:
        """Take one step's proposals into the averages of step size and length."""
        accepted = info["acceptance_rate"].double().mean()
        scale, size = state["shared_scale"], float(state["shared_step_size"])
        lengths = self._lengths.update(
            state["shared_lengths"],
            self._metric.coordinates(scale, info["_before"]),
            self._metric.coordinates(scale, info["_after"]),
            info["_velocity"],
            info["acceptance_rate"],
            size * float(info["n_steps"][0]),
            size,
            self._settings.most_steps,
        )
        return {
            "shared_averaging": self._averaging.update(state["shared_averaging"], accepted),
            "shared_lengths": lengths,
        }

    def _new_mass(self, state: State) -> State:
        """End a window: take its scale, and begin the step size and the length anew in its coordinates."""
        old, new = state["shared_scale"], self._metric.scale(state)
        narrower = _diagonal(old).double().log() - _diagonal(new).double().log()
        size = state["shared_step_size"] * math.exp(float(narrower.mean()))
        length = self._lengths.length(state["shared_lengths"], final=False) * self._dynamics.carried(narrower)
        return {
            "shared_scale": new,
            "shared_averaging": self._averaging.start(size),
            "shared_lengths": self._lengths.start(length, new),
            **self._metric.empty(state["position"]),
        }

    def _walk(self, state: State, noise: Noise, size: float, steps: int) -> tuple[Trajectory, Trajectory]:
        """Walk along a trajectory from where the chains are: its beginning and its end."""
        velocity, kinetic = self._dynamics.begin(noise.normal("velocity", state["position"].shape[1]))
        begin = Trajectory(state["position"], state["lp"], state["gradient"], velocity, kinetic)
        scale, loops = state["shared_scale"], self._loops
        end = self._dynamics.walk(self._gradient, self._metric, scale, begin, size, steps, loops, self._times)
        return begin, end

    def _reasonable(self, state: State, noise: Noise) -> float:
        """Double or halve a step size until half of the proposals of a single step are accepted."""
        size, direction = 0.1 * self._dynamics.length(state["position"].shape[1]), 0
        for _ in range(60):
            begin, end = self._walk(state, noise, size, 1)
            change = (end.kinetic - begin.kinetic) - (end.lp - begin.lp)
            accepted = torch.exp(-change.nan_to_num(nan=torch.inf)).clamp(max=1.0).mean()
            turn = 1 if float(accepted) > 0.5 else -1
            if direction and turn != direction:
                break
            direction = turn
            size *= 2.0**direction
        return size


def _between(step: int) -> float:
    """Give a number between 0 and 1 for each step: van der Corput's sequence, which fills the interval evenly."""
    number, digit, found = step + 1, 0.5, 0.0
    while number:
        found += digit * (number & 1)
        number >>= 1
        digit /= 2
    return found


def _diagonal(scale: torch.Tensor) -> torch.Tensor:
    return scale.diagonal() if scale.ndim == 2 else scale
