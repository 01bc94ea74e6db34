"""Compilation by `torch.compile`, used where it is measured to be faster.

Explained in `book/reference/how_a_fit_works`, section "The machine".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch

from companion.errors import class_and_line, notice
from companion.machine.timing import fastest_of

__all__ = ["compiled", "faster"]

_log = logging.getLogger(__name__)

Function = Callable[..., Any]

# Compiling takes 5 to 30 seconds; a fit shorter than this has no use for it.
_WORTH_IT_S = 45.0


def compiled(function: Function, device: torch.device, *, graph: bool = True) -> Function:
    """Compile for the device: C++ kernels on CPU; on GPU a CUDA graph, which launches all of a step's kernels at once.

    Random numbers stay the same as without compilation.

    Parameters
    ----------
    function
        Function of tensors.
    device
        Device of its arguments.
    graph
        Whether to make a CUDA graph of it on a GPU. It holds the memory of its own tensors.
    """
    graph = graph and device.type == "cuda"
    options: dict[str, Any] = {"fallback_random": True, "triton.cudagraphs": graph}
    optimised = torch.compile(function, dynamic=False, options=options)

    def call(*arguments: torch.Tensor) -> Any:
        if graph:
            torch.compiler.cudagraph_mark_step_begin()
        return optimised(*arguments)

    return call


def faster(
    function: Function, arguments: Sequence[torch.Tensor], *, setting: str | bool, steps: int, device: torch.device
) -> tuple[Function, bool]:
    """Choose between a function and its compiled form, by timing both before the first step.

    Parameters
    ----------
    function
        Function that each step calls.
    arguments
        Example of its arguments.
    setting
        True, False or "kernels" decide; "auto" measures.
    steps
        Number of steps to come: compilation must earn its time back.
    device
        Device of the arguments.

    Returns
    -------
    callable, bool
        The function to call, and whether it is compiled.

    Warns
    -----
    CompanionWarning
        If `torch.compile` failed; the function is then used as it is.
    """
    if setting is False:
        return function, False
    plain = fastest_of(function, arguments) if setting == "auto" else 0.0
    if setting == "auto" and plain * steps < _WORTH_IT_S:
        return function, False
    candidate = compiled(function, device, graph=setting != "kernels")
    try:
        quick = fastest_of(candidate, arguments)
    except Exception as error:  # the compiler can fail in many ways, and a fit can do without it
        notice(
            f"torch.compile failed ({class_and_line(error)[:200]}); the fit goes on "
            "without it. machine=Machine(compile=False) doesn't try it; on CPU it needs a C++ compiler."
        )
        return function, False
    _log.info("a gradient takes %.2f ms plain, %.2f ms compiled", 1e3 * plain, 1e3 * quick)
    return (candidate, True) if setting != "auto" or quick < 0.95 * plain else (function, False)
