"""Functions over many draws or restarts at once: by `torch.vmap` and in one graph or, where that can't be, in a loop.

`torch.vmap` has no rule for some of what modules do: recurrent layers on a processor, `torch.autograd.Function` without
one, code that goes through NumPy. Tracing can't follow what asks a tensor for its value. All of that still computes,
one draw at a time. Explained in `book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

import torch
from torch.utils._pytree import tree_leaves, tree_map

from companion.bridge.functions import ModuleCall
from companion.bridge.lines import line_of_error, stack_level
from companion.bridge.simplifying import simplify
from companion.errors import CompanionError, CompanionWarning, first_line
from companion.machine import traced

__all__ = ["Tools", "fastest", "looped", "vectorised"]

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)
Dims = int | tuple[int | None, ...]

# Modules that a notice was given for already: one for each.
_told: set[str] = set()


class Tools:
    """The two functions that a gradient over restarts is built of: by `torch.func`, or in a loop by plain autograd.

    Parameters
    ----------
    loop
        Whether to loop.
    """

    def __init__(self, loop: bool) -> None:
        self._loop = loop

    def over(self, function: Function, in_dims: Dims = 0) -> Function:
        """Vectorise a function over the first dimension of some arguments, with random numbers of their own for each.

        Parameters
        ----------
        function
            The function of one element.
        in_dims
            Number 0 for each argument that has that dimension, ``None`` for each that is the same for all; one number
            may stand for all arguments.
        """
        return looped(function, in_dims) if self._loop else torch.vmap(function, in_dims, randomness="different")

    def with_gradient(self, function: Function) -> Function:
        """Differentiate a function by its first argument, a tuple of tensors.

        Parameters
        ----------
        function
            The function. It gives a scalar, which is differentiated, and something else beside it.

        Returns
        -------
        callable
            Function that gives gradients and the function's outputs, as `torch.func.grad_and_value` with
            ``has_aux=True`` does.
        """
        return _by_autograd(function) if self._loop else torch.func.grad_and_value(function, has_aux=True)


def fastest(build: Callable[[Tools], F], example: Sequence[torch.Tensor]) -> F:
    """Build a function the fastest way that works: in one traced graph, by `torch.vmap` without one, or in a loop.

    Parameters
    ----------
    build
        Builds the function of these tools.
    example
        Arguments to try it with. The traced graph is one for their shapes.

    Returns
    -------
    callable
        A `torch.fx.GraphModule` where the function could be traced.

    Warns
    -----
    CompanionWarning
        If it could not, once for each module, with the reason and the line of the module.
    """
    try:
        graph = traced(build(Tools(loop=False)), example)
    except Exception as error:  # torch's many ways to say that it can't
        _raise_ours(error)
        reason: Exception = error
    else:
        return cast(F, simplify(graph))
    for loop in (False, True):
        function = build(Tools(loop))
        try:
            function(*example)
        except Exception as error:
            _raise_ours(error)
            if loop:
                raise
            reason = error
        else:
            how = "in a loop over restarts and draws" if loop else "by torch.vmap, but not as one graph,"
            _notice(f"The gradient is computed {how} and takes longer", reason)
            return function
    raise AssertionError("either way returns or raises")


def vectorised(function: Function, in_dims: Dims = 0, *, randomness: str = "error", quiet: bool = False) -> Function:
    """Vectorise a function by `torch.vmap` or, where it has no rule for something in it, in a loop.

    Parameters
    ----------
    function
        The function of one element. Its arguments and outputs may be nested in mappings, tuples and lists.
    in_dims
        Number 0 for each argument whose tensors have a first dimension to go over, ``None`` for each that is the same
        for all; one number may stand for all arguments.
    randomness
        Setting of that name of `torch.vmap`.
    quiet
        Whether no warning comes out of it: where `torch.vmap` is slow or can't, or the function gives one.

    Returns
    -------
    callable
        The function of all elements. Which way it goes is found out at its first call.

    Warns
    -----
    CompanionWarning
        If it loops and isn't `quiet`, once for each module, with the reason and the line of the module.
    """
    batched, loop = torch.vmap(function, in_dims, randomness=randomness), looped(function, in_dims)
    chosen: list[Function] = []

    def call(*arguments: Any) -> Any:
        if chosen:
            return chosen[0](*arguments)
        try:
            out = batched(*arguments)
        except Exception as error:  # torch's many ways to say that it can't
            _raise_ours(error)
            out = loop(*arguments)  # whatever is wrong beside the vectorising is raised here
            chosen.append(loop)
            if not quiet:
                _notice("Computed in a loop, one draw at a time, which takes longer", error)
        else:
            chosen.append(batched)
        return out

    def in_silence(*arguments: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call(*arguments)

    return in_silence if quiet else call


def looped(function: Function, in_dims: Dims = 0) -> Function:
    """Do what `torch.vmap` does in a loop; see `vectorised`."""

    def call(*arguments: Any) -> Any:
        dims = (in_dims,) * len(arguments) if isinstance(in_dims, int) else in_dims
        over = [a for a, dim in zip(arguments, dims, strict=True) if dim is not None]
        [count] = {len(t) for t in tree_leaves(over)}
        found = [
            function(*(_part(a, i) if dim is not None else a for a, dim in zip(arguments, dims, strict=True)))
            for i in range(count)
        ]
        return tree_map(lambda *parts: torch.stack(parts), *found)

    return call


def _part(tree: Any, i: int) -> Any:
    """Take one element of every tensor."""
    return tree_map(lambda t: t[i], tree)


def _by_autograd(function: Function) -> Function:
    """Differentiate by plain autograd, which knows more than `torch.func` does."""

    def call(own: tuple[torch.Tensor, ...], *rest: Any) -> Any:
        with torch.enable_grad():
            leaves = tuple(t.detach().requires_grad_() for t in own)
            value, beside = function(leaves, *rest)
            gradients = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
        return gradients, (value.detach(), tree_map(torch.Tensor.detach, beside))

    return call


def _raise_ours(error: Exception) -> None:
    """Raise what a loop would meet as well: our own errors, and that memory doesn't do."""
    if isinstance(error, CompanionError | torch.OutOfMemoryError):
        raise error


def _notice(what: str, error: Exception) -> None:
    """Say once for each module what is done instead, and why."""
    call = next((c for c in _calls_in(error)), None)
    if call is not None and call.original in _told:
        return
    where = line_of_error(error)
    reason = f"{f' with {call.label}' if call else ''}: {first_line(error)}{f', in {where}' if where else ''}"
    warnings.warn(f"{what}: torch can't do otherwise{reason}.", CompanionWarning, stacklevel=stack_level())
    if call is not None:
        _told.add(call.original)


def _calls_in(error: BaseException) -> Iterator[ModuleCall]:
    """Find the wrapped modules that an error passed through."""
    at = error.__traceback__
    while at is not None:
        owner = at.tb_frame.f_locals.get("self")
        if isinstance(owner, ModuleCall):
            yield owner
        at = at.tb_next
