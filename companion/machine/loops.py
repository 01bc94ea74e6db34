"""A function of tensors that is repeated, as one call of a shared library.

Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from companion.errors import class_and_line
from companion.machine.hyperbolic import QUICKER
from companion.machine.libraries import Awaited, Library, LibraryError
from companion.machine.products import products_as_sums
from companion.machine.rows_last import rows_last
from companion.machine.tracing import traced

__all__ = ["Body", "Loop"]

Tensors = tuple[torch.Tensor, ...]

Body = Callable[[torch.Tensor, Tensors, Tensors], Tensors]
"""Function of a count () from 0, of tensors that it changes and of tensors that stay, which gives the changed ones as
new tensors of the same shapes. It is traced: what it does may not depend on what is in the tensors."""


class Loop:
    """A loop in a library, which is built in a process of its own.

    Parameters
    ----------
    body
        What is repeated.
    carried, given
        Example of the tensors that it changes, and of those that stay. The library is for their shapes and dtypes.
    threads
        Number of threads that it computes with.
    beside
        Whether something else goes on while it is built, and so goes first.

    Raises
    ------
    LibraryError
        If it can't be traced, or no library can be built here.
    """

    def __init__(self, body: Body, carried: Tensors, given: Tensors, threads: int, *, beside: bool) -> None:
        def once(k: torch.Tensor, *rest: torch.Tensor) -> Tensors:
            return tuple(t.contiguous() for t in body(k, rest[: len(carried)], rest[len(carried) :]))

        arguments = [torch.tensor(0), *_packed(carried, given)]
        try:
            example = [t.clone() for t in arguments]
            turned = traced(rows_last(traced(once, example)), example, QUICKER)
            graph = products_as_sums(turned, example)
        except Exception as error:  # in as many ways as there are models
            raise LibraryError(f"it can't be traced: {class_and_line(error)}") from error
        self._library = Awaited(Library(graph, arguments, threads, beside=beside, carried=len(carried)))

    def ready(self, *, wait: bool = False) -> bool:
        """Say whether it can be called; see `companion.machine.Awaited.ready`."""
        return self._library.ready(wait=wait)

    def __call__(self, count: int, carried: Tensors, given: Tensors) -> Tensors:
        """Repeat the body, and give the tensors that it changed, as new ones.

        How often it is repeated in one call makes no difference to the numbers.
        """
        return tuple(self._library([torch.tensor(0), torch.tensor(count), *_packed(carried, given)]))


def _packed(carried: Tensors, given: Tensors) -> list[torch.Tensor]:
    return [t.contiguous() for t in (*carried, *given)]
