"""A trial of a module on a few real rows, before any step is taken: it computes the same again, and can be lowered.

Explained in `book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from companion.bridge.functions import ModuleCall
from companion.bridge.lines import line_of_error, line_of_now
from companion.errors import ModelError, first_line
from companion.machine import random_kept

__all__ = ["refuse_random", "try_module"]

Tensors = Sequence[torch.Tensor]

# Functions that give Python a value of a tensor, or a tensor whose size is one: what they give can't be differentiated,
# vectorised or traced. Some only where they are used so; see `_asks`.
_ASKS = frozenset({
    "item", "tolist", "equal", "allclose", "nonzero", "argwhere", "masked_select", "unique", "unique_consecutive",
    "_unique2", "is_nonzero", "bincount", "__bool__", "__int__", "__float__", "__index__",
    "_pack_padded_sequence",
})  # fmt: skip


_OTHER = "gives another output for the same inputs and weights"


def try_module(call: ModuleCall, inputs: Tensors) -> None:
    """Run a module forward and backward with its own weights, twice, and refuse what a model can't be made of.

    Parameters
    ----------
    call
        The module.
    inputs
        Arguments of ``forward``, a few real rows where there are any.

    Raises
    ------
    ModelError
        If it fails, draws random numbers, gives something else the second time, changes its buffers or its inputs,
        asks a tensor for its value, or if no weight reaches its output. The message names the line of the module.
    """
    if any(t.is_meta for t in (*call.module.parameters(), *call.module.buffers())):
        return  # without values there is nothing to try
    given = [t.to(call.dtype) if t.is_floating_point() else t for t in inputs]
    own = dict(call.module.named_parameters())
    weights = [own[name].detach().clone().requires_grad_() for name in call.names]
    buffers = {name: b.detach().clone() for name, b in call.module.named_buffers()}
    kept = [t.clone() for t in given]
    watched = _Watched([*given, *weights])
    with torch.enable_grad(), _random_numbers_kept():
        first = _outputs(call, given, weights, watched)
        _refuse_what_was_seen(call, watched)
        again = _outputs(call, given, weights, None)
    _refuse_changes(call, buffers, given, kept)
    if not _same(first, again):
        raise _random(call.label, _OTHER, "")
    _refuse_what_no_weight_reaches(call, first, weights)


def refuse_random(compute: Callable[[], Tensors], label: str) -> None:
    """Refuse a computation that doesn't give the same again.

    Parameters
    ----------
    compute
        The computation, in which all weights are given.
    label
        Name of the model, for the message.

    Raises
    ------
    ModelError
        If it draws random numbers or gives something else the second time; the message names the line that draws.
    """
    watched = _Watched(())
    with _random_numbers_kept():
        with watched:
            first = compute()
        if watched.draws is not None:
            name, where = watched.draws
            raise _random(label, f"draws random numbers ({name})", where)
        again = compute()
    if not _same(first, again):
        raise _random(label, _OTHER, "")


class _Watched(TorchFunctionMode):
    """Follows what depends on inputs and weights, and notes where random numbers and values are asked for.

    Attributes
    ----------
    asks, draws
        The first line of the module that asks a tensor for its value, or draws a random number, with the name of the
        function; ``None`` where there is none.
    """

    def __init__(self, tensors: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self._held: dict[int, torch.Tensor] = {}  # held, so that no id is given to another tensor
        self._outermost: FrameType = sys._getframe(1)
        self.asks: tuple[str, str] | None = None
        self.draws: tuple[str, str] | None = None
        self._hold(tensors)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        leaves = tree_leaves((args, kwargs))
        depends = any(id(leaf) in self._held for leaf in leaves)
        if depends and self.asks is None and _asks(name, args):
            self.asks = name, line_of_now(self._outermost)
        before = _random_state()
        out = func(*args, **kwargs)
        if self.draws is None and _random_state() != before:
            self.draws = name, line_of_now(self._outermost)
        if depends:
            changed = leaves if name.endswith("_") or name == "__setitem__" else []
            self._hold(leaf for leaf in (*tree_leaves(out), *changed) if isinstance(leaf, torch.Tensor))
        return out

    def _hold(self, tensors: Iterable[torch.Tensor]) -> None:
        self._held |= {id(t): t for t in tensors}


def _asks(name: str, args: Sequence[Any]) -> bool:
    """Say whether a function gives Python a value, or a tensor of a size that depends on values."""
    if name == "__getitem__":
        return any(isinstance(i, torch.Tensor) and i.dtype in (torch.bool, torch.uint8) for i in tree_leaves(args[1]))
    return name in _ASKS or (name == "where" and len(args) == 1)


def _outputs(call: ModuleCall, inputs: Tensors, weights: Tensors, watched: _Watched | None) -> Tensors:
    """Run the module forward, and backward where a weight reaches it."""
    try:
        if watched is None:
            return call(*inputs, *weights)
        with watched:
            outputs = call(*inputs, *weights)
        floats = [o.sum() for o in outputs if o.requires_grad]
        if floats:
            torch.autograd.grad(floats, list(weights), allow_unused=True, retain_graph=True)
    except ModelError:
        raise
    except Exception as error:  # a module may fail in any way
        raise refusal(call, inputs, error, watched) from error
    return outputs


def refusal(call: ModuleCall, inputs: Tensors, error: Exception, watched: _Watched | None = None) -> ModelError:
    """Put an error of a module into our words, with the line of the module."""
    if watched is not None and watched.asks is not None:
        return _asked(call, watched.asks)
    where = line_of_error(error)
    return ModelError(
        f"{call.label} refuses inputs of shapes {[tuple(t.shape) for t in inputs]} and dtypes "
        f"{[str(t.dtype).removeprefix('torch.') for t in inputs]}"
        f"{f', in {where}' if where else ''}: {first_line(error)}. Check the shapes."
    )


def _asked(call: ModuleCall, asks: tuple[str, str]) -> ModelError:
    name, where = asks
    return ModelError(
        f"{call.label} refuses to be lowered: {where or 'its forward'} asks a tensor that depends on the inputs or "
        f"the weights for its value ({name}), so that what it computes isn't one function of them. Write a choice "
        "between values with torch.where, and leave checks of the inputs out of forward."
    )


def _same(first: Tensors, again: Tensors) -> bool:
    return all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(first, again, strict=True))


def _random(label: str, does: str, where: str) -> ModelError:
    return ModelError(
        f"{label} {does}{f' in {where}' if where else ''}, so that it doesn't compute the same from the same "
        "weights. Call module.eval() first where that ends it, or leave it out: the posterior regularises already."
    )


def _refuse_what_was_seen(call: ModuleCall, watched: _Watched) -> None:
    if watched.draws is not None:
        name, where = watched.draws
        raise _random(call.label, f"draws random numbers ({name})", where)
    if watched.asks is not None:
        raise _asked(call, watched.asks)


def _refuse_changes(call: ModuleCall, buffers: dict[str, torch.Tensor], inputs: Tensors, kept: Tensors) -> None:
    for name, now in call.module.named_buffers():
        if name in buffers and not torch.equal(now.nan_to_num(), buffers[name].nan_to_num()):
            raise _random(call.label, f"changes its buffer {name!r} at each call", "")
    for number, (now, before) in enumerate(zip(inputs, kept, strict=True)):
        if not torch.equal(now.nan_to_num(), before.nan_to_num()):
            raise ModelError(
                f"{call.label} changes its input number {number} in place, and with it the data. Leave out the "
                "underscore: x.add(1) instead of x.add_(1), x = x + 1 instead of x += 1."
            )


def _refuse_what_no_weight_reaches(call: ModuleCall, outputs: Tensors, weights: Tensors) -> None:
    if weights and not any(o.requires_grad for o in outputs):
        raise ModelError(
            f"no parameter of {call.label} reaches its output: there is nothing to infer. Its forward may compute "
            "under torch.no_grad() or detach() what it gives, or be a function that was bound to another module."
        )


def _random_state() -> tuple[Any, ...]:
    """Give the states of the generators that a module can draw from without one of its own, as comparable values."""
    cuda = [s.numpy().tobytes() for s in torch.cuda.get_rng_state_all()] if torch.cuda.is_initialized() else []
    numpys = np.random.get_state()  # noqa: NPY002  (the module's own doing)
    return torch.get_rng_state().numpy().tobytes(), *cuda, random.getstate(), numpys[1].tobytes(), numpys[2]  # type: ignore[index]


@contextmanager
def _random_numbers_kept() -> Iterator[None]:
    """Leave every generator as it was."""
    pythons, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002  (a module may draw from it)
    try:
        with random_kept():
            yield
    finally:
        random.setstate(pythons)
        np.random.set_state(numpys)  # noqa: NPY002
