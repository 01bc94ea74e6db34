"""What comes with the package, by name: results of long runs, and fitted posteriors.

Explained in the chapters `book/pymc/breast_cancer_decisions` (results) and `book/mnist/dense` (posteriors).
"""

from companion.shelf.released import RELEASES, Release, load_posterior
from companion.shelf.results import FILES, Result, load_result, write_result

__all__ = [
    "FILES",
    "RELEASES",
    "Release",
    "Result",
    "load_posterior",
    "load_result",
    "write_result",
]
