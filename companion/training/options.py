"""Rare settings of a fit, in groups that belong together.

Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from companion.checks import choice, positive, whole
from companion.errors import ModelError

__all__ = ["Checkpoint", "Rates", "Start", "StartKind", "Stream"]


class StartKind(StrEnum):
    """Where the means of the restarts start."""

    MODEL = "model"
    """The model's initial point. Restarts after the first shuffle it, variable by variable, and shift it a little
    where it is constant."""

    PRIOR = "prior"
    """Draws from the prior."""


@dataclass(frozen=True)
class Start:
    """Where a fit starts.

    Parameters
    ----------
    at
        A name of `StartKind`; or values of the free variables, by name, such as weights trained before. Restarts from
        given values differ in their noise alone.
    scale
        Standard deviation of every value at the start.
    map_steps
        Number of steps towards the posterior's mode before the fit.

    Raises
    ------
    ModelError
        If there is no such kind of start, or a number is out of range.
    """

    at: str | Mapping[str, np.ndarray] = "model"
    scale: float = 0.1
    map_steps: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.at, Mapping):
            choice(StartKind, "start", self.at, "a mapping from variables to values, or a Start")
        positive("scale", self.scale, owner=self)
        whole("map_steps", self.map_steps, 0)

    @classmethod
    def of(cls, start: Start | str | Mapping[str, np.ndarray]) -> Start:
        """Make a start of where it is; one that is a start already stays as it is."""
        return start if isinstance(start, Start) else cls(start)

    @property
    def kind(self) -> str:
        """Name of the kind; "given" for values."""
        return "given" if isinstance(self.at, Mapping) else str(self.at)


@dataclass(frozen=True)
class Rates:
    """Learning rates.

    Parameters
    ----------
    means
        Learning rate of the means.
    scales
        Learning rate of everything that makes the covariance.

    Raises
    ------
    ModelError
        If one isn't positive and finite.
    """

    means: float
    scales: float

    def __post_init__(self) -> None:
        positive("means", self.means, owner=self)
        positive("scales", self.scales, owner=self)

    @classmethod
    def of(cls, rate: Rates | float) -> Rates:
        """Give means and scales the same rate; rates stay as they are."""
        return rate if isinstance(rate, Rates) else cls(*[positive("learning_rate", rate)] * 2)


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a fit is written to disk, so that it goes on after a kill.

    Parameters
    ----------
    folder
        Folder of the checkpoint; it is made where there is none.
    every
        Number of steps between two checkpoints.

    Raises
    ------
    ModelError
        If `every` is below 1.
    """

    folder: str | Path
    every: int = 1000

    def __post_init__(self) -> None:
        whole("every", self.every, 1)

    @classmethod
    def of(cls, checkpoint: Checkpoint | str | Path | None) -> Checkpoint | None:
        """Make a checkpoint of its folder; one that is a checkpoint already, and None, stay as they are."""
        return checkpoint if checkpoint is None or isinstance(checkpoint, Checkpoint) else cls(checkpoint)


@dataclass(frozen=True)
class Stream:
    """Rows that are read as they are needed, for data that don't fit into memory.

    Parameters
    ----------
    dataset
        A map-style `torch.utils.data.Dataset`, each row a mapping from the names of the model's data to arrays. The
        model's own data then only give shapes.
    batch_size
        Number of rows in one step.
    workers
        Number of processes that read ahead.

    Raises
    ------
    ModelError
        If a number is out of range.
    """

    dataset: Any
    batch_size: int
    workers: int = 0

    def __post_init__(self) -> None:
        whole("workers", self.workers, 0)
        if self.batch_size is None:
            raise ModelError("a dataset was given without batch_size; expected the number of rows of one step.")
        whole("batch_size", self.batch_size, 1)
