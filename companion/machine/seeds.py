"""Random seeds, derived from the fit's own seed and from the purpose of the numbers.

Every random number of a fit follows from its seed and from where it is used (step, process, restart), and not from a
state that is carried along. So a fit that was killed goes on with the numbers that it would have drawn. Explained in
`book/reference/how_a_fit_works`, section "Seeds".
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
import torch

from companion.checks import whole

__all__ = ["generator_for", "reseed", "seed_for"]


def seed_for(seed: int, purpose: str, *numbers: int) -> int:
    """Derive a seed of 63 bits from the fit's seed, the purpose and numbers such as a step."""
    seed = whole("seed", seed, 0)
    words = np.random.SeedSequence([seed, crc32(purpose.encode()), *numbers]).generate_state(2, np.uint32)
    return (int(words[0]) << 31) ^ int(words[1])


def generator_for(device: torch.device, seed: int, purpose: str, *numbers: int) -> torch.Generator:
    """Make a torch generator on a device, seeded by `seed_for`."""
    return torch.Generator(device).manual_seed(seed_for(seed, purpose, *numbers))


def reseed(device: torch.device, seed: int) -> None:
    """Seed torch's own generators of the processor and of a device.

    `torch.manual_seed` seeds those of every device there could be. Without a GPU it keeps a stack trace of each call
    for the day that one is used, which costs a small model a tenth of its step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        with torch.device(device):
            torch.get_device_module(device.type).manual_seed(seed)
