"""What a fit is asked for, checked before anything runs.

Explained in the chapter `book/mnist/dense`.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

import torch

from companion.checks import is_number, positive, whole
from companion.errors import ModelError
from companion.inference.estimators import Estimator
from companion.inference.families import PointMass, family_named
from companion.inference.schedules import schedule_named

__all__ = ["PRECISIONS", "Settings", "device_named", "has_bfloat16"]

PRECISIONS = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}


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


def device_named(device: str | torch.device) -> torch.device:
    """Look a device up; "auto" is a GPU where there is one, and under ``torchrun`` each process takes its own.

    Raises
    ------
    ModelError
        If torch knows no such device, or can't reach it.
    """
    if device == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ModelError(
            f"device={device!r} can't be used ({str(error).splitlines()[0]}); expected 'auto', 'cpu' or 'cuda'."
        ) from error
    return found


def has_bfloat16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 matrices itself; elsewhere they are slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
