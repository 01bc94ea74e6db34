"""One call of a module with other weights than its own, which leaves the module as it was.

Explained in `book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

__all__ = ["called_with"]

# Functions that create a tensor in the default dtype, where none is named.
_CREATORS = frozenset({
    torch.arange, torch.empty, torch.eye, torch.full, torch.linspace, torch.logspace, torch.ones, torch.zeros,
})  # fmt: skip

# The other names of each tied parameter, one for each layer that holds it. Weak keys, as everywhere.
_tied: WeakKeyDictionary[torch.nn.Module, dict[str, list[str]]] = WeakKeyDictionary()


def called_with(
    module: torch.nn.Module,
    weights: Mapping[str, torch.Tensor],
    inputs: Sequence[torch.Tensor],
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> Any:
    """Call a module with other values of its parameters or buffers.

    `torch.func.functional_call` leaves these values behind in a layer that stands in a module under two names, and in
    attributes of layers that keep something of their last call. Here neither happens.

    Parameters
    ----------
    module
        The module.
    weights
        Name of each parameter or buffer to its value; a tied parameter goes by its first name.
    inputs
        Arguments of ``forward``.
    device, dtype
        Where, and in which floating dtype, ``forward`` makes tensors that it creates without naming either.

    Returns
    -------
    object
        What ``forward`` returns.
    """
    others = {name: weights[first] for first, names in _ties(module).items() if first in weights for name in names}
    with _at_home(device, dtype), _left_as_it_was(module):
        return functional_call(module, {**weights, **others}, tuple(inputs), tie_weights=False)


def _ties(module: torch.nn.Module) -> dict[str, list[str]]:
    """Find the other names of each tied parameter; a layer with two names of its own counts once."""
    if module not in _tied:
        names: dict[int, dict[tuple[int, str], str]] = {}
        for name, parameter in module.named_parameters(remove_duplicate=False):
            layer, _, own = name.rpartition(".")
            names.setdefault(id(parameter), {}).setdefault((id(module.get_submodule(layer)), own), name)
        _tied[module] = {first: others for first, *others in map(list, map(dict.values, names.values())) if others}
    return _tied[module]


@contextmanager
def _at_home(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Make the tensors that a module's ``forward`` creates on the device and in the dtype of its weights.

    Code that `torch.compile` was called on runs as it was written: it can be neither vectorised nor traced otherwise.
    """
    default = torch.get_default_dtype()
    with ExitStack() as stack:
        if device.type != "cpu":
            stack.enter_context(device)
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if dtype is not default:
            torch.set_default_dtype(dtype)
            stack.callback(torch.set_default_dtype, default)
            stack.enter_context(_DtypeNamed())
        yield


class _DtypeNamed(TorchFunctionMode):
    """Names the dtype of every floating tensor that is created: a traced graph runs when the default is another."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in _CREATORS and (kwargs or {}).get("dtype") is None and out.is_floating_point():
            return func(*args, **(kwargs or {}), dtype=out.dtype)
        return out


@contextmanager
def _left_as_it_was(module: torch.nn.Module) -> Iterator[None]:
    """Put a module's attributes back: some layers keep tensors of the last call, which would then outlive it."""
    kept = [(vars(part), dict(vars(part))) for part in module.modules()]
    try:
        yield
    finally:
        for now, before in kept:
            if now.keys() != before.keys() or any(now[name] is not value for name, value in before.items()):
                now.clear()
                now.update(before)
