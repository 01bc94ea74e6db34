"""Devices and precisions: where a fit computes, and in which numbers.

Explained in `book/reference/how_a_fit_works`, section "The machine".
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from enum import StrEnum

import torch

from companion.checks import choice
from companion.errors import ModelError, first_line
from companion.machine.threads import checked_threads

__all__ = ["PRECISIONS", "Machine", "Precision", "device_named", "has_bfloat16"]

PRECISIONS = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}
"""The dtype of the parameters, by the name of the precision."""


_LARGE = 100_000  # values; below, bfloat16 gains little or nothing over float32


class Precision(StrEnum):
    """Numbers that a fit computes with."""

    FLOAT32 = "float32"
    """Single precision throughout."""

    FLOAT64 = "float64"
    """Double precision throughout: slower, for densities that need it."""

    BFLOAT16 = "bfloat16"
    """Single precision, with the likelihood's matrix products in bfloat16 where the processor multiplies those itself;
    elsewhere it is the same as "float32"."""

    AUTO = "auto"
    """"bfloat16" where the processor multiplies it itself and the model is so large, 100,000 values or more, that this
    saves time; otherwise "float32". Samplers that need all rows choose between "float32" and "float64"."""


@dataclass(frozen=True)
class Machine:
    """Where and with which numbers a fit computes.

    Parameters
    ----------
    device
        Name of a torch device; "auto" takes a GPU where there is one, and under ``torchrun`` each process its own.
    precision
        Numbers to compute with: a name of `Precision`.
    compile
        Whether to compile. On a processor, the steps of a small model are compiled as a whole, and what was compiled is
        kept for later fits and processes; of all others, the gradient, with `torch.compile`. "auto" compiles where the
        fit is long enough to earn the compilation's time back: small models in the background, so that the first steps
        are not compiled, and others where it is measured to be faster. "kernels" compiles without making a CUDA graph
        on a GPU, which takes less memory.
    threads
        Number of the processor's threads that a fit uses. "auto" measures whether several of them, as many as torch
        uses in the session, are faster than one. A fit that is expected to take less than two seconds isn't measured:
        it uses one, unless its largest tensor has 2**18 numbers or more.

    Raises
    ------
    ModelError
        If torch doesn't know the device or can't reach it, or a setting is not one of these.
    """

    device: str | torch.device = "auto"
    precision: str = "float32"
    compile: str | bool = "auto"
    threads: int | str = "auto"

    def __post_init__(self) -> None:
        choice(Precision, "precision", self.precision)
        if self.compile not in (True, False, "auto", "kernels"):
            raise ModelError(f"compile={self.compile!r}; expected 'auto', True, False or 'kernels'.")
        object.__setattr__(self, "threads", checked_threads(self.threads))

    @classmethod
    def of(cls, machine: Machine | str | torch.device) -> Machine:
        """Make a machine of the name of its device; one that is a machine already stays as it is."""
        return machine if isinstance(machine, Machine) else cls(machine)

    @property
    def place(self) -> torch.device:
        """The device that the name means here."""
        return device_named(self.device)

    def settled(self, values: int) -> Machine:
        """Choose the precision for a model of so many values, where it is "auto"; otherwise return the machine."""
        if self.precision != Precision.AUTO:
            return self
        half = values >= _LARGE and has_bfloat16(self.place)
        return replace(self, precision=str(Precision.BFLOAT16 if half else Precision.FLOAT32))


def device_named(device: str | torch.device) -> torch.device:
    """Look a device up; "auto" is a GPU where there is one, and under ``torchrun`` each process takes its own.

    Raises
    ------
    ModelError
        If torch doesn't know the device, or can't reach it.
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
            f"device={device!r} can't be used ({first_line(error)}); expected 'auto', 'cpu' or 'cuda'."
        ) from error
    return found


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether the processor multiplies bfloat16 matrices itself; elsewhere they are slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
