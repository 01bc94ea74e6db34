"""The log density of a model on all rows, and its curvature in some of the values.

Explained in `book/reference/how_a_fit_works`, section "Laplace".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from companion.bridge import LogDensity
from companion.errors import ModelError
from companion.laplace.derivatives import gradient, jacobian, products
from companion.laplace.fisher import fisher_of
from companion.laplace.options import Curvature
from companion.training import Batches
from companion.variational import Layout, Objective, shares

__all__ = ["MOST_VALUES", "Data", "Output", "Target", "check_size"]

Data = Mapping[str, torch.Tensor]

_ROWS = 2000  # at once: their activations are kept for the way back

MOST_VALUES = 5000
"""Largest number of values in one whole block of the precision matrix."""


@dataclass(frozen=True, eq=False)
class Output:
    """One parameter of an observed variable's distribution, and how its square counts in the Gauss-Newton matrix.

    Attributes
    ----------
    values
        The parameter, in the shape of what is observed, (rows, ...); with the classes last for a Categorical.
    weight
        Square root of the Fisher information of each entry, for all rows that the part stands for.
    """

    values: torch.Tensor
    weight: torch.Tensor


@dataclass(frozen=True, eq=False)
class Target:
    """The log density of data and values, in double precision, where some of the values vary.

    Attributes
    ----------
    objective
        The lowered model.
    batches
        Its rows.
    free
        Names of the values that vary.
    mode
        All values, (size,).
    """

    objective: Objective
    batches: Batches
    free: tuple[str, ...]
    mode: torch.Tensor

    @property
    def density(self) -> LogDensity:
        """The lowered model."""
        return self.objective.density

    @cached_property
    def layout(self) -> Layout:
        """Where each of the values that vary lies in their vector."""
        whole = self.objective.layout
        shapes = dict(zip(whole.names, whole.shapes, strict=True))
        return Layout(self.free, tuple(shapes[name] for name in self.free))

    @property
    def start(self) -> torch.Tensor:
        """The values that vary at the mode, (free,)."""
        own = self.objective.layout.split(self.mode)
        return torch.cat([own[name].reshape(-1) for name in self.free])

    def values(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """Put values that vary, (free,), among the others, by name."""
        return {**self.objective.layout.split(self.mode), **self.layout.split(flat)}

    def whole(self, flat: torch.Tensor) -> torch.Tensor:
        """Put values that vary, (free,), among the others, (size,)."""
        own = self.values(flat)
        return torch.cat([own[name].reshape(-1) for name in self.objective.layout.names])

    def parts(self) -> Iterator[tuple[int, Data]]:
        """Give all rows once, in numbered parts."""
        yield from enumerate(self.batches.parts(_ROWS))

    def likelihood(self, values: Data, number: int, data: Data) -> torch.Tensor:
        """Compute the log likelihood of one part of the rows."""
        counts = shares(self.objective, data, number)
        found = self.density.likelihoods(values, data)
        zero = torch.zeros((), dtype=self.density.dtype, device=self.density.device)
        return torch.as_tensor(sum((logp * counts[name] for name, logp in found.items()), zero))

    def log_density(self, flat: torch.Tensor) -> torch.Tensor:
        """Compute the log density of data and values, differentiable as often as one likes."""
        values = self.values(flat)
        parts = [self.likelihood(values, number, data) for number, data in self.parts()]
        return self.density.prior(values) + torch.stack(parts).sum()

    def with_gradient(self, flat: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Compute the log density and its gradient (free,), with the activations of one part in memory at a time."""
        total, slope = 0.0, torch.zeros_like(flat)
        with torch.enable_grad():
            for number, data in self.parts():
                leaf = flat.detach().requires_grad_()
                values = self.values(leaf)
                part = self.likelihood(values, number, data)
                if number == 0:
                    part = part + self.density.prior(values)
                total += float(part.detach())
                if part.requires_grad:
                    [own] = torch.autograd.grad(part, [leaf], allow_unused=True, materialize_grads=True)
                    slope += own
        return total, slope

    # --- curvature ----------------------------------------------------------------------------------------

    def outputs(
        self, values: Data, number: int, data: Data, parameters: Mapping[str, Sequence[torch.Tensor]] | None = None
    ) -> list[Output]:
        """Find the distributions' parameters that depend on the values, with their Fisher information.

        Parameters
        ----------
        values
            All values, by name.
        number, data
            Number and rows of the part.
        parameters
            What `LogDensity.parameters` gives of them, where it was computed before.
        """
        counts = shares(self.objective, data, number)
        parameters = self.density.parameters(values, data) if parameters is None else parameters
        with torch.no_grad():
            observations = self.density.observations(values, data)
        found = []
        for observed in self.density.observed:
            own = tuple(parameters[observed.name])
            shape = tuple(observations[observed.name][1].shape)
            if observed.distribution == "Categorical":
                shape = (*shape, own[0].shape[-1])
            own = tuple(p.expand(shape) if p.ndim <= len(shape) else p for p in own)
            # a density that the model scales up counts its rows less than once; their parameters aren't scaled
            weight = 1.0 if observed.scaled and observed.rows is not None else counts[observed.name]
            rows = None if observed.weights is None else data[observed.weights].to(self.density.dtype)
            for p, entry in zip(own, fisher_of(observed.name, observed.distribution, own), strict=True):
                if entry is not None and p.requires_grad:
                    own_weight = weight if rows is None else weight * rows.reshape(-1, *[1] * (entry.ndim - 1))
                    found.append(Output(p, (own_weight * entry).sqrt()))
        return found

    def row_weights(self, data: Data) -> torch.Tensor | None:
        """Give how often each row of a part counts, (rows,), where the observed variables say it and agree."""
        names = {observed.weights for observed in self.density.observed}
        name = names.pop() if len(names) == 1 else None
        return None if name is None else data[name].to(self.density.dtype)

    def likelihood_curvature(self, flat: torch.Tensor, curvature: Curvature, *, again: bool = False) -> torch.Tensor:
        """Compute minus the second derivatives of the log likelihood, or the Gauss-Newton matrix, (free, free).

        Parameters
        ----------
        flat
            The values that vary, (free,): a leaf, or something made of one.
        curvature
            Name of the second derivatives or of the Gauss-Newton matrix.
        again
            Whether the result can be differentiated.
        """
        check_size(self.layout.size, "all of the values that vary")
        found = torch.zeros(self.layout.size, self.layout.size, dtype=flat.dtype, device=flat.device)
        with torch.enable_grad():
            for number, data in self.parts():
                own = flat if again else flat.detach().requires_grad_()
                values = self.values(own)
                if curvature == Curvature.HESSIAN:
                    slope = gradient(self.likelihood(values, number, data), own)
                    eye = torch.eye(len(own), dtype=own.dtype, device=own.device)
                    found = found - products(slope, own, eye, again=again)
                    continue
                for output in self.outputs(values, number, data):
                    rows = jacobian(output.values.reshape(-1), own, again=again) * output.weight.reshape(-1, 1)
                    found = found + rows.mT @ rows
                if not again:
                    found = found.detach()
        return found

    def prior_curvature(self, flat: torch.Tensor, *, again: bool = False) -> torch.Tensor:
        """Compute minus the second derivatives of the log prior, (free, free)."""
        with torch.enable_grad():
            own = flat if again else flat.detach().requires_grad_()
            slope = gradient(self.density.prior(self.values(own)), own)
            return -products(slope, own, torch.eye(len(own), dtype=own.dtype, device=own.device), again=again)

    def prior_diagonal(self, flat: torch.Tensor, *, again: bool = False) -> torch.Tensor:
        """Compute minus the second derivatives of a log prior whose values don't depend on each other, (free,).

        Raises
        ------
        ModelError
            If they do: then products with random signs differ.
        """
        with torch.enable_grad():
            own = flat if again else flat.detach().requires_grad_()
            slope = gradient(self.density.prior(self.values(own)), own)
            generator = torch.Generator().manual_seed(0)
            signs = torch.randint(0, 2, (2, len(own)), generator=generator).to(own) * 2 - 1
            found = -products(slope, own, signs, again=again) * signs
        away = (found[0] - found[1]).abs() > 1e-8 * found.detach().abs().amax(dim=0).clamp_min(1e-300)
        if bool(away.any()):
            names = sorted({self.layout.name_at(int(i)) for i in away.nonzero()[:, 0]})
            raise ModelError(
                f"the priors of {names} depend on each other's values, which a block for each layer, or a diagonal of "
                "so many values, can't hold. Use structure='full', or scales='marginal', which gives the scales that "
                "priors depend on one value."
            )
        return found[0]

    def only(self, names: Sequence[str], flat: torch.Tensor) -> Target:
        """Let some of the values that vary, by name, vary alone, and the others stay where they are, (free,)."""
        return Target(self.objective, self.batches, tuple(names), self.whole(flat).detach())


def check_size(size: int, what: str) -> None:
    """Refuse a whole block of too many values.

    Raises
    ------
    ModelError
        If there are more than 5,000.
    """
    if size > MOST_VALUES:
        raise ModelError(
            f"a block of {what} has {size:,} values, and so {size:,} x {size:,} numbers, {8e-9 * size**2:,.0f} GB; at "
            f"most {MOST_VALUES:,} values are sensible ({math.ceil(8e-9 * MOST_VALUES**2 * 10) / 10} GB). Use "
            "structure='kronecker' or 'diagonal', or subset='last-layer'."
        )
