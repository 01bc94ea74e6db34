"""Starts of a guide's restarts: at the network's weights, at the prior, or at given values.

Explained in `book/reference/how_a_fit_works`, section "A Pyro model".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from pyro import poutine

from companion.bayes_by_backprop.guide import MeanFieldGuide
from companion.errors import ModelError
from companion.machine import reseed, seed_for
from companion.training import Start

__all__ = ["move_to_start"]


def move_to_start(
    guide: MeanFieldGuide, model: Callable[..., Any], rows: Mapping[str, torch.Tensor], start: Start, seed: int, r: int
) -> None:
    """Move a guide's means to where restart number `r` starts.

    Parameters
    ----------
    guide
        Guide at the start that the model gives: the weights of its torch modules.
    model
        Pyro model that the guide is of.
    rows
        Some rows, ``x`` and ``y``, to run the model on for a start at the prior.
    start
        Kind of the start. At "model", restarts after the first shuffle the weights of each site.
    seed
        Seed of the fit.
    r
        Number of the restart, from 0.

    Raises
    ------
    ModelError
        If given values lack a site, have another shape, or lie outside its support.
    """
    if start.kind == "model" and r == 0:
        return
    at = seed_for(seed, "start", r)
    rng = np.random.default_rng(at)
    values: Mapping[str, Any] = {}
    if start.kind == "prior":
        reseed(rows["x"].device, at)
        nodes = poutine.trace(model).get_trace(rows["x"], rows["y"]).nodes
        values = {name: nodes[name]["value"] for name in guide.names}
    elif isinstance(start.at, Mapping):
        values = start.at
    with torch.no_grad():
        for site, mean in zip(guide.sites(), guide.means, strict=True):
            if start.kind == "model":
                mean.copy_(_shuffled(mean, rng))
            else:
                mean.copy_(site.transform.inv(_checked(site.name, values, site.transform(mean))))
            if not torch.isfinite(mean).all():
                raise ModelError(
                    f"the start of {site.name!r} isn't finite: its value lies on or outside the edge of its support. "
                    "Give one inside."
                )


def _shuffled(mean: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Permute a site's means: another start, of the same distribution. Constant ones are shifted."""
    flat = mean.detach().cpu().numpy().ravel()
    moved = rng.permutation(flat) if np.ptp(flat) > 0 else flat + 0.1 * rng.normal(size=flat.shape)
    return torch.as_tensor(moved.reshape(mean.shape)).to(mean)


def _checked(name: str, values: Mapping[str, Any], like: torch.Tensor) -> torch.Tensor:
    """Look a site's value up, and hold its shape against the model's."""
    if name not in values:
        raise ModelError(f"start has no value of {name!r}; it has {sorted(values)}.")
    value = torch.as_tensor(np.asarray(torch.as_tensor(values[name]).cpu())).to(like)
    if value.shape != like.shape:
        raise ModelError(f"start gives {name!r} shape {tuple(value.shape)}; the model has {tuple(like.shape)}.")
    return value
