"""The companion package of *Bayesian Neural Networks, Reproduced*.

Data flows one way through its rooms; each imports only from those to its left::

    datasets, results -> networks -> priors -> bridge -> models -> originals -> forward -> posterior
    -> inference -> bayes_by_backprop -> released -> prediction -> uncertainty -> plots -> cli

Importing the package is cheap: PyMC, torch and Pyro are loaded by the rooms that use them.
"""

from typing import Any

__all__ = ["load_posterior", "save_posterior"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load the front doors when they are first used: they need PyMC and torch."""
    if name == "load_posterior":
        from companion.released import load_posterior

        return load_posterior
    if name == "save_posterior":
        from companion.inference import save_posterior

        return save_posterior
    raise AttributeError(f"module 'companion' has no attribute {name!r}")
