"""What every posterior can do, however it was found.

Explained in `book/reference/how_a_fit_works`, section "The posterior".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from companion.posterior.record import Record

__all__ = ["Draws", "Posterior"]

Draws = Mapping[str, np.ndarray]


@runtime_checkable
class Posterior(Protocol):
    """What every posterior can do, however it was found."""

    @property
    def record(self) -> Record:
        """How it was found."""
        ...

    def draw(self, n: int, seed: int) -> Draws:
        r"""Draw ``n`` sets of weights: a mapping from name to array (n, \*shape)."""
        ...

    def predict(self, x: np.ndarray, draws: Draws) -> np.ndarray:
        """Class probabilities (draws, points, classes) or means (draws, points) at inputs ``x``."""
        ...

    def to_arviz(self) -> Any:
        """ArviZ's own container: InferenceData before ArviZ 1, DataTree from it on."""
        ...
