"""Old import lines, which still work and say what the new line is.

The rooms of the package were laid out anew before version 0.1.0: `CHANGELOG.md` says what moved. Explained in
`book/reference/how_a_fit_works`, section "The rooms".
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["GONE", "MOVED_MODULES", "MOVED_NAMES", "install", "moved_name"]

MOVED_MODULES = {
    "companion.forward": "companion.posterior.forward",
    "companion.results": "companion.shelf.results",
    "companion.released": "companion.shelf.released",
    "companion.bayes_by_backprop.trained": "companion.priors.trained",
    "companion.datasets.download": "companion.datasets.downloads",
    "companion.datasets.notices": "companion.errors",
    "companion.datasets.spreadsheets": "companion.datasets.tables",
    "companion.inference.allocation": "companion.machine.malloc",
    "companion.inference.batches": "companion.training.batches",
    "companion.inference.checkpoints": "companion.training.checkpoints",
    "companion.inference.compilation": "companion.machine.compilation",
    "companion.inference.denormals": "companion.machine.denormals",
    "companion.inference.diagnostics": "companion.posterior.diagnostics",
    "companion.inference.divergence": "companion.training.divergence",
    "companion.inference.elbo": "companion.variational.evaluation",
    "companion.inference.estimators": "companion.variational.estimators",
    "companion.inference.families": "companion.variational.families",
    "companion.inference.fingerprint": "companion.training.identity",
    "companion.inference.layout": "companion.variational.layout",
    "companion.inference.memory": "companion.machine.budget",
    "companion.inference.objective": "companion.variational.objective",
    "companion.inference.predictive": "companion.posterior.predictive",
    "companion.inference.processes": "companion.training.distributed",
    "companion.inference.pruning": "companion.posterior.pruning",
    "companion.inference.schedules": "companion.training.schedules",
    "companion.inference.seeds": "companion.machine.seeds",
    "companion.inference.settings": "companion.training.settings",
    "companion.inference.starts": "companion.training.starts",
    "companion.inference.storage": "companion.posterior.storage",
    "companion.inference.training": "companion.training.loop",
    "companion.inference.trend": "companion.posterior.losses",
    "companion.inference.variational": "companion.posterior.variational",
    "companion.plots.labels": "companion.plots.confusion",
    "companion.priors.parameters": "companion.priors.parameter",
}
"""Old name of a module to its new name."""

MOVED_NAMES = {
    "companion.inference": {
        **dict.fromkeys(
            ("Estimator", "Family", "FullRank", "LowRank", "MeanField", "PointMass"), "companion.variational"
        ),
        **dict.fromkeys(("Convergence", "Moments", "Record", "Trend", "VariationalPosterior"), "companion.posterior"),
        **dict.fromkeys(("diagnose", "load_posterior", "moments", "prune", "save_posterior"), "companion.posterior"),
        "trend": "companion.posterior",
    },
    "companion.bayes_by_backprop": dict.fromkeys(
        ("TrainedLocation", "TrainedPrior", "TrainedScaleMixture"), "companion.priors"
    ),
    "companion.bridge.density": {"Observed": "companion.bridge.graph"},
    "companion.inference.estimators": dict.fromkeys(
        ("Gaussian", "LayerNoise", "layer_weights", "noise_for"), "companion.variational"
    ),
    "companion.inference.objective": {"objective_for": "companion.training"},
    "companion.inference.pruning": dict.fromkeys(("Moments", "moments"), "companion.posterior"),
    "companion.inference.settings": dict.fromkeys(("PRECISIONS", "device_named", "has_bfloat16"), "companion.machine"),
}
"""Room or module to the names that it no longer offers, each with the place that does."""

_RECORD = "every posterior's record is a companion.posterior.Record"
_FIT = "fit_advi returns the posterior, and its record is a companion.posterior.Record"

GONE = {
    ("companion.inference", "Fit"): _FIT,
    ("companion.inference.advi", "Fit"): _FIT,
    ("companion.inference.schedules", "SCHEDULES"): "the names of the schedules are companion.training.ScheduleShape",
    ("companion.bayes_by_backprop", "PyroRecord"): _RECORD,
    ("companion.bayes_by_backprop.posterior", "PyroRecord"): _RECORD,
    ("companion.bayes_by_backprop.first_run", "words_of"): "companion.errors.class_and_line says the same",
}
"""Names without a successor, with what took their place."""

_RENAMED = {"companion.results": {"load": "load_result", "write": "write_result"}}


def moved_name(room: str, name: str) -> Any:
    """Give what a room or a module used to offer, with a warning that names the new import line.

    Raises
    ------
    ImportError
        If nothing took its place. An `AttributeError` would lose its words in a line ``from ... import ...``.
    AttributeError
        If it was never offered there.
    """
    if (room, name) in GONE:
        raise ImportError(f"{room}.{name} is gone: {GONE[room, name]}.")
    home = MOVED_NAMES.get(room, {}).get(name)
    if home is None:
        raise AttributeError(f"module {room!r} has no attribute {name!r}")
    warnings.warn(
        f"{name} moved: write `from {home} import {name}` instead of `from {room} import {name}`.",
        DeprecationWarning,
        stacklevel=3,
    )
    return getattr(importlib.import_module(home), name)


class _Finder(MetaPathFinder):
    """Finds modules under their old names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module that moved; None for every other."""
        return ModuleSpec(fullname, _Mover()) if fullname in MOVED_MODULES else None


class _Room(ModuleType):
    """A room in which a function keeps its name when an old module of the same name is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        own = name in vars(self) or name in MOVED_NAMES.get(self.__name__, {})
        if not (own and isinstance(value, ModuleType) and f"{self.__name__}.{name}" in MOVED_MODULES):
            super().__setattr__(name, value)


class _Mover(Loader):
    """Loads the module that took an old one's place, and gives it the old name as well."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Load the new module."""
        new = MOVED_MODULES[spec.name]
        warnings.warn(f"{spec.name} moved: import {new} instead.", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(new)
        alias = ModuleType(spec.name, module.__doc__)
        alias.__dict__.update({k: v for k, v in vars(module).items() if not k.startswith("__") or k == "__all__"})
        alias.__dict__.update({old: getattr(module, n) for old, n in _RENAMED.get(spec.name, {}).items()})
        alias.__dict__["__getattr__"] = lambda name: moved_name(spec.name, name)
        room = sys.modules[spec.name.rpartition(".")[0]]
        if type(room) is ModuleType:
            room.__class__ = _Room
        return alias

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing more: the module was executed under its new name."""


def install() -> None:
    """Let old names be found, after everything else was asked."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
