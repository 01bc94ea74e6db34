"""Posteriors on disk: one small file that draws and predicts as the posterior did.

The file is safetensors: the posterior's numbers, how they were found as JSON beside them, and a hash over both. Nothing
in it is a pickle. Each kind of posterior registers how it is packed.

Explained in `book/reference/how_a_fit_works`, section "On disk".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from companion.datasets import Form, TableForm
from companion.errors import DataError, ModelError
from companion.machine import device_named
from companion.posterior.record import Record
from companion.training import write_whole

__all__ = ["Packed", "Storable", "half_precision", "load_form", "load_posterior", "register", "save_posterior"]

_FORMAT = 2
_FIRST = {"kind": "variational", "room": "companion.posterior"}  # of format 1, which knew no other and checked nothing
_AS_IT_IS = ("seconds", "compiled", "threads", "device", "precision", "stopped", "log_evidence")
_ABOUT = "about"


class Packed(NamedTuple):
    """A posterior as a file holds it.

    Attributes
    ----------
    about
        Plain values, as JSON holds them.
    tensors
        Numbers by name, on the CPU.
    record
        How the posterior was found.
    """

    about: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    record: Record

    def check_layout(self, own: Mapping[str, Sequence[int]], name: str = "layout") -> None:
        """Refuse a model whose values have other names or shapes than those of the file.

        Parameters
        ----------
        own
            Shape of each value of the model.
        name
            Name under which `about` holds those of the file.

        Raises
        ------
        ModelError
            If they differ.
        """
        if own != self.about[name]:
            raise ModelError(
                f"the file is a posterior of {self.about[name]}; the model has {own}. Give the model that was fitted."
            )


class Storable(Protocol):
    """What a kind of posterior brings to be stored."""

    def packed(self, half: bool) -> Packed:
        """Pack the posterior, with its parameters in half precision where that was asked for and makes sense."""
        ...

    @classmethod
    def unpacked(cls, packed: Packed, model: Any, device: torch.device) -> Storable:
        """Make the posterior again, on a device, with the model that is given.

        Raises
        ------
        ModelError
            If the model is another one than that of the file.
        """
        ...


S = TypeVar("S", bound=type)
_kinds: dict[str, type[Storable]] = {}


def register(kind: str) -> Callable[[S], S]:
    """Make a class of posteriors known by a name, under which files hold them; a decorator.

    Parameters
    ----------
    kind
        Name of the kind, such as "variational".

    Raises
    ------
    ModelError
        If another class has that name, or the class can't be packed.
    """

    def registered(posterior: S) -> S:
        taken = _kinds.get(kind, posterior)
        if (taken.__module__, taken.__qualname__) != (posterior.__module__, posterior.__qualname__):
            raise ModelError(f"a kind of posterior named {kind!r} is known already, {taken.__qualname__}.")
        if missing := [name for name in ("packed", "unpacked") if not hasattr(posterior, name)]:
            raise ModelError(
                f"{posterior.__qualname__} lacks {missing}; expected the methods of companion.posterior.Storable."
            )
        _kinds[kind] = posterior
        return posterior

    return registered


def save_posterior(posterior: Any, path: str | Path, *, half: bool = True, table: TableForm | None = None) -> Path:
    """Write a posterior to a file that `load_posterior` reads.

    Parameters
    ----------
    posterior
        Any posterior of the companion, or of a class that was registered.
    path
        Path of the file, usually ``something.safetensors``; a file that is there is replaced.
    half
        Whether a fit's parameters are stored in half precision: with relative errors of at most 1/2,048 in a mean, and
        of a few thousandths in a scale. PyMC's own approximations and a sampler's draws are always stored as they are.
    table
        Table that the posterior was fitted to. Its form is kept in the same file, and `load_form` gives it back, so
        that new rows go through the same steps.

    Returns
    -------
    pathlib.Path
        Path of the file.

    Raises
    ------
    ModelError
        If it isn't such a posterior, or a parameter is too large for half precision.
    DataError
        If the file can't be written.
    """
    kind = next((name for name, known in _kinds.items() if type(posterior) is known), None)
    if kind is None:
        raise ModelError(
            f"{type(posterior).__name__} can't be saved; expected a posterior, such as companion.fit returns, or one "
            f"of your own class that companion.posterior.register knows. It knows {sorted(_kinds)}."
        )
    packed = posterior.packed(half)
    about = {
        "format": _FORMAT,
        "kind": kind,
        "room": type(posterior).__module__.rpartition(".")[0],
        "record": _as_json(packed.record),
        **packed.about,
    }
    if table is not None:
        about["table"] = table.form.as_json()
    text = json.dumps(about, default=_named)
    said = {_ABOUT: text, "sha256": _seal(json.loads(text), packed.tensors)}
    path = Path(path)
    try:
        write_whole(path, partial(save_file, packed.tensors, metadata=said))
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{path} can't be written ({why}); give the path of a new file.") from error
    return path


def load_posterior(path: str | Path, model: Any, *, device: str | torch.device = "auto") -> Any:
    """Read a posterior that `save_posterior` wrote.

    Parameters
    ----------
    path
        Path of the file.
    model
        The model that was fitted, or the same one with other rows: its variables must have the same names and shapes,
        and it must predict the same at the same weights, frozen parameters and buffers of its modules included.
    device
        Name of the device to put it on; "auto" is a GPU where there is one.

    Returns
    -------
    Posterior
        A posterior of the class that was saved. It draws and predicts like that one; its ``record`` holds how that was
        found, with up to ten thousand steps of its history.

    Raises
    ------
    DataError
        If there is no such file, it is damaged, or it isn't one of ours.
    ModelError
        If the model is another one than that of the posterior; the message names what differs.
    """
    path = Path(path)
    about, tensors = _read(path)
    kind = _kinds.get(about["kind"])
    if kind is None:
        raise DataError(
            f"{path} holds a posterior of kind {about['kind']!r}, and nobody has registered that kind yet. Import what "
            f"it comes from first: import {about['room']}."
        )
    try:
        return kind.unpacked(Packed(about, tensors, _record(about)), model, device_named(device))
    except ModelError as error:
        raise ModelError(f"{path.name} doesn't fit the model: {error}") from error


def load_form(path: str | Path) -> Form:
    """Read the form of the table that a posterior was fitted to.

    Parameters
    ----------
    path
        Path of a file that ``save_posterior(posterior, path, table=...)`` wrote.

    Returns
    -------
    companion.datasets.Form
        Form whose methods `encode` and `decode` are those of the table.

    Raises
    ------
    DataError
        If there is no such file, it is damaged, or no table was saved with the posterior.
    """
    about, _ = _read(Path(path))
    if "table" not in about:
        raise DataError(f"{path} holds no table; save the posterior with one: save_posterior(..., table=data).")
    return Form.from_json(about["table"])


def half_precision(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Round parameters to half precision.

    Raises
    ------
    ModelError
        If one is too large for it.
    """
    # the logarithm of a pruned weight's scale is minus infinity, which half precision has
    largest = max(float(torch.where(p == -torch.inf, 0, p).abs().max()) for p in tensors.values())
    if largest > torch.finfo(torch.float16).max:
        raise ModelError(f"a parameter is {largest:.3g}, too large for half precision; save with half=False.")
    return {name: p.half() for name, p in tensors.items()}


