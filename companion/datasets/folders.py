"""Load a folder of the reader's own images, one subfolder for each class, as small grey squares.

Explained in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from companion.checks import whole
from companion.datasets.observations import Dataset, Observations
from companion.datasets.pictures import Picture, endings, levels, read_picture
from companion.datasets.splits import split_rows
from companion.errors import DataError, notice

__all__ = ["from_folder"]

_OF_THE_SYSTEM = {"thumbs.db", "desktop.ini"}
_ADVICE = "Move images into the subfolder of their class, and convert files of other kinds to PNG or JPEG."


def from_folder(path: str | Path, *, side: int = 28, seed: int = 0, test_fraction: float = 0.25) -> Dataset:
    """Load images from a folder with one subfolder for each class, named after it.

    Each image is turned upright as its camera noted, cut to its middle square, shrunk or enlarged to the same size, and
    made grey: the companion's networks read grey images. Transparent images are laid on white, or on black where they
    would not show on white. Images with more than 8 bits per pixel are scaled together, by the fewest bits that
    hold all of them. Files that can't be images by their ending and images in deeper folders are left out, and a
    warning counts them.

    Parameters
    ----------
    path
        Path of the folder.
    side
        Height and width of each image, in pixels.
    seed
        Seed of the split, which holds out the same share of each class.
    test_fraction
        Share of images that are held out, between 0 and 1.

    Returns
    -------
    Dataset
        Images `(n, side, side)`, float32 in [0, 1], black 0 and white 1; classes in alphabetical order.

    Raises
    ------
    DataError
        If there is no such folder, it has no subfolders with images, one class alone or a class of a single image, a
        file is damaged, or the settings leave a class out of one part.

    Warns
    -----
    CompanionWarning
        If files are left out, hold several images or have more than 8 bits per pixel, or all images are the same.
    """
    path = Path(path)
    files = _files(path)
    whole("side", side, 8, error=DataError)
    names = tuple(files)
    pictures = [read_picture(file, side) for folder in files.values() for file in folder]
    images, scaled = levels(pictures)
    _tell(path.resolve().name, pictures, scaled)
    if (images == images[0]).all():
        notice(
            f"all images of {path.resolve().name} are the same once they are small and grey, so that nothing tells "
            "them apart. If they look different elsewhere, save them as plain grey or RGB images."
        )
    labels = np.repeat(np.arange(len(names), dtype=np.int32), [len(folder) for folder in files.values()])
    what = f"images of {path.resolve().name}"
    train, test = split_rows(labels, names, test_fraction=test_fraction, seed=seed, what=what)
    return Dataset(
        name=path.resolve().name,
        train=Observations(images[train], labels[train]),
        test=Observations(images[test], labels[test]),
        class_names=names,
        source=path.resolve().name,
    )


@dataclass
class _Found:
    """What a folder holds: images, other files by their endings, and images in folders below it."""

    images: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    deeper: Counter[Path] = field(default_factory=Counter)


def _tell(name: str, pictures: list[Picture], scaled: str) -> None:
    """Warn of what the images have that is not usual."""
    if scaled:
        notice(f"{sum(p.deep != '' for p in pictures):,} images of {name} have more than 8 bits per pixel: {scaled}.")
    if several := sum(picture.frames > 1 for picture in pictures):
        notice(f"{several:,} files of {name} hold more than one image; the first one of each is read.")
    if on_black := sum(picture.on_black for picture in pictures):
        notice(f"{on_black:,} transparent images of {name} would not show on white and are laid on black.")


def _files(path: Path) -> dict[str, list[Path]]:
    """Return the images of each class, in the order of their names."""
    if not path.is_dir():
        raise DataError(f"there is no folder {path}; expected one with a subfolder of images for each class.")
    try:
        folders = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        found = {folder.name: _look(folder) for folder in folders}
        beside = _look(path, deeper=False)
    except OSError as error:
        raise DataError(f"{error.filename or path} can't be opened ({error.strerror or error}).") from None
    told = _left_out(path, found, beside)
    unread = f" {told}. {_ADVICE}" if told else ""
    if not any(own.images for own in found.values()):
        what = f"{len(beside.images)} images, but none in a subfolder" if beside.images else "no images in subfolders"
        raise DataError(
            f"{path} has {what}; expected one subfolder for each class, such as {path.name}/cat/1.jpg.{unread}"
        )
    empty = [name for name, own in found.items() if not own.images]
    if empty:
        raise DataError(
            f"there are no images in {', '.join(empty)} of {path}: fill or remove those subfolders.{unread}"
        )
    if len(found) < 2:
        raise DataError(f"{path} has one class alone, {next(iter(found))!r}; at least two are needed to tell apart.")
    single = [name for name, own in found.items() if len(own.images) < 2]
    if single:
        raise DataError(
            f"there is a single image in {', '.join(single)} of {path}; one to learn from and one to test are "
            f"needed.{unread}"
        )
    if told:
        notice(f"{told}. {_ADVICE}")
    return {name: own.images for name, own in found.items()}


def _look(folder: Path, deeper: bool = True) -> _Found:
    """Sort what a folder holds; hidden files and those of the system don't count."""
    found = _Found()
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name.lower() in _OF_THE_SYSTEM:
            continue
        ending = entry.suffix.lower()
        if entry.is_dir():
            if deeper and (images := sum(len(_look(below).images) for below in _folders(entry))):
                found.deeper[entry] = images
        elif ending in endings() and entry.is_file():
            found.images.append(entry)
        else:
            found.others[ending] += 1
    return found


def _folders(folder: Path) -> list[Path]:
    """Return a folder and all folders below it."""
    return [folder, *(below for below in sorted(folder.rglob("*")) if below.is_dir())]


def _left_out(path: Path, found: dict[str, _Found], beside: _Found) -> str:
    """Count what a folder holds beside the images that are read."""
    others: Counter[str] = sum((own.others for own in found.values()), Counter())
    told = [
        f"{_count(count, 'file')} {f'with the ending {ending}' if ending else 'without an ending'}"
        for ending, count in others.most_common()
    ]
    deeper: Counter[Path] = sum((own.deeper for own in found.values()), Counter())
    if deeper:
        first = next(iter(deeper)).relative_to(path).as_posix()
        told.append(f"{_count(deeper.total(), 'image')} in deeper folders such as {first}")
    if beside.images and any(own.images for own in found.values()):
        told.append(f"{_count(len(beside.images), 'image')} beside the subfolders")
    return f"left out of {path.resolve().name}: {', '.join(told)}" if told else ""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
