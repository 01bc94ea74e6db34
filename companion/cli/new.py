"""In: a CSV file or a folder of images. Out: a notebook that fits a Bayesian neural network to it, ready to run.

The data are loaded once before anything is written, so that what is wrong with them is said here and not in the
notebook's first cell. Explained in the book's data page (``book/reference/data``), section "Your own data".
"""

import json
import os
import re
from importlib.resources import files
from pathlib import Path

import numpy as np

from companion.datasets import Dataset, from_csv, from_folder
from companion.errors import CompanionError, DataError

__all__ = ["start"]

CODE = re.compile(r"^```python\n(.*?)^```$\n?", flags=re.MULTILINE | re.DOTALL)


def start(data: str, target: str | None, to: str | None) -> int:
    """Check the data, write the notebook, and say how to open it.

    Parameters
    ----------
    data
        Path of a CSV file, or of a folder with a subfolder of images for each class.
    target
        Of a CSV file: the column with the classes.
    to
        Path of the notebook; by default the data's name, in the folder where the command runs.

    Returns
    -------
    int
        The exit status, 0.

    Raises
    ------
    DataError
        The data can't be learned from; the message says why.
    CompanionError
        The notebook exists already, or can't be written.
    """
    source = Path(data).expanduser()
    notebook = Path(to).expanduser() if to else Path(f"{source.resolve().stem}.ipynb")
    _writable(notebook)
    found = _load(source, target)
    here = os.path.relpath(source.resolve(), notebook.resolve().parent)
    path = Path(here).as_posix()
    values = {
        "name": _plain(found.name),
        "file": path,
        "path": json.dumps(path, ensure_ascii=False),
        "target": _plain(target or ""),
        "target_name": json.dumps(target, ensure_ascii=False),
        "kept": json.dumps(f"{notebook.stem}.safetensors", ensure_ascii=False),
    }
    template = "images" if source.is_dir() else "table"
    text = (files("companion.cli") / "notebooks" / f"{template}.md").read_text(encoding="utf-8")
    content = json.dumps(_notebook(text, values), ensure_ascii=False, indent=1) + "\n"
    try:
        notebook.write_text(content, encoding="utf-8")
    except OSError as error:
        raise CompanionError(
            f"{notebook} can't be written ({error.strerror or error}): choose another with --to"
        ) from None
    _tell(found, notebook)
    return 0


def _writable(notebook: Path) -> None:
    if notebook.suffix != ".ipynb":
        raise CompanionError(f"--to {notebook}: expected a name that ends in .ipynb")
    if notebook.exists():
        raise CompanionError(f"{notebook} exists already, and is left as it is: choose another name with --to")
    if not notebook.resolve().parent.is_dir():
        raise CompanionError(f"there is no folder {notebook.parent} to write {notebook.name} into: make it first")


def _load(source: Path, target: str | None) -> Dataset:
    if source.is_dir():
        if target is not None:
            raise DataError(
                f"--target {target}: {source} is a folder, whose subfolders are the classes; leave --target out"
            )
        return from_folder(source)
    if not source.exists():
        raise DataError(
            f"there is no {source}; expected a CSV file, or a folder with a subfolder of images for each class"
        )
    if target is None:
        # The name of no column: the error lists those that there are.
        try:
            from_csv(source, "")
        except DataError as error:
            columns = str(error).partition("there are: ")[2]
            if not columns:
                raise
            raise DataError(f"say which column of {source.name} holds the classes, with --target: {columns}") from None
    return from_csv(source, target or "")


def _plain(text: str) -> str:
    """A name as it may stand in Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|$])", r"\\\1", text)


def _notebook(text: str, values: dict[str, str]) -> dict[str, object]:
    """Return a notebook, format 4.5, from a template: fenced Python becomes code, what stands between becomes text."""
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", value)
    parts = CODE.split(text)  # text, code, text, code, ..., text
    cells = [_cell(part.strip("\n"), place) for place, part in enumerate(parts) if part.strip()]
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _cell(source: str, place: int) -> dict[str, object]:
    cell: dict[str, object] = {"id": f"cell-{place}", "metadata": {}, "source": source}
    if place % 2:
        return {**cell, "cell_type": "code", "execution_count": None, "outputs": []}
    return {**cell, "cell_type": "markdown"}


def _tell(found: Dataset, notebook: Path) -> None:
    counts = np.bincount(np.concatenate([found.train.y, found.test.y]), minlength=len(found.class_names))
    classes = ", ".join(f"{name} ({count:,})" for name, count in zip(found.class_names, counts.tolist(), strict=True))
    kind = f"rows of {len(found.feature_names)} features" if found.feature_names else "images"
    print(f"{counts.sum():,} {kind}; classes: {classes}")
    print(f"wrote {notebook}; open it with: jupyter lab {notebook}")
