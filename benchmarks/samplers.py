"""A step of the samplers of mini-batches, ours and a peer's, and the gradient of the same batch by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from peers import PosteriorsLog, PosteriorsSteps
from problem import Problem, forward
from torch.nn import functional

from companion.bridge import torch_log_density
from companion.machine import Machine
from companion.models import torch_classifier
from companion.priors import Gaussian
from companion.sampling import Noise, Sampler, Target
from companion.sampling import Problem as Task
from companion.training import batches_for
from companion.variational import Estimator, Objective, PointMass

STEPS = 10_000  # of a chain, for the schedule of its step sizes


class Bare:
    """The gradient of a mini-batch, as the samplers get it, and nothing else."""

    def __init__(self, problem: Problem, device: torch.device, *, compile: bool = False, chains: int = 1) -> None:
        p = problem
        model = torch_classifier(p.observations, p.network(), Gaussian(p.prior))
        density = torch_log_density(model, dtype=torch.float32, device=device)
        batches, rows = batches_for(density, p.batch, None, p.seed, 0, 1, 0)
        objective = Objective(density, PointMass(), Estimator.REPARAMETERISATION, rows=rows)
        start = np.stack([objective.layout.join(density.start)] * chains)
        self.position = torch.as_tensor(start).to(device, torch.float32)
        self.rows = rows
        machine = Machine(device, "float32", compile, threads=torch.get_num_threads())
        self.target = Target(objective, batches, machine, STEPS)
        self.step = 0
        self.steps(1)  # traces and compiles

    def steps(self, n: int) -> None:
        with torch.no_grad():
            for _ in range(n):
                self.target(self.position, self.step)
                self.step += 1

    def log_densities(self, n: int) -> np.ndarray:
        """Estimate the log density at the start ``n`` times (n,), in nats, each time from other rows."""
        with torch.no_grad():
            return np.array([float(self.target(self.position, k)[0].mean()) for k in range(n)])


class Chain(Bare):
    """A sampler of ours on a `Problem`, a step at a time."""

    def __init__(self, problem: Problem, device: torch.device, *, sampler: Sampler, **settings: Any) -> None:
        super().__init__(problem, device, **settings)
        chains, size = self.position.shape
        task = Task(self.target, size, chains, 0, STEPS, device, torch.float32, self.rows, problem.batch)
        self._kernel, self._seed = sampler.kernel(task), problem.seed
        self._state = self._kernel.begin(self.position, self._noise(-1))

    def steps(self, n: int) -> None:
        if not hasattr(self, "_state"):
            super().steps(n)
            return
        with torch.no_grad():
            for _ in range(n):
                step = self.step % STEPS
                self._state, _ = self._kernel.step(self._state, self._noise(step), step)
                self.step += 1

    def _noise(self, step: int) -> Noise:
        position = self.position
        return Noise(self._seed, step, len(position), position.device, position.dtype)


class PosteriorsChain(PosteriorsSteps):
    """A sampler of `posteriors.sgmcmc`, updated in place.

    Parameters
    ----------
    name
        Its module: "sgld", "sghmc" or "sgnht".
    settings
        Its own, beside ``lr`` and ``temperature``.
    """

    def __init__(self, problem: Problem, device: torch.device, *, name: str, rate: float, **settings: float) -> None:
        self._common = PosteriorsLog(problem, device, bfloat16=False)
        import posteriors

        module = getattr(posteriors.sgmcmc, name)
        self._transform = module.build(
            self._common.log_posterior, lr=rate, temperature=1 / self._common.rows, **settings
        )
        self._start = problem.start(device)
        self._state = self._transform.init({n: w.clone() for n, w in self._start.items()})
        self.steps(1)

    def log_densities(self, n: int) -> np.ndarray:
        common = self._common
        with torch.no_grad():
            found = [float(common.log_posterior(self._start, common.batch())[0]) for _ in range(n)]
        return np.array(found) * common.rows


def log_density(problem: Problem) -> float:
    """Compute the log density of all rows and of the weights at the start, in nats, from its definition."""
    cpu = torch.device("cpu")
    x, y = problem.tensors(cpu)
    weights: Mapping[str, torch.Tensor] = problem.start(cpu)
    with torch.no_grad():
        nll = sum(
            float(functional.cross_entropy(forward(weights, a), b, reduction="sum").double())
            for a, b in zip(x.split(5000), y.split(5000), strict=True)
        )
    flat = torch.cat([w.flatten() for w in weights.values()]).double()
    constant = math.log(problem.prior) + 0.5 * math.log(2 * math.pi)
    return -nll - float((0.5 * (flat / problem.prior).square() + constant).sum())
