"""How every fit begins: what it leaves as it was, its processes, and where it is written.

Explained in `book/reference/how_a_fit_works`, section "Processes".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from companion.machine import guard
from companion.training.distributed import Processes, processes
from companion.training.options import Checkpoint

__all__ = ["Joint", "together"]


@dataclass(frozen=True)
class Joint:
    """The processes of a fit that was begun, and where it is written.

    Attributes
    ----------
    group
        The processes, which were all asked for the same.
    folder
        Folder of the checkpoint; ``None`` without one.
    every
        Number of steps between checkpoints.
    """

    group: Processes
    folder: Path | None
    every: int


@contextmanager
def together(asked: Mapping[str, Any], checkpoint: Checkpoint | None, device: torch.device) -> Iterator[Joint]:
    """Begin a fit, without gradients that torch records, and leave torch's random state as it was.

    Parameters
    ----------
    asked
        The settings, which must be the same in all processes.
    checkpoint
        Where and how often it is written; ``None`` where it isn't.
    device
        Device of the fit.

    Raises
    ------
    InferenceError
        If the other processes can't be reached, or this one was asked for something else.
    """
    every = 1000 if checkpoint is None else checkpoint.every
    folder = None if checkpoint is None else Path(checkpoint.folder)
    with guard(), processes(device) as group, torch.no_grad():
        group.agree({**asked, "checkpoint": checkpoint is not None, "checkpoint_every": every})
        yield Joint(group, folder, every)
