"""What comes with the package, by name: results of long runs, fitted posteriors; and tables of results.

Explained in the chapters `book/pymc/breast_cancer_decisions` (results) and `book/mnist/dense` (posteriors).
"""

from companion.shelf.released import RELEASES, Release, load_posterior
from companion.shelf.results import FILES, Result, load_result, write_result
from companion.shelf.tables import MISSING, with_errors

__all__ = [
    "FILES",
    "MISSING",
    "RELEASES",
    "Release",
    "Result",
    "load_posterior",
    "load_result",
    "with_errors",
    "write_result",
]
