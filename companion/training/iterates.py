r"""The Gaussian of a trajectory: the iterates that a fit goes through, their mean and their covariance.

Explained in `book/reference/how_a_fit_works`, section "Trajectories, ensembles".
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from companion.variational import LowRank, Parameters

__all__ = ["Iterates"]

_LEAST_VARIANCE = 1e-30  # of a value that doesn't move: its logarithm must be finite


class Iterates:
    r"""Mean, variances and the last few of the iterates :math:`\theta_1, \dots, \theta_n` that a fit goes through.

    .. math::

        \bar\theta = \frac1n \sum_i \theta_i, \qquad
        s^2 = \frac1n \sum_i (\theta_i - \bar\theta)^2, \qquad
        D = [\theta_{n-K+1} - \bar\theta, \dots, \theta_n - \bar\theta].

    Parameters
    ----------
    start
        Means (restarts, size) that the fit starts from.
    rank
        Number K of iterates that are kept.
    every
        Number of steps from one iterate to the next.

    Attributes
    ----------
    part, rate
        Names of the part of the fit and of its learning rate; see `companion.training.Collector`.
    """

    part, rate = "trajectory", "trajectory, the learning rate of this part"

    def __init__(self, start: torch.Tensor, rank: int, every: int) -> None:
        restarts, size = start.shape
        self.rank, self.every = rank, every
        self._mean = torch.zeros_like(start)
        self._squares = torch.zeros_like(start)
        self._last = start.new_zeros(restarts, rank, size)

    def count(self, step: int) -> int:
        """Count the iterates after so many steps."""
        return step // self.every

    def collect(self, step: int, parameters: Parameters) -> None:
        """Take an iterate where one is due."""
        if step % self.every:
            return
        now, count = parameters["mean"], self.count(step)
        away = now - self._mean
        self._mean += away / count
        self._squares += away * (now - self._mean)  # Welford's: differences of large squares would lose all digits
        self._last[:, (count - 1) % self.rank] = now

    @property
    def family(self) -> LowRank:
        """Family of the Gaussian."""
        return LowRank(self.rank)

    def gaussian(self, step: int) -> Parameters:
        r"""Give the Gaussian's parameters, for all restarts.

        Its covariance is :math:`\tfrac12 \operatorname{diag}(s^2) + \tfrac{1}{2 (K - 1)} D D^\top`.

        Parameters
        ----------
        step
            Number of steps that are done; at least two iterates must be there.
        """
        count = self.count(step)
        kept = min(count, self.rank)
        columns = min(self.rank, self._mean.shape[1])
        factor = ((self._last[:, :kept] - self._mean[:, None]) / math.sqrt(2 * (kept - 1))).mT
        if kept > columns:  # D Dᵀ = RᵀR of Dᵀ = QR, in as few columns as there are values
            factor = torch.linalg.qr(factor.mT).R.mT
        factor = torch.nn.functional.pad(factor, (0, columns - factor.shape[2]))
        half = (self._squares / (2 * count)).clamp_min(_LEAST_VARIANCE)
        return {"mean": self._mean.clone(), "log_scale": 0.5 * half.log(), "factor": factor.contiguous()}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Collect what was gathered."""
        return {"mean": self._mean, "squares": self._squares, "last": self._last}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go back, or forward, to what was gathered at another step."""
        for name, own in self.tensors().items():
            own.copy_(tensors[name])
