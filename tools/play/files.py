"""Write and read what the pages' pieces compute with: arrays as bytes in base64, inside a script that a page can load.

A script, and not a file to be fetched, because a page that is opened from a disk may fetch nothing.
"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools import ROOT

__all__ = ["FILES", "numbers", "pack", "quantised", "read", "rounded", "unpack", "write"]

FILES = ROOT / "book" / "_static" / "play"
"""Folder of the data of all pieces."""

BEFORE, AFTER = "(window.playData = window.playData || {}).", ";\n"


def quantised(array: NDArray[Any], *, signed: bool) -> dict[str, Any]:
    r"""Store an array in whole numbers of 8 bits.

    Parameters
    ----------
    array
        Numbers (rows, \*shape).
    signed
        Whether they go from -127 to 127, with one step for each row, or from 0 to 255, with one step for all.

    Returns
    -------
    dict
        The bytes in base64, the step or steps that they count, and the shape.
    """
    flat = np.asarray(array, dtype=float).reshape(len(array), -1)
    most = np.abs(flat).max(axis=1, keepdims=True) if signed else np.abs(flat).max(keepdims=True)
    step = np.where(most > 0, most, 1.0) / (127 if signed else 255)
    counts = np.rint(flat / step).astype(np.int8 if signed else np.uint8)
    return {**pack(counts), "steps": [float(f"{s:.7g}") for s in step.ravel()], "shape": list(np.shape(array))}


def pack(array: NDArray[Any]) -> dict[str, Any]:
    """Store an array of bytes, signed or not."""
    if array.dtype not in (np.int8, np.uint8):
        raise ValueError(f"an array of {array.dtype}; expected int8 or uint8, which are bytes as they are.")
    return {"bytes": base64.b64encode(array.tobytes()).decode("ascii"), "shape": list(array.shape)}


def numbers(array: NDArray[Any]) -> dict[str, Any]:
    """Store an array number by number, with six digits: for the few that eight bits are too coarse for."""
    return {"numbers": rounded(array), "shape": list(np.shape(array))}


def rounded(array: NDArray[Any]) -> list[float]:
    """List the numbers of an array in their order, with six digits."""
    return [float(f"{value:.6g}") for value in np.asarray(array).ravel()]


def unpack(stored: Mapping[str, Any], *, signed: bool = False) -> NDArray[Any]:
    """Give the array that `pack`, `quantised` or `numbers` stored, in its shape."""
    if "numbers" in stored:
        return np.array(stored["numbers"]).reshape(stored["shape"])
    counts = np.frombuffer(base64.b64decode(stored["bytes"]), dtype=np.int8 if signed else np.uint8)
    array = counts.reshape(stored["shape"])
    if "steps" not in stored:
        return array
    steps = np.array(stored["steps"])
    found: NDArray[Any] = (array.reshape(array.shape[0], -1) * steps[:, None]).reshape(array.shape)
    return found


def write(name: str, data: Mapping[str, Any], folder: Path = FILES) -> Path:
    """Write the data of a piece as a script that a page can load."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.js"
    said = "// Made by `python -m tools play`; see tools/play.\n"
    file.write_text(f"{said}{BEFORE}{name} = {json.dumps(data, separators=(',', ':'))}{AFTER}", encoding="utf-8")
    return file


def read(name: str, folder: Path = FILES) -> dict[str, Any]:
    """Read the data of a piece again."""
    text = (folder / f"{name}.js").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.partition(f"{BEFORE}{name} = ")[2].removesuffix(AFTER))
    return found
