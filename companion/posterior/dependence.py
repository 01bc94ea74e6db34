"""What a posterior's predictions depend on beside its draws, for a file to hold and for loading to compare.

Frozen parameters and buffers of a model's modules, and its data without rows, are known by a checksum each. Everything
else, such as activations and constants, shows in a prediction: at the posterior's centre, at inputs that are made up.
What a lowered model's priors say of that centre is compared as well, but for those that read the data.
Explained in `book/reference/how_a_fit_works`, section "On disk".
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import pymc as pm
import torch
from pytensor.graph.traversal import ancestors

from companion.errors import ModelError
from companion.posterior.predictive import Predictive
from companion.posterior.protocol import Draws

__all__ = ["compare", "dependence", "frozen"]

# What is compared by name: its key, its words, and what to do.
_NAMED = (
    (
        "fixed",
        "frozen parameters and buffers",
        "Build the module with those of the fit, for example by module.load_state_dict(...) of what was saved then.",
    ),
    ("data", "data without rows", "Give the model those of the fit, for example by pm.set_data(...)."),
)
_POINTS = 3
_ROUNDING_OF_PRIOR = 1e-4  # of a log density, and for each value that it is a sum over: another device sums otherwise
_ROUNDING = 5e-3  # of predictions at the same weights, on another device or in another precision


def dependence(predictive: Predictive | None, centre: Draws, fixed: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Describe what predictions depend on, as JSON holds it.

    Parameters
    ----------
    predictive
        How the posterior predicts; ``None`` where it can't.
    centre
        One draw, without randomness.
    fixed
        What stays as it is: frozen parameters and buffers, by name.
    """
    found: dict[str, Any] = {"fixed": {name: _checksum(a) for name, a in fixed.items()}, "data": {}, "prediction": None}
    if predictive is not None:
        found["data"] = {name: _checksum(a) for name, a in predictive.fixed.items()}
        plain = dataclasses.replace(predictive, context=nullcontext)
        if predictive.inputs:
            inputs = {name: _made_up(a) for name, a in predictive.inputs.items()}
            found["prediction"] = plain.predict(inputs, centre).ravel().astype(float).tolist()
    return found


def compare(was: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    """Refuse a model that predicts otherwise than the one of a file.

    Parameters
    ----------
    was
        What the file says; ``None`` in files that hold nothing of the kind.
    now
        What `dependence` says of the model that is given.

    Raises
    ------
    ModelError
        If something differs; the message names it.
    """
    if was is None:
        return
    for kind, what, how in _NAMED:
        before, after = was[kind], now[kind]
        if different := sorted(n for n in {*before, *after} if before.get(n) != after.get(n)):
            raise ModelError(
                f"predictions depend on its {what}, and {', '.join(map(repr, different))} "
                f"{'differs' if len(different) == 1 else 'differ'} from what was fitted. {how}"
            )
    _compare_predictions(was["prediction"], now["prediction"])
    ours = now.get("prior", {})
    for name, told in was.get("prior", {}).items():
        if told is not None and name in ours and not _the_same(told, ours[name]):
            raise ModelError(
                f"at the same values the prior of {name!r} has a log density of {_nats(ours[name])}, where that of the "
                f"fitted one had {_nats(told)}. Build the model with the prior of the fit."
            )


def _the_same(was: list[float], now: list[float] | None) -> bool:
    """Say whether two log densities, each beside its number of values, are the same but for rounding."""
    return now is not None and abs(now[0] - was[0]) <= _ROUNDING_OF_PRIOR * (abs(was[0]) + was[1])


def _nats(told: list[float] | None) -> str:
    return "no finite number" if told is None else f"{told[0]:,.4g} nats"


def _compare_predictions(was: list[float] | None, now: list[float] | None) -> None:
    if was is None or now is None:
        return
    before, after = np.array(was), np.array(now)
    size = max(1e-300, np.nanmax(np.abs(before), initial=0.0))
    if before.shape != after.shape or not np.allclose(before, after, rtol=0, atol=_ROUNDING * size, equal_nan=True):
        raise ModelError(
            f"at the same weights and inputs it predicts {_few(after)}, where the fitted one predicted {_few(before)}. "
            "Its variables and frozen parameters are the same: look for another activation, constant or likelihood. "
            "A torch_regression standardises its target by its own rows, so their mean and scale are such constants: "
            "build it with the rows that were fitted, and give new inputs to predict."
        )


def frozen(model: pm.Model) -> dict[str, torch.Tensor]:
    """Collect the frozen parameters and the buffers of a PyMC model's torch modules, by name."""
    modules = dict(_modules(model))
    found: dict[str, torch.Tensor] = {}
    for number, (module, drawn) in enumerate(modules.items()):
        where = "" if len(modules) == 1 else f"module {number}: "
        own = [*module.named_parameters(), *module.named_buffers()]
        found |= {f"{where}{name}": t.detach() for name, t in own if name not in drawn}
    return found


def _modules(model: pm.Model) -> Iterator[tuple[torch.nn.Module, tuple[str, ...]]]:
    """Find the modules in a model's graph, each with the names of the parameters that are drawn."""
    for variable in ancestors([*model.basic_RVs, *model.deterministics, *model.potentials]):
        function: Any = getattr(getattr(variable.owner, "op", None), "function", None)
        while hasattr(function, "function"):  # a derivative, or the vectorised form
            function = function.function
        module = getattr(function, "module", None)
        if isinstance(module, torch.nn.Module):
            yield module, tuple(getattr(function, "names", ()))


def _made_up(own: torch.Tensor) -> np.ndarray:
    """Make inputs up that any model takes: numbers between 0 and 1, and zeros where whole ones are expected."""
    shape = (_POINTS, *own.shape[1:])
    if not own.is_floating_point():
        return np.zeros(shape, dtype=int)
    return 0.5 + 0.4 * np.sin(np.arange(np.prod(shape, dtype=int)).reshape(shape))


def _checksum(tensor: torch.Tensor) -> str:
    array = tensor.detach().cpu()
    exact = array.double() if array.is_floating_point() else array.long()
    return f"{list(array.shape)} {hashlib.sha256(exact.contiguous().numpy().tobytes()).hexdigest()[:16]}"


def _few(array: np.ndarray) -> str:
    return np.array2string(array[:4], precision=3, separator=", ", threshold=4) + ("" if len(array) <= 4 else " ...")
