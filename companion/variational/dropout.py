r"""MC dropout as a family: each hidden unit is there or not, and with it the weights that read it.

Explained in `book/reference/how_a_fit_works`, section "Families". The reading of dropout as variational inference is
that of Gal and Ghahramani (2016), "Dropout as a Bayesian Approximation".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import NormalDist
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from companion.bridge import LogDensity
from companion.checks import fraction
from companion.errors import ModelError
from companion.variational.layout import Layout

__all__ = ["Dropout", "for_units"]

Parameters = dict[str, torch.Tensor]

_CONVOLUTIONS = {torch.conv1d, torch.conv2d, torch.conv3d}
_PRODUCTS = {"matmul", "__matmul__", "mm", "mv", "dot"}
# Functions of a weight after which each entry still stands for one entry of it.
_MOVES = {"reshape", "view", "permute", "transpose", "t", "squeeze", "unsqueeze", "to", "contiguous", "specify_shape"}
_SCALES = {"mul", "multiply", "__mul__", "__rmul__", "div", "true_divide", "__truediv__"}


@dataclass(frozen=True)
class Dropout:
    r"""Weights times masks on hidden units: :math:`w_{ij} = \mu_{ij} z_j / (1 - p)` with Bernoulli :math:`z_j`.

    Every column of a weight matrix belongs to one unit that the layer reads, and is there with probability
    :math:`1 - p`, whole or not at all. Weights on the model's inputs, biases and all other values are points. As for
    the family "map", the entropy is left out: it is the same for all members of the family, so that the loss has the
    minimum that the KL divergence would have, and a bound of the evidence it is not.

    Parameters
    ----------
    probability
        Probability p with which a unit is dropped.
    units
        Number of the unit, from 1, that drops each entry of the flat vector, (size,); 0 for none. `for_units` finds it.
    count
        Number of units.
    names
        Names of the values that have entries to drop.

    Raises
    ------
    ModelError
        If the probability isn't between 0 and 1.

    Notes
    -----
    **Cost.** A step takes one gradient per draw. Memory holds three numbers per value, the value and Adam's two moments
    of it, and the masks: one number per unit, with "local" one per unit and row.

    **When not to use it.** Not for a width that the data decide: the probability decides it.

    **Sources.** Gal and Ghahramani (2016), "Dropout as a Bayesian Approximation: Representing Model Uncertainty in Deep
    Learning".
    """

    probability: float = 0.2
    units: torch.Tensor | None = field(default=None, compare=False, repr=False)
    count: int = field(default=0, compare=False, repr=False)
    names: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    factorised: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        fraction("probability", self.probability, "such as 0.2", owner=self)

    @property
    def name(self) -> str:
        return f"dropout:{float(self.probability)!r}"

    @cached_property
    def _below(self) -> float:
        """The number below which a standard normal one lies with the probability that a unit is kept."""
        return NormalDist().inv_cdf(1 - self.probability)

    def start(self, mean: torch.Tensor, scale: float) -> Parameters:
        return {"mean": mean.clone()}

    def noise(self, size: int) -> int:
        self._known()
        return self.count

    def draw(self, parameters: Parameters, noise: torch.Tensor) -> torch.Tensor:
        kept = (noise < self._below).to(noise.dtype) / (1 - self.probability)
        factors = torch.cat([torch.ones_like(kept[:1]), kept])
        return parameters["mean"] * factors[self._known()]

    def log_prob(self, parameters: Parameters, draw: torch.Tensor) -> torch.Tensor:
        return draw.new_zeros(())

    def entropy(self, parameters: Parameters) -> torch.Tensor:
        return parameters["mean"].new_zeros(())

    def variance(self, parameters: Parameters) -> torch.Tensor:
        share = self.probability / (1 - self.probability)
        return parameters["mean"].square() * share * (self._known() > 0)

    def _known(self) -> torch.Tensor:
        if self.units is None:
            raise ModelError(
                "Dropout doesn't know the model's units yet; expected one that companion.variational.for_units made, "
                "which fit does for family='dropout'."
            )
        return self.units


def for_units(family: Dropout, density: LogDensity, data: Mapping[str, torch.Tensor]) -> Dropout:
    r"""Find the hidden units of a model, and give the family that drops them.

    A unit is a column of the weight of a `torch.nn.Linear`, an input channel of a convolution, or a row of W in the
    product x @ W of a model that is written in PyMC, of each layer whose input depends on other weights. So the weights
    of the first layer are not dropped. A weight that several layers share is dropped as the first of them does.
    Recurrent layers and attention compute with all of their weights at once, and these are not dropped.

    Parameters
    ----------
    density
        The lowered model.
    data
        A few rows to run its likelihood on.

    Raises
    ------
    ModelError
        If there are no such layers.
    """
    layout = Layout.of(density.start)
    start = density.tensors(density.start)
    values = {name: a.detach().clone().requires_grad_() for name, a in start.items()}
    places = layout.split(torch.arange(layout.size, device=density.device))
    with torch.enable_grad(), _Layers(values, places, layout.size) as found:
        density.likelihoods(values, data)
    if not found.count:
        raise ModelError(
            "family='dropout' found no hidden units: no linear or convolution layer, and no product x @ W, whose input "
            "comes from another layer with drawn weights. It needs a hidden layer; use family='mean-field'."
        )
    dropped = layout.split(found.units)
    return replace(
        family,
        units=found.units,
        count=found.count,
        names=frozenset(n for n, u in dropped.items() if bool((u > 0).any())),
    )


class _Layers(TorchFunctionMode):
    """Watch over a likelihood: which layers read hidden units with which weights.

    Parameters
    ----------
    values
        The drawn values, which require a gradient.
    places
        Place in the flat vector of each of their entries.
    size
        Length of that vector.
    """

    def __init__(self, values: Mapping[str, torch.Tensor], places: Mapping[str, torch.Tensor], size: int) -> None:
        super().__init__()
        self._known: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # holds the tensors, so that ids stay theirs
        for name, value in values.items():
            self._known[id(value)] = value, places[name]
        self.units = torch.zeros(size, dtype=torch.long, device=next(iter(places.values())).device)
        self.count = 0

    def _places(self, value: Any) -> torch.Tensor | None:
        return self._known[id(value)][1] if isinstance(value, torch.Tensor) and id(value) in self._known else None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if all(self._places(a) is None for a in tree_leaves((args, kwargs))):
            return out
        name = getattr(func, "__name__", "")
        if func is functional.linear or func in _CONVOLUTIONS:
            given = dict(zip(("input", "weight"), args, strict=False)) | kwargs
            self._layer(given["input"], given["weight"], 1, groups=_groups(func, args, kwargs))
        elif name in _PRODUCTS and len(args) > 1:
            left, right = args[:2]
            self._layer(left, right, max(right.ndim - 2, 0))
            self._layer(right, left, left.ndim - 1)
        elif isinstance(out, torch.Tensor) and id(out) not in self._known:
            self._follow(func, name, args, kwargs, out)
        return out

    def _follow(self, func: Any, name: str, args: Any, kwargs: Any, out: torch.Tensor) -> None:
        """Know the entries of what was only moved or scaled."""
        [places, *more] = [p for a in tree_leaves((args, kwargs)) if (p := self._places(a)) is not None]
        if more or out.numel() != places.numel():
            return
        if name in _MOVES and self._places(args[0]) is not None:
            moved = places if name in ("to", "contiguous", "specify_shape") else func(places, *args[1:], **kwargs)
            self._known[id(out)] = out, moved
        elif name in _SCALES and out.shape == places.shape:
            self._known[id(out)] = out, places

    def _layer(self, x: torch.Tensor, weight: torch.Tensor, axis: int, groups: int = 1) -> None:
        """Give each column of a weight, along an axis, a unit of its own, if what the layer reads is hidden."""
        places = self._places(weight)
        if places is None or self._places(x) is not None or not x.requires_grad or bool((self.units[places] > 0).any()):
            return
        width = places.shape[axis]
        columns = torch.arange(width, device=places.device).reshape(
            [-1 if d == axis else 1 for d in range(places.ndim)]
        )
        group = torch.arange(groups, device=places.device).repeat_interleave(len(places) // groups)
        number = columns + width * group.reshape(-1, *[1] * (places.ndim - 1)) if groups > 1 else columns
        self.units[places] = (self.count + 1 + number).expand(places.shape)
        self.count += width * groups


def _groups(func: Any, args: Any, kwargs: Any) -> int:
    """Return the number of groups of a convolution, its seventh argument."""
    return 1 if func not in _CONVOLUTIONS else int(kwargs.get("groups", args[6] if len(args) > 6 else 1))
