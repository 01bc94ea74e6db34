"""Write a notebook that fits a Bayesian neural network to the reader's own table or images, ready to run.

The data are loaded once before anything is written, so that what is wrong with them is said here and not in the
notebook's first cell. Explained in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from companion.datasets import Dataset, MeasuredTable, csv_columns, from_csv, from_folder
from companion.errors import CompanionError, DataError
from companion.models import Likelihood

__all__ = ["start"]

_CODE = re.compile(r"^```python(?: tags=(\w+))?\n(.*?)^```$\n?", flags=re.MULTILINE | re.DOTALL)
_PLACE = re.compile(r"\{\{(\w+)\}\}")


def start(
    data: str,
    target: str | None,
    to: str | None,
    leave_out: Sequence[str] = (),
    task: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> int:
    """Check the data, write the notebook, and say how to open it.

    Parameters
    ----------
    data
        Path of a CSV file, or of a folder with a subfolder of images for each class.
    target
        Column of a CSV file that holds the classes, or the measurements.
    to
        Path of the notebook; by default the data's name, in the folder where the command runs.
    leave_out
        Columns of a CSV file that are not learned from.
    task
        What the target is, "classes" or "measurements"; by default, what it looks like.
    options
        Further options of `datasets.from_csv`, those that are None left out.

    Returns
    -------
    int
        Exit status, 0.

    Raises
    ------
    DataError
        If the data can't be learned from; the message says why.
    CompanionError
        If the notebook exists already, or can't be written.
    """
    source = Path(data).expanduser()
    notebook = Path(to).expanduser() if to else Path(f"{source.resolve().stem}.ipynb")
    _writable(notebook)
    given: dict[str, Any] = {"leave_out": list(leave_out), **(options or {})}
    given = {name: value for name, value in given.items() if value}
    found = _load(source, target, task, given)
    path = _from(notebook, source)
    values = {
        "name": _plain(found.name),
        "file": " ".join(path.split()).replace("`", "'"),
        "path": _literal(path),
        "target": _plain(target or ""),
        "target_name": _literal(target or ""),
        "options": "".join(f", {name}={_literal(value)}" for name, value in given.items()),
        "likelihood": _literal(_likelihood(found)),
        "kept": _literal(f"{notebook.stem}.safetensors"),
    }
    template = "images" if source.is_dir() else "measurements" if isinstance(found, MeasuredTable) else "table"
    text = (files("companion.cli") / "notebooks" / f"{template}.md").read_text(encoding="utf-8")
    content = json.dumps(_notebook(text, values), ensure_ascii=False, indent=1) + "\n"
    try:
        notebook.write_text(content, encoding="utf-8")
    except OSError as error:
        raise CompanionError(
            f"{notebook} can't be written ({error.strerror or error}): choose another with --to."
        ) from None
    _tell(found, notebook)
    return 0


def _writable(notebook: Path) -> None:
    if notebook.suffix != ".ipynb":
        raise CompanionError(f"--to {notebook}: expected a name that ends in .ipynb.")
    if notebook.exists():
        raise CompanionError(f"{notebook} exists already, and is left as it is: choose another name with --to.")
    if not notebook.resolve().parent.is_dir():
        raise CompanionError(f"there is no folder {notebook.parent} to write {notebook.name} into: make it first.")


def _load(source: Path, target: str | None, task: str | None, options: Mapping[str, Any]) -> Dataset | MeasuredTable:
    if source.is_dir():
        words = {"target": target, "task": task, **options}
        for_tables = next((name for name, value in words.items() if value is not None), None)
        if for_tables:
            option = f"--{for_tables.replace('_', '-')}"
            raise DataError(f"{option}: {source} is a folder, whose subfolders are the classes; leave {option} out.")
        return from_folder(source)
    if not source.exists():
        raise DataError(
            f"there is no {source}; expected a CSV file, or a folder with a subfolder of images for each class."
        )
    if target is None:
        columns = ", ".join(csv_columns(source))
        raise DataError(
            f"say which column of {source.name} holds the classes or measurements, with --target: {columns}"
        )
    return from_csv(source, target, task=task or "auto", **options)


def _likelihood(found: Dataset | MeasuredTable) -> str:
    """Choose the likelihood that measurements ask for by themselves."""
    if isinstance(found, Dataset):
        return ""
    return str(Likelihood.of(np.concatenate([found.train.y, found.test.y])))


def _from(notebook: Path, source: Path) -> str:
    """Return the path of the data as the notebook is to write it."""
    try:
        path = Path(os.path.relpath(source.resolve(), notebook.resolve().parent)).as_posix()
    except ValueError:  # two drives of Windows have no path between them
        path = source.resolve().as_posix()
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise CompanionError(
            f"the name of {path!a} is not text in UTF-8 and can't be written into a notebook: rename it."
        ) from None
    return path


def _literal(value: object) -> str:
    """Return text, numbers, and lists and mappings of them as Python writes them."""
    return json.dumps(value, ensure_ascii=False)


def _plain(text: str) -> str:
    """Return a name as it may stand in a line of Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|$])", r"\\\1", " ".join(text.split()))


def _notebook(text: str, values: Mapping[str, str]) -> dict[str, object]:
    """Return a notebook, format 4.5, from a template: fenced Python becomes code, what stands between becomes text."""
    text = _PLACE.sub(lambda place: values[place[1]], text)
    parts = _CODE.split(text)  # text, tag, code, text, tag, code, ..., text
    cells: list[dict[str, object]] = []
    for place in range(0, len(parts), 3):
        if parts[place].strip():
            cells.append({"cell_type": "markdown", "metadata": {}, "source": parts[place].strip("\n")})
        if place + 2 < len(parts):
            metadata = {"tags": [parts[place + 1]]} if parts[place + 1] else {}
            code = {"cell_type": "code", "metadata": metadata, "source": parts[place + 2].strip("\n")}
            cells.append({**code, "execution_count": None, "outputs": []})
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return {
        "cells": [{"id": f"cell-{number}", **cell} for number, cell in enumerate(cells)],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _tell(found: Dataset | MeasuredTable, notebook: Path) -> None:
    if isinstance(found, MeasuredTable):
        y, name = np.concatenate([found.train.y, found.test.y]), found.target_names[0]
        print(
            f"{len(y):,} rows of {len(found.feature_names)} features; {name} is measured, "
            f"{y.min():.4g} to {y.max():.4g}, mean {y.mean():.4g}; likelihood: {_likelihood(found)}"
        )
    else:
        _tell_classes(found)
    for step in found.steps if found.feature_names else ():
        print(f"  {step}")
    print(f"wrote {notebook}; open it with: jupyter lab {notebook}")


def _tell_classes(found: Dataset) -> None:
    counts = np.bincount(np.concatenate([found.train.y, found.test.y]), minlength=len(found.class_names))
    classes = ", ".join(f"{name} ({count:,})" for name, count in zip(found.class_names, counts.tolist(), strict=True))
    kind = f"rows of {len(found.feature_names)} features" if found.feature_names else "images"
    print(f"{counts.sum():,} {kind}; classes: {classes}")
