"""Random seeds, derived from the fit's own seed and from the purpose of the numbers.

Every random number of a fit follows from its seed and from where it is used (step, process, restart), and not from a
state that is carried along. So a fit that was killed goes on with the numbers that it would have drawn. Explained in
`book/reference/how_a_fit_works`, section "Seeds".
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
import torch

from companion.checks import whole

__all__ = ["Generators", "Seeds", "generator_for", "reseed", "seed_for"]

_AT_ONCE = 1000  # seeds
_PCG64 = 0x2360ED051FC65DA44385DF649FCCF645  # the multiplier of O'Neill's generator (2014), which NumPy's default is


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
        if not 0 <= number - self._first < len(self._known):
            self._first, self._known = number, self.some(number, _AT_ONCE).tolist()
        return self._known[number - self._first]

    def some(self, first: int, count: int) -> np.ndarray:
        """Give the seeds (count,) for consecutive numbers; fewer where they come to 2³²."""
        numbers = np.arange(first, min(first + count, 2**32)).astype(np.uint32)
        high, low = _hashed([*self._before, numbers, *self._after], 2).astype(np.int64)
        return (high << 31) ^ low


class Generators:
    """NumPy's generators of one purpose for a number that goes up: those of ``default_rng(seed_for(...))``.

    Parameters
    ----------
    seed, purpose, after
        Arguments of `Seeds`.
    """

    def __init__(self, seed: int, purpose: str, *after: int) -> None:
        self._seeds = Seeds(seed, purpose, *after)
        self._bits = np.random.PCG64(0)
        self._own = np.random.Generator(self._bits)
        self._first = 0
        self._known: list[list[int]] = []

    def at(self, number: int) -> np.random.Generator:
        """Give the generator for a number below 2³². The next call takes it over."""
        if not 0 <= number - self._first < len(self._known):
            seeds = self._seeds.some(number, _AT_ONCE)
            words = _hashed([seeds.astype(np.uint32), (seeds >> 32).astype(np.uint32)], 8).astype(np.uint64)
            self._first, self._known = number, (words[::2] | words[1::2] << np.uint64(32)).T.tolist()
        a, b, c, d = self._known[number - self._first]
        step = (c << 65 | d << 1 | 1) % 2**128
        state = ((a << 64 | b) + step) * _PCG64 + step
        own: Any = {"state": state % 2**128, "inc": step}
        self._bits.state = {"bit_generator": "PCG64", "state": own, "has_uint32": 0, "uinteger": 0}
        return self._own


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


def _hashed(entropy: list[Any], count: int) -> np.ndarray:
    """Compute words (count, n) of `numpy.random.SeedSequence` from words, some of which are vectors (n,) of them.

    The hash is O'Neill's (2015, "Developing a seed_seq alternative"), with NumPy's constants.
    """
    size = max(np.size(word) for word in entropy)
    words = [np.full(size, word, np.uint32) for word in entropy]
    words += [np.zeros(size, np.uint32)] * (4 - len(words))
    inner, outer = _Hash(0x43B0D7E5, 0x931E8875), _Hash(0x8B51F9DD, 0x58F38DED)
    pool = [inner(word) for word in words[:4]]
    for source in range(4):
        for k in range(4):
            if k != source:
                pool[k] = _mixed(pool[k], inner(pool[source]))
    for word in words[4:]:
        for k in range(4):
            pool[k] = _mixed(pool[k], inner(word))
    return np.stack([outer(pool[k % 4]) for k in range(count)])


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
