"""What a notebook ran on: nothing in, a few lines of text out.

Every chapter's last cell prints them, beginning with `book/pymc/moons`.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["by_name", "machine", "versions"]

_PACKAGES = ("bnn-companion", "pymc", "pytensor", "arviz", "torch", "pyro-ppl", "numpy", "matplotlib", "scikit-learn")


def versions() -> str:
    """Versions of Python and of the packages that the book stands on, and the machine, a line each.

    Holds no paths and no host names, so that it can stand in a stored notebook.

    Notes
    -----
    Shown at the end of every chapter, beginning with `book/pymc/moons`.
    """
    lines = [("python", platform.python_version())]
    for name in _PACKAGES:
        try:
            lines.append((name, version(name)))
        except PackageNotFoundError:
            lines.append((name, "not installed"))
    lines.append(("machine", machine()))
    return "\n".join(f"{name:<14} {value}" for name, value in lines)


def by_name(text: str) -> dict[str, str]:
    """Read back what `versions` gave: name to version, and ``"machine"`` to the machine.

    Notes
    -----
    Shown at the end of every chapter, beginning with `book/pymc/moons`.
    """
    return dict(line.split(maxsplit=1) for line in text.splitlines() if line.strip())


def machine() -> str:
    """Return the processor, the cores this process may use, the system, and the GPU if torch sees one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores, {platform.system()} {platform.machine()}, {_gpu()}"


def _processor() -> str:
    """Name the processor, as well as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _gpu() -> str:
    """Name the GPU that torch sees."""
    try:
        import torch
    except ImportError:
        return "no torch"
    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else "no GPU"
