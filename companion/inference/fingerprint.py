"""What a fit is of: a model, its data and its start in, plain values that tell them from others out.

Explained in the chapter `book/mnist/dense`.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
import torch

from companion.inference.batches import Batches
from companion.inference.objective import Objective

__all__ = ["fingerprint"]

_FEW = 16


def fingerprint(objective: Objective, batches: Batches, given: torch.Tensor | None) -> dict[str, Any]:
    """Describe a fit beyond its settings, for its checkpoint.

    Parameters
    ----------
    given
        The means (restarts, size) to start from, where the user gave them.

    Returns
    -------
    dict
        Shapes; checksums of the data; and the log density of a few rows at some point: another prior, likelihood or
        network has another one. As a list of floats it is compared up to rounding.
    """
    density, layout = objective.density, objective.layout
    point = 0.1 * np.sin(1 + np.arange(layout.size))  # not the start, which a network may draw anew at every call
    values = layout.split(torch.as_tensor(point).to(density.device, density.dtype))
    rows = next(iter(batches.parts(_FEW)))
    with torch.no_grad():
        logps = [density.prior(values), *density.likelihoods(values, rows).values()]
    return {
        "model": {name: list(np.shape(a)) for name, a in density.start.items()},
        "data": {name: _checksum(a) for name, a in density.data.items()},
        "rows": objective.rows,
        "log density": [float(logp) for logp in logps],
        "start values": None if given is None else _checksum(given),
    }


def _checksum(tensor: torch.Tensor) -> str:
    return f"{list(tensor.shape)} {crc32(np.ascontiguousarray(tensor.cpu().numpy()).data):08x}"
