"""From a model and settings to what a fit minimises.

Explained in `book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

import pymc as pm
import torch

from companion.bridge import LogDensity, torch_log_density
from companion.machine import PRECISIONS, has_bfloat16
from companion.training.batches import FEW, row_data
from companion.training.settings import Settings
from companion.variational import Dropout, Estimator, Family, Objective, for_units

__all__ = ["objective_for"]


def objective_for(model: pm.Model, settings: Settings, family: Family, device: torch.device) -> Objective:
    """Lower a model to torch, and set up what a fit with these settings minimises."""
    density = torch_log_density(model, dtype=PRECISIONS[settings.precision], device=device)
    return Objective(
        density,
        for_units(family, density, _few_rows(density)) if isinstance(family, Dropout) else family,
        Estimator.of(settings.estimator),
        draws=settings.draws,
        bfloat16=settings.precision == "bfloat16" and has_bfloat16(device),
    )


def _few_rows(density: LogDensity) -> dict[str, torch.Tensor]:
    """Take a few rows of a model's data; all of them where its likelihood can't be computed on some alone."""
    names, _ = row_data(density)
    few = {name: a[:FEW] if name in names else a for name, a in density.data.items()}
    try:
        with torch.no_grad():
            density.likelihoods(density.tensors(density.start), few)
    except RuntimeError:
        return density.data
    return few
