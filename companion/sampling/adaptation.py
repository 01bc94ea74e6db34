"""What full-batch samplers learn in their warm-up: step size, mass, and length of a trajectory.

Each is a function of tensors that belong to all chains and lie in their state, so that a checkpoint holds it. Explained
in `book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from companion.sampling.kernel import State

__all__ = ["Averaging", "EnergyError", "Lengths", "Metric", "autocorrelation_time", "window_ends"]

_BUFFER_START, _FIRST_WINDOW, _BUFFER_END = 75, 25, 50  # Stan's, for 150 steps or more
_SHRINK = 5.0  # number of draws that the prior guess of the variance counts for, as in Stan
_SMALL = 1e-3  # that guess
_OVERHEAD = 2.0  # gradients that a draw costs beside those of its trajectory, about


def window_ends(total: int) -> tuple[int, list[int]]:
    """Divide a warm-up as Stan does: a first part for the step size, windows for the mass, and a last part.

    Parameters
    ----------
    total
        Number of steps of the warm-up.

    Returns
    -------
    int, list of int
        Number of the step at which the first window begins, and numbers of the steps after which one ends. Each is
        twice as long as the one before; the last takes what is left. There is none in a warm-up below 20 steps.
    """
    if total < 20:
        return total, []
    first, size, last = _BUFFER_START, _FIRST_WINDOW, _BUFFER_END
    if first + size + last > total:
        first, last = int(0.15 * total), int(0.1 * total)
        size = total - first - last
    ends, at = [], first
    while at + size <= total - last:
        at += size
        size *= 2
        if at + size > total - last:
            at = total - last
        ends.append(at)
    return first, ends


@dataclass(frozen=True)
class Averaging:
    """Dual averaging of the step size towards a share of accepted proposals.

    Hoffman and Gelman (2014), "The No-U-Turn sampler", section 3.2, with their constants.

    Attributes
    ----------
    target
        Share of accepted proposals.
    """

    target: float

    def start(self, step_size: torch.Tensor) -> torch.Tensor:
        """Begin at a step size (): the centre, number of updates, mean error, logarithm and mean logarithm."""
        log = step_size.double().log().item()
        return torch.tensor([log + math.log(10), 0.0, 0.0, log, log], dtype=torch.float64, device=step_size.device)

    def update(self, averaging: torch.Tensor, accepted: torch.Tensor) -> torch.Tensor:
        """Take the share () in that the last step accepted."""
        centre, count, error, _, mean = averaging.tolist()
        count += 1
        error += (self.target - float(accepted) - error) / (count + 10)
        log = centre - math.sqrt(count) / 0.05 * error
        mean += count**-0.75 * (log - mean)
        return averaging.new_tensor([centre, count, error, log, mean])

    def step_size(self, averaging: torch.Tensor, *, final: bool) -> float:
        """Give the step size to try next, or the one to keep."""
        return math.exp(min(averaging[4 if final else 3].item(), 50.0))


@dataclass(frozen=True)
class Lengths:
    r"""The length of a trajectory that all chains share, adapted by ChEES with Adam on its logarithm.

    ChEES is the change in the estimator of the expected square,
    :math:`E[(\lVert z' - E z\rVert^2 - \lVert z - E z\rVert^2)^2] / 4`, over a trajectory from :math:`z` to
    :math:`z'`. Where it is largest, the squared distance from the centre forgets where it was. It is divided by the
    cost of a trajectory here: without that, every length beyond some turns is as good as the next. Hoffman, Radul
    and Sountsov (2021), "An adaptive-MCMC scheme for setting trajectory lengths in Hamiltonian Monte Carlo"; Sountsov
    and Hoffman (2021), "Focusing on difficult directions for learning HMC trajectory lengths".

    Attributes
    ----------
    rate
        Learning rate of Adam.
    """

    rate: float = 0.05

    def start(self, length: float, like: torch.Tensor) -> torch.Tensor:
        """Begin at a length: its logarithm, mean squared gradient, number of updates, mean logarithm, mean ChEES."""
        log = math.log(length)
        return torch.tensor([log, 0.0, 0.0, log, 0.0], dtype=torch.float64, device=like.device)

    def update(
        self,
        lengths: torch.Tensor,
        before: torch.Tensor,
        after: torch.Tensor,
        velocity: torch.Tensor,
        accepted: torch.Tensor,
        time: float,
        step_size: float,
        most_steps: int,
    ) -> torch.Tensor:
        """Follow the gradient of ChEES.

        Parameters
        ----------
        before, after
            Ends (chains, size) of the last trajectories, in the coordinates in which the mass is one.
        velocity
            Velocities (chains, size) at their ends.
        accepted
            Probability (chains,) of each to be accepted, which weighs it.
        time
            Length of the trajectories.
        step_size, most_steps
            Step size, and largest number of steps of a trajectory.
        """
        fine = torch.isfinite(after).all(dim=1) & torch.isfinite(velocity).all(dim=1) & (accepted > 1e-4)
        if int(fine.sum()) < 2:
            return lengths
        weight = torch.where(fine, accepted, torch.zeros_like(accepted)).double()
        start, end = before.double(), torch.where(fine[:, None], after, before).double()
        share = weight / weight.sum()
        centre = end - share @ end
        gain = centre.square().sum(1) - (start - share @ start).square().sum(1)
        slope = gain * (centre * torch.where(fine[:, None], velocity, torch.zeros_like(velocity))).sum(1) * time
        log, square, count, mean, criterion = lengths.tolist()
        count += 1
        criterion = 0.95 * criterion + 0.05 * float(share @ gain.square()) / 4
        gradient = float(share @ slope)
        length = math.exp(log)
        cost = length / (length + 2 * _OVERHEAD * step_size)  # trajectories are half as long as that on average
        gradient = gradient / max(criterion / (1 - 0.95**count), 1e-300) - cost
        square = 0.95 * square + 0.05 * gradient**2
        unbiased = square / (1 - 0.95**count)
        if not math.isfinite(gradient) or unbiased <= 0:
            return lengths
        log = min(log + self.rate * gradient / math.sqrt(unbiased), math.log(step_size * most_steps))
        mean += count**-0.75 * (log - mean)
        return lengths.new_tensor([log, square, count, mean, criterion])

    def length(self, lengths: torch.Tensor, *, final: bool) -> float:
        """Give the length to try next, or the one to keep."""
        return math.exp(lengths[3 if final else 0].item())


@dataclass(frozen=True)
class Metric:
    """Coordinates in which a sampler moves: values are ``scale`` times them.

    Attributes
    ----------
    dense
        Whether the scale is a lower triangular matrix (size, size), and not a vector (size,).
    """

    dense: bool = False

    def start(self, position: torch.Tensor) -> torch.Tensor:
        """Begin with the values as they are."""
        size = position.shape[1]
        return torch.eye(size).to(position) if self.dense else position.new_ones(size)

    def forward(self, scale: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        """Take a displacement (chains, size) from coordinates to values."""
        return moved @ scale.T if self.dense else moved * scale

    def gradient(self, scale: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        """Take a gradient (chains, size) from values to coordinates."""
        return slope @ scale if self.dense else slope * scale

    def coordinates(self, scale: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Take values (chains, size) to coordinates."""
        if not self.dense:
            return values / scale
        return torch.linalg.solve_triangular(scale, values.T, upper=False).T

    def empty(self, position: torch.Tensor) -> dict[str, torch.Tensor]:
        """Begin a window: number of draws, their mean (size,), and sum of squares about it."""
        size = position.shape[1]
        shape = (size, size) if self.dense else (size,)
        return {
            "shared_window": torch.zeros((), dtype=torch.float64, device=position.device),
            "shared_mean": torch.zeros(size, dtype=torch.float64, device=position.device),
            "shared_squares": torch.zeros(shape, dtype=torch.float64, device=position.device),
        }

    def add(self, state: State, position: torch.Tensor) -> dict[str, torch.Tensor]:
        """Take one draw of every chain (chains, size) into the window of a state, by Welford's recursion."""
        draws = position.double()
        count = state["shared_window"] + len(draws)
        before = draws - state["shared_mean"]
        mean = state["shared_mean"] + before.sum(0) / count
        after = draws - mean
        squares = before.T @ after if self.dense else (before * after).sum(0)
        return {"shared_window": count, "shared_mean": mean, "shared_squares": state["shared_squares"] + squares}

    def scale(self, state: State) -> torch.Tensor:
        """Make the scale of a window's draws, of their covariance over all chains, shrunk as Stan does."""
        old = state["shared_scale"]
        freedom = float(state["shared_window"]) - 1
        if freedom < 1 or not bool(torch.isfinite(state["shared_squares"]).all()):
            return old
        share = freedom / (freedom + _SHRINK)
        found = share * state["shared_squares"] / freedom
        if not self.dense:
            return (found + (1 - share) * _SMALL).sqrt().to(old.dtype)
        found = 0.5 * (found + found.T)
        factor, failed = torch.linalg.cholesky_ex(found + (1 - share) * _SMALL * torch.eye(len(found)).to(found))
        return old if int(failed) else factor.to(old.dtype)


