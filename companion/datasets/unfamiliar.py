"""Make images unlike any that a network of digits was trained on: noise, and rotated digits.

Explained in the chapters `book/mnist/strange_images`, section "What is no digit at all", and
`book/bayes_by_backprop/lenet_refusing`, section "Refusing".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import rotate

from companion.checks import whole
from companion.errors import DataError

__all__ = ["noise_images", "rotated"]

KINDS = ("gaussian", "uniform", "shuffled", "constant")
_FROM_IMAGES = ("gaussian", "shuffled")
_BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))


def noise_images(kind: str, n: int = 1000, *, images: ArrayLike | None = None, seed: int = 0) -> np.ndarray:
    """Draw images without a digit, on which a network that knows what it doesn't know is uncertain.

    Parameters
    ----------
    kind
        `"gaussian"`: independent normal pixels with the mean and the standard deviation that all pixels of `images`
        have together, clipped to [0, 1). What is clipped moves both: of MNIST, whose normal is below 0 for a third of
        the pixels, the noise is brighter and less varied than the digits.
        `"uniform"`: independent pixels, each level from 0 to 1 as likely as any other.
        `"shuffled"`: for each a random one of `images`, with its pixels in a random order of its own, so as bright
        and as dark as a digit.
        `"constant"`: every pixel of an image has the same level, uniform from 0 to 1.
    n
        Number of images to make.
    images
        Images `(n_images, height, width)` in [0, 1], such as `mnist().test.x`. Where the kind needs none, only
        their height and width are used, and without them the noise is 28x28.
    seed
        Seed of the random pixels.

    Returns
    -------
    np.ndarray
        Images `(n, height, width)`, float32 in [0, 1) if the `images` are, so scaled like MNIST.

    Raises
    ------
    DataError
        If `kind` is not one of the four, `n` is not a whole number from 1, or `images` are missing, not
        `(n_images, height, width)`, or outside [0, 1].

    Notes
    -----
    Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural
    Networks", ICLR (2017), show Gaussian and uniform noise to networks trained on MNIST.
    """
    if kind not in KINDS:
        raise DataError(f"kind={kind!r}; expected one of {', '.join(map(repr, KINDS))}.")
    whole("n", n, 1, error=DataError)
    if images is None and kind in _FROM_IMAGES:
        raise DataError(f"kind={kind!r} needs images to imitate: pass images=..., such as mnist().test.x.")
    rng = np.random.default_rng(seed)
    given = _checked(np.zeros((1, 28, 28)) if images is None else images)
    shape = (n, *given.shape[1:])
    if kind == "gaussian":
        mean, deviation = given.mean(dtype=np.float64), given.std(dtype=np.float64)
        return rng.normal(mean, deviation, shape).astype(np.float32).clip(0, _BELOW_ONE)
    if kind == "shuffled":
        chosen = given[rng.integers(len(given), size=n)].reshape(n, -1)
        return rng.permuted(chosen, axis=1).reshape(shape)
    levels = rng.random(shape if kind == "uniform" else (n, 1, 1), dtype=np.float32)
    return np.full(shape, levels)


def rotated(images: ArrayLike, degrees: float) -> np.ndarray:
    """Rotate images about their centre: digits that a network has seen, as it has not seen them.

    Levels are interpolated linearly. Corners that leave the image are lost, and what comes in is 0.

    Parameters
    ----------
    images
        Images `(n, height, width)` in [0, 1].
    degrees
        Angle in degrees, counter-clockwise.

    Returns
    -------
    np.ndarray
        Images `(n, height, width)`, float32 in [0, 1].

    Raises
    ------
    DataError
        If `images` are not `(n, height, width)` or outside [0, 1], or `degrees` is not a finite number.

    Notes
    -----
    Gal and Ghahramani, "Dropout as a Bayesian Approximation", ICML (2016), section 5.2, rotate a 1 of MNIST and watch
    the uncertainty of its class.
    """
    given = _checked(images)
    angle = np.asarray(degrees)
    if angle.shape or angle.dtype.kind not in "iuf" or not np.isfinite(angle):
        raise DataError(f"degrees={degrees!r}; expected one finite number, such as 30.")
    turned: np.ndarray = rotate(given, float(angle), axes=(2, 1), reshape=False, order=1, mode="constant", cval=0)
    return turned.clip(0, 1)


def _checked(images: ArrayLike) -> np.ndarray:
    """Return images as float32, or refuse what is not images in [0, 1]."""
    try:
        array = np.asarray(images, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError("images is not an array of numbers (n, height, width).") from error
    if array.ndim != 3 or 0 in array.shape:
        raise DataError(
            f"images has shape {array.shape}: (n, height, width) is expected, with one image at least; "
            "image[None] makes a list of a single one."
        )
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 1):
        raise DataError(f"the pixels of images reach from {low} to {high}: 0 to 1 is expected; divide bytes by 256.")
    return array
