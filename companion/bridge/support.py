"""Observations that no weights can explain: found before the first step, with their rows.

Explained in `book/reference/how_a_fit_works`, section "The objective".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from companion.bridge.density import LogDensity
from companion.bridge.graph import a_distribution
from companion.errors import ModelError, first_line

__all__ = ["refuse_impossible"]

Values = Mapping[str, torch.Tensor]

# Distances from the model's start and from zero at which a density is looked at: what is impossible at all of them is
# taken for impossible everywhere.
_DISTANCES = (0.0, 1.0, 3.0, 10.0)

# What distributions take, by PyMC's name of them.
_TAKES = {
    "Bernoulli": "0 and 1",
    "Categorical": "the numbers of the classes, from 0 to one less than there are",
    "Binomial": "whole numbers from 0 to n",
    "BetaBinomial": "whole numbers from 0 to n",
    "DiscreteUniform": "whole numbers between its bounds",
    "Poisson": "whole numbers, 0 or more",
    "NegativeBinomial": "whole numbers, 0 or more",
    "DiscreteWeibull": "whole numbers, 0 or more",
    "Geometric": "whole numbers, 1 or more",
    "Exponential": "numbers, 0 or more",
    "HalfNormal": "numbers, 0 or more",
    "HalfCauchy": "numbers, 0 or more",
    "HalfStudentT": "numbers, 0 or more",
    "Gamma": "positive numbers",
    "GeneralizedGamma": "positive numbers",
    "InverseGamma": "positive numbers",
    "Weibull": "positive numbers",
    "LogNormal": "positive numbers",
    "Wald": "positive numbers",
    "Rice": "positive numbers",
    "Pareto": "numbers, m or more",
    "Beta": "numbers between 0 and 1",
    "Kumaraswamy": "numbers between 0 and 1",
    "LogitNormal": "numbers between 0 and 1",
    "VonMises": "angles from -pi to pi",
    "Uniform": "numbers between its bounds",
    "Triangular": "numbers between its bounds",
    "TruncatedNormal": "numbers between its bounds",
    "Multinomial": "counts that sum to n",
    "Dirichlet": "shares that sum to 1",
}


def refuse_impossible(density: LogDensity, parts: Iterable[Values] | None = None) -> None:
    """Refuse observations without a density under any weights.

    Parameters
    ----------
    density
        The model.
    parts
        All rows, some at a time; the model's own data where they are left out.

    Raises
    ------
    ModelError
        If there are such observations; the message counts them, names the first and says what the distribution takes.
        If the observed values don't have the shape of their distribution.
    """
    every = [density.data] if parts is None else list(parts)
    start = density.tensors(density.start)
    with torch.no_grad():
        if all(_is_finite(density, start, part) for part in every):
            return
        exact = density.to(torch.float64, "cpu")  # what only rounding makes impossible is not refused here
        rng = np.random.default_rng(0)
        points = [
            exact.tensors({n: near * a + far * rng.normal(size=a.shape) for n, a in density.start.items()})
            for far in _DISTANCES
            for near in (1, 0)
        ]
        found = [_Impossible(o.name, o.distribution) for o in density.observed]
        for number, part in enumerate(every):
            data = {name: t.to("cpu", torch.float64 if t.is_floating_point() else None) for name, t in part.items()}
            seen = [exact.observations(point, data) for point in points]
            for impossible, observed in zip(found, density.observed, strict=True):
                if number and observed.rows is None:  # it is the same in every part
                    continue
                entries = torch.stack([torch.isfinite(s[impossible.name][0]) for s in seen]).any(dim=0)
                impossible.add(~entries, seen[0][impossible.name][1])
    if messages := [str(impossible) for impossible in found if impossible.count]:
        raise ModelError(" ".join(messages))


@dataclass
class _Impossible:
    """The observations of one variable that have no density.

    Attributes
    ----------
    name, distribution
        The variable and its distribution.
    count, total
        Number of such observations, and of all.
    first
        The first of them, in words.
    """

    name: str
    distribution: str
    count: int = 0
    total: int = 0
    first: str = ""
    rows: int = 0

    def add(self, bad: torch.Tensor, values: torch.Tensor) -> None:
        """Count those of some rows."""
        if bad.any() and not self.count:
            at = torch.nonzero(bad)[0].tolist()
            value = f"{values[tuple(at)].item():g}" if values.shape == bad.shape else "one"
            where = f" in row {at[0] + self.rows}" if at else ""
            self.first = value + where + (f" at {tuple(at[1:])}" if at[1:] else "")
        self.count += int(bad.sum())
        self.total += bad.numel()
        self.rows += len(bad) if bad.ndim else 0

    def __str__(self) -> str:
        takes, kind = _TAKES.get(self.distribution, ""), a_distribution(self.distribution)
        return (
            f"{self.count:,} of {self.total:,} entries of {self.name!r} have no density under any weights"
            + f", the first is {self.first}"
            + (f": {kind} takes {takes}." if takes else f", outside what {kind} takes.")
        )


def _is_finite(density: LogDensity, values: Values, data: Values) -> bool:
    """Say whether every likelihood is finite; it has to have the shape of what was observed."""
    try:
        return all(bool(torch.isfinite(logp)) for logp in density.likelihoods(values, data).values())
    except (IndexError, RuntimeError) as error:
        shapes = density.observed_shapes(data)
        for observed in density.observed:
            shape = shapes[observed.name]
            if observed.distribution == "Categorical" and shape[1:]:
                raise ModelError(
                    f"{observed.name!r} was given values of shape {shape}, such as one column for each class; a "
                    "Categorical takes the number of the class in each row: values.argmax(axis=1)."
                ) from error
        raise ModelError(
            f"the likelihood can't be computed: {first_line(error)}. The observed values have the shapes {shapes}; "
            "compare them with the shapes of what their distributions are given."
        ) from error
