"""Settings of a fit, checked before anything runs.

Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch

from companion.checks import choice, positive, whole
from companion.errors import ModelError
from companion.machine import Machine, Precision
from companion.training.options import OptimiserName, Rates, Start, Stream
from companion.training.schedules import Schedule
from companion.variational import Dropout, Estimator, Family, MeanField, PointMass, family_named

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """The settings that decide what a fit computes; see `companion.inference.fit`."""

    steps: int
    batch_size: int | None
    restarts: int
    family: str | Family
    estimator: str
    draws: int
    learning_rate: float
    scale_rate: float
    schedule: str
    start: str
    start_scale: float
    map_steps: int
    kl_warmup: float
    temperature: float
    precision: str
    seed: int
    optimiser: str = "adam"
    epsilon: float = 0.1

    def __post_init__(self) -> None:
        family = family_named(self.family)
        object.__setattr__(self, "family", family.name)
        Estimator.of(self.estimator)
        Schedule(self.schedule, self.kl_warmup)
        choice(Precision, "precision", self.precision)
        for name, least in (("steps", 1), ("restarts", 1), ("draws", 1), ("map_steps", 0), ("seed", 0)):
            object.__setattr__(self, name, whole(name, getattr(self, name), least))
        if self.batch_size is not None:
            object.__setattr__(self, "batch_size", whole("batch_size", self.batch_size, 1))
        for name in ("learning_rate", "scale_rate", "start_scale", "temperature", "epsilon"):
            object.__setattr__(self, name, positive(name, getattr(self, name)))
        object.__setattr__(self, "kl_warmup", float(self.kl_warmup))
        optimiser = choice(OptimiserName, "optimiser", self.optimiser)
        object.__setattr__(self, "optimiser", optimiser.value)
        if optimiser is OptimiserName.IVON and not isinstance(family, MeanField):
            raise ModelError(
                f"optimiser='ivon' is for independent normals, and family={self.family!r} isn't made of them. Use "
                "family='mean-field', or optimiser='adam'."
            )
        independent = family.factorised and not isinstance(family, PointMass)
        if Estimator.of(self.estimator).acts_on_layers and not (independent or isinstance(family, Dropout)):
            raise ModelError(
                f"estimator={self.estimator!r} needs independent weights, and family={self.family!r} has none. Use "
                "family='mean-field', or estimator='reparameterisation'."
            )

    @classmethod
    def of(
        cls,
        *,
        batch_size: int | Stream | None,
        family: str | Family,
        learning_rate: float | Rates,
        schedule: str | Schedule,
        start: str | Mapping[str, np.ndarray] | Start,
        machine: str | torch.device | Machine,
        **plain: Any,
    ) -> Settings:
        """Make settings of what a front door is given: groups become numbers and words, which a checkpoint holds."""
        rates, changes, begin = Rates.of(learning_rate), Schedule.of(schedule), Start.of(start)
        return cls(
            batch_size=batch_size.batch_size if isinstance(batch_size, Stream) else batch_size,
            family=family,
            learning_rate=rates.means,
            scale_rate=rates.scales,
            optimiser=str(rates.optimiser),
            epsilon=rates.epsilon,
            schedule=str(changes.shape),
            kl_warmup=changes.kl_warmup,
            start=begin.kind,
            start_scale=begin.scale,
            map_steps=begin.map_steps,
            precision=str(Machine.of(machine).precision),
            **plain,
        )

    @classmethod
    def of_record(cls, settings: Mapping[str, Any], family: str | Family) -> Settings:
        """Make the settings of a fit again, of its record, which may say more than they."""
        own = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in settings.items() if name in own} | {"family": family})

    def as_json(self) -> dict[str, Any]:
        """Return the settings as plain values, for a checkpoint."""
        return asdict(self)
