"""Rare settings of a fit, in groups that belong together.

Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from companion.checks import choice, fraction, positive, whole
from companion.errors import ModelError

__all__ = ["Checkpoint", "OptimiserName", "Rates", "Start", "StartKind", "Stream", "Trajectory"]


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


class OptimiserName(StrEnum):
    """What follows the gradients."""

    ADAM = "adam"
    """Adam (Kingma and Ba 2015): for every family."""

    SGD = "sgd"
    """Stochastic gradient descent with momentum 0.9, on the loss divided by the number of rows, so that a rate means
    the same for any number of them: mostly for the family "map"."""

    WINDOWED_ADAGRAD = "windowed-adagrad"
    """AdaGrad whose sum of squared gradients holds the last ten steps: the default of `pymc.fit`, then as now, and
    so what the posts used. For every family; the formula stands at `companion.training.WindowedAdagrad`."""

    IVON = "ivon"
    """Natural gradients for the family "mean-field" at the price of Adam (Shen et al. 2024); the formula stands at
    `companion.training.Ivon`. The rate of the means is
    a share of Newton's step, such as 0.1. That of the scales is what the authors call one minus beta 2: from 0.00001
    for large networks to 0.01 for small models. Their h0, from 0.1 to 1, is ``Start(scale=(rows * h0) ** -0.5)``."""


@dataclass(frozen=True)
class Rates:
    """Learning rates, and the optimiser that takes them.

    Parameters
    ----------
    means
        Learning rate of the means.
    scales
        Learning rate of everything that makes the covariance.
    optimiser
        Name of an `OptimiserName`.
    epsilon
        Number that windowed AdaGrad adds to its sum of squares.

    Raises
    ------
    ModelError
        If a rate isn't positive and finite, there is no such optimiser, or IVON's rate of the scales isn't below 1.
    """

    means: float
    scales: float
    optimiser: str = "adam"
    epsilon: float = 0.1

    def __post_init__(self) -> None:
        positive("means", self.means, "such as 0.01", self)
        positive("scales", self.scales, "such as 0.01", self)
        positive("epsilon", self.epsilon, owner=self)
        if choice(OptimiserName, "optimiser", self.optimiser) is OptimiserName.IVON and not self.scales < 1:
            raise ModelError(
                f"scales={self.scales!r} in Rates with optimiser='ivon'; expected a number below 1, such as 0.001: the "
                "share that each estimate of the curvature has in their moving average."
            )

    @classmethod
    def of(cls, rate: Rates | float) -> Rates:
        """Give means and scales the same rate; rates stay as they are."""
        return rate if isinstance(rate, Rates) else cls(positive("learning_rate", rate, "such as 0.01"), float(rate))


@dataclass(frozen=True)
class Trajectory:
    """The second part of a fit by `companion.inference.swag`: steps at a constant rate, around the mode.

    Parameters
    ----------
    rate
        Learning rate of these steps. For SGD it is that of the loss per row.
    share
        Share of all steps that these are.
    rank
        Number of iterates whose deviations from the mean make the covariance's columns.
    every
        Number of steps from one iterate to the next; ``None`` takes `rank` iterates in all. The authors take one per
        pass through the data.
    optimiser
        Name of an `OptimiserName`, "sgd" or "adam".

    Raises
    ------
    ModelError
        If a number is out of range, or the optimiser is another one.
    """

    rate: float = 0.02
    share: float = 0.4
    rank: int = 20
    every: int | None = None
    optimiser: str = "sgd"

    def __post_init__(self) -> None:
        positive("rate", self.rate, "such as 0.02", owner=self)
        fraction("share", self.share, "such as 0.4", owner=self)
        whole("rank", self.rank, 2)
        if self.every is not None:
            whole("every", self.every, 1)
        if choice(OptimiserName, "optimiser", self.optimiser) not in (OptimiserName.SGD, OptimiserName.ADAM):
            raise ModelError(
                f"optimiser={str(self.optimiser)!r} in Trajectory; expected 'sgd' or 'adam'. IVON fits a family of its "
                "own: fit(model, learning_rate=Rates(0.1, 0.001, 'ivon'))."
            )

    @classmethod
    def of(cls, trajectory: Trajectory | float) -> Trajectory:
        """Make a trajectory of its rate; one that is a trajectory already stays as it is."""
        return trajectory if isinstance(trajectory, Trajectory) else cls(positive("trajectory", trajectory))

    def divided(self, steps: int) -> tuple[int, int, int]:
        """Divide a number of steps: those to the mode, those of the trajectory, and those from iterate to iterate.

        Raises
        ------
        ModelError
            If there are too few for two iterates.
        """
        own = round(steps * self.share)
        every = max(1, own // self.rank) if self.every is None else self.every
        if own // every < 2 or own >= steps:
            raise ModelError(
                f"steps={steps} with share={self.share:g} and an iterate every {every} steps: {own} steps and "
                f"{own // every} iterates; expected at least two iterates, and a step towards the mode before them. "
                "Take more steps."
            )
        return steps - own, own, every


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a fit is written to disk, so that it goes on after a kill.

    Parameters
    ----------
    folder
        Folder of the checkpoint; it is made where there is none. The working directory is ".".
    every
        Number of steps between two checkpoints.

    Raises
    ------
    ModelError
        If the folder isn't a path or has no name, or `every` is below 1.
    """

    folder: str | Path
    every: int = 1000

    def __post_init__(self) -> None:
        if not isinstance(self.folder, str | PathLike) or not str(self.folder).strip():
            raise ModelError(
                f"checkpoint={self.folder!r}; expected the path of a folder, such as 'my-fit', or a Checkpoint. "
                "Leave it out where nothing is to be written."
            )
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
