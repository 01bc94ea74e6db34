"""Devices and precisions: where a fit computes, and with which numbers.

Explained in `book/reference/how_a_fit_works`, section "The machine".
"""

from __future__ import annotations

import os

import torch

from companion.errors import ModelError

__all__ = ["PRECISIONS", "device_named", "has_bfloat16"]

PRECISIONS = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}
"""The dtype of the parameters, by the name of the precision."""


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
