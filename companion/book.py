"""Set up a notebook so that its outputs hold what it says itself, and not what other libraries say on a first run.

Called first in every chapter, beginning with `book/pymc/moons`, section "Setting up".
"""

from __future__ import annotations

import logging
import warnings

__all__ = ["setup"]

_WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    (r"\s*ArviZ is undergoing a major refactor", FutureWarning),
    ("PyTensor could not link to a BLAS", UserWarning),
    ("IProgress not found", Warning),  # tqdm's own category, which Pyro's import would load
)
_LOG_LINES = {
    "matplotlib.font_manager": "Matplotlib is building the font cache",
    "pytensor.tensor.blas": "Using NumPy C-API based implementation for BLAS",
}
# Not "pymc" itself, whose level PyMC sets when it is imported.
_PROGRESS = ("pymc.sampling", "pymc.variational")


def setup() -> None:
    """Keep the notices of other libraries out of a notebook's outputs, by their words and no others.

    Call it before those libraries are imported, since some of them speak at their import.

    Notes
    -----
    What is kept out:

    - ArviZ's announcement of its next version, at its first import of each day;
    - matplotlib's line about its font cache, where building it takes long, which happens once on each machine;
    - tqdm's advice to install ipywidgets, when Pyro is imported;
    - PyTensor's warnings that it found no BLAS to link; ``companion doctor`` says what to do about it;
    - PyMC's lines of progress, one for each call.

    Every other warning is heard, PyMC's among them. A second call changes nothing.
    """
    for beginning, category in _WARNINGS:
        warnings.filterwarnings("ignore", beginning, category)
    for name in _LOG_LINES:
        logging.getLogger(name).addFilter(_is_news)
    for name in _PROGRESS:
        logging.getLogger(name).setLevel(logging.WARNING)


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether a log record says something that `setup` does not keep out."""
    return not record.getMessage().startswith(_LOG_LINES[record.name])
