"""The doors to inference: a model becomes a posterior.

`fit` is the engine: any continuous PyMC model, fitted in torch; `sample` draws from its posterior by chains, and
`laplace` puts a normal distribution around a mode. `swag`, `dropout` and `ensemble` take the same model and the same
words. `fit_advi` is PyMC's own algorithm. Explained in the chapters `book/pymc/moons` and `book/mnist/dense`.
"""

from typing import Any

from companion import moved
from companion.inference.advi import best_fit, fit_advi
from companion.inference.chains import ChainState, sample
from companion.inference.dropout import dropout
from companion.inference.engine import fit
from companion.inference.ensemble import ensemble
from companion.inference.feeding import feed, minibatches
from companion.inference.laplace import laplace
from companion.inference.plan import Keep
from companion.inference.swag import swag
from companion.laplace import Curvature, LaplacePredictive, Scales, Structure, Subset
from companion.machine import Machine, Precision
from companion.posterior import FitState
from companion.training import (
    Checkpoint,
    OptimiserName,
    Rates,
    Schedule,
    ScheduleShape,
    Start,
    StartKind,
    Stream,
    Trajectory,
)

__all__ = [
    "ChainState",
    "Checkpoint",
    "Curvature",
    "FitState",
    "Keep",
    "LaplacePredictive",
    "Machine",
    "OptimiserName",
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
    "Trajectory",
    "best_fit",
    "dropout",
    "ensemble",
    "feed",
    "fit",
    "fit_advi",
    "laplace",
    "minibatches",
    "sample",
    "swag",
]


def __getattr__(name: str) -> Any:
    """Give a name that moved to another room, with a warning."""
    return moved.moved_name("companion.inference", name)
