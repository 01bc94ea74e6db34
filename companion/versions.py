"""The versions and the machine that a notebook or a script ran on.

The last cell of every chapter prints them, beginning with `book/pymc/moons`, section "Versions and machine".
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["by_name", "installed", "machine", "versions"]

_PACKAGES = ("bnn-companion", "pymc", "pytensor", "arviz", "torch", "pyro-ppl", "numpy", "matplotlib", "scikit-learn")


def installed() -> dict[str, str]:
    """Return the versions of Python and of the packages that the book stands on, and the machine, by name.

    Returns
    -------
    dict
        Mapping from ``"python"`` and each package to its version, ``"not installed"`` for a package that is missing,
        and from ``"machine"`` to what `machine` returns. It holds neither paths nor host names.
    """
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "machine": machine(),
    }


def versions() -> str:
    """Write what `installed` returns as text, one line for each name.

    The text holds neither paths nor host names, so that it can stand in a stored notebook.
    """
    return "\n".join(f"{name:<14} {value}" for name, value in installed().items())


def by_name(text: str) -> dict[str, str]:
    """Read the text that `versions` wrote, such as the one in a stored notebook.

    Parameters
    ----------
    text
        Text of `versions`.

    Returns
    -------
    dict
        Mapping as `installed` returned it where the text was written.
    """
    return dict(line.split(maxsplit=1) for line in text.splitlines() if line.strip())


def machine() -> str:
    """Describe the machine by its processor, the cores that this process may use, its system and torch's GPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{_processor()}, {cores} core{'' if cores == 1 else 's'}, {platform.system()} {platform.machine()}, {_gpu()}"
    )


def _version(package: str) -> str:
    """Return the version of a package, or say that it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    """Return the name of the processor, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _gpu() -> str:
    """Return the name of the GPU that torch sees, or say that there is none."""
    try:
        import torch
    except ImportError:
        return "no torch"
    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else "no GPU"
