"""Which values vary, which are held, and which are scales to be found by their marginal density.

Explained in `book/reference/how_a_fit_works`, section "Laplace".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pymc as pm
import torch
from pytensor.graph.traversal import ancestors

from companion.checks import choice
from companion.errors import ModelError
from companion.laplace.layers import layers_of
from companion.laplace.options import Scales, Subset
from companion.laplace.target import Target
from companion.variational import Layout, Parameters, PointMass

__all__ = ["HeldPoint", "scales_named", "subset_named"]

# Which parameter of a distribution shifts it.
_LOCATIONS = {"Cauchy": 0, "Gumbel": 0, "Laplace": 0, "Logistic": 0, "Normal": 0, "SkewNormal": 0, "StudentT": 1}


@dataclass(frozen=True)
class HeldPoint(PointMass):
    """A point of which some values stay where they start: a mode given these.

    Attributes
    ----------
    held
        First and last entry, one behind, of each value that stays.
    """

    held: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, layout: Layout, names: Sequence[str]) -> HeldPoint:
        """Hold values by their names."""
        at, found = 0, []
        for name, shape in zip(layout.names, layout.shapes, strict=True):
            if name in names:
                found.append((at, at + math.prod(shape)))
            at += math.prod(shape)
        return cls(held=tuple(found))

    def draw(self, parameters: Parameters, noise: torch.Tensor) -> torch.Tensor:
        """Give the point; no gradient reaches what is held."""
        mean = parameters["mean"]
        parts, at = [], 0
        for first, last in self.held:
            parts += [mean[at:first], mean[first:last].detach()]
            at = last
        return torch.cat([*parts, mean[at:]]) * 1.0


def scales_named(model: pm.Model, scales: str | Sequence[str]) -> tuple[str, ...]:
    """Find the scales that are set by their marginal density: names of values.

    Parameters
    ----------
    model
        The model.
    scales
        A name of `Scales`, or names of variables.

    Raises
    ------
    ModelError
        If there is no such choice or variable.
    """
    if not isinstance(scales, str):
        return _values(model, "scales", scales)
    if choice(Scales, "scales", scales, "or names of variables") is Scales.JOINT:
        return ()
    # what PyMC imputes is an observation of the model, and not a variable with a prior
    variables = [rv for rv in model.free_RVs if not rv.name.endswith("_unobserved")]
    above = set(ancestors([p for rv in variables for p in _spreads(rv)]))
    return tuple(model.rvs_to_values[rv].name for rv in model.free_RVs if rv in above)


def _spreads(rv: Any) -> list[Any]:
    """List the parameters of a variable's distribution, except for its location, which gives no funnel."""
    op = rv.owner.op
    if not hasattr(op, "dist_params"):
        return list(rv.owner.inputs)
    parameters = list(op.dist_params(rv.owner))
    location = _LOCATIONS.get(getattr(op, "_print_name", ("",))[0])
    return [p for i, p in enumerate(parameters) if i != location]


def subset_named(model: pm.Model, target: Target, subset: str | Sequence[str]) -> tuple[str, ...]:
    """Choose the values that vary, of those that the target lets vary.

    Parameters
    ----------
    model
        The model.
    target
        The log density.
    subset
        A name of `Subset`, or names of variables.

    Raises
    ------
    ModelError
        If there is no such choice, variable or layer, or nothing is left.
    """
    if not isinstance(subset, str):
        chosen = _values(model, "subset", subset)
        if held := sorted(set(chosen) - set(target.free)):
            raise ModelError(f"subset={list(subset)!r}, but {held} are scales that are held; leave them out.")
        if not chosen:
            raise ModelError("subset=[]; expected the name of a variable, or more.")
        return chosen
    if choice(Subset, "subset", subset, "or names of variables") is Subset.ALL:
        return target.free
    layers = layers_of(target, target.start)
    if not layers:
        raise ModelError(
            "subset='last-layer' found no linear layer whose weights are values of the model and used once, on inputs "
            f"with the rows of the data first. Name its variables: subset=[...], some of {list(target.free)}."
        )
    return tuple(name for name in target.free if name in layers[-1].names)


def _values(model: pm.Model, setting: str, names: Sequence[str]) -> tuple[str, ...]:
    """Find the values of variables by the variables' names."""
    known = {rv.name: model.rvs_to_values[rv].name for rv in model.free_RVs}
    if unknown := [name for name in names if name not in known]:
        raise ModelError(f"{setting}={list(names)!r}; the model has no variables {unknown}, it has {list(known)}.")
    return tuple(value for name, value in known.items() if name in names)
