r"""Samplers that see a mini-batch of the rows at each step: SGLD, SGHMC and SGNHT.

All three follow :math:`\hat g`, the gradient of the *mean loss per row*

.. math::

    L(\theta) = -\tfrac1N \log p(\mathcal{D}, \theta)

as estimated from the rows of a step, so that their step size is the learning rate of SGD and their friction one minus
its momentum. Neither depends on the number of rows :math:`N`; only the noise does, which leads to
:math:`e^{-N L / T}`, the posterior where the temperature :math:`T` is 1. Explained in
`book/reference/how_a_fit_works`, section "Samplers of mini-batches".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch

from companion.checks import choice, is_number, positive, whole
from companion.errors import ModelError
from companion.sampling.kernel import Info, Kernel, Noise, Problem, State
from companion.sampling.preconditioning import Preconditioner, Scaling
from companion.sampling.step_sizes import StepSchedule, StepSizes, cold_steps

__all__ = ["SGHMC", "SGLD", "SGNHT", "StochasticGradient"]


@dataclass(frozen=True, kw_only=True)
class StochasticGradient:
    """Settings of all samplers of mini-batches.

    Attributes
    ----------
    step_size
        Learning rate of the mean loss per row.
    schedule
        Whether the step size is constant or comes down in cycles: a name of `StepSchedule`.
    cycles
        Number of cycles after the warm-up.
    exploration
        Share of a cycle whose positions are not kept, because its steps are large.
    preconditioner
        How the directions of a step are scaled: a name of `Preconditioner`.
    temperature
        Temperature T: 1 is Bayes, below 1 is a cold posterior, of likelihood and prior alike.

    Raises
    ------
    ModelError
        If a number is out of range, or a name is not known.
    """

    name: ClassVar[str]
    minibatches: ClassVar[bool] = True
    warmup: ClassVar[int] = 1000
    thin: ClassVar[int] = 10
    independent_rows: ClassVar[bool] = False
    quicker: ClassVar[str] = "a larger step_size takes fewer"

    step_size: float = 0.01
    schedule: str = "constant"
    cycles: int = 4
    exploration: float = 0.8
    preconditioner: str = "identity"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not is_number(self.exploration) or not 0 <= self.exploration < 1:
            raise ModelError(f"exploration={self.exploration!r}; expected a share of each cycle, from 0 to below 1.")
        plain = {  # Python's own numbers and words, which a checkpoint can hold
            "schedule": str(choice(StepSchedule, "schedule", self.schedule)),
            "preconditioner": str(choice(Preconditioner, "preconditioner", self.preconditioner)),
            "step_size": positive("step_size", self.step_size, "a learning rate such as 0.01", self),
            "temperature": positive("temperature", self.temperature, owner=self),
            "cycles": whole("cycles", self.cycles, 1),
            "exploration": float(self.exploration),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    def kernel(self, problem: Problem) -> Kernel:
        """Build the kernel.

        Raises
        ------
        ModelError
            If a preconditioner is to be learned in a warm-up of no steps, or a cycle has no step to keep.
        """
        return self._kernel(problem)

    def _kernel(self, problem: Problem) -> Kernel:
        raise NotImplementedError

    def step_sizes(self, problem: Problem) -> StepSizes:
        """Return the step size of each step of a problem.

        Raises
        ------
        ModelError
            If a cycle has no step whose position is kept.
        """
        return StepSizes(
            self.step_size, StepSchedule(self.schedule), problem.warmup, problem.steps, self.cycles, self.exploration
        )

    def kept_steps(self, draws: int, thin: int) -> Sequence[int]:
        """Return the steps whose positions are draws; see `companion.sampling.kept_steps`.

        In cycles, ``thin`` is the number of steps in their cold parts for each draw.
        """
        if self.schedule == StepSchedule.CONSTANT:
            return range(thin - 1, draws * thin, thin)
        return cold_steps(draws, thin, self.cycles, self.exploration)

    def relaxation(self, curvature: float, step_size: float | None = None) -> float:
        """Return the number of steps in which a direction of the posterior forgets where it began, by a factor of e.

        Parameters
        ----------
        curvature
            Second derivative of the mean loss per row along the direction; 1 / (rows x variance) for a direction in
            which the posterior is normal with this variance.
        step_size
            Step size; the largest one where it is left out.

        Returns
        -------
        float
            Number of steps; infinite where the direction has no curvature or the step is too large to be stable.
        """
        kept = self._kept((self.step_size if step_size is None else step_size) * curvature)
        return -1 / math.log(kept) if 0 < kept < 1 else 0.0 if kept == 0 else math.inf

    def heating(self, variance: float) -> float:
        r"""Return the share by which noise of mini-batches raises the temperature, if independent from step to step.

        Parameters
        ----------
        variance
            Variance of an entry of the gradient :math:`\sqrt{\epsilon P N / T} \, \hat g` between mini-batches.
        """
        return 0.0 if self.independent_rows else 0.5 * self.mobility * variance

    @property
    def mobility(self) -> float:
        """Share of a deviation that a step takes away for each unit of step size times curvature, where that is small.

        SGD with momentum follows gradients about 1 / friction times as far as SGD with the same learning rate.
        """
        return self._mobility

    @property
    def lost_momentum(self) -> float:
        """Share of its momentum that a step loses: all of it where there is none."""
        return 1.0

    @property
    def _mobility(self) -> float:
        raise NotImplementedError

    def _kept(self, k: float) -> float:
        """Return the share of a deviation that is left after a step, where step size times curvature is `k`."""
        raise NotImplementedError

    def as_json(self) -> Mapping[str, Any]:
        """Return the settings as plain values, for the checkpoint and the record."""
        return {"sampler": self.name, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class SGLD(StochasticGradient):
    r"""Stochastic gradient Langevin dynamics.

    .. math::

        \theta \leftarrow \theta - \epsilon P \hat g + \sqrt{2 \epsilon P T / N} \; \xi,
        \qquad \xi \sim \mathcal{N}(0, 1)

    This is the Euler scheme of :math:`d\theta = -P \nabla U dt + \sqrt{2 T P} \, dW` for :math:`U = N L` and steps of
    :math:`dt = \epsilon / N`. Where the mean loss has the curvature :math:`\lambda` along a direction, it relaxes in
    about :math:`1 / (\epsilon \lambda)` steps: a weight that the data leave to its prior
    :math:`\mathcal{N}(0, s^2)` in :math:`N s^2 / \epsilon`. On a normal posterior with exact gradients the variance is
    too large by the factor :math:`1 / (1 - \epsilon \lambda / 2)`. Noise of variance :math:`\sigma^2` in
    :math:`\hat g` adds :math:`\epsilon N \sigma^2 / 2` to the temperature where it is independent from step to step.
    Each epoch deals every row once, so that its noise adds up to zero, and a direction that relaxes over many epochs
    feels next to nothing of it.

    Parameters
    ----------
    step_size, schedule, cycles, exploration, preconditioner, temperature
        See `StochasticGradient`.

    Notes
    -----
    **Cost.** A step takes one gradient of a mini-batch. In memory a chain holds its position, one number per value, and
    two more with a preconditioner.

    **When not to use it.** Not where `SGHMC` can be used, which relaxes about 1 / friction times as fast at the same
    step size, nor where all rows fit into a step: then a sampler of all rows has no bias at all.

    **Sources.** Welling and Teh (2011), "Bayesian learning via stochastic gradient Langevin dynamics"; Li et al.
    (2016), "Preconditioned stochastic gradient Langevin dynamics"; Zhang et al. (2020), "Cyclical stochastic gradient
    MCMC". Zhang et al. leave the noise out in the first part of a cycle, where here it is always there.
    """

    name: ClassVar[str] = "sgld"
    quicker: ClassVar[str] = "a larger step_size takes fewer, and sampler='sghmc' about a tenth"

    def _kernel(self, problem: Problem) -> Kernel:
        return _Langevin(self, problem)

    @property
    def _mobility(self) -> float:
        return 1.0

    def _kept(self, k: float) -> float:
        return abs(1 - k)


@dataclass(frozen=True, kw_only=True)
class _WithMomentum(StochasticGradient):
    """What samplers with a momentum share: the share of it that a step loses, and how fast they relax."""

    quicker: ClassVar[str] = "a larger step_size or less friction takes fewer"
    forgets_all: ClassVar[bool] = True  # whether a friction of 1 is allowed

    friction: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_number(self.friction) or not 0 < self.friction <= 1 or (self.friction == 1 and not self.forgets_all):
            raise ModelError(
                f"friction={self.friction!r} in {type(self).__name__}; expected the share of the momentum that a step "
                f"loses, above 0 and {'up to' if self.forgets_all else 'below'} 1, such as 0.1."
            )
        object.__setattr__(self, "friction", float(self.friction))

    @property
    def lost_momentum(self) -> float:
        """Share of its momentum that a step loses."""
        return self.friction

    @property
    def _mobility(self) -> float:
        return (2 - self.friction) / (2 * self.friction)

    def _kept(self, k: float) -> float:
        return _spectral_radius(k, 1 - self.friction)


@dataclass(frozen=True, kw_only=True)
class SGHMC(_WithMomentum):
    r"""Stochastic gradient Hamiltonian Monte Carlo, which is SGD with momentum and noise.

    With a momentum :math:`r` that is :math:`\mathcal{N}(0, T / N)` under its stationary law, and the friction
    :math:`\alpha`, a step is

    .. math::

        r' &= r - \sqrt{\epsilon P} \, \hat g \\
        r'' &= (1 - \alpha) \, r' + \sqrt{(1 - (1 - \alpha)^2) \, T / N} \; \xi, \qquad \xi \sim \mathcal{N}(0, 1) \\
        \theta &\leftarrow \theta + \tfrac12 \sqrt{\epsilon P} \, (r' + r'') .

    The velocity :math:`v = \sqrt{\epsilon} \, r` is that of SGD with learning rate :math:`\epsilon` and momentum
    :math:`1 - \alpha`. In the stochastic differential equation
    :math:`d\theta = p \, dt, \; dp = -\nabla U dt - \gamma p \, dt + \sqrt{2 \gamma T} \, dW` with :math:`U = N L` and
    masses of 1 (without preconditioner), a step takes the time :math:`h = \sqrt{\epsilon / N}`,
    :math:`p = \sqrt{N} r` and :math:`e^{-\gamma h} = 1 - \alpha`.

    Where the mean loss has the curvature :math:`\lambda` along a direction, it relaxes in about
    :math:`\alpha / (\epsilon \lambda)` steps, and never in fewer than :math:`2 / \alpha`: a weight that the data leave
    to its prior :math:`\mathcal{N}(0, s^2)` in :math:`\alpha N s^2 / \epsilon`. On a normal posterior with exact
    gradients the variance is exact at any step size that is stable, :math:`\epsilon \lambda < 4`. Noise of variance
    :math:`\sigma^2` in :math:`\hat g` adds :math:`\epsilon N \sigma^2 (2 - \alpha) / (4 \alpha)` to the temperature
    where it is independent from step to step. What that came to is told at each step, as "temperature"; but each epoch
    deals every row once, so that its noise adds up to zero, and a direction that relaxes over many epochs feels next to
    nothing of it.

    Parameters
    ----------
    friction
        Share of the momentum that a step loses, above 0 and up to 1; one minus the momentum of SGD. With 1 it forgets
        all, and moves as SGLD does with half the step size.
    step_size, schedule, cycles, exploration, preconditioner, temperature
        See `StochasticGradient`.

    Notes
    -----
    **Cost.** A step takes one gradient of a mini-batch. In memory a chain holds position and momentum, two numbers per
    value, and two more with a preconditioner.

    **When not to use it.** Not where all rows fit into a step: then a sampler of all rows has no bias at all. Where the
    gradient's noise heats the chain and its temperature shows it, take a smaller step, more rows, or `SGNHT`.

    **Sources.** Chen, Fox and Guestrin (2014), "Stochastic gradient Hamiltonian Monte Carlo". The integrator is BAOA of
    Leimkuhler and Matthews (2013), "Rational construction of stochastic numerical methods for molecular sampling", in
    place of Euler's: it costs the same, and its bias is of the next order.
    """

    name: ClassVar[str] = "sghmc"

    def _kernel(self, problem: Problem) -> Kernel:
        return _Hamiltonian(self, problem)


@dataclass(frozen=True, kw_only=True)
class SGNHT(_WithMomentum):
    r"""Stochastic gradient Nosé-Hoover thermostat: SGHMC whose friction finds itself.

    The step is that of `SGHMC`, with a friction :math:`\alpha` for each chain that rises while the momentum is too hot
    and falls while it is too cold:

    .. math::

        r'' = e^{-\alpha} r' + \sqrt{\frac{A}{\alpha} (1 - e^{-2 \alpha}) \frac T N} \; \xi, \qquad
        \alpha \leftarrow \alpha + \frac{A^2}{2} \left(\frac{N}{T}
        \frac{w |r'|^2 + (1 - w) |r''|^2}{n} - 1\right),

    with :math:`n` the number of values and :math:`A = -\log(1 - \mathrm{friction})`. So the noise of mini-batches is
    taken for a part of the noise that the dynamics need anyway, as far as it is the same for all values. For that, it
    must be independent from step to step: this sampler draws its rows anew at each step. The weight
    :math:`w = (1 + 3 a) / (4 + 4 a)`, with :math:`a = e^{-\alpha}`, makes it so that the positions have the right
    temperature, which differs from that of the momentum where a step has much noise. The constant
    :math:`A^2 / 2` is the one with which the friction settles as fast as it can without swinging, in about
    :math:`1 / A` steps; in the paper's terms it is a thermal inertia of
    :math:`\mu = 2 \epsilon / (N A^2)`. The friction is told at each step, as "friction", and so is the
    "temperature", which should be on average what was asked for.

    Parameters
    ----------
    friction
        Share of the momentum that a step loses while gradients have no noise, above 0 and below 1.
    step_size, schedule, cycles, exploration, preconditioner, temperature
        See `StochasticGradient`.

    Notes
    -----
    **Cost.** A step takes one gradient of a mini-batch. In memory a chain holds position and momentum, two numbers per
    value, and two more with a preconditioner.

    **When not to use it.** Not where there are few values: one thermostat for fewer than about ten values swings
    widely. Nor where gradient noise differs much from value to value, as it does between weights that the data know and
    others: what the data know best stays too hot. A preconditioner makes it more alike, and `SGHMC`, whose rows come in
    epochs, feels less of it.

    **Sources.** Ding et al. (2014), "Bayesian sampling using stochastic gradient thermostats"; Leimkuhler and Shang
    (2016), "Adaptive thermostats for noisy gradient systems", for the exact step of a friction that may be negative.
    """

    name: ClassVar[str] = "sgnht"
    independent_rows: ClassVar[bool] = True
    forgets_all: ClassVar[bool] = False

    def _kernel(self, problem: Problem) -> Kernel:
        return _Thermostat(self, problem)


class _StochasticKernel:
    """What all kernels of mini-batches share: step sizes, preconditioner, and the report of a step."""

    def __init__(self, settings: StochasticGradient, problem: Problem) -> None:
        kind = Preconditioner(settings.preconditioner)
        if kind is Preconditioner.WARMUP and problem.warmup < 1:
            raise ModelError("preconditioner='warm-up' is learned in the warm-up, and warmup=0; expected 1 or more.")
        self.settings, self.problem = settings, problem
        self.per_row = 1 / (problem.rows or 1)
        self.scaling = Scaling(kind, problem.warmup)
        self.step_sizes = settings.step_sizes(problem)

    def begin(self, position: torch.Tensor, noise: Noise) -> State:
        unknown = torch.full_like(position[:, 0], math.nan)
        return {"position": position, "lp": unknown, **self.scaling.begin(position)}

    def adapt(self, state: State, info: Info, step: int, total: int) -> State:
        return state  # the preconditioner learns within the steps, where the gradient is at hand

    def keeps(self, step: int) -> bool:
        """Say whether the position after a step may be kept."""
        return self.step_sizes.keeps(step)

    def told(self, lp: torch.Tensor, step_size: float, **more: torch.Tensor) -> Info:
        """Report a step; a chain diverges when its log density, as its rows estimate it, is not finite."""
        return {"lp": lp, "diverging": ~lp.isfinite(), "step_size": torch.full_like(lp, step_size), **more}


class _Langevin(_StochasticKernel):
    def step(self, state: State, noise: Noise, step: int) -> tuple[State, Info]:
        lp, gradient = self.problem.gradient(state["position"], step)
        scaled = self.scaling.renewed(state, gradient, step)
        size = self.step_sizes.at(step)
        ahead, around = size * self.per_row, math.sqrt(2 * size * self.settings.temperature * self.per_row)
        travel = noise.normal("position", self.problem.size, scale=around)
        if scaled:
            by = scaled["scale"]
            position = travel.addcmul_(by, gradient, value=ahead).mul_(by).add_(state["position"])
        else:
            position = travel.add_(gradient, alpha=ahead).add_(state["position"])
        return {"position": position, "lp": lp, **scaled}, self.told(lp, size)


class _Hamiltonian(_StochasticKernel):
    settings: SGHMC | SGNHT

    def begin(self, position: torch.Tensor, noise: Noise) -> State:
        scale = math.sqrt(self.settings.temperature * self.per_row)
        momentum = noise.normal("momentum", self.problem.size, scale=scale)
        return {**super().begin(position, noise), "momentum": momentum}

    def step(self, state: State, noise: Noise, step: int) -> tuple[State, Info]:
        lp, gradient = self.problem.gradient(state["position"], step)
        scaled, size = self.scaling.renewed(state, gradient, step), self.step_sizes.at(step)
        left = 1 - self.settings.friction
        around = math.sqrt((1 - left * left) * self.settings.temperature * self.per_row)
        kicked = self.kicked(state, gradient, scaled, size)
        momentum = noise.normal("momentum", self.problem.size, scale=around).add_(kicked, alpha=left)
        heat = _heat(kicked, momentum, left) / self.per_row
        position = self.moved(state, kicked, momentum, scaled, size)
        new = {"position": position, "momentum": momentum, "lp": lp, **scaled}
        return new, self.told(lp, size, temperature=heat)

    def kicked(self, state: State, gradient: torch.Tensor, scaled: State, size: float) -> torch.Tensor:
        """Return the momentum after the gradient."""
        kick = math.sqrt(size) * self.per_row
        if scaled:
            return torch.addcmul(state["momentum"], scaled["scale"], gradient, value=kick)
        return torch.add(state["momentum"], gradient, alpha=kick)

    def moved(
        self, state: State, before: torch.Tensor, after: torch.Tensor, scaled: State, size: float
    ) -> torch.Tensor:
        """Return the position after half a step with the momentum before friction and half a step with that after."""
        half = 0.5 * math.sqrt(size)
        if scaled:
            return torch.addcmul(state["position"], scaled["scale"], before.add_(after), value=half)
        return torch.add(state["position"], before.add_(after), alpha=half)


class _Thermostat(_Hamiltonian):
    def begin(self, position: torch.Tensor, noise: Noise) -> State:
        friction = torch.full_like(position[:, 0], -math.log1p(-self.settings.friction))
        return {**super().begin(position, noise), "friction": friction}

    def step(self, state: State, noise: Noise, step: int) -> tuple[State, Info]:
        lp, gradient = self.problem.gradient(state["position"], step)
        scaled, size = self.scaling.renewed(state, gradient, step), self.step_sizes.at(step)
        base, target, friction = -math.log1p(-self.settings.friction), self.settings.temperature, state["friction"]
        small = friction.abs() < 1e-6
        spread = torch.where(small, 2.0, -torch.expm1(-2 * friction) / torch.where(small, 1.0, friction))
        around, left = (spread * (base * target * self.per_row)).sqrt(), torch.exp(-friction)
        kicked = self.kicked(state, gradient, scaled, size)
        momentum = noise.normal("momentum", self.problem.size).mul_(around[:, None]).addcmul_(kicked, left[:, None])
        heat = _heat(kicked, momentum, left) / self.per_row
        excess = heat / target - 1
        if step < self.problem.warmup:
            excess = excess.clamp(max=1.0)  # the fall from a poor start must not leave a friction that lasts
        friction = friction + 0.5 * base**2 * excess
        position = self.moved(state, kicked, momentum, scaled, size)
        new = {"position": position, "momentum": momentum, "friction": friction, "lp": lp, **scaled}
        return new, self.told(lp, size, temperature=heat, friction=friction)


def _heat(before: torch.Tensor, after: torch.Tensor, left: float | torch.Tensor) -> torch.Tensor:
    """Return the mean square of the momentum that the positions feel (chains,).

    A kick of the gradient's noise is in the momentum before friction, and no longer wholly in that after it. With these
    weights, the mean of both is the temperature of a position that relaxes slowly, whatever the noise and the friction.
    """
    weight = (1 + 3 * left) / (4 * (1 + left))
    squares = [torch.linalg.vector_norm(m, dim=1).square() / m.shape[1] for m in (before, after)]
    return weight * squares[0] + (1 - weight) * squares[1]


def _spectral_radius(k: float, left: float) -> float:
    """Return the larger root's size of SGHMC's step on a parabola, z^2 - (1 + left) (1 - k / 2) z + left = 0."""
    half = 0.5 * (1 + left) * (1 - 0.5 * k)
    inside = half * half - left
    return abs(half) + math.sqrt(inside) if inside >= 0 else math.sqrt(left)
