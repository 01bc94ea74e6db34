"""The companion package of *Bayesian Neural Networks, Reproduced*.

The names here are the front door::

    import companion as bnn

    posterior = bnn.fit(model, 2000)                 # any PyMC model of continuous variables
    probabilities = bnn.predict(posterior, x)

Everything else stands in the rooms behind it, such as `companion.posterior` and `companion.bayes_by_backprop`; each
room is an attribute: ``bnn.inference.swag``. The page `book/reference/how_a_fit_works` draws them. Importing the
package is cheap: a room is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from companion import moved

if TYPE_CHECKING:
    from companion import bayes_by_backprop, datasets, models, networks, plots, priors, shelf, uncertainty
    from companion.bridge import bayesian, torch_log_density, wrap_torch
    from companion.inference import fit, sample
    from companion.models import torch_classifier, torch_regression
    from companion.posterior import save_posterior
    from companion.prediction import predict
    from companion.shelf import load_posterior

__all__ = [
    "bayes_by_backprop",
    "bayesian",
    "datasets",
    "fit",
    "load_posterior",
    "models",
    "networks",
    "plots",
    "predict",
    "priors",
    "sample",
    "save_posterior",
    "shelf",
    "torch_classifier",
    "torch_log_density",
    "torch_regression",
    "uncertainty",
    "wrap_torch",
]

__version__ = "0.1.0"

_ROOMS = {
    "bayesian": "bridge",
    "fit": "inference",
    "load_posterior": "shelf",
    "predict": "prediction",
    "sample": "inference",
    "save_posterior": "posterior",
    "torch_classifier": "models",
    "torch_log_density": "bridge",
    "torch_regression": "models",
    "wrap_torch": "bridge",
}

_BEHIND = frozenset(
    {
        "bench", "book", "bridge", "errors", "estimators", "inference", "infinite_width", "laplace", "machine",
        "originals", "posterior", "prediction", "sampling", "training", "variational", "versions",
    }
)  # fmt: skip
"""The rooms behind the front door, which are loaded by their name as well."""

moved.install()


def __getattr__(name: str) -> Any:
    """Load what the front door offers, or a room behind it, when it is first used."""
    if name in _ROOMS:
        return getattr(import_module(f"companion.{_ROOMS[name]}"), name)
    if name in __all__ or name in _BEHIND or f"companion.{name}" in moved.MOVED_MODULES:
        return import_module(f"companion.{name}")
    raise AttributeError(f"module 'companion' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the front door's names and the rooms for completion, loaded or not."""
    return sorted({*globals(), *__all__, *_BEHIND})
