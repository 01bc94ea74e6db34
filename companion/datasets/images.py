"""Load MNIST, Fashion-MNIST and Omniglot from their verified files, as images in [0, 1) with their labels.

Explained in the MNIST chapters (`book/mnist/dense` first, section "The data") and in the data page
(`book/reference/data`), section "Where a file is looked for".
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from companion.datasets.files import fetch
from companion.datasets.observations import Dataset, Observations
from companion.datasets.registry import REGISTRY
from companion.errors import DataError

__all__ = ["FASHION_CLASSES", "LATIN_LETTERS", "fashion_mnist", "fashion_mnist_dataset", "mnist", "omniglot"]

FASHION_CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
"""What the labels 0 to 9 of `fashion_mnist` mean."""

LATIN_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
"""What the labels 0 to 25 of `omniglot` mean."""

_VALIDATION = 10_000
"""Both MNIST posts validate on the last 10,000 training images."""

_TRAINING = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
_TEST = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


def mnist(mirrors: Iterable[str] | None = None) -> Dataset:
    """Load MNIST, and never anything else.

    Parameters
    ----------
    mirrors
        Addresses of folders to download from instead of the public mirrors.

    Returns
    -------
    Dataset
        50,000 training, 10,000 validation (the last of the training file) and 10,000 test images
        `(n, 28, 28)`, float32, ink bright, the bytes divided by 256 as in the posts, so in [0, 1).

    Raises
    ------
    DataUnavailableError
        If the files are neither in `COMPANION_DATA_DIR`, nor in the cache, nor to be had from a mirror.
        `digits` makes do with a stand-in.

    Notes
    -----
    Data of LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition" (1998).
    """
    return _dataset("mnist", tuple("0123456789"), mirrors)


def fashion_mnist(mirrors: Iterable[str] | None = None) -> Observations:
    """Load the test images of Fashion-MNIST: clothes, which a network trained on digits has never seen.

    They are what the book shows to networks trained on MNIST; `fashion_mnist_dataset` has all images, to train on.

    Parameters
    ----------
    mirrors
        Addresses of folders to download from instead of the public mirrors.

    Returns
    -------
    Observations
        10,000 images `(10000, 28, 28)`, scaled like `mnist`; the labels index `FASHION_CLASSES`.

    Raises
    ------
    DataUnavailableError
        If the files can't be had, as for `mnist`.

    Notes
    -----
    Data of Xiao, Rasul and Vollgraf, "Fashion-MNIST", arXiv:1708.07747 (2017).
    """
    path = fetch(REGISTRY["fashion-mnist"], names=_TEST, mirrors=mirrors)
    return _pair(*(path[name] for name in _TEST))


def fashion_mnist_dataset(mirrors: Iterable[str] | None = None) -> Dataset:
    """Load all of Fashion-MNIST, to train on clothes.

    Parameters
    ----------
    mirrors
        Addresses of folders to download from instead of the public mirrors.

    Returns
    -------
    Dataset
        50,000 training, 10,000 validation (the last of the training file) and 10,000 test images `(n, 28, 28)`,
        scaled like `mnist`; the labels index `FASHION_CLASSES`.

    Raises
    ------
    DataUnavailableError
        If the files can't be had, as for `mnist`.

    Notes
    -----
    Data of Xiao, Rasul and Vollgraf, "Fashion-MNIST", arXiv:1708.07747 (2017).
    """
    return _dataset("fashion-mnist", FASHION_CLASSES, mirrors)


def omniglot(mirrors: Iterable[str] | None = None) -> Observations:
    """Load the Latin letters of Omniglot: handwriting, but no digits.

    Each of 20 people drew each of the 26 small letters once, black on white, 105x105. Here ink is bright, as
    in MNIST, and each image is shrunk to 28x28 by averaging over area. Strokes come out thinner than MNIST's
    and the letters are not centred. Both archives hold the same 520 images; the first is read.

    Parameters
    ----------
    mirrors
        Addresses of folders to download from instead of the public mirror.

    Returns
    -------
    Observations
        520 images `(520, 28, 28)`, float32 in [0, 1); the labels index `LATIN_LETTERS`.

    Raises
    ------
    DataUnavailableError
        If the files can't be had, as for `mnist`.

    Notes
    -----
    Data of Lake, Salakhutdinov and Tenenbaum, "Human-level concept learning through probabilistic program induction",
    Science 350 (2015).
    """
    archive = "images_background_small1.zip"
    path = fetch(REGISTRY["omniglot"], names=[archive], mirrors=mirrors)[archive]
    images, labels = [], []
    with zipfile.ZipFile(path) as bundle:
        for name in sorted(bundle.namelist()):
            _, *alphabet, character, file = ("", "", *PurePosixPath(name).parts)[-4:]
            if alphabet == ["Latin"] and file.endswith(".png"):
                images.append(_shrunk(bundle.read(name)))
                labels.append(int(character.removeprefix("character")) - 1)
    return Observations(_scaled(np.stack(images)), np.array(labels, dtype=np.int32))


def _dataset(name: str, class_names: tuple[str, ...], mirrors: Iterable[str] | None) -> Dataset:
    """Read four IDX files, and keep the last training images for validation."""
    collection = REGISTRY[name]
    path = fetch(collection, mirrors=mirrors)
    images, labels = (_idx(path[file]) for file in _TRAINING)
    return Dataset(
        name=collection.title,
        train=Observations(_scaled(images[:-_VALIDATION]), labels[:-_VALIDATION].astype(np.int32)),
        validation=Observations(_scaled(images[-_VALIDATION:]), labels[-_VALIDATION:].astype(np.int32)),
        test=_pair(*(path[file] for file in _TEST)),
        class_names=class_names,
        licence=collection.licence,
        source=collection.source,
    )


def _pair(images: Path, labels: Path) -> Observations:
    return Observations(_scaled(_idx(images)), _idx(labels).astype(np.int32))


def _idx(path: Path) -> np.ndarray:
    """Read an IDX file: two zero bytes, 8 for unsigned bytes, the number of axes, their lengths, values."""
    content = gzip.decompress(path.read_bytes())
    zeros, kind, axes = struct.unpack_from(">HBB", content)
    shape = struct.unpack_from(f">{axes}I", content, 4)
    if (zeros, kind) != (0, 8) or len(content) != 4 + 4 * axes + int(np.prod(shape)):
        raise DataError(f"{path} is not an IDX file of unsigned bytes: remove it, so that it is fetched again.")
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)


def _shrunk(png: bytes) -> np.ndarray:
    """Turn a black-on-white drawing into a 28x28 image with bright ink."""
    with Image.open(io.BytesIO(png)) as drawing:
        ink = Image.eval(drawing.convert("L"), lambda level: 255 - level)
        return np.asarray(ink.resize((28, 28), Image.Resampling.BOX), dtype=np.uint8)


def _scaled(levels: np.ndarray) -> np.ndarray:
    """Turn bytes into float32 in [0, 1), divided by 256 as in the posts."""
    images: np.ndarray = np.multiply(levels, np.float32(1 / 256), dtype=np.float32)
    images.flags.writeable = False  # so that Observations need not copy 150 MB
    return images
