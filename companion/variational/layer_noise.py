"""Layer noise: give every row of a mini-batch its own weights, at the price of one draw.

This is how local reparameterisation and flipout lower the variance of the gradient. They act on the linear and
convolution layers inside any wrapped module through a torch function mode, so that the user's module stays as it is.
Explained in `book/reference/how_a_fit_works`, section "Estimators".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from companion.errors import ModelError
from companion.variational.estimators import Estimator

__all__ = ["Gaussian", "LayerNoise", "layer_weights", "noise_for"]


class Gaussian(NamedTuple):
    """A tensor that was drawn from independent normals: the name of its value, the draw, the mean and the scale.

    Where ``dropped`` isn't 0, its columns were dropped with that probability instead.
    """

    name: str
    draw: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor
    dropped: float = 0.0


_CONVOLUTIONS = {torch.conv1d, torch.conv2d, torch.conv3d}
_LAYERS = {functional.linear, *_CONVOLUTIONS}

# Functions of one Gaussian tensor and of numbers whose result is Gaussian: the same function gives its mean and scale.
_MOVES = {"reshape", "view", "permute", "transpose", "t", "squeeze", "unsqueeze", "expand", "to", "contiguous"}
_SCALES = {"mul", "multiply", "__mul__", "__rmul__", "div", "true_divide", "__truediv__"}
_SHIFTS = {"add", "__add__", "__radd__", "sub", "__sub__"}
# The two whose arguments may change places: the Gaussian may be the second one.
_EITHER_WAY = {"mul", "multiply", "__mul__", "add", "__add__"}


class LayerNoise(TorchFunctionMode):
    """Replacement of linear and convolution layers whose weights were drawn from normals.

    Parameters
    ----------
    gaussians
        The drawn weights.
    estimator
        Local reparameterisation or flipout.
    allowed
        Names of the weights that may be treated so: those that exactly one layer uses. ``None`` only counts.
    rows
        Numbers of rows that the data have, needed for counting. A layer whose input has another first dimension, such
        as positions, or none, counts as another use: noise for each of its entries would belong to another model.
    """

    def __init__(
        self,
        gaussians: Iterable[Gaussian],
        estimator: Estimator,
        allowed: frozenset[str] | None,
        rows: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__()
        self._known: dict[int, Gaussian] = {}
        self._kept: list[Gaussian] = []  # as long as they are held, their ids belong to no other tensor
        for g in gaussians:
            self.know(g)
        self._estimator = estimator
        self._allowed = allowed
        self._rows = rows
        self.in_layers: Counter[str] = Counter()
        self.elsewhere: Counter[str] = Counter()

    def know(self, gaussian: Gaussian) -> None:
        """Add a weight that is drawn while the model runs, as Pyro does."""
        self._known[id(gaussian.draw)] = gaussian
        self._kept.append(gaussian)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        found = [g for a in tree_leaves((args, kwargs)) if (g := self._gaussian(a)) is not None]
        if not found:
            return func(*args, **kwargs)
        if func in _LAYERS:
            return self._layer(func, args, kwargs)
        name = getattr(func, "__name__", "")
        if len(found) == 1 and name in _MOVES | _SCALES | _SHIFTS and self._gaussian(args[0]) is not None:
            return self._follow(func, name, found[0], args, kwargs)
        if len(found) == 1 and name in _EITHER_WAY:
            return self._follow(func, name, found[0], (args[1], args[0], *args[2:]), kwargs)
        out = func(*args, **kwargs)
        if _computes(out):
            self.elsewhere.update(g.name for g in found)
        return out

    def _gaussian(self, value: Any) -> Gaussian | None:
        return self._known.get(id(value)) if isinstance(value, torch.Tensor) else None

    def _follow(self, func: Any, name: str, g: Gaussian, args: Any, kwargs: Any) -> Any:
        """Compute the mean and the scale of an affine function of a Gaussian."""
        out = func(*args, **kwargs)
        if not isinstance(out, torch.Tensor) or out is g.draw:
            return out
        if out.numel() != g.draw.numel() or (g.dropped and name in _SHIFTS):
            # broadcast: its entries are no longer independent; or what is dropped is no longer all of it
            self.elsewhere.update([g.name])
            return out
        mean = func(g.mean, *args[1:], **kwargs)
        if name in _SHIFTS:
            scale = g.scale.reshape(out.shape)
        else:
            scale = func(g.scale, *args[1:], **kwargs)
            scale = scale.abs() if name in _SCALES else scale
        self.know(Gaussian(g.name, out, mean, scale, g.dropped))
        return out

    def _layer(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run one layer."""
        bound = dict(zip(("x", "weight", "bias"), args, strict=False)) | {
            "x" if k == "input" else k: v for k, v in kwargs.items() if k in ("input", "weight", "bias")
        }
        x, weight, bias = bound["x"], bound["weight"], bound.get("bias")
        rest = args[3:], {k: v for k, v in kwargs.items() if k not in ("input", "weight", "bias")}
        layer = _Layer(func, *rest)
        w, b = self._gaussian(weight), self._gaussian(bias)
        batched = x.ndim == weight.ndim if func in _CONVOLUTIONS else x.ndim > 1
        by_row = w is not None and batched and x.shape[0] in self._rows
        for g, at_place in ((self._gaussian(x), False), (w, by_row), (b, by_row)):
            if g is not None:
                (self.in_layers if at_place else self.elsewhere).update([g.name])
        if w is None or self._allowed is None or w.name not in self._allowed:
            return func(*args, **kwargs)
        if w.dropped:
            return _masked(layer, x, w, bias)
        if b is not None and b.name not in self._allowed:
            b = None
        if self._estimator is Estimator.LOCAL and func is functional.linear and x.ndim == 2:
            return _local(layer, x, w, b, bias)
        return _flipout(layer, x, w, b, bias)


