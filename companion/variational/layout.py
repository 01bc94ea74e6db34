"""The layout of a model's values in one flat vector.

Explained in the chapter `book/mnist/dense`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """Where each value lies in the flat vector.

    Attributes
    ----------
    names, shapes
        Names and shapes of the values, in order.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, start: Mapping[str, np.ndarray]) -> Layout:
        """Lay out values like these."""
        return cls(tuple(start), tuple(np.shape(a) for a in start.values()))

    @property
    def sizes(self) -> list[int]:
        """Count the entries of each value."""
        return [prod(shape) for shape in self.shapes]

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(self.sizes)

    def split(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        r"""Take a vector (size,) apart into views: name to tensor (\*shape)."""
        parts = flat.split(self.sizes)
        return {n: part.reshape(shape) for n, part, shape in zip(self.names, parts, self.shapes, strict=True)}

    def join(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Lay values one after another into a vector (size,)."""
        return np.concatenate([np.ravel(values[name]) for name in self.names])

    def name_at(self, index: int) -> str:
        """Name the value that holds an entry of the vector."""
        for name, size in zip(self.names, self.sizes, strict=True):
            if index < size:
                return name
            index -= size
        raise IndexError(index)
