"""What a fit is asked for, checked before anything runs.

Explained in the chapter `book/mnist/dense`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from companion.checks import is_number, positive, whole
from companion.errors import ModelError
from companion.machine import PRECISIONS
from companion.training.schedules import schedule_named
from companion.variational import Estimator, PointMass, family_named

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """The settings that decide what a fit computes; see `companion.inference.fit`."""

    steps: int
    batch_size: int | None
    restarts: int
    family: str
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

    def __post_init__(self) -> None:
        family = family_named(self.family)
        object.__setattr__(self, "family", family.name)
        Estimator.of(self.estimator)
        schedule_named(self.schedule)
        for name, least in (("steps", 1), ("restarts", 1), ("draws", 1), ("map_steps", 0), ("seed", 0)):
            object.__setattr__(self, name, whole(name, getattr(self, name), least))
        if self.batch_size is not None:
            object.__setattr__(self, "batch_size", whole("batch_size", self.batch_size, 1))
        for name in ("learning_rate", "scale_rate", "start_scale", "temperature"):
            object.__setattr__(self, name, positive(name, getattr(self, name)))
        warmup = is_number(self.kl_warmup) and 0 <= self.kl_warmup <= 1
        self._check("kl_warmup", warmup, "a share of the steps, from 0 to 1")
        object.__setattr__(self, "kl_warmup", float(self.kl_warmup))
        self._check("precision", self.precision in PRECISIONS, f"one of {list(PRECISIONS)}")
        kinds = ("model", "prior", "given")
        self._check("start", isinstance(self.start, str) and self.start in kinds, "'model', 'prior' or a mapping")
        if Estimator.of(self.estimator).acts_on_layers and (not family.factorised or isinstance(family, PointMass)):
            raise ModelError(
                f"estimator={self.estimator!r} needs independent weights, and family={self.family!r} has none. Use "
                "family='mean-field', or estimator='reparameterisation'."
            )

    def _check(self, name: str, fine: bool, expected: str) -> None:
        if not fine:
            raise ModelError(f"{name}={getattr(self, name)!r}; expected {expected}.")

    def as_json(self) -> dict[str, Any]:
        """Give the settings as plain values, for a checkpoint."""
        return asdict(self)
