"""Compilation where it wins: a traced gradient in, the faster of it and of its compiled form out.

Explained in the chapter `book/mnist/dense`.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch

from companion.errors import CompanionWarning, ModelError

__all__ = ["compiled", "faster"]

_log = logging.getLogger(__name__)

Function = Callable[..., Any]

# Compiling takes 5 to 30 seconds; a fit shorter than this has no use for it.
_WORTH_IT_S = 45.0


def compiled(function: Function, device: torch.device) -> Function:
    """Compile for the device: C++ kernels on CPU; on GPU a CUDA graph, which launches all of a step's kernels at once.

    Random numbers stay torch's own, the same as without compilation.
    """
    options: dict[str, Any] = {"fallback_random": True, "triton.cudagraphs": device.type == "cuda"}
    optimised = torch.compile(function, dynamic=False, options=options)

    def call(*arguments: torch.Tensor) -> Any:
        if device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()
        return optimised(*arguments)

    return call


def faster(
    function: Function, arguments: Sequence[torch.Tensor], *, setting: str | bool, steps: int, device: torch.device
) -> tuple[Function, bool]:
    """Choose by measuring, on copies of the arguments, before the first step.

    Parameters
    ----------
    function, arguments
        What a step calls, and an example of what with.
    setting
        True or False decide; "auto" measures.
    steps
        That are to come: compilation must earn its time back.
    device
        Of the arguments.

    Returns
    -------
    callable, bool
        What to call, and whether it is compiled.
    """
    if setting not in (True, False, "auto"):
        raise ModelError(f"compile={setting!r}; expected 'auto', True or False.")
    if setting is False:
        return function, False
    plain = _seconds(function, arguments, device) if setting == "auto" else 0.0
    if setting == "auto" and plain * steps < _WORTH_IT_S:
        return function, False
    candidate = compiled(function, device)
    try:
        quick = _seconds(candidate, arguments, device)
    except Exception as error:  # the compiler has many ways to fail; none of them is a reason not to fit
        warnings.warn(
            f"torch.compile failed ({type(error).__name__}: {str(error).splitlines()[0][:200]}); going on without. "
            "compile=False keeps it from being tried; on CPU it needs a C++ compiler.",
            CompanionWarning,
            stacklevel=3,
        )
        return function, False
    _log.info("a gradient takes %.2f ms plain, %.2f ms compiled", 1e3 * plain, 1e3 * quick)
    return (candidate, True) if setting is True or quick < 0.95 * plain else (function, False)


def _seconds(function: Function, arguments: Sequence[torch.Tensor], device: torch.device, repeats: int = 5) -> float:
    """Time one call: the fastest of a few, after two to warm up."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        function(*arguments)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[2:])
