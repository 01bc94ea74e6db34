"""Torch functions with an identity: a module as a function of its weights, its derivative, its vectorised form.

Each takes tensors and gives a tuple of tensors. PyTensor compares the Ops that carry these functions, merges equal
ones and pickles them, so each is a small frozen dataclass that compares by what it computes. Explained in
`book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, Self
from weakref import WeakKeyDictionary

import torch
from torch.func import vjp, vmap

from companion.bridge.calling import called_with
from companion.bridge.modules import moved
from companion.errors import ModelError

__all__ = ["ModuleCall", "Shape", "TorchFunction", "Vjp", "Vmapped", "is_differentiable"]

Tensors = tuple[torch.Tensor, ...]
Shape = tuple[int, ...]

# A module's identity. Weak keys: a module that nobody uses any more is not kept alive by having been wrapped.
_identities: WeakKeyDictionary[torch.nn.Module, str] = WeakKeyDictionary()

# What stands in the identity of a copy on another device between the module's own and where it is.
_ELSEWHERE = " on "


class TorchFunction(Protocol):
    """A function of tensors that can stand in an Op: it can be hashed, compared and pickled."""

    @property
    def label(self) -> str:
        """Name for printed graphs."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Floating dtype in which it computes; floating inputs are cast to it."""
        ...

    @property
    def device(self) -> torch.device:
        """Device on which it computes; inputs are moved there."""
        ...

    @property
    def example(self) -> tuple[Shape, ...]:
        """Shapes of inputs that it accepts; where a size may vary, any of those sizes."""
        ...

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> TorchFunction:
        """Return the same function on a device, such as "meta", where tensors have shapes and no values."""
        ...

    def __call__(self, *tensors: torch.Tensor) -> Tensors:
        """Compute the outputs."""
        ...


@dataclass(frozen=True)
class ModuleCall:
    r"""A module as a function of its inputs, then its weights.

    Parameters
    ----------
    module
        Any `torch.nn.Module` whose ``forward`` gives a tensor, or a tuple or list of them.
    names
        Names of the parameters that are arguments, in their order. The others keep the module's own values.
    example
        Shapes of arguments that it accepts: those of ``forward``, then the weights'.
    identity
        Name of what it computes: two calls with one identity compute the same. It travels with a pickle, as the module
        itself does.

    Raises
    ------
    ModelError
        If ``forward`` gives something else than tensors, when it is called.
    """

    module: torch.nn.Module = field(compare=False, repr=False)
    names: tuple[str, ...]
    example: tuple[Shape, ...] = field(compare=False, repr=False)
    identity: str

    @classmethod
    def of(cls, module: torch.nn.Module, names: Sequence[str], example: Sequence[Shape]) -> ModuleCall:
        """Wrap a module; one module has one identity for as long as it lives."""
        return cls(module, tuple(names), tuple(example), _identities.setdefault(module, uuid.uuid4().hex))

    def __post_init__(self) -> None:
        _identities.setdefault(self.module, self.identity)  # after unpickling in another process

    @property
    def label(self) -> str:
        return type(self.module).__name__

    @property
    def original(self) -> str:
        """The identity of the module that this one is a copy of, on another device, or of this one itself."""
        return self.identity.partition(_ELSEWHERE)[0]

    @cached_property
    def _example(self) -> torch.Tensor:
        floats = (t for t in (*self.module.parameters(), *self.module.buffers()) if t.is_floating_point())
        return next(floats, torch.empty(0, dtype=torch.get_default_dtype()))

    @property
    def dtype(self) -> torch.dtype:
        return self._example.dtype

    @property
    def device(self) -> torch.device:
        return self._example.device

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> ModuleCall:
        if torch.device(device) == self.device and dtype in (None, self.dtype):
            return self
        module = moved(self.module, device, dtype)
        return ModuleCall(module, self.names, self.example, f"{self.identity}{_ELSEWHERE}{device}, {dtype}")

    def __call__(self, *tensors: torch.Tensor) -> Tensors:
        inputs = len(tensors) - len(self.names)
        weights = dict(zip(self.names, tensors[inputs:], strict=True))
        out = called_with(self.module, weights, tensors[:inputs], device=self.device, dtype=self.dtype)
        outputs = tuple(out) if isinstance(out, tuple | list) else (out,)
        if not outputs or not all(isinstance(o, torch.Tensor) for o in outputs):
            raise ModelError(
                f"{self.label}.forward gave a {type(out).__name__}; expected a tensor, or a tuple of tensors. "
                "Wrap the module in one whose forward picks the tensors out."
            )
        return outputs

    def __reduce__(self) -> tuple[object, ...]:
        return ModuleCall, (self.module, self.names, self.example, self.identity)


