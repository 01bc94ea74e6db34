"""From a model and settings to what a fit minimises.

Explained in `book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

import pymc as pm
import torch

from companion.bridge import torch_log_density
from companion.machine import PRECISIONS, has_bfloat16
from companion.training.settings import Settings
from companion.variational import Estimator, Family, Objective

__all__ = ["objective_for"]


def objective_for(model: pm.Model, settings: Settings, family: Family, device: torch.device) -> Objective:
    """Lower a model to torch, and set up what a fit with these settings minimises."""
    return Objective(
        torch_log_density(model, dtype=PRECISIONS[settings.precision], device=device),
        family,
        Estimator.of(settings.estimator),
        draws=settings.draws,
        bfloat16=settings.precision == "bfloat16" and has_bfloat16(device),
    )
