"""What a posterior is given: names, draws and inputs, checked in one place for all of them.

Explained in `book/reference/how_a_fit_works`, section "Prediction".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import torch

from companion.checks import mapping
from companion.errors import ModelError

__all__ = ["check_own_model", "checked_draws", "checked_inputs", "checked_names", "picked"]

Shape = tuple[int, ...]


def check_own_model(model: Any) -> None:
    """Refuse to load the posterior of a PyMC model with anything else.

    Raises
    ------
    ModelError
        If it is anything else.
    """
    if not isinstance(model, pm.Model):
        raise ModelError(f"it is a {type(model).__name__}; expected the pymc.Model of the posterior.")


def checked_names(names: Sequence[str] | None, known: Sequence[str], kind: str = "free variables") -> tuple[str, ...]:
    """Return the names that were asked for, or all of them.

    Parameters
    ----------
    names
        Names that were asked for; ``None`` asks for all.
    known
        Names of what there is.
    kind
        Kind of what has these names, for the message.

    Raises
    ------
    ModelError
        If it is one string or not a list, or there is nothing of that name.
    """
    if names is None:
        return tuple(known)
    listed = tuple(names) if isinstance(names, Iterable) and not isinstance(names, str) else (None,)
    if not all(isinstance(name, str) and name in known for name in listed):
        alone = f" One name alone goes into a list, too: [{names!r}]." if isinstance(names, str) else ""
        raise ModelError(f"names={names!r}; expected names of {kind}, some of {list(known)}.{alone}")
    return tuple(str(name) for name in listed)


def checked_draws(draws: Mapping[str, Any], shapes: Mapping[str, Shape]) -> dict[str, np.ndarray]:
    r"""Return the draws of the variables that a prediction reads.

    Parameters
    ----------
    draws
        Name to array (draws, \*shape); others than those in `shapes` are left out.
    shapes
        Name of each variable to its shape.

    Returns
    -------
    dict
        Name to array (draws, \*shape), the same number of draws in each.

    Raises
    ------
    ModelError
        If it isn't a mapping, a variable is missing, or its draws have another shape or number than the others'.
    """
    mapping("draws", draws, "of names to arrays, such as posterior.draw(50, seed=0) gives")
    found = {}
    for name, shape in shapes.items():
        if name not in draws:
            raise ModelError(f"no draws of {name!r}; the draws have {sorted(draws)}.")
        array = np.asarray(draws[name])
        if array.dtype.kind not in "fiub" or array.shape[1:] != shape or not array.size:
            raise ModelError(
                f"draws of {name!r} have shape {array.shape} and dtype {array.dtype}; expected numbers "
                f"(draws, {', '.join(map(str, shape))})."
            )
        found[name] = array
    lengths = {name: len(a) for name, a in found.items()}
    if len(set(lengths.values())) > 1:
        raise ModelError(f"the variables differ in their number of draws: {lengths}; expected the same number of each.")
    return found


def checked_inputs(x: Any, own: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    r"""Return the inputs to predict at, by name.

    Parameters
    ----------
    x
        An array (points, \*features), or a mapping from names to such arrays where the model reads several.
    own
        What they come in place of: name to tensor (rows, \*features), of which shape, dtype and whether all numbers are
        finite are asked.

    Returns
    -------
    dict
        Name to array (points, \*features), the same number of points in each.

    Raises
    ------
    ModelError
        If a name is missing or unknown, or the numbers don't fit the model's own.
    """
    if not isinstance(x, Mapping):
        if len(own) != 1:
            raise ModelError(f"the model reads {list(own)}; expected a mapping from these names to arrays.")
        x = dict.fromkeys(own, x)
    if strange := set(x) ^ set(own):
        raise ModelError(f"the inputs lack or add {sorted(strange)}; the model reads {list(own)}.")
    found = {name: _like(name, np.asarray(x[name]), tensor) for name, tensor in own.items()}
    points = {name: len(a) for name, a in found.items()}
    if len(set(points.values())) > 1:
        raise ModelError(f"the inputs differ in their number of points: {points}; expected the same number of each.")
    return found


def picked(n: int, total: int, seed: int) -> np.ndarray:
    """Choose ``n`` of a sampler's draws without repetition, by their numbers (n,).

    Raises
    ------
    ModelError
        If there are fewer.
    """
    if n > total:
        raise ModelError(f"{n} draws asked for; the sampler made {total}. Ask for fewer, or sample longer.")
    return np.random.default_rng(seed).choice(total, size=n, replace=False)


def _like(name: str, array: np.ndarray, own: torch.Tensor) -> np.ndarray:
    """Refuse an input that isn't like the model's own."""
    if array.dtype.kind not in "fiub" or array.shape[1:] != tuple(own.shape[1:]) or not array.size or not array.ndim:
        raise ModelError(
            f"{name} has shape {array.shape} and dtype {array.dtype}; expected numbers "
            f"{('points', *own.shape[1:])}, as the model's own."
        )
    if array.dtype.kind != "f":
        return array
    if not own.is_floating_point() and (array != np.round(array)).any():
        raise ModelError(
            f"{name} holds numbers with fractions; the model's own are whole ({own.dtype}), so they would be cut off. "
            f"Give the model floating data: pm.Data({name!r}, values.astype(float))."
        )
    if not np.isfinite(array).all() and bool(torch.isfinite(own).all()):
        raise ModelError(f"{name} holds NaN or infinity; expected finite numbers, as the model's own are.")
    return array
