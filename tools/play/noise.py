"""Standard normal numbers that Python and a browser draw alike: the noise behind the draws of the pages' pieces.

Each pair comes from two counted whole numbers, mixed by multiplications and shifts of 32 bits ("lowbias32", found by
Chris Wellons), and from the transform of Box and Muller (1958), "A Note on the Generation of Random Normal Deviates".
The same lines in JavaScript stand in ``book/_play/noise.js``; a test holds the two together.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["normals"]

GOLDEN = 0x9E3779B9
"""What keeps the counters of neighbouring seeds apart: 2**32 divided by the golden ratio."""


def normals(seed: int, n: int) -> NDArray[np.float64]:
    """Draw ``n`` standard normal numbers; the same seed gives the same numbers.

    Parameters
    ----------
    seed
        Whole number from 0, below 2**32.
    n
        Number of numbers, at most 2**31.
    """
    pairs = (n + 1) // 2
    start = _mixed(np.array([(seed * GOLDEN + 1) & 0xFFFFFFFF], dtype=np.uint32))[0]
    with np.errstate(over="ignore"):
        bits = _mixed(np.arange(2 * pairs, dtype=np.uint32) + start).astype(np.float64)
    uniform = ((bits + 0.5) / 2**32).reshape(pairs, 2)
    radius, angle = np.sqrt(-2 * np.log(uniform[:, 0])), 2 * np.pi * uniform[:, 1]
    drawn: NDArray[np.float64] = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()[:n]
    return drawn


def _mixed(bits: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Mix the bits of whole numbers so that neighbours have nothing in common."""
    with np.errstate(over="ignore"):
        bits = (bits ^ (bits >> np.uint32(16))) * np.uint32(0x7FEB352D)
        bits = (bits ^ (bits >> np.uint32(15))) * np.uint32(0x846CA68B)
        return bits ^ (bits >> np.uint32(16))
