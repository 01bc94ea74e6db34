"""The optimisers of the loop: what follows the gradients, and what of it a checkpoint holds.

Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch

from companion.checks import choice
from companion.training.options import OptimiserName
from companion.training.settings import Settings
from companion.training.task import TrainingObjective
from companion.variational import Parameters

__all__ = ["Adam", "Ivon", "Optimiser", "TorchOptimiser", "WindowedAdagrad", "optimiser_for"]

Tensors = tuple[torch.Tensor, ...]

_WINDOW = 10  # steps whose squared gradients windowed AdaGrad sums, as `pymc.adagrad_window` does

_MOMENTUM = 0.9
"""Momentum of SGD, and share of the old in IVON's mean of gradients."""


class Optimiser(Protocol):
    """Something that follows the gradients of all restarts side by side."""

    def follow(self, gradients: Tensors, step: int, rate: float, kl_weight: torch.Tensor) -> None:
        """Change the parameters in place.

        Parameters
        ----------
        gradients
            One gradient per parameter.
        step
            Number of steps that are done.
        rate
            Factor of the schedule, for all rates.
        kl_weight
            Weight of the KL divergence in this step's loss.
        """
        ...

    def tensors(self) -> dict[str, torch.Tensor]:
        """Collect what the next step depends on, by "parameter/entry"."""
        ...

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go back, or forward, to a state; nothing stands for the start."""
        ...


class TorchOptimiser:
    """One of torch's own optimisers, with a rate for means and another one for scales.

    Parameters
    ----------
    kind
        Maker of the optimiser, of groups of parameters and a rate.
    parameters
        Parameters of all restarts: name to tensor (restarts, ...).
    rates
        Rate of each parameter, by name.
    """

    def __init__(
        self, kind: Callable[..., torch.optim.Optimizer], parameters: Parameters, rates: Mapping[str, float]
    ) -> None:
        self._parameters = parameters
        groups = [
            {"params": [p for name, p in parameters.items() if rates[name] == rate], "rate": rate}
            for rate in sorted(set(rates.values()))  # as few as there are rates: each costs a call per step
        ]
        self._own = kind(groups, lr=groups[0]["rate"])

    def follow(self, gradients: Tensors, step: int, rate: float, kl_weight: torch.Tensor) -> None:
        for parameter, gradient in zip(self._parameters.values(), gradients, strict=True):
            parameter.grad = gradient.contiguous()  # Adam's fused kernel goes through memory, whatever the strides
        for group in self._own.param_groups:
            group["lr"] = group["rate"] * rate
        self._own.step()

    def tensors(self) -> dict[str, torch.Tensor]:
        return {
            f"{name}/{key}": value
            for name, p in self._parameters.items()
            for key, value in self._own.state.get(p, {}).items()
            if isinstance(value, torch.Tensor)
        }

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        if not tensors:
            self._own.state.clear()
        for key, tensor in tensors.items():
            name, _, entry = key.rpartition("/")
            p = self._parameters[name]
            at = "cpu" if entry == "step" and p.device.type == "cpu" else p.device
            self._own.state[p][entry] = tensor.clone().to(at)


class Adam(TorchOptimiser):
    """Adam by torch's fused kernel, with what a compiled step needs to take its place.

    Attributes
    ----------
    rates
        Rate of each parameter, in their order.
    """

    BETAS, EPSILON = (0.9, 0.999), 1e-8

    def __init__(self, parameters: Parameters, rates: Mapping[str, float]) -> None:
        super().__init__(
            lambda groups, lr: torch.optim.Adam(groups, lr=lr, betas=self.BETAS, eps=self.EPSILON, fused=True),
            parameters,
            rates,
        )
        self.rates = [rates[name] for name in parameters]
        self._all: list[torch.Tensor] = []

    def all_tensors(self) -> list[torch.Tensor]:
        """List all parameters, then Adam's means, squares and counts of steps; zeros where it took no step yet."""
        if not self._all:
            states = [self._state(p) for p in self._parameters.values()]
            moments = [state[key] for key in ("exp_avg", "exp_avg_sq", "step") for state in states]
            self._all = [*self._parameters.values(), *moments]
        return self._all

    def settings(self, rate: float) -> list[float]:
        """Compute what the next step multiplies with: the root of the squares' weight, and a size for each parameter.

        Parameters
        ----------
        rate
            Factor of the schedule, for all rates.
        """
        step = float(self.all_tensors()[-1]) + 1
        of_means, of_squares = (1 - beta**step for beta in self.BETAS)
        return [of_squares**0.5, *(own * rate / of_means for own in self.rates)]

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        super().restore(tensors)
        self._all = []

    def _state(self, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
        state: dict[str, torch.Tensor] = self._own.state[parameter]
        if not state:
            state |= {"exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        return state


class WindowedAdagrad:
    r"""AdaGrad over a window, as `pymc.adagrad_window` computes it.

    With the gradient :math:`g_t` of a parameter, its rate :math:`\alpha` and a window of n = 10 steps,

    .. math:: \theta \leftarrow \theta - \alpha \, g_t \Big/ \sqrt{\epsilon + \textstyle\sum_{i=t-n+1}^{t} g_i^2} .

    Parameters
    ----------
    parameters
        Parameters of all restarts: name to tensor (restarts, ...).
    rates
        Rate of each parameter, by name.
    epsilon
        Number that is added to the sum of squares.

    Notes
    -----
    **Cost.** A step takes one gradient. Memory holds ten tensors of the size of each parameter, where Adam has two.

    **When not to use it.** Not where steps are few: a step is at most the rate, and in pure noise about the rate over
    :math:`\sqrt{10}`, without momentum. It is here because PyMC's fits, and the posts, follow it.

    **Sources.** Duchi, Hazan and Singer (2011), "Adaptive subgradient methods for online learning and stochastic
    optimization", for AdaGrad; the window is PyMC's.
    """

    def __init__(self, parameters: Parameters, rates: Mapping[str, float], epsilon: float) -> None:
        self._parameters, self._rates, self._epsilon = parameters, rates, epsilon
        self._squares = {name: torch.zeros(_WINDOW, *p.shape).to(p) for name, p in parameters.items()}

    def follow(self, gradients: Tensors, step: int, rate: float, kl_weight: torch.Tensor) -> None:
        for (name, parameter), gradient in zip(self._parameters.items(), gradients, strict=True):
            squares = self._squares[name]
            torch.square(gradient, out=squares[step % _WINDOW])
            size = squares.sum(dim=0).add_(self._epsilon).rsqrt_()
            parameter.addcmul_(gradient, size, value=-self._rates[name] * rate)

    def tensors(self) -> dict[str, torch.Tensor]:
        return {f"{name}/squares": squares for name, squares in self._squares.items()}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        for name, squares in self._squares.items():
            if tensors:
                squares.copy_(tensors[f"{name}/squares"])
            else:
                squares.zero_()


class Ivon:
    r"""The improved variational online Newton method, for independent normals.

    With the gradients of the weighed loss :math:`g_\mu, g_\lambda` by the means and by the logarithms of the scales,
    the weight :math:`w` of the KL divergence and its temperature T,

    .. math::

        x &= (g_\lambda + w) / T - 1, \qquad
        \lambda \leftarrow \lambda - \tfrac12 \log\bigl(1 + \rho x + \tfrac12 (\rho x)^2\bigr), \\
        \bar g &\leftarrow 0.9 \, \bar g + 0.1 \, g_\mu, \qquad
        \mu \leftarrow \mu - \alpha \, \frac{\sigma^2}{T} \, \frac{\bar g}{1 - 0.9^t}.

    Here :math:`(g_\lambda + w) / \sigma^2` is the estimate of the loss's curvature that the authors make of one draw,
    so that the first line is their moving average of it, with the correction that keeps it positive. It needs what the
    loop has already: any estimator serves, and where the prior's part of the gradient is in closed form, so is its
    curvature. A step of rate 1 would be Newton's.

    Parameters
    ----------
    parameters
        "mean" and "log_scale" of all restarts, (restarts, size).
    mean_rate, scale_rate
        The rates :math:`\alpha` and :math:`\rho`. The authors take :math:`\alpha = 0.1` and :math:`\rho = 10^{-5}` for
        large networks; small models take far larger :math:`\rho`.
    temperature
        Temperature T.

    Notes
    -----
    **Cost.** A step takes one gradient per draw, and the time of Adam's. Memory holds one tensor of the size of the
    means, where Adam has four: three numbers per value in all, with the parameters.

    **When not to use it.** Not for other families than "mean-field". Not for scales that are far too wide at the start:
    the means then move by whole Newton steps of a curvature that nothing supports.

    **Sources.** Shen et al. (2024), "Variational Learning is Effective for Large Deep Networks".
    """

    def __init__(self, parameters: Parameters, mean_rate: float, scale_rate: float, temperature: float) -> None:
        self._mean, self._log_scale = parameters["mean"], parameters["log_scale"]
        self._at_mean = list(parameters).index("mean")
        self._rates = mean_rate, scale_rate
        self._temperature = temperature
        self._average = torch.zeros_like(self._mean)

    def follow(self, gradients: Tensors, step: int, rate: float, kl_weight: torch.Tensor) -> None:
        of_mean, of_scale = gradients[self._at_mean], gradients[1 - self._at_mean]
        excess = ((of_scale + kl_weight) / self._temperature - 1) * (self._rates[1] * rate)
        self._log_scale -= 0.5 * torch.log1p(excess + 0.5 * excess.square())
        self._average.lerp_(of_mean, 1 - _MOMENTUM)
        size = self._rates[0] * rate / (self._temperature * (1 - _MOMENTUM ** (step + 1)))
        self._mean -= size * (2 * self._log_scale).exp() * self._average

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"mean/average": self._average}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        if tensors:
            self._average.copy_(tensors["mean/average"])
        else:
            self._average.zero_()


def optimiser_for(objective: TrainingObjective, settings: Settings, parameters: Parameters) -> Optimiser:
    """Make the optimiser that the settings name, for these parameters."""
    name = choice(OptimiserName, "optimiser", settings.optimiser)
    if name is OptimiserName.IVON:
        return Ivon(parameters, settings.learning_rate, settings.scale_rate, settings.temperature)
    rates = {n: settings.scale_rate if objective.is_scale(n) else settings.learning_rate for n in parameters}
    if name is OptimiserName.ADAM:
        return Adam(parameters, rates)
    if name is OptimiserName.WINDOWED_ADAGRAD:
        return WindowedAdagrad(parameters, rates, settings.epsilon)
    per_row = {n: rate / (objective.row_count) for n, rate in rates.items()}
    return TorchOptimiser(lambda groups, lr: torch.optim.SGD(groups, lr=lr, momentum=_MOMENTUM), parameters, per_row)