@dataclass(frozen=True)
class _Derived:
    """A function made of another one, which computes where that one does."""

    function: TorchFunction

    @property
    def dtype(self) -> torch.dtype:
        return self.function.dtype

    @property
    def device(self) -> torch.device:
        return self.function.device

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> Self:
        return replace(self, function=self.function.to(device, dtype))


@dataclass(frozen=True)
class Vjp(_Derived):
    """The vector-Jacobian product of a function.

    It takes the function's inputs, then one cotangent for each output, and gives one gradient for each input. Inputs
    that are not floating, such as labels, get no gradient, and so no output here.

    Parameters
    ----------
    function
        The function that is differentiated.
    inputs
        Number of its inputs.
    cotangents
        Shapes of its outputs for its example.
    """

    inputs: int
    cotangents: tuple[Shape, ...] = field(default=(), compare=False, repr=False)

    @property
    def label(self) -> str:
        return f"{self.function.label} gradient"

    @property
    def example(self) -> tuple[Shape, ...]:
        return (*self.function.example, *self.cotangents)

    def __call__(self, *tensors: torch.Tensor) -> Tensors:
        inputs, cotangents = tensors[: self.inputs], tensors[self.inputs :]
        at = [i for i, t in enumerate(inputs) if is_differentiable(t)]

        def of_floats(*floats: torch.Tensor) -> Tensors:
            arguments = list(inputs)
            for i, value in zip(at, floats, strict=True):
                arguments[i] = value
            return self.function(*arguments)

        found: Any = vjp(of_floats, *(inputs[i] for i in at))
        outputs, pull = found
        return tuple(pull(tuple(c.to(o.dtype) for c, o in zip(cotangents, outputs, strict=True))))


@dataclass(frozen=True)
class Vmapped(_Derived):
    """A function vectorised by `torch.vmap`.

    Parameters
    ----------
    function
        The function that is applied to each element of the batch.
    batch_ndims
        Number of leading batch dimensions of each input. They broadcast against each other from the right.
    """

    batch_ndims: tuple[int, ...]

    @property
    def label(self) -> str:
        return f"{self.function.label}, vectorised"

    @property
    def example(self) -> tuple[Shape, ...]:
        return tuple((2,) * n + shape for n, shape in zip(self.batch_ndims, self.function.example, strict=True))

    def __call__(self, *tensors: torch.Tensor) -> Tensors:
        shapes = [t.shape[:n] for t, n in zip(tensors, self.batch_ndims, strict=True)]
        whole = torch.broadcast_shapes(*shapes)
        full = [
            t.expand(*whole[len(whole) - n :], *t.shape[n:]) for t, n in zip(tensors, self.batch_ndims, strict=True)
        ]
        function: Callable[..., Tensors] = self.function
        for level in range(1, len(whole) + 1):  # from the innermost batch dimension outwards
            dims = tuple(0 if n >= level else None for n in self.batch_ndims)
            function = vmap(function, in_dims=dims, randomness="different")
        return function(*full)


def is_differentiable(tensor: torch.Tensor) -> bool:
    """Say whether gradients flow through a tensor: labels and indices have none."""
    return tensor.is_floating_point()
