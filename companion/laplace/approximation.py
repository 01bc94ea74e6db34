"""From a mode to a Laplace approximation: scales, the last steps, the curvature, the evidence.

Explained in `book/reference/how_a_fit_works`, section "Laplace".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pymc as pm
import torch

from companion.checks import choice, positive, whole
from companion.laplace.blocks import NormalBlocks
from companion.laplace.evidence import scales_at_the_maximum
from companion.laplace.mode import check_mode, polished
from companion.laplace.options import Curvature, LaplacePredictive, Structure, Subset
from companion.laplace.precision import likelihood_of, parameters_of
from companion.laplace.selection import scales_named, subset_named
from companion.laplace.target import Target
from companion.training import Batches
from companion.variational import Objective, Parameters

__all__ = ["Approximation", "Choices", "approximate"]


@dataclass(frozen=True)
class Choices:
    """What kind of Laplace approximation is made; see `companion.inference.laplace`.

    Raises
    ------
    ModelError
        If there is no such choice.
    """

    structure: str = "full"
    curvature: str = "ggn"
    subset: str | Sequence[str] = "all"
    scales: str | Sequence[str] = "marginal"
    predictive: str = "linearised"
    polish: int = 200
    tolerance: float = 0.25

    def __post_init__(self) -> None:
        choice(Structure, "structure", self.structure)
        choice(Curvature, "curvature", self.curvature)
        choice(LaplacePredictive, "predictive", self.predictive)
        whole("polish", self.polish, 0)
        positive("tolerance", self.tolerance, "such as 0.25")

    @property
    def described(self) -> str:
        """Name of the approximation in the record: its structure and curvature, and which values it spreads."""
        if not isinstance(self.subset, str):
            subset = ", of " + ", ".join(self.subset)
        else:
            subset = "" if self.subset == Subset.ALL else f", {self.subset}"
        return f"Laplace, {self.structure} {self.curvature}{subset}"

    def as_json(self) -> dict[str, Any]:
        """Return the choices as plain values, for a record."""
        found = {name: value if isinstance(value, str) else list(value) for name, value in self._words().items()}
        return {**found, "polish": int(self.polish), "tolerance": float(self.tolerance)}

    def _words(self) -> dict[str, Any]:
        return {n: getattr(self, n) for n in ("structure", "curvature", "subset", "scales", "predictive")}


@dataclass(frozen=True, eq=False)
class Approximation:
    """A normal distribution around a mode.

    Attributes
    ----------
    family, parameters
        The distribution over all values.
    log_evidence
        Laplace's approximation of the log evidence, in nats; of the log density of data and held values, where some
        are.
    distance
        How far the mode is, in standard deviations.
    scales
        Names of the values that stand at the maximum of their marginal density.
    """

    family: NormalBlocks
    parameters: Parameters
    log_evidence: float
    distance: float
    scales: tuple[str, ...]


def approximate(
    model: pm.Model, objective: Objective, batches: Batches, mode: torch.Tensor, choices: Choices
) -> Approximation:
    """Make a Laplace approximation near a point.

    Parameters
    ----------
    model
        The model.
    objective
        The model, lowered in double precision.
    batches
        Its rows.
    mode
        All values at the point, (size,).
    choices
        What kind of approximation.

    Raises
    ------
    ModelError
        If a choice doesn't fit the model.
    InferenceError
        If no mode is near.
    """
    structure, curvature = Structure(choices.structure), Curvature(choices.curvature)
    scales = scales_named(model, choices.scales)
    free = tuple(name for name in objective.layout.names if name not in scales)
    target = Target(objective, batches, free, mode.detach())
    target = dataclasses.replace(target, mode=target.whole(polished(target, choices.polish)))
    target = dataclasses.replace(target, free=subset_named(model, target, choices.subset))
    if scales:
        found = scales_at_the_maximum(target, scales, structure, curvature, max(1, choices.polish))
        target = dataclasses.replace(target, mode=found)
    flat = target.start
    family, parameters = parameters_of(target, flat, likelihood_of(target, flat, structure, curvature))
    distance = check_mode(target, flat, family, parameters, choices.tolerance)
    value, _ = target.with_gradient(flat)
    log_evidence = value + float(family.entropy(parameters)) - 0.5 * family.spread
    return Approximation(family, parameters, log_evidence, distance, scales)