@dataclass(frozen=True)
class EnergyError:
    """The step size of microcanonical dynamics, from the error that a step makes in the energy.

    The error's variance per dimension grows with the sixth power of the step size, which gives the step size that has
    the variance that is wanted. Robnik, De Luca, Silverstein and Seljak (2023), "Microcanonical Hamiltonian Monte
    Carlo", section 4, in the form that blackjax made common.

    Attributes
    ----------
    wanted
        Variance of the error in a step, per dimension.
    steps
        Number of steps over which estimates are averaged.
    """

    wanted: float
    steps: float = 100.0

    def start(self, step_size: float, like: torch.Tensor) -> torch.Tensor:
        """Begin at a step size: weighted sum, sum of weights, largest step size."""
        return torch.tensor([0.0, 0.0, math.inf, step_size], dtype=torch.float64, device=like.device)

    def update(self, tuning: torch.Tensor, error: torch.Tensor, size: int) -> torch.Tensor:
        """Take the errors (chains,) of one step; those that aren't finite bound the step size from above."""
        total, weights, largest, step = tuning.tolist()
        if not bool(torch.isfinite(error).all()):
            largest = 0.8 * step
        fine = error[torch.isfinite(error)].double()
        if len(fine):
            ratio = float(fine.square().mean()) / (size * self.wanted) + 1e-8
            weight = math.exp(-0.5 * (math.log(ratio) / (6 * 1.5)) ** 2)
            keep = (self.steps - 1) / (self.steps + 1)
            total = keep * total + weight * ratio / step**6
            weights = keep * weights + weight
        found = (total / weights) ** (-1 / 6) if weights > 0 and total > 0 else step
        return tuning.new_tensor([total, weights, largest, min(found, largest)])


