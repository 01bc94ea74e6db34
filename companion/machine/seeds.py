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

__all__ = ["Seeds", "generator_for", "reseed", "seed_for"]

_AT_ONCE = 1000  # seeds


def seed_for(seed: int, purpose: str, *numbers: int) -> int:
    """Derive a seed of 63 bits from the fit's seed, the purpose and numbers such as a step."""
    seed = whole("seed", seed, 0)
    words = np.random.SeedSequence([seed, crc32(purpose.encode()), *numbers]).generate_state(2, np.uint32)
    return (int(words[0]) << 31) ^ int(words[1])


class Seeds:
    """Seeds of one purpose for a number that goes up, such as a step: those of `seed_for`, many at a time.

    One seed takes NumPy longer than torch takes to draw the numbers of a small model's step.

    Parameters
    ----------
    seed, purpose
        Arguments of `seed_for`.
    after
        Its numbers that follow the one that goes up, such as the process.
    """

    def __init__(self, seed: int, purpose: str, *after: int) -> None:
        self._before = [*_words(whole("seed", seed, 0)), crc32(purpose.encode())]
        self._after = [word for number in after for word in _words(number)]
        self._first = 0
        self._known: list[int] = []

    def at(self, number: int) -> int:
        """Give the seed for a number below 2³²."""
        k = number - self._first
        if not 0 <= k < len(self._known):
            self._first, k = number, 0
            some = np.arange(number, min(number + _AT_ONCE, 2**32), dtype=np.uint32)
            first, second = _hashed([*self._before, some, *self._after])
            self._known = ((first.astype(np.int64) << 31) ^ second.astype(np.int64)).tolist()
        return self._known[k]


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


def _words(number: int) -> list[int]:
    """Split a whole number into words of 32 bits, as NumPy does, the low one first."""
    return [number >> shift & 0xFFFFFFFF for shift in range(0, max(number.bit_length(), 1), 32)]


def _hashed(entropy: list[int | np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Compute the first two words of `numpy.random.SeedSequence` from words, of which one is a vector (n,) of them.

    The hash is O'Neill's (2015, "Developing a seed_seq alternative"), with NumPy's constants.
    """
    count = max(np.size(word) for word in entropy)
    words = [np.full(count, word, np.uint32) for word in entropy]
    words += [np.zeros(count, np.uint32)] * (4 - len(words))
    inner, outer = _Hash(0x43B0D7E5, 0x931E8875), _Hash(0x8B51F9DD, 0x58F38DED)
    pool = [inner(word) for word in words[:4]]
    for source in range(4):
        for k in range(4):
            if k != source:
                pool[k] = _mixed(pool[k], inner(pool[source]))
    for word in words[4:]:
        for k in range(4):
            pool[k] = _mixed(pool[k], inner(word))
    return outer(pool[0]), outer(pool[1])


class _Hash:
    """A hash of words of 32 bits, whose constant is another one at each call."""

    def __init__(self, constant: int, factor: int) -> None:
        self._constant, self._factor = constant, factor

    def __call__(self, words: np.ndarray) -> np.ndarray:
        mixed = words ^ np.uint32(self._constant)
        self._constant = self._constant * self._factor & 0xFFFFFFFF
        return _folded(mixed * np.uint32(self._constant))


def _mixed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return _folded(a * np.uint32(0xCA01F9DD) - b * np.uint32(0x4973F715))


def _folded(words: np.ndarray) -> np.ndarray:
    return words ^ (words >> np.uint32(16))
