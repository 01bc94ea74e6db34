"""In: a folder of the reader's own images, one subfolder for each class. Out: a `Dataset` of small grey squares.

Explained in the book's data page (``book/reference/data``), section "Your own data".
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from sklearn.model_selection import train_test_split

from companion.datasets.observations import Dataset, Observations
from companion.errors import DataError

__all__ = ["from_folder"]

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def from_folder(path: str | Path, *, side: int = 28, seed: int = 0, test_fraction: float = 0.25) -> Dataset:
    """Load images from a folder with one subfolder for each class, named after it.

    Each image is turned upright as its camera noted, cut to its middle square, shrunk or enlarged to the same size, and
    made grey: the companion's networks read grey images. Files that aren't images by their ending are passed over.

    Parameters
    ----------
    path
        Of the folder.
    side
        Of each image, in pixels.
    seed
        Seed of the split, which holds out the same share of each class.
    test_fraction
        The share of images held out, between 0 and 1.

    Returns
    -------
    Dataset
        Images ``(n, side, side)``, float32 in [0, 1], black 0 and white 1; classes in alphabetical order.

    Raises
    ------
    DataError
        There is no such folder, it has no subfolders with images, one class alone or a class of a single image, a file
        is damaged, or the settings leave nothing to train on or to test on.
    """
    path = Path(path)
    files = _files(path)
    if side < 8:
        raise DataError(f"side={side}: expected 8 pixels or more; less shows nothing that could be told apart")
    names = list(files)
    images = np.stack([_square(file, side) for folder in files.values() for file in folder])
    labels = np.repeat(np.arange(len(names), dtype=np.int32), [len(folder) for folder in files.values()])
    try:
        train, test = train_test_split(
            np.arange(len(labels)), test_size=test_fraction, stratify=labels, random_state=seed
        )
    except ValueError as error:
        raise DataError(
            f"test_fraction={test_fraction} of {len(labels)} images in {len(names)} classes can't be held out "
            f"({error}): expected a share between 0 and 1 that leaves an image of each class on both sides"
        ) from None
    return Dataset(
        name=path.resolve().name,
        train=Observations(images[train], labels[train]),
        test=Observations(images[test], labels[test]),
        class_names=tuple(names),
        source=path.resolve().name,
    )


def _files(path: Path) -> dict[str, list[Path]]:
    """The images of each class, in the order of their names."""
    if not path.is_dir():
        raise DataError(f"there is no folder {path}; expected one with a subfolder of images for each class")
    folders = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    found = {folder.name: _images(folder) for folder in folders}
    if not any(found.values()):
        loose = len(_images(path))
        what = f"{loose} images, but none in a subfolder" if loose else "no images in subfolders"
        raise DataError(f"{path} has {what}: expected one subfolder for each class, such as {path.name}/cat/1.jpg")
    empty = [name for name, images in found.items() if not images]
    if empty:
        raise DataError(f"no images in {', '.join(empty)} of {path}: fill or remove those subfolders")
    if len(found) < 2:
        raise DataError(f"{path} has one class alone, {next(iter(found))!r}: at least two are needed to tell apart")
    alone = [name for name, images in found.items() if len(images) < 2]
    if alone:
        raise DataError(f"a single image in {', '.join(alone)} of {path}: one to learn from and one to test are needed")
    return found


def _images(folder: Path) -> list[Path]:
    entries = folder.iterdir()
    return sorted(e for e in entries if e.suffix.lower() in ENDINGS and e.is_file() and not e.name.startswith("."))


def _square(file: Path, side: int) -> NDArray[np.float32]:
    """One image: upright, its middle square, grey, of the right size."""
    try:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image).convert("L")
            small = ImageOps.fit(upright, (side, side), Image.Resampling.BOX)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{file} can't be read as an image ({error}): replace it or remove it") from None
    return np.asarray(small, dtype=np.float32) / np.float32(255)