def _computes(out: Any) -> bool:
    """Tell whether a function computed something from a tensor, or only looked at its shape or dtype."""
    return isinstance(out, torch.Tensor | tuple | list) and not isinstance(out, torch.Size)


@dataclass(frozen=True)
class _Layer:
    """The function of a layer with the arguments after its weights: stride, padding, dilation, groups."""

    function: Callable[..., torch.Tensor]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        return self.function(x, weight, bias, *self.args, **self.kwargs)


def _local(layer: _Layer, x: torch.Tensor, w: Gaussian, b: Gaussian | None, bias: torch.Tensor | None) -> torch.Tensor:
    """Draw the pre-activations, whose means and variances follow from those of the weights."""
    mean = layer(x, w.mean, bias if b is None else b.mean)
    variance = layer(x.square(), w.scale.square(), None if b is None else b.scale.square())
    return mean + variance.clamp_min(1e-12).sqrt() * torch.randn_like(mean)


def _flipout(
    layer: _Layer, x: torch.Tensor, w: Gaussian, b: Gaussian | None, bias: torch.Tensor | None
) -> torch.Tensor:
    """Share one deviation from the mean among all rows, with random signs of inputs and outputs for each row."""
    mean = layer(x, w.mean, bias if b is None else b.mean)
    channel = 1 if layer.function in _CONVOLUTIONS else -1
    deviation = layer(x * _signs(x, channel), w.draw - w.mean)
    if b is not None:
        shift = (b.draw - b.mean).to(deviation.dtype)  # products in bfloat16 stay so
        deviation = deviation + (shift.reshape(-1, *[1] * (x.ndim - 2)) if channel == 1 else shift)
    return mean + deviation * _signs(mean, channel)


def _masked(layer: _Layer, x: torch.Tensor, w: Gaussian, bias: torch.Tensor | None) -> torch.Tensor:
    """Drop inputs of a layer, or channels of them, for each row by itself: what dropping its columns would do."""
    channel = 1 if layer.function in _CONVOLUTIONS else -1
    shape = [n if d in (0, channel % x.ndim) else 1 for d, n in enumerate(x.shape)]
    kept = torch.rand(shape, device=x.device) >= w.dropped
    return layer(x * kept.to(x.dtype) / (1 - w.dropped), w.mean, bias)


def _signs(like: torch.Tensor, channel: int) -> torch.Tensor:
    """Draw +1 or -1 for each row and channel, the same at every position."""
    shape = [n if d in (0, channel % like.ndim) else 1 for d, n in enumerate(like.shape)]
    # The lowest bit of each byte is a sign, so that one random number makes eight of them.
    count = math.prod(shape)
    numbers = torch.randint(-(2**63), 2**63 - 1, (-(-count // 8),), dtype=torch.int64, device=like.device)
    bits = numbers.view(torch.int8)[:count].bitwise_and_(1)
    return bits.mul_(2).sub_(1).to(like.dtype).view(shape)


def noise_for(
    estimator: Estimator, gaussians: Iterable[Gaussian], allowed: frozenset[str]
) -> AbstractContextManager[Any]:
    """Return the context in which the likelihood is computed: that of the estimator's layer noise, if it has any."""
    return LayerNoise(gaussians, estimator, allowed) if estimator.acts_on_layers else nullcontext()


def layer_weights(
    estimator: Estimator,
    run: Callable[[], Any],
    gaussians: Mapping[str, Gaussian],
    rows: frozenset[int],
    needed: bool = True,
) -> frozenset[str]:
    """Find the values that are weights of exactly one layer, by a run that only counts their uses.

    Parameters
    ----------
    estimator
        The estimator that asks; the set is empty if it does not act on layers.
    run
        Function that computes the likelihood from the draws in `gaussians`.
    gaussians
        Name of each value to its draw, mean and scale.
    rows
        Numbers of rows that the data have: the first dimension of a layer's input.
    needed
        Whether it is an error if there are none.

    Returns
    -------
    frozenset of str
        Names of the values.

    Raises
    ------
    ModelError
        If there are none: the estimator would be plain reparameterisation under another name.
    """
    if not estimator.acts_on_layers:
        return frozenset()
    with torch.no_grad(), LayerNoise(gaussians.values(), estimator, allowed=None, rows=rows) as counted:
        run()
    names = frozenset(n for n, uses in counted.in_layers.items() if uses == 1 and not counted.elsewhere[n])
    if not names and needed:
        raise ModelError(
            f"estimator={estimator.value!r} acts on linear and convolution layers inside wrapped torch modules, and "
            "found none whose weights are drawn and used once, on inputs with the rows of the model's pm.Data first. "
            "Wrap the network with companion.bridge, or use estimator='reparameterisation'."
        )
    return names
