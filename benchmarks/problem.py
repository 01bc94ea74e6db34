"""The problem that every contestant of `bench_step` and `bench_prediction` solves: a network, its prior, its rows.

A dense ReLU network with a normal prior on every weight and bias, a categorical likelihood, mean-field variational
inference with one draw per step. `Problem.loss` computes what all must agree on, from no library but torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional

from companion import datasets
from companion.datasets import Observations
from companion.networks import dense

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Problem:
    r"""What is fitted: rows, a network, :math:`w \sim \mathcal{N}(0, \mathrm{prior}^2)`, and where a fit starts.

    Attributes
    ----------
    data
        What the rows are.
    x, y
        Pixels (rows, 784) in float32 and labels (rows,) in int32.
    widths
        Widths of the network's layers.
    batch
        Number of rows in one step.
    prior
        Standard deviation of the prior.
    scale
        Standard deviation of every approximation at the start; its means are the network's own weights.
    rate
        Learning rate of Adam.
    """

    data: str
    x: np.ndarray
    y: np.ndarray
    widths: tuple[int, ...] = (784, 800, 800, 10)
    batch: int = 500
    prior: float = 0.1
    scale: float = 0.01
    rate: float = 1e-3
    seed: int = 0

    @cached_property
    def observations(self) -> Observations:
        return Observations(self.x, self.y)

    @cached_property
    def _tensors(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        return {}

    def tensors(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Give all rows as tensors on a device, the same ones to everybody."""
        if str(device) not in self._tensors:
            x, y = torch.tensor(self.x, device=device), torch.tensor(self.y, device=device, dtype=torch.int64)
            self._tensors[str(device)] = x, y
        return self._tensors[str(device)]

    def network(self) -> torch.nn.Sequential:
        return dense(*self.widths, seed=self.seed)

    def start(self, device: torch.device) -> dict[str, torch.Tensor]:
        """Give the means where every fit starts."""
        return {name: p.detach().clone().to(device) for name, p in self.network().named_parameters()}

    @cached_property
    def weights(self) -> int:
        """Count them."""
        return sum(p.numel() for p in self.network().parameters())

    def rows(self, generator: torch.Generator) -> torch.Tensor:
        """Draw the rows (batch,) of one step."""
        return torch.randint(len(self.x), (self.batch,), generator=generator, device=generator.device)

    def losses(self, n: int, seed: int = 0) -> np.ndarray:
        r"""Estimate the negative ELBO at the start ``n`` times (n,), in nats, straight from its definition.

        .. math::

            -\frac{N}{B} \sum_{i \in \text{batch}} \log p(y_i \mid x_i, \mu + \sigma \epsilon)
            + \sum_j \log \frac{s}{\sigma_j} + \frac{\sigma_j^2 + \mu_j^2}{2 s^2} - \frac{1}{2}
        """
        cpu = torch.device("cpu")
        generator = torch.Generator().manual_seed(seed)
        x, y = self.tensors(cpu)
        means = self.start(cpu)
        flat = torch.cat([m.flatten() for m in means.values()]).double()
        kl = np.log(self.prior / self.scale) + (self.scale**2 + flat.square()) / (2 * self.prior**2) - 0.5
        found = []
        for _ in range(n):
            rows = self.rows(generator)
            drawn = {k: m + self.scale * torch.randn(m.shape, generator=generator) for k, m in means.items()}
            nll = functional.cross_entropy(forward(drawn, x[rows]), y[rows], reduction="mean") * len(x)
            found.append(float(nll) + float(kl.sum()))
        return np.array(found)


def forward(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """Compute the logits (rows, classes) of a dense ReLU network from its weights and biases, in their order."""
    *hidden, last = zip(*[iter(weights.values())] * 2, strict=True)
    for weight, bias in hidden:
        x = functional.relu(functional.linear(x, weight, bias))
    return functional.linear(x, *last)


def problem(tiny: bool = False, *, small: bool = False, width: int | None = None, rows: int | None = None) -> Problem:
    """Pose the problem: MNIST where it is to be had, or the package's stand-in; random pixels for a tiny one.

    Parameters
    ----------
    small
        Whether to take the two moons and a network of 522 weights.
    width
        Width of both hidden layers.
    rows
        Number of rows; the data are repeated where they are fewer.
    """
    if tiny:
        rng = np.random.default_rng(0)
        count = rows or 600
        x, y = rng.random((count, 784), dtype=np.float32), rng.integers(0, 10, count).astype(np.int32)
        return Problem("random pixels", x, y, widths=(784, width or 16, width or 16, 10), batch=50)
    if small:
        moons = datasets.moons(n_samples=1000, noise=0.2, seed=0).train
        x, y = moons.x.astype(np.float32), moons.y.astype(np.int32)
        return Problem("moons", x, y, widths=(2, 20, 20, 2), batch=min(500, len(x)), prior=1.0, scale=0.1, rate=0.01)
    found = datasets.mnist() if os.environ.get("COMPANION_DATA_DIR") else datasets.digits()
    x, y = found.train.x.reshape(len(found.train), -1), found.train.y
    at = np.arange(rows or len(x)) % len(x)
    return Problem(found.name, x[at], y[at], widths=(784, width or 800, width or 800, 10))
