"""Checkpoints: files that survive a kill at any moment.

A checkpoint is a folder with ``checkpoint.json`` and the safetensors file that it names. Both are written beside
their place and moved there, the JSON last, so that whatever happens there is one whole checkpoint: the old or the new.
The JSON seals both with a hash, and nothing in them is a pickle.
Explained in `book/reference/how_a_fit_works`, section "Checkpoints".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from companion.errors import InferenceError

__all__ = ["Checkpoint", "begun", "differences", "read", "tidy", "write", "write_whole"]

_FORMAT = 1
_NAME = "checkpoint.json"


class Checkpoint(NamedTuple):
    """What was read: the step, the tensors, and the settings that they were written with."""

    step: int
    tensors: dict[str, torch.Tensor]
    settings: dict[str, Any]


def begun(folder: Path | None) -> bool:
    """Say whether a folder holds a checkpoint."""
    return folder is not None and (folder / _NAME).exists()


def write(folder: Path, step: int, tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any]) -> None:
    """Write a checkpoint over the one before. The first one of a fit is to be that of step 0.

    Raises
    ------
    InferenceError
        If the folder can't be written. The checkpoint before is still there.
    """
    name = _tensors_of(step)
    content = {"format": _FORMAT, "step": step, "tensors": name, "settings": dict(settings)}
    packed = save({k: t.detach().cpu().contiguous() for k, t in tensors.items()})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, packed)
        write_whole(folder / _NAME, json.dumps({**content, "sha256": _seal(content, packed)}, indent=1).encode())
        tidy(folder, step)
    except OSError as error:
        raise InferenceError(
            f"the checkpoint {folder} can't be written ({error}); give `checkpoint` a folder on a disk with room."
        ) from error


def read(folder: Path, settings: Mapping[str, Any]) -> Checkpoint | None:
    """Read the checkpoint of a fit with these settings.

    Parameters
    ----------
    settings
        What must be the same, or the fit would go on as another one. Those that the checkpoint has beyond them are
        returned as well.

    Returns
    -------
    Checkpoint
        Or ``None`` where there is none yet.

    Raises
    ------
    InferenceError
        If the checkpoint is damaged, or of a fit with other settings; the message names them.
    """
    try:
        content = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise InferenceError(
                f"the checkpoint {folder} has format {content['format']}, of another version of the companion; this "
                f"one reads {_FORMAT}. Fit with that version, or give another folder."
            )
        packed = (folder / content["tensors"]).read_bytes()
        if content.pop("sha256") != _seal(content, packed):
            raise ValueError("its content isn't what its sha256 says")
        found = Checkpoint(content["step"], load(packed), content["settings"])
    except (FileNotFoundError, NotADirectoryError) as error:
        # The first kill can come between the two files of step 0; later there are always both.
        others = {p.name for p in folder.glob("step-*.safetensors")} - {_tensors_of(0)}
        if not begun(folder) and not others:
            return None
        raise _damaged(folder, error) from error
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _damaged(folder, error) from error
    if different := differences(found.settings, settings):
        raise InferenceError(
            f"the checkpoint {folder} is of another fit: {different}. Take those settings again to go on with it, or "
            "give another folder to start anew."
        )
    return found


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any], most: int = 5) -> str:
    """Say in which of the wanted settings two fits differ; empty where they are the same."""
    was, now = (dict(_entries(json.loads(json.dumps(dict(s))))) for s in (found, wanted))
    names = [name for name in {**now, **was} if name.split(":")[0] in wanted]
    different = [n for n in names if not (n in was and n in now and _same(was[n], now[n]))]
    shown = [f"{n} was {was.get(n, 'absent')!r}, is {now.get(n, 'absent')!r}" for n in different[:most]]
    return "; ".join(shown) + (f"; and {len(different) - most} more" if len(different) > most else "")


def tidy(folder: Path, step: int) -> None:
    """Remove what older checkpoints and killed writers left behind."""
    for pattern in ("step-*.safetensors", "step-*.safetensors.*.part", "checkpoint.json.*.part"):
        for path in folder.glob(pattern):
            if path.name != _tensors_of(step):
                path.unlink(missing_ok=True)


def _tensors_of(step: int) -> str:
    return f"step-{step:09d}.safetensors"


def _seal(content: Mapping[str, Any], packed: bytes) -> str:
    """Compute the hash of both files' content."""
    digest = hashlib.sha256(packed)
    digest.update(json.dumps(dict(content), sort_keys=True).encode())
    return digest.hexdigest()


def _entries(settings: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """List nested settings as "data: x"."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _entries(value, f"{path}{name}: ")
        else:
            yield path + name, value


def _same(was: Any, now: Any) -> bool:
    """Compare: a list of floats was computed, and its last digits depend on the machine."""
    if all(isinstance(v, list) and v and all(isinstance(n, float) for n in v) for v in (was, now)):
        return len(was) == len(now) and np.allclose(was, now, rtol=1e-4, equal_nan=True)
    return bool(was == now)


def _damaged(folder: Path, error: Exception) -> InferenceError:
    return InferenceError(
        f"the checkpoint {folder} can't be read ({type(error).__name__}: {error}). It was changed after it was "
        "written: restore it from a copy, or remove the folder to start anew."
    )


def write_whole(path: Path, content: bytes | Callable[[Path], object]) -> None:
    """Write a file as a whole or not at all, and have it on the disk before going on.

    Parameters
    ----------
    path
        Path of the file.
    content
        Its bytes, or a function that writes it at another path, so that it need not fit in memory.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        if isinstance(content, bytes):
            beside.write_bytes(content)
        else:
            beside.touch()
            mode = beside.stat().st_mode
            content(beside)
            beside.chmod(mode)  # a library may have put a file of its own there, which nobody else can read
        with beside.open("r+b") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    if hasattr(os, "O_DIRECTORY"):  # the move itself, too; Windows has no such thing
        folder = os.open(path.parent, os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
