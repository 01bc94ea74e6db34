"""What posteriors share that draw unconstrained vectors of a model that was lowered to torch.

Explained in `book/reference/how_a_fit_works`, section "The posterior".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from companion.bridge import Response
from companion.compat import observed_once
from companion.posterior.base import ModelPosterior
from companion.posterior.predictive import Predictive, predictive_of
from companion.posterior.protocol import Draws
from companion.variational import Layout, Objective

__all__ = ["LoweredPosterior", "layout_as_json"]


class LoweredPosterior(ModelPosterior):
    """A posterior of a lowered model.

    Attributes
    ----------
    objective
        The lowered model, with its layout and its precision.
    """

    objective: Objective

    def _of_values(self, flat: torch.Tensor, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """Compute variables from unconstrained values (draws, size)."""
        density, layout = self.objective.density, self.objective.layout
        return dict(torch.vmap(lambda f: density.constrained(layout.split(f), tuple(names)))(flat))

    @cached_property
    def _predictive(self) -> Predictive:
        density = self.objective.density
        response = Response(observed_once(self.model), density.dtype, density.device)
        name = density.observed[0].rows
        rows = response.rows if name is None else len(density.data[name])
        return predictive_of(response, density.data, rows, density.dtype, density.device, self.objective.autocast)

    def _depends_at(self, centre: torch.Tensor) -> dict[str, Any]:
        """Describe what predictions depend on beside the numbers of the posterior, at one vector (size,) of values."""
        with torch.no_grad():
            draw: Draws = {n: a.cpu().numpy() for n, a in self._of_values(centre[None], self.variables).items()}
            priors = self.objective.density.priors(self.objective.layout.split(centre))
        told = {n: [float(p), draw[n].size] if p.isfinite() else None for n, p in priors.items()}
        return self._depends_on(draw) | {"prior": told}


def layout_as_json(layout: Layout) -> dict[str, list[int]]:
    """Give the shape of each value, as JSON holds it."""
    return {name: list(shape) for name, shape in zip(layout.names, layout.shapes, strict=True)}
