"""Read one image file of any mode and depth as a small grey square, so that what it shows survives.

The rules are told in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from companion.errors import DataError, first_line

__all__ = ["Picture", "endings", "levels", "read_picture"]

_WITHOUT_PIXELS = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}
"""Formats that Pillow knows and can't draw by itself."""

_SINGLE = {"MPO", "PSD"}
"""Formats whose further images are previews and layers."""

_BITS = (8, 10, 12, 14, 16)
_PHOTOMETRIC = 262
"""Tag of a TIFF that is 0 where the lowest level is white."""

_FAINT = 8
"""Least difference between the darkest and the brightest of 256 levels that counts as something to see."""


@dataclass(frozen=True)
class Picture:
    """One image as it was read.

    Attributes
    ----------
    pixels
        Levels `(side, side)`, float32: 0 to 255 where the file has 8 bits, else as the file has them.
    deep
        "whole numbers" or "floats" where the file has more than 8 bits, so that its levels are scaled together with
        those of the other files of this kind; else empty.
    low, high
        Least and greatest level in the whole file.
    inverted
        Whether the file says that its lowest level is white, and Pillow has left it so.
    frames
        Number of images in the file, of which the first is read.
    on_black
        Whether a transparent image was laid on black, since nothing of it would show on white.
    """

    pixels: np.ndarray
    deep: str
    low: float
    high: float
    inverted: bool
    frames: int
    on_black: bool


@cache
def endings() -> frozenset[str]:
    """Return the endings of the files that Pillow can read here, in small letters."""
    known = Image.registered_extensions().items()
    return frozenset(end.lower() for end, name in known if name in Image.OPEN and name not in _WITHOUT_PIXELS)


def read_picture(file: Path, side: int) -> Picture:
    """Read an image: upright, its middle square, grey, of the right size.

    Parameters
    ----------
    file
        Path of the image.
    side
        Height and width of the result, in pixels.

    Returns
    -------
    Picture
        Transparent images are laid on white, or on black where they would not show on white.

    Raises
    ------
    DataError
        If the file is damaged, can't be opened, or holds levels that are NaN or infinite.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                frames = 1 if image.format in _SINGLE else getattr(image, "n_frames", 1)
                upright = ImageOps.exif_transpose(image)
                if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
                    inverted = image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0  # type: ignore[attr-defined]
                    return _deep(upright, side, inverted, frames)
                grey, on_black = _grey(upright)
                small = ImageOps.fit(grey, (side, side), Image.Resampling.BOX)
    except Exception as error:  # decoders raise whatever a damaged file makes them stumble over
        raise DataError(f"{file} can't be read as an image ({first_line(error)}): replace it or remove it.") from None
    return Picture(np.asarray(small, dtype=np.float32), "", 0, 255, False, frames, on_black)


def levels(pictures: Sequence[Picture]) -> tuple[np.ndarray, str]:
    """Bring all images to levels from 0 to 1.

    Parameters
    ----------
    pictures
        Images of one size.

    Returns
    -------
    tuple of np.ndarray and str
        Levels `(images, side, side)`, float32, and how files with more than 8 bits were scaled: with the fewest bits
        that hold all of them, or from their least to their greatest level. Empty where there are none.
    """
    ranges = {"": (0.0, 255.0)}
    for kind in dict.fromkeys(picture.deep for picture in pictures if picture.deep):
        ranges[kind] = _range([picture for picture in pictures if picture.deep == kind])
    scaled = []
    for picture in pictures:
        low, high = ranges[picture.deep]
        own = (picture.pixels - np.float32(low)) / np.float32(high - low)
        scaled.append(1 - own if picture.inverted else own)
    told = [f"{kind} from {low:,.6g} to {high:,.6g} become 0 to 1" for kind, (low, high) in ranges.items() if kind]
    return np.stack(scaled).clip(0, 1), " and ".join(told)


def _range(deep: Sequence[Picture]) -> tuple[float, float]:
    """Return the levels that become 0 and 1."""
    low, high = min(picture.low for picture in deep), max(picture.high for picture in deep)
    whole = all(bound.is_integer() for picture in deep for bound in (picture.low, picture.high))
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    if low >= 0 and whole:
        return 0.0, next((2.0**bits - 1 for bits in _BITS if high < 2**bits), high)
    return (low, high) if high > low else (low, low + 1)


def _deep(image: Image.Image, side: int, inverted: bool, frames: int) -> Picture:
    """Read an image of whole numbers of 16 or 32 bits, or of floats."""
    kind = "floats" if image.mode == "F" else "whole numbers"
    values = np.asarray(image).astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("some of its levels are NaN or infinite")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        values[values == transparent] = values.max()
    small = ImageOps.fit(Image.fromarray(values), (side, side), Image.Resampling.BOX)
    return Picture(np.asarray(small), kind, float(values.min()), float(values.max()), inverted, frames, False)


def _grey(image: Image.Image) -> tuple[Image.Image, bool]:
    """Return an image of 8 bits in grey, and whether it was laid on black."""
    if image.mode == "LAB":
        image = image.convert("RGB")
    if not image.has_transparency_data:
        return image.convert("L"), False
    clear = image.convert("RGBA")
    on_white, on_black = (_laid_on(clear, ground) for ground in ("white", "black"))
    hidden = _contrast(on_white) < _FAINT <= _contrast(on_black)
    return (on_black if hidden else on_white), hidden


def _laid_on(image: Image.Image, ground: str) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, ground), image).convert("L")


def _contrast(image: Image.Image) -> float:
    levels = np.asarray(image)
    return float(np.ptp(levels))
