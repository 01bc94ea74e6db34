r"""The Gauss-Newton matrix of linear and convolution layers, from their inputs and the gradients at their outputs.

For a layer :math:`y = W a` of rows :math:`n`, positions :math:`t` and gradients :math:`g` of the outputs :math:`k` of
the network, weighed by their Fisher information,

.. math::

    \sum_{n, k} \Bigl(\sum_t g_{nkt} \otimes a_{nt}\Bigr)^{\otimes 2} \approx
    \frac{1}{N T} \sum_{n, k, t} g_{nkt} g_{nkt}^\top \otimes \sum_{n, t} a_{nt} a_{nt}^\top,

which is exact where the gradients are the same for every row, as in a linear model with normal noise. A bias is one
more input, 1. For convolutions it is "KFAC expand" of Eschenhagen et al. (2023), "Kronecker-Factored Approximate
Curvature for Modern Neural Network Architectures"; the factors are those of Martens and Grosse (2015). Explained in
`book/reference/how_a_fit_works`, section "Laplace".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from companion.laplace.target import Data, Output, Target

__all__ = ["Factors", "Layer", "factors", "layers_of"]

_MOVES = {"to", "contiguous", "view", "reshape", "unsqueeze", "squeeze", "expand", "permute", "transpose", "t"}
_SCALES = {"mul", "multiply", "__mul__", "__rmul__"}
_MATMUL = {torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.mm, torch.mv}


@dataclass(frozen=True)
class Layer:
    """A layer whose weight, and perhaps bias, are values of the model.

    Attributes
    ----------
    weight, bias
        Names of the values.
    transposed
        Whether the weight's value is (inputs, outputs), as in ``x @ w``, and not (outputs, inputs).
    """

    weight: str
    bias: str | None = None
    transposed: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its values."""
        return (self.weight,) if self.bias is None else (self.weight, self.bias)


@dataclass(eq=False)
class Factors:
    """Sums over rows of one layer.

    Attributes
    ----------
    layer
        The layer.
    inputs, gradients
        Second moments of its inputs, with a 1 for the bias, (inputs, inputs), and of the gradients at its outputs,
        (outputs, outputs), divided so that their Kronecker product is the layer's Gauss-Newton matrix.
    diagonal
        Diagonal of that matrix, (outputs, inputs), which is exact.
    """

    layer: Layer
    inputs: torch.Tensor
    gradients: torch.Tensor
    diagonal: torch.Tensor


@dataclass(frozen=True, eq=False)
class _Known:
    """A tensor that is a value, or a multiple of one, perhaps transposed."""

    name: str
    tensor: torch.Tensor
    factor: float | torch.Tensor = 1.0
    transposed: bool = False


@dataclass(frozen=True, eq=False)
class _Call:
    """One call of a layer: what went in, and what came out."""

    weight: _Known
    bias: _Known | None
    x: torch.Tensor
    y: torch.Tensor
    convolution: dict[str, Any] | None
    matmul: bool = False

    @property
    def layer(self) -> Layer:
        bias = None if self.bias is None else self.bias.name
        return Layer(self.weight.name, bias, self.weight.transposed != self.matmul)

    def inputs(self) -> torch.Tensor:
        """Give the inputs of each row and position, (rows, positions, inputs), with one for the bias."""
        x = self.x.detach()
        if self.convolution is not None:
            patches = functional.unfold(x, self.weight.tensor.shape[2:], **self.convolution).mT
        else:
            patches = x.reshape(len(x), -1, x.shape[-1])
        patches = patches * self.weight.factor
        if self.bias is None:
            return patches
        one = torch.ones_like(patches[..., :1]) * self.bias.factor
        return torch.cat([patches, one], dim=-1)

    def gradients(self, found: torch.Tensor) -> torch.Tensor:
        """Bring gradients at its outputs to the form (rows, positions, outputs)."""
        if self.convolution is not None:
            return found.flatten(2).mT
        vector = self.weight.tensor.ndim == 1
        return found.reshape(len(found), -1, 1 if vector else found.shape[-1])