def _named(setting: Any) -> Any:
    """Put a setting that JSON can't hold, such as one of PyMC's optimisers, into words."""
    if isinstance(setting, np.generic):
        return setting.item()
    if isinstance(setting, partial):
        given = ", ".join(f"{name}={value!r}" for name, value in setting.keywords.items())
        return f"{_named(setting.func)}({given})"
    return getattr(setting, "__qualname__", type(setting).__qualname__)


def _as_json(record: Record) -> dict[str, Any]:
    """Take a record apart, with the restarts that have weight."""
    kept = record.only(np.flatnonzero(record.weights))
    return {
        "method": kept.method,
        "settings": dict(kept.settings),
        "history": _thinned(kept.losses),
        "elbo": kept.bounds[:, 0].tolist(),
        "elbo_se": kept.bounds[:, 1].tolist(),
        "weights": kept.weights.tolist(),
        "drifting": None if kept.drifting is None else kept.drifting.tolist(),
        **{name: getattr(record, name) for name in _AS_IT_IS},
    }


def _thinned(history: np.ndarray, most: int = 10_000) -> list[list[float]]:
    """Keep ten thousand steps at most, to four digits: enough for a picture of them."""
    every = max(1, len(history) // most)
    return [[float(f"{loss:.4g}") for loss in step] for step in history[::every]]


def _record(about: dict[str, Any]) -> Record:
    """Put a record together again."""
    stored = about["record"]
    weights = np.array(stored.get("weights", about.get("weights")), dtype=float)
    return Record(
        method=stored.get("method", stored["settings"].get("family")),
        settings=stored["settings"],
        losses=np.array(stored["history"], dtype=float).reshape(-1, len(weights)),
        bounds=np.array([stored["elbo"], stored["elbo_se"]], dtype=float).T,
        weights=weights,
        drifting=None if stored.get("drifting") is None else np.array(stored["drifting"], dtype=bool),
        **{name: stored[name] for name in _AS_IT_IS if name in stored},
    )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read a file and check its hash."""
    try:
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {}
            if _ABOUT not in said:
                raise DataError(f"{path} holds tensors, but no posterior of ours; expected what save_posterior writes.")
            about: dict[str, Any] = json.loads(said[_ABOUT])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it isn't a mapping)
    except (OSError, ValueError, SafetensorError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} can't be read ({error}); expected a file that save_posterior wrote.") from error
    if about["format"] > _FORMAT:
        raise DataError(
            f"{path} has format {about['format']}, of a newer companion; this one reads up to {_FORMAT}. Update it."
        )
    if said.get("sha256") != _seal(about, tensors):
        raise DataError(f"{path} is damaged: its content isn't what its sha256 says. Fetch or save it again.")
    return {**_FIRST, **about}, tensors


def _seal(about: dict[str, Any], tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
