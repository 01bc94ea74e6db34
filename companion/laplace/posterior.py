"""The posterior that a Laplace approximation gives: a normal distribution around a mode.

Explained in `book/reference/how_a_fit_works`, section "Laplace".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import pymc as pm
import torch

from companion.bridge import LinearisedResponse, Response, torch_log_density
from companion.checks import choice
from companion.compat import observed_once
from companion.errors import ModelError
from companion.laplace.blocks import NormalBlocks
from companion.laplace.derivatives import jacobian
from companion.laplace.options import LaplacePredictive
from companion.machine import points_at_once, slices
from companion.posterior import Moments, Packed, Predictive, Record, VariationalPosterior, checked_inputs, register
from companion.variational import Family, Layout, Objective, Parameters

__all__ = ["LaplacePosterior"]

Tensors = Mapping[str, torch.Tensor]


@register("laplace")
@dataclass(frozen=True, eq=False, repr=False)
class LaplacePosterior(VariationalPosterior):
    r"""A normal distribution around a mode, :math:`\mathcal{N}(z^*, \Lambda^{-1})`, in the unconstrained space.

    It draws, predicts and is stored as any approximation of the engine, and `k_hat` judges it in the same way. Its
    ``record.log_evidence`` is Laplace's approximation, and its ``record.elbo`` the bound of the normal distribution.
    """

    # --- predictions --------------------------------------------------------------------------------------

    @property
    def predicts(self) -> LaplacePredictive:
        """How it predicts."""
        return LaplacePredictive(self.record.settings["predictive"])

    def predicting(self, how: str) -> LaplacePosterior:
        """Return the same posterior, which predicts in another way.

        Parameters
        ----------
        how
            A name of `LaplacePredictive`.
        """
        settings = {**self.record.settings, "predictive": str(choice(LaplacePredictive, "how", how))}
        return dataclasses.replace(self, record=dataclasses.replace(self.record, settings=settings))

    @cached_property
    def _predictive(self) -> Predictive:
        plain = dataclasses.replace(super()._predictive, certain=self._certain())
        if self.predicts is LaplacePredictive.SAMPLED:
            return plain
        linear = LinearisedResponse(self._response, self._centre)

        def respond(draw: Tensors, points: Tensors) -> torch.Tensor:
            return linear(draw, {**plain.fixed, **points})

        return dataclasses.replace(plain, respond=respond)

    def _likelihood(self, dtype: torch.dtype, device: torch.device) -> Any:
        plain = super()._likelihood(dtype, device)
        if self.predicts is LaplacePredictive.SAMPLED:
            return plain
        return LinearisedResponse(plain, self._centre)

    @cached_property
    def _centre(self) -> Tensors:
        values = self._of_values(self.own_parameters("a prediction")["mean"][None], self.variables)
        return {name: v[0] for name, v in values.items()}

    def _certain(self) -> Tensors:
        r"""Give the variables that are the same in every draw: name to tensor (\*shape).

        Two draws tell: a value that is held may still vary as a variable, where its transform depends on another one.
        """
        family, own = self.objective.family, self.own_parameters("a prediction")
        generator = torch.Generator(own["mean"].device).manual_seed(0)
        with torch.no_grad():
            flat = [own["mean"]]
            for _ in range(2):
                noise = torch.randn(family.noise(len(flat[0])), generator=generator, device=flat[0].device)
                flat.append(family.draw(own, noise.to(flat[0])))
            values = self._of_values(torch.stack(flat), self.variables)
        return {n: self._centre[n] for n, v in values.items() if all(torch.equal(v[0], drawn) for drawn in v[1:])}

    @cached_property
    def _response(self) -> Response:
        return Response(observed_once(self.model), self.objective.dtype, self.objective.device)

    def linear_predictor(self, x: Any) -> Moments:
        r"""Compute the mean and the standard deviation of the linearised predictor, without draws.

        .. math::

            \eta(x) \sim \mathcal{N}\bigl(\eta(x, z^*),\; J(x) \Lambda^{-1} J(x)^\top\bigr), \qquad
            J(x) = \frac{\partial \eta(x, z)}{\partial z} \Big|_{z^*}

        Parameters
        ----------
        x
            Inputs (points, \*features); a mapping from names to arrays where the model reads several.

        Returns
        -------
        Moments
            Logits or means and their standard deviations, (points,) or (points, classes).

        Raises
        ------
        ModelError
            If the inputs don't fit the model, or it has a likelihood that prediction doesn't know.
        """
        predictive, (family, own) = self._predictive, self._spread()
        if not predictive.inputs:
            raise ModelError(
                "the model has no inputs in pm.Data with an entry for each observation; prediction expects some: "
                "x = pm.Data('x', X)."
            )
        given = {n: predictive.tensor(a).to(predictive.inputs[n].dtype) for n, a in self._checked(x).items()}
        points, moments = len(next(iter(given.values()))), partial(self._moments_at, family, own)
        means, scales = [], []
        for at in slices(points, points_at_once(moments, given)):
            mean, scale = moments({name: a[at] for name, a in given.items()})
            means.append(mean)
            scales.append(scale)
        return Moments(torch.cat(means).cpu().numpy(), torch.cat(scales).cpu().numpy())

    def _checked(self, x: Any) -> dict[str, Any]:
        return checked_inputs(x, self._predictive.inputs)

    def _spread(self) -> tuple[NormalBlocks, Parameters]:
        """Give the distribution of the values that aren't certain, alone."""
        family, own = self.objective.family, self.own_parameters("a prediction")
        assert isinstance(family, NormalBlocks)
        values = family.layout.split(own["mean"])
        alone = family.alone()
        return alone, own | {"mean": torch.cat([own["mean"][:0], *(values[n].reshape(-1) for n in alone.layout.names)])}

    def _moments_at(self, family: NormalBlocks, own: Parameters, points: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        density, centre = self.objective.density, self.own_parameters("a prediction")["mean"].detach()
        data = {**self._predictive.fixed, **points}
        with torch.enable_grad():
            flat = own["mean"].detach().requires_grad_()
            values = {**self.objective.layout.split(centre), **family.layout.split(flat)}
            predictor = self._response.predictor(density.constrained(values, tuple(self.variables)), data)
            rows = jacobian(predictor.reshape(-1), flat)
        with torch.no_grad():
            noise = torch.zeros(family.noise(len(flat)), dtype=flat.dtype, device=flat.device)
            found = torch.func.vjp(lambda e: family.draw(own, e), noise)
            spread = torch.vmap(lambda row: found[1](row)[0].square().sum())(rows)
        return predictor.detach(), spread.sqrt().reshape(predictor.shape)

    # --- copies and files ---------------------------------------------------------------------------------

    @classmethod
    def _objective_of(cls, model: pm.Model, family: Family, record: Record, device: torch.device) -> Objective:
        """Lower the model in double precision."""
        return Objective(torch_log_density(model, dtype=torch.float64, device=device), family)

    @classmethod
    def _family_of(cls, packed: Packed) -> Family:
        """Make the family of the layout and the blocks of a file."""
        layout = packed.about["layout"]
        shapes = Layout(tuple(layout), tuple(tuple(shape) for shape in layout.values()))
        return NormalBlocks.of_json(shapes, packed.about["blocks"])

    def packed(self, half: bool) -> Packed:
        """Pack the mode and the roots of the blocks; see `companion.posterior.Storable`."""
        packed = super().packed(half)
        family = self.objective.family
        assert isinstance(family, NormalBlocks)
        return packed._replace(about={**packed.about, "blocks": family.as_json()})
