"""Look at this machine and print one line for each thing that the book needs: fine as it is, or what to do.

Explained in `book/reference/api/others`, section "Versions and machine".
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from companion.errors import CompanionError, first_line

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["CHECKS", "Finding", "examine", "report"]

_DISTRIBUTION = "bnn-companion"


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes
    ----------
    status
        `"ok"`; `"fine"` where something optional is absent; `"todo"` where there is something to do.
    subject, text
        Thing that was looked at, and a sentence about it.
    essential
        Whether the book can't run until this is done.
    """

    status: Literal["ok", "fine", "todo"]
    subject: str
    text: str
    essential: bool = False


def examine(checks: Iterable[Callable[[], list[Finding]]] | None = None) -> list[Finding]:
    """Run the checks; one that breaks is itself a finding and does not stop the others."""
    findings: list[Finding] = []
    for check in CHECKS if checks is None else checks:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                findings += check()
        except Exception as error:
            findings.append(Finding("todo", check.__name__, first_line(error), essential=True))
    return findings


def report(findings: Iterable[Finding]) -> int:
    """Print one line for each finding; the status is 1 if something essential is to do."""
    findings = list(findings)
    width = max((len(finding.subject) for finding in findings), default=0)
    for finding in findings:
        print(f"{finding.status:<5} {finding.subject:<{width}}  {finding.text}")
    return int(any(finding.status == "todo" and finding.essential for finding in findings))


def python() -> list[Finding]:
    """Report Python's version; pip refuses those that are too old."""
    return [Finding("ok", "Python", f"{platform.python_version()} ({sys.executable})")]


def packages() -> list[Finding]:
    """Check that each declared dependency can be imported and has a version in the declared range."""
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        text = "used from a folder, not installed, so versions are not checked: pip install -e ."
        return [Finding("fine", "companion", text), *(_package(Requirement(name)) for name in _MODULES)]
    required = [Requirement(line) for line in lines]
    return [_package(r) for r in required if r.marker is None or r.marker.evaluate({"extra": ""})]


# What a distribution is called in a sentence and in an import, where it differs from its own name.
_MODULES = {
    "pymc": ("PyMC", "pymc"),
    "pytensor": ("PyTensor", "pytensor"),
    "torch": ("torch", "torch"),
    "pyro-ppl": ("Pyro", "pyro"),
    "arviz": ("ArviZ", "arviz"),
    "pillow": ("Pillow", "PIL"),
    "scikit-learn": ("scikit-learn", "sklearn"),
}


def _package(requirement: Requirement) -> Finding:
    subject, module = _MODULES.get(requirement.name.lower(), (requirement.name, requirement.name))
    remedy = f'pip install "{requirement.name}{requirement.specifier}"'
    try:
        importlib.import_module(module)
        version = importlib.metadata.version(requirement.name)
    except Exception as error:
        return Finding("todo", subject, f"can't be imported ({first_line(error)}): {remedy}", essential=True)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding("todo", subject, f"{version} is outside {requirement.specifier}: {remedy}", essential=True)
    return Finding("ok", subject, version)


def compiler() -> list[Finding]:
    """Look for the C++ compiler that PyTensor 2 needs; PyTensor 3 compiles through numba."""
    pytensor = _module("pytensor")
    if pytensor is None:
        return []
    if pytensor.config.cxx:
        return [Finding("ok", "C++ compiler", str(pytensor.config.cxx))]
    advice = "install g++ (Debian: apt install g++; macOS: xcode-select --install; conda: gxx)"
    if int(pytensor.__version__.partition(".")[0]) >= 3:
        return [Finding("fine", "C++ compiler", f"none, and PyTensor compiles through numba; for C code, {advice}")]
    text = f"PyTensor finds none and runs in plain Python, far too slowly: {advice}"
    return [Finding("todo", "C++ compiler", text, essential=True)]


