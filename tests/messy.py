"""Tables and folders of images as people have them, for the tests of loading and of the notebooks made from them."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from companion import datasets
from companion.errors import CompanionWarning

ROWS = 60


def quietly(*arguments: Any, **settings: Any) -> Any:
    """Read a table by `from_csv`, without what it has to tell of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompanionWarning)
        return datasets.from_csv(*arguments, **settings)


def _table(*columns: tuple[str, Callable[[int], object]], separator: str = ",", rows: int = ROWS) -> str:
    """Write a table, column by column, with the classes last: every second row is "long"."""
    every = (*columns, ("kind", lambda i: "short" if i % 2 else "long"))
    lines = [separator.join(str(entry(i)) for _, entry in every) for i in range(rows)]
    return "\n".join([separator.join(name for name, _ in every), *lines]) + "\n"


def _noise(i: int) -> float:
    return round(float(np.random.default_rng(i).normal(5 + i % 2)), 2)


def _comma(i: int) -> str:
    return str(_noise(i)).replace(".", ",")


SIZE = ("size", _noise)
TABLES: dict[str, str] = {
    "one column": _table(SIZE),
    "German": _table(("größe", _comma), ("preis", lambda i: f"1.{100 + i},{i % 90 + 10}"), separator=";"),
    "units and currencies": _table(
        ("share", lambda i: f"{_noise(i)} %"),
        ("height", lambda i: f"{_noise(i)} cm"),
        ("income", lambda i: f'"$ {1000 + 37 * i:,}"'),
        ("debt", lambda i: f"({i + 3})"),
    ),
    "marks among numbers": _table(
        SIZE,
        ("age", lambda i: "NA" if i % 9 == 0 else 20 + i % 7),
        ("lab", lambda i: "<0.1" if i % 20 == 0 else round(0.1 + i / 50, 2)),
    ),
    "columns that say nothing": _table(
        ("Id", lambda i: i + 1),
        SIZE,
        ("notes", lambda i: ""),
        ("cabin", lambda i: "B5" if i in (0, 2, 4) else ""),
        ("remark", lambda i: f"remark {i}"),
        ("year", lambda i: 2024),
        ("member", lambda i: "TRUE" if i % 3 else "FALSE"),
    ),
    "words that look like gaps": _table(SIZE, ("alley", lambda i: ("None", "NA", "gravel")[i % 3])),
    "dates and gaps": _table(
        ("when", lambda i: "" if i % 11 == 5 else f"{i % 28 + 1}.{i % 12 + 1}.{2022 + i % 3}"),
        ("at", lambda i: f"{i % 24}:{i % 60:02}"),
        ("size", lambda i: "" if i % 7 == 3 else _noise(i)),
        ("town", lambda i: ("", "Rome", "Oslo")[i % 3]),
    ),
    "row numbers": _table(("", lambda i: i), SIZE),
    "a trailing comma": "\n".join(line + "," for line in _table(SIZE).splitlines()),
    "a rare class": _table(SIZE) + "6.1,other\n6.2,other\n",
    "many classes": "size,kind\n" + "".join(f"{_noise(i)},k{i % 30}\n" for i in range(150)),
    "names of money": _table(("$_cost$", _noise), ("^x_{y}$", _noise))
    .replace("short", "$_5$")
    .replace("long", "<b>*$^$*"),
    "few rows": _table(SIZE, rows=8),
    "outliers": _table(("size", lambda i: 1e12 if i == 7 else _noise(i))),
    "wide": _table(*((f"x{k}", lambda i, k=k: _noise(i * 31 + k)) for k in range(80))),
    "other alphabets": _table(("高さ", _noise), ("couleur", lambda i: ("bleu", "œuvré")[i % 2])).replace(
        "long", "長い"
    ),
    "blank lines and spaces": _table(SIZE, ("colour", lambda i: (" red ", "blue")[i % 2])).replace("\n", "\n\n")
    + ",,\n",
    "classes as numbers": _table(SIZE).replace("short", "2.0").replace("long", "10"),
    "names twice": _table(SIZE, ("size", lambda i: i % 5)),
}
"""Text of a CSV file whose column "kind" holds the classes, by what is odd about it."""


def shape(kind: int, number: int, side: int = 40) -> np.ndarray:
    """Return a disc (0) or a bar (1), levels (side, side) from 0 to 1 with a little noise."""
    rng = np.random.default_rng(100 * kind + number)
    x, y = np.meshgrid(*2 * (np.linspace(-1, 1, side),))
    inside = (x**2 + y**2 < 0.5) if kind == 0 else (abs(x) < 0.3)
    return np.clip(0.8 * inside + rng.uniform(0, 0.2, (side, side)), 0, 1)


def _grey(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.uint8(255 * levels))


def _icon(levels: np.ndarray, ink: int) -> Image.Image:
    grey = np.full(levels.shape, ink, np.uint8)
    return Image.fromarray(np.dstack([grey, grey, grey, np.uint8(255 * (levels > 0.5))]))


def _palette(levels: np.ndarray) -> Image.Image:
    image = _grey(levels).quantize(8)
    image.info["transparency"] = 0
    return image


Maker = Callable[[np.ndarray], Image.Image]
FOLDERS: dict[str, tuple[str, Maker]] = {
    "photos": ("jpg", lambda levels: _grey(levels).convert("RGB")),
    "jfif": ("jfif", _grey),
    "16 bits": ("png", lambda levels: Image.fromarray(np.uint16(65535 * levels))),
    "12 bits": ("tif", lambda levels: Image.fromarray(np.uint16(4095 * levels))),
    "floats": ("tiff", lambda levels: Image.fromarray(np.float32(levels * 3000 - 1000))),
    "dark icons": ("png", lambda levels: _icon(levels, 0)),
    "light icons": ("webp", lambda levels: _icon(levels, 255)),
    "palettes": ("gif", _palette),
    "print": ("jpg", lambda levels: _grey(levels).convert("RGB").convert("CMYK")),
    "black and white": ("bmp", lambda levels: _grey(levels).convert("1")),
    "tiny": ("png", lambda levels: _grey(levels).resize((5, 3))),
}
"""Ending of the files and what an image is made of, by what is odd about a folder."""


def write_folder(root: Path, name: str, images: int = 6) -> Path:
    """Write two classes of a messy folder, with a file that is not an image beside them."""
    ending, make = FOLDERS[name]
    for kind, label in enumerate(("$disc^$", "bar & <stem>")):
        folder = root / name / label
        folder.mkdir(parents=True)
        for number in range(images):
            make(shape(kind, number)).save(folder / f"{number}.{ending}")
        (folder / "notes.txt").write_text("not an image", encoding="utf-8")
    return root / name
