"""The doors to inference: a model becomes a posterior.

`fit` is the engine: any continuous PyMC model, fitted in torch. `laplace` puts a normal distribution around a mode of
such a model, and `fit_advi` is PyMC's own algorithm. Explained in the chapters `book/pymc/moons` and
`book/mnist/dense`.
"""

from typing import Any

from companion import moved
from companion.inference.advi import best_fit, fit_advi
from companion.inference.engine import Keep, fit
from companion.inference.feeding import feed, minibatches
from companion.inference.laplace import laplace
from companion.laplace import Curvature, LaplacePredictive, Scales, Structure, Subset
from companion.machine import Machine, Precision
from companion.posterior import FitState
from companion.training import Checkpoint, Rates, Schedule, ScheduleShape, Start, StartKind, Stream

__all__ = [
    "Checkpoint",
    "Curvature",
    "FitState",
    "Keep",
    "LaplacePredictive",
    "Machine",
    "Precision",
    "Rates",
    "Scales",
    "Schedule",
    "ScheduleShape",
    "Start",
    "StartKind",
    "Stream",
    "Structure",
    "Subset",
    "best_fit",
    "feed",
    "fit",
    "fit_advi",
    "laplace",
    "minibatches",
]


def __getattr__(name: str) -> Any:
    """Give a name that moved to another room, with a warning."""
    return moved.moved_name("companion.inference", name)
