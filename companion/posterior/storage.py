"""Posteriors on disk: a fitted posterior in, one small file out, and back again.

The file is safetensors: the parameters in half precision, how they were fitted as JSON beside them, and a hash over
both. Nothing in it is a pickle. Explained in the chapter `book/mnist/dense`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from companion.errors import DataError, ModelError
from companion.machine import device_named
from companion.posterior.record import Record
from companion.posterior.variational import VariationalPosterior
from companion.training import Settings, batches_for, objective_for, write_whole
from companion.variational import Layout, Parameters, family_named

__all__ = ["load_posterior", "save_posterior"]

_FORMAT = 1
_AS_IT_IS = ("seconds", "compiled", "device", "precision", "stopped")
_ABOUT = "about"


def save_posterior(posterior: VariationalPosterior, path: str | Path, *, half: bool = True) -> Path:
    """Write a posterior to a file that `load_posterior` reads.

    Parameters
    ----------
    posterior
        What `companion.inference.fit` gave.
    path
        Of the file, usually ``something.safetensors``; one that is there is replaced.
    half
        Stores the parameters in half precision: relative errors of at most 1/2,048 in a mean, and of a few thousandths
        in a scale. ``False`` stores them as they are.

    Returns
    -------
    pathlib.Path
        Of the file.

    Raises
    ------
    ModelError
        If it is no posterior of the engine, or a parameter is too large for half precision.
    DataError
        If the file can't be written.

    Notes
    -----
    Explained in the chapter `book/mnist/dense`.
    """
    if not isinstance(posterior, VariationalPosterior):
        raise ModelError(f"{type(posterior).__name__} can't be saved; expected what companion.inference.fit gives.")
    kept = np.flatnonzero(posterior.weights)
    tensors = {name: p[kept].detach().cpu().contiguous() for name, p in posterior.parameters.items()}
    if half:
        largest = max(float(p.abs().max()) for p in tensors.values())
        if largest > torch.finfo(torch.float16).max:
            raise ModelError(f"a parameter is {largest:.3g}, too large for half precision; save with half=False.")
        tensors = {name: p.half() for name, p in tensors.items()}
    record = posterior.record
    about = {
        "format": _FORMAT,
        "layout": _shapes(posterior.objective.layout),
        "weights": posterior.weights[kept].tolist(),
        "record": {
            "settings": dict(record.settings),
            "history": _thinned(record.losses[:, kept]),
            "elbo": record.bounds[kept, 0].tolist(),
            "elbo_se": record.bounds[kept, 1].tolist(),
            **{name: getattr(record, name) for name in _AS_IT_IS},
        },
    }
    packed = save(tensors, {_ABOUT: json.dumps(about), "sha256": _seal(about, tensors)})
    path = Path(path)
    try:
        write_whole(path, packed)
    except OSError as error:
        raise DataError(f"{path} can't be written ({error.strerror or error}); give the path of a new file.") from error
    return path


def load_posterior(path: str | Path, model: pm.Model, *, device: str | torch.device = "auto") -> VariationalPosterior:
    """Read a posterior that `save_posterior` wrote.

    Parameters
    ----------
    path
        Of the file.
    model
        The one that was fitted, or the same with other data: its variables must have the same names and shapes.
    device
        Where to put it; "auto" is a GPU where there is one.

    Returns
    -------
    VariationalPosterior
        It draws and predicts like the one that was saved; its ``record`` holds how that was fitted, with up to ten
        thousand steps of its history.

    Raises
    ------
    DataError
        If there is no such file, it is damaged, or none of ours.
    ModelError
        If the model's variables are others than those that were fitted.

    Notes
    -----
    Explained in the chapter `book/mnist/dense`.
    """
    path = Path(path)
    about, tensors = _read(path)
    record = _record(about)
    settings = Settings(**record.settings)
    where = device_named(device)
    objective = objective_for(model, settings, family_named(settings.family), where)
    layout = _shapes(objective.layout)
    if layout != about["layout"]:
        raise ModelError(f"{path.name} is a posterior of {about['layout']}; the model has {layout}.")
    batches, rows = batches_for(objective.density, None, None, settings.seed, 0, 1, 0)
    objective = dataclasses.replace(objective, rows=rows)
    parameters: Parameters = {name: t.to(where, objective.density.dtype) for name, t in tensors.items()}
    return VariationalPosterior(model, objective, batches, parameters, record)


def _shapes(layout: Layout) -> dict[str, list[int]]:
    """Give the shape of each value, as JSON holds it."""
    return {name: list(shape) for name, shape in zip(layout.names, layout.shapes, strict=True)}


def _thinned(history: np.ndarray, most: int = 10_000) -> list[list[float]]:
    """Keep ten thousand steps at most, to four digits: enough for a picture of them."""
    every = max(1, len(history) // most)
    return [[float(f"{loss:.4g}") for loss in step] for step in history[::every]]


def _record(about: dict[str, Any]) -> Record:
    stored = about["record"]
    return Record(
        method=stored["settings"]["family"],
        settings=stored["settings"],
        losses=np.array(stored["history"], dtype=float),
        bounds=np.array([stored["elbo"], stored["elbo_se"]], dtype=float).T,
        weights=np.array(about["weights"], dtype=float),
        **{name: stored[name] for name in _AS_IT_IS},
    )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read a file and check its hash."""
    try:
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {}
            if _ABOUT not in said:
                raise DataError(f"{path} holds tensors, but no posterior of ours; expected what save_posterior writes.")
            about: dict[str, Any] = json.loads(said[_ABOUT])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
    except (OSError, ValueError, SafetensorError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} can't be read ({error}); expected a file that save_posterior wrote.") from error
    if about["format"] != _FORMAT:
        raise DataError(f"{path} has format {about['format']}; this version of the companion reads {_FORMAT}.")
    if said.get("sha256") != _seal(about, tensors):
        raise DataError(f"{path} is damaged: its content isn't what its sha256 says. Fetch or save it again.")
    return about, tensors


def _seal(about: dict[str, Any], tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    return digest.hexdigest()