class _Watch(TorchFunctionMode):
    """Finds the layers whose weights are values, and what else the values are used for."""

    def __init__(self, values: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self._known = {
            id(v): _Known(name, v) for name, v in values.items()
        }  # which keeps them, so that ids stay theirs
        self.calls: list[_Call] = []
        self.uses: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        found = [k for a in tree_leaves((args, kwargs)) if (k := self._at(a)) is not None]
        if not found or not isinstance(out, torch.Tensor | tuple | list) or isinstance(out, torch.Size):
            return out
        if self._at(out) is not None:
            return out
        call = self._call(func, args, kwargs, out)
        if call is not None:
            self.calls.append(call)
            self.uses.update(call.layer.names)
            found = [k for k in found if k.name not in call.layer.names]
        elif len(found) == 1 and isinstance(out, torch.Tensor) and self._follow(func, found[0], args, out):
            return out
        self.uses.update([k.name for k in found for _ in range(2)])  # more often than a layer's own may be
        return out

    def _at(self, value: Any) -> _Known | None:
        return self._known.get(id(value)) if isinstance(value, torch.Tensor) else None

    def _know(self, known: _Known) -> None:
        self._known[id(known.tensor)] = known

    def _follow(self, func: Any, known: _Known, args: Any, out: torch.Tensor) -> bool:
        """Know what is the same value in another shape, or a multiple of it; say whether it is."""
        name, before = getattr(func, "__name__", ""), known.tensor
        if name in _SCALES and len(args) == 2:
            other = args[1] if self._at(args[0]) is not None else args[0]
            single = not isinstance(other, torch.Tensor) or other.numel() == 1
            if single and out.shape == before.shape:
                factor = known.factor * (other.detach().reshape(()) if isinstance(other, torch.Tensor) else other)
                self._know(_Known(known.name, out, factor, known.transposed))
                return True
            return False
        if name not in _MOVES or out.numel() != before.numel():
            return False
        if out.shape == before.shape and name not in ("permute", "transpose", "t"):
            self._know(_Known(known.name, out, known.factor, known.transposed))
            return True
        if max(before.shape, default=1) == before.numel():  # a vector, in whatever shape
            self._know(_Known(known.name, out, known.factor, known.transposed))
            return True
        if name in ("permute", "transpose", "t") and before.ndim == 2:
            turned = out.shape != before.shape or out.stride() != before.stride()
            self._know(_Known(known.name, out, known.factor, known.transposed != turned))
            return True
        return False

    def _call(self, func: Any, args: Any, kwargs: Any, out: Any) -> _Call | None:
        """Describe a call of a layer whose weight is a value."""
        if func in _MATMUL and len(args) == 2:
            weight = self._at(args[1])
            plain = weight is not None and weight.tensor.ndim <= 2 and args[0].ndim >= 2 and self._at(args[0]) is None
            return _Call(weight, None, args[0], out, None, True) if weight is not None and plain else None
        if func not in (functional.linear, torch.conv2d):
            return None
        named = dict(zip(("input", "weight", "bias", "stride", "padding", "dilation", "groups"), args, strict=False))
        named |= kwargs
        x, weight, bias = named["input"], self._at(named["weight"]), named.get("bias")
        if weight is None or self._at(x) is not None:
            return None
        own_bias = None if bias is None else self._at(bias)
        if func is functional.linear:
            return _Call(weight, own_bias, x, out, None) if x.ndim >= 2 else None
        if x.ndim != 4 or named.get("groups", 1) != 1 or isinstance(named.get("padding", 0), str):
            return None
        how: dict[str, Any] = {name: named[name] for name in ("stride", "padding", "dilation") if name in named}
        return _Call(weight, own_bias, x, out, how)


@dataclass(eq=False)
class _Pass:
    """One forward pass over some rows: the outputs, and the layers on the way."""

    outputs: list[Output]
    calls: list[_Call]
    values: Mapping[str, torch.Tensor] = field(repr=False)


def _run(target: Target, flat: torch.Tensor, number: int, data: Data) -> _Pass:
    """Run the likelihood of some rows, and find the layers that use their weights once, on these rows."""
    values = {name: v.detach().clone() for name, v in target.values(flat).items()}
    for name in target.free:
        values[name].requires_grad_()
    with torch.enable_grad(), _Watch({name: values[name] for name in target.free}) as watch:
        found = target.density.parameters(values, data)
    with torch.enable_grad():
        outputs = target.outputs(values, number, data, found)
    rows = {len(o.values) for o in outputs if o.values.ndim}
    calls = []
    for call in watch.calls:
        known = call.weight if watch.uses[call.weight.name] == 1 else None
        if known is None or not rows or {len(call.x), len(call.y)} != rows:
            continue
        bias = call.bias if call.bias is not None and watch.uses[call.bias.name] == 1 else None
        calls.append(_Call(call.weight, bias, call.x, call.y, call.convolution, call.matmul))
    return _Pass(outputs, calls, values)


def layers_of(target: Target, flat: torch.Tensor) -> list[Layer]:
    """List the layers whose weights vary and are used once each, in the order in which they are called."""
    for number, data in target.parts():
        return [call.layer for call in _run(target, flat, number, data).calls]
    return []


def _columns(output: Output) -> Iterator[torch.Tensor]:
    """Give the cotangents of one output of the network at a time, for all rows together."""
    weight = output.weight.detach()
    flat = weight.reshape(len(weight), -1)
    for k in range(flat.shape[1]):
        cotangent = torch.zeros_like(flat)
        cotangent[:, k] = flat[:, k]
        yield cotangent.reshape(weight.shape)


def factors(target: Target, flat: torch.Tensor, *, diagonal: bool) -> list[Factors]:
    """Sum the factors of every layer over all rows.

    Parameters
    ----------
    target
        The model, whose rows must not depend on each other.
    flat
        The values that vary, (free,).
    diagonal
        Whether the diagonal is computed, and not the factors.

    Returns
    -------
    list of Factors
        One for each layer; its diagonal, or its factors, are empty.
    """
    sums: dict[Layer, Factors] = {}
    counts: dict[Layer, list[float]] = {}
    for number, data in target.parts():
        run = _run(target, flat, number, data)
        if not run.calls:
            continue
        inputs = [call.inputs() for call in run.calls]
        weights = target.row_weights(data)
        for call, a in zip(run.calls, inputs, strict=True):
            own = sums.setdefault(call.layer, _empty(call, a))
            count = counts.setdefault(call.layer, [0, a.shape[1]])
            count[0] += len(a) if weights is None else float(weights.sum())
            if not diagonal:
                own.inputs += torch.einsum("nti,ntj->ij", a if weights is None else weights[:, None, None] * a, a)
        for output in run.outputs:
            for cotangent in _columns(output):
                found = torch.autograd.grad(
                    output.values, [call.y for call in run.calls], cotangent, retain_graph=True, allow_unused=True
                )
                for call, a, g in zip(run.calls, inputs, found, strict=True):
                    if g is not None:
                        _add(sums[call.layer], a, call.gradients(g), diagonal)
    for layer, own in sums.items():
        rows, positions = counts[layer]
        own.gradients /= rows * positions
    return list(sums.values())


def _empty(call: _Call, a: torch.Tensor) -> Factors:
    outputs = call.gradients(call.y.detach()).shape[-1]
    size = a.shape[-1]
    return Factors(call.layer, a.new_zeros(size, size), a.new_zeros(outputs, outputs), a.new_zeros(outputs, size))


def _add(own: Factors, a: torch.Tensor, g: torch.Tensor, diagonal: bool) -> None:
    """Add the gradients of one output of the network."""
    if not diagonal:
        own.gradients += torch.einsum("nti,ntj->ij", g, g)
    elif a.shape[1] == 1:
        own.diagonal += g[:, 0].square().mT @ a[:, 0].square()
    else:
        few = max(1, 2**22 // (g.shape[-1] * a.shape[-1]))
        for some, there in zip(a.split(few), g.split(few), strict=True):
            own.diagonal += torch.einsum("nto,nti->noi", there, some).square().sum(dim=0)