def blas() -> list[Finding]:
    """Report the linear algebra library that PyTensor links to."""
    pytensor = _module("pytensor")
    if pytensor is None:
        return []
    flags = str(pytensor.config.blas__ldflags).strip()
    if flags:
        return [Finding("ok", "BLAS", flags)]
    text = (
        "none to link: NumPy's own is used, which was hardly slower on the moons' small network "
        "(to change that: Debian: apt install libopenblas-dev gfortran, of which PyTensor needs both; or conda)"
    )
    return [Finding("fine", "BLAS", text)]


def gpu() -> list[Finding]:
    """Report threads and accelerators, as torch sees them."""
    torch = _module("torch")
    if torch is None:
        return []
    threads = Finding("ok", "threads", f"torch uses {torch.get_num_threads()}")
    if torch.cuda.is_available():
        return [threads, Finding("ok", "GPU", f"{torch.cuda.get_device_name(0)} (CUDA {torch.version.cuda})")]
    if torch.backends.mps.is_available():
        return [threads, Finding("ok", "GPU", "Apple (MPS)")]
    return [threads, Finding("fine", "GPU", "none that torch can use: everything runs on the CPU")]


def fonts() -> list[Finding]:
    """Look for a Latin font and for the Chinese one that the figures of the Chinese chapter would choose."""
    matplotlib = _module("matplotlib")
    if matplotlib is None:
        return []
    from matplotlib import font_manager

    from companion.plots import use_style, words

    names = {font.name for font in font_manager.fontManager.ttflist}
    text = "no DejaVu Sans, which ships with matplotlib: pip install --force-reinstall matplotlib"
    latin = Finding("ok", "fonts", "DejaVu Sans") if "DejaVu Sans" in names else Finding("todo", "fonts", text)
    with matplotlib.rc_context():
        use_style("zh")
        chinese = words(en="", zh=str(matplotlib.rcParams["font.family"][-1]))
        use_style("en")
    if chinese:
        return [latin, Finding("ok", "Chinese fonts", chinese)]
    advice = (
        "none, so the figures of the Chinese chapter speak English: reinstall the companion, which brings one "
        f"(pip install --force-reinstall {_DISTRIBUTION}), or install Noto Sans CJK"
    )
    return [latin, Finding("todo", "Chinese fonts", advice)]


def data() -> list[Finding]:
    """Hash the data files that are on this machine."""
    from companion.datasets import REGISTRY, copies

    findings = []
    for collection in REGISTRY.values():
        found = {file.name: copies(file) for file in collection.files}
        bad = [copy.problem for several in found.values() for copy in several if not copy.ok]
        good = [next((copy.place for copy in several if copy.ok), "") for several in found.values()]
        subject = f"data {collection.name}"
        if bad:
            findings.append(Finding("todo", subject, f"bad file, delete it or replace it: {bad[0]}"))
        elif all(good):
            findings.append(Finding("ok", subject, f"{len(good)} files, verified ({', '.join(sorted(set(good)))})"))
        else:
            text = f"{sum(map(bool, good))} of {len(good)} files here; the rest is downloaded when needed"
            findings.append(Finding("fine", subject, f"{text}, or now: companion data fetch {collection.name}"))
    return findings


def cache() -> list[Finding]:
    """Check that downloads can be kept."""
    from companion.datasets import cache_dir, data_dir, prepare

    folder = data_dir()
    findings = []
    if folder is not None and not folder.is_dir():
        findings.append(Finding("todo", "data folder", f"COMPANION_DATA_DIR={folder} is not a folder: set it anew"))
    try:
        prepare(cache_dir())
    except CompanionError as error:
        return [*findings, Finding("todo", "cache", str(error))]
    return [*findings, Finding("ok", "cache", f"{cache_dir()} can be written")]


CHECKS: tuple[Callable[[], list[Finding]], ...] = (python, packages, compiler, blas, gpu, fonts, data, cache)


def _module(name: str) -> Any:
    """Return a module, or None where it can't be imported, which `packages` reports."""
    try:
        return importlib.import_module(name)
    except Exception:
        return None
