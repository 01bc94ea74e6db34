"""Keywords that `fit` had before its rare settings were grouped: they still work, and name the new ones.

Explained in `CHANGELOG.md` and in `book/reference/how_a_fit_works`, section "The loop".
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from companion.checks import whole
from companion.machine import Machine
from companion.training.options import Checkpoint, Rates, Start, Stream
from companion.training.schedules import Schedule

__all__ = ["takes_old_words"]

F = TypeVar("F", bound=Callable[..., Any])

_NEW = {
    "device": "machine=Machine(device=...), or machine='cpu'",
    "precision": "machine=Machine(precision=...)",
    "compile": "machine=Machine(compile=...)",
    "scale_rate": "learning_rate=Rates(means, scales)",
    "start_scale": "start=Start(scale=...)",
    "map_steps": "start=Start(map_steps=...)",
    "kl_warmup": "schedule=Schedule(kl_warmup=...)",
    "dataset": "batch_size=Stream(dataset, batch_size)",
    "workers": "batch_size=Stream(dataset, batch_size, workers)",
    "checkpoint_every": "checkpoint=Checkpoint(folder, every)",
}


_GONE = {"snapshots": "give callback=..., which is called after every step and can copy its posterior"}


def takes_old_words(function: F) -> F:
    """Let a front door take the keywords it had, with a warning that names what to write now.

    Raises
    ------
    TypeError
        If a setting is given by its old and by its new keyword, or by one that is gone.
    """

    @functools.wraps(function)
    def call(*args: Any, **given: Any) -> Any:
        for name in given.keys() & _GONE.keys():
            raise TypeError(f"{name}=... is gone: {_GONE[name]}.")
        old = {name: given.pop(name) for name in list(given) if name in _NEW}
        if old:
            words = "; ".join(f"{name}: {_NEW[name]}" for name in old)
            warnings.warn(f"fit's rare settings are grouped now ({words}).", DeprecationWarning, stacklevel=2)
            given |= _grouped(old, given)
        return function(*args, **given)

    return call  # type: ignore[return-value]


def _grouped(old: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Put old keywords into their groups, beside what was given of a group already."""
    made: dict[str, Any] = {}
    if place := {name: old[name] for name in ("device", "precision", "compile") if name in old}:
        made["machine"] = Machine(**_only(place, "machine", given))
    if "scale_rate" in old:
        rate = given.get("learning_rate", 0.01)
        made["learning_rate"] = rate if old["scale_rate"] is None else Rates(rate, old["scale_rate"])
    if begin := {k: old[name] for name, k in (("start_scale", "scale"), ("map_steps", "map_steps")) if name in old}:
        made["start"] = Start(at=given.get("start", "model"), **begin)
    if "kl_warmup" in old:
        made["schedule"] = Schedule(given.get("schedule", "cosine"), old["kl_warmup"])
    if old.get("dataset") is not None:
        made["batch_size"] = Stream(old["dataset"], given.get("batch_size"), old.get("workers", 0))  # type: ignore[arg-type]
    elif "workers" in old:
        Stream(None, 1, old["workers"])  # the check of the number; without a dataset nothing reads
    if "checkpoint_every" in old:
        folder = given.get("checkpoint")
        every = whole("checkpoint_every", old["checkpoint_every"], 1)
        made["checkpoint"] = None if folder is None else Checkpoint(folder, every)
    return made


def _only(place: dict[str, Any], group: str, given: Mapping[str, Any]) -> dict[str, Any]:
    if group in given:
        raise TypeError(f"{', '.join(place)} given beside {group}; give it all as {group}.")
    return place
