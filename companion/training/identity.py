"""Fingerprint of a fit: model, data and start, as plain values that a checkpoint compares.

Explained in `book/reference/how_a_fit_works`, section "Checkpoints".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
import torch

from companion.bridge import LogDensity
from companion.errors import ModelError, first_line
from companion.training.batches import FEW, Batches, Resident
from companion.variational import Objective

__all__ = ["checksum", "fingerprint"]


def fingerprint(objective: Objective, batches: Batches, given: torch.Tensor | None) -> dict[str, Any]:
    """Describe a fit beyond its settings, for its checkpoint.

    Parameters
    ----------
    given
        Means (restarts, size) to start from, where the user gave them.

    Returns
    -------
    dict
        Shapes; checksums of the data; and the log density of a few rows at some point: another prior, likelihood or
        network has another one. As a list of floats it is compared up to rounding.
    """
    density, layout = objective.density, objective.layout
    point = 0.1 * np.sin(1 + np.arange(layout.size))  # not the start, which a network may draw anew at every call
    values = layout.split(torch.as_tensor(point).to(density.device, density.dtype))
    with torch.no_grad():
        logps = [density.prior(values), *_likelihoods(density, values, batches)]
    return {
        "model": {name: list(np.shape(a)) for name, a in density.start.items()},
        "data": {name: checksum(a) for name, a in density.data.items()},
        "rows": objective.rows,
        "log density": [float(logp) for logp in logps],
        "start values": None if given is None else checksum(given),
    }


def _likelihoods(density: LogDensity, values: Mapping[str, torch.Tensor], batches: Batches) -> list[torch.Tensor]:
    """Compute the likelihoods of the data that the model itself holds; of some rows, where a fit takes only some."""
    if not isinstance(batches, Resident):  # a dataset may give other rows at every reading
        return list(density.likelihoods(values, density.data).values())
    try:
        return list(density.likelihoods(values, next(iter(batches.parts(FEW)))).values())
    except RuntimeError as error:
        raise ModelError(
            f"the likelihood can't be computed on some of the rows alone ({first_line(error)}). Leave "
            "batch_size out; or put all that has an entry per row into pm.Data."
        ) from error


def checksum(tensor: torch.Tensor) -> str:
    """Tell a tensor from others by its shape and the CRC-32 of its bytes."""
    return f"{list(tensor.shape)} {crc32(np.ascontiguousarray(tensor.cpu().numpy()).data):08x}"
