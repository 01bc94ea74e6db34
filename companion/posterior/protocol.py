"""What every posterior can do, however it was found.

Explained in `book/reference/how_a_fit_works`, section "The posterior".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from companion.posterior.marginals import Moments
from companion.posterior.record import Record

__all__ = ["Draws", "Measuring", "Posterior"]

Draws = Mapping[str, np.ndarray]


@runtime_checkable
class Posterior(Protocol):
    """What every posterior can do, however it was found.

    A posterior of your own takes most of it from `companion.posterior.PosteriorBase`.
    """

    @property
    def record(self) -> Record:
        """How it was found."""
        ...

    def draw(self, n: int, seed: int, names: Sequence[str] | None = None) -> Draws:
        r"""Draw ``n`` sets of values, or of those named: a mapping from name to array (n, \*shape).

        The same seed gives the same draws, whichever are named. Predicting needs them all.
        """
        ...

    def predict(self, x: Any, draws: Draws) -> np.ndarray:
        """Predict class probabilities (draws, points, classes) or means (draws, points) at inputs ``x``."""
        ...

    def predictive(self, x: Any, n: int, seed: int) -> np.ndarray:
        """Predict with ``n`` draws: the same as `predict` with `draw`, where it can be in less memory."""
        ...

    def moments(self) -> dict[str, Moments]:
        """Return the mean and the standard deviation of each value, in the unconstrained space of the fit."""
        ...

    def to_arviz(
        self, n: int = 1000, seed: int = 0, *, names: Sequence[str] | None = None, log_likelihood: bool = False
    ) -> Any:
        """Put draws into ArviZ's own container: InferenceData before ArviZ 1, DataTree from it on."""
        ...

    def save(self, path: str | Path, *, half: bool = True) -> Path:
        """Write it to a file that `companion.load_posterior` reads."""
        ...


@runtime_checkable
class Measuring(Protocol):
    """A posterior that knows the distribution of the next measurement: of a PyMC model, or of Bayes by Backprop."""

    def observed_parameters(self, x: Any, n: int, seed: int) -> tuple[str, dict[str, np.ndarray]]:
        """Compute the parameters of the likelihood at inputs, under ``n`` draws: its name, and arrays by theirs."""
        ...
