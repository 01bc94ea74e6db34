"""The companion's own contestant: the engine's training loop, a step at a time."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pymc as pm
import pytest
import torch
from problem import Problem

from companion.bridge import torch_log_density
from companion.machine import PRECISIONS, has_bfloat16
from companion.models import torch_classifier
from companion.priors import Gaussian
from companion.training import Processes, Settings, Training, batches_for, starting_means
from companion.variational import Estimator, MeanField, Objective


def training_of(model: pm.Model, device: torch.device, *, compile: bool | str, **settings: Any) -> Training:
    """Set a mean-field fit of any model up, as `companion.inference.fit` does."""
    defaults = {
        "batch_size": None, "restarts": 1, "family": "mean-field", "estimator": "reparameterisation", "draws": 1,
        "schedule": "constant", "start": "model", "start_scale": 0.1, "map_steps": 0, "kl_warmup": 0.0,
        "temperature": 1.0, "precision": "float32", "seed": 0,
    }  # fmt: skip
    s = Settings(**defaults | settings, scale_rate=settings["learning_rate"])
    bfloat16 = s.precision == "bfloat16"
    if bfloat16 and not has_bfloat16(device):
        pytest.skip(f"the {device.type} has no bfloat16 arithmetic of its own")
    density = torch_log_density(model, dtype=PRECISIONS[s.precision], device=device)
    estimator = Estimator.of(s.estimator)
    batches, rows = batches_for(density, s.batch_size, None, s.seed, 0, 1, 0)
    objective = Objective(density, MeanField(), estimator, rows=rows, draws=s.draws, bfloat16=bfloat16)
    means = starting_means(model, objective.layout, s.start, s.restarts, s.seed).to(device, density.dtype)
    own = [objective.family.start(mean, s.start_scale) for mean in means]
    parameters = {name: torch.stack([p[name] for p in own]) for name in own[0]}
    # Everybody computes with the same threads; what "auto" would choose here stayed for the peers in this process.
    threads = torch.get_num_threads()
    return Training(objective, s, batches, Processes(), parameters, compile, threads_wanted=threads)


@dataclasses.dataclass
class Ours:
    """The engine on a `Problem`.

    Parameters
    ----------
    whole_loop
        Number of steps of one call of `Training.run`, with all that surrounds steps there (rate, checks, the copy of
        the last good state); 0 takes single steps.
    """

    problem: Problem
    device: torch.device
    precision: str = "float32"
    compile: bool | str = False
    estimator: str = "reparameterisation"
    draws: int = 1
    restarts: int = 1
    whole_loop: int = 0

    def __post_init__(self) -> None:
        p = self.problem
        model = torch_classifier(p.observations, p.network(), Gaussian(p.prior))
        self.training = training_of(
            model, self.device, compile=self.compile, steps=self.whole_loop or 10_000, batch_size=p.batch,
            restarts=self.restarts, draws=self.draws, learning_rate=p.rate, start_scale=p.scale,
            estimator=self.estimator, precision=self.precision, seed=p.seed,
        )  # fmt: skip
        self.losses(1)  # lowers, traces and compiles

    def steps(self, n: int) -> None:
        with torch.no_grad():
            if self.whole_loop:
                self.training.step = 0
                self.training.run(every=10**9, progressbar=False)
                return
            for _ in range(n):
                if self.training.step == self.training.settings.steps:
                    self.training.step = 0
                self.training.take()

    def losses(self, n: int) -> np.ndarray:
        with torch.no_grad():
            return np.array([float(self.training.evaluate(k)[0].mean()) for k in range(n)])