def autocorrelation_time(window: torch.Tensor) -> torch.Tensor:
    r"""Estimate how many steps of a chain count as one independent draw.

    Parameters
    ----------
    window
        Values (chains, steps, entries).

    Returns
    -------
    torch.Tensor
        :math:`\tau = 1 + 2 \sum_t \rho_t` of each entry (entries,), with autocorrelations about each chain's own mean,
        averaged over the chains, and summed in pairs until a pair isn't positive.

    Notes
    -----
    Geyer (1992), "Practical Markov chain Monte Carlo". Chains in different modes don't count as slow ones here, as
    they would in ArviZ's effective sample size.
    """
    steps = window.shape[1]
    centred = window.double() - window.double().mean(1, keepdim=True)
    spectrum = torch.fft.rfft(centred, n=2 * steps, dim=1).abs().square()
    covariance = torch.fft.irfft(spectrum, n=2 * steps, dim=1)[:, :steps].mean(0) / steps
    rho = covariance / covariance[0].clamp_min(1e-300)
    even = steps // 2 * 2
    pairs = rho[:even].reshape(-1, 2, rho.shape[1]).sum(1)
    positive = torch.cumprod((pairs > 0).to(pairs.dtype), dim=0)
    monotone = torch.cummin(pairs, dim=0).values
    return (2 * (positive * monotone).sum(0) - 1).clamp_min(1.0)
