"""Keep inputs and labels together as `Observations` and `Dataset`, checked once for everything that reads them.

Explained in the book's data page (`book/reference/data`), sections "Your own data" and "Weights".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion.datasets.encoding import Encoding
from companion.datasets.form import TableForm
from companion.datasets.scaling import Scaling, frozen
from companion.datasets.weights import whole_weights
from companion.errors import DataError

__all__ = ["Dataset", "Observations", "check_labels", "whole_labels"]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Observations:
    """Inputs and their class labels, row by row.

    The arrays are copies that can't be written to, so that a chapter can't alter by accident what another
    will read. `torch.tensor(observations.x)` copies again; `torch.from_numpy` would warn.

    Attributes
    ----------
    x
        Inputs `(points, *features)`, floating; whole numbers and booleans become float64.
    y
        Labels `(points,)`, int32: a PyMC minibatch of int64 labels can't be observed.
    weights
        How often each row counts, `(points,)`, from 0; None where each counts once.

    Raises
    ------
    DataError
        If there are no rows, the lengths differ, `x` holds NaN or infinity, the labels are not whole numbers, or the
        weights are not numbers from 0.
    """

    x: Floats
    y: NDArray[np.int32]
    weights: Floats | None = None

    def __post_init__(self) -> None:
        x, y = _inputs(self.x), whole_labels(self.y)
        object.__setattr__(self, "weights", whole_weights(self.weights, len(x)))
        if len(x) != len(y):
            raise DataError(f"x has {len(x):,} rows and y has {len(y):,} labels: one label for each row is expected.")
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", y)

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        labels, counts = np.unique(self.y, return_counts=True)
        listed = ", ".join(f"{label}: {count:,}" for label, count in zip(labels[:12], counts[:12], strict=True))
        more = ", ..." if len(labels) > 12 else ""
        weighted = "" if self.weights is None else ", weighted"
        return f"Observations(x {self.x.shape} {self.x.dtype}, labels {{{listed}{more}}}{weighted})"


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset(TableForm):
    """Everything a chapter needs to know about its data.

    Attributes
    ----------
    name
        Name of the data set; where a stand-in was loaded, the stand-in's name.
    train, test, validation
        Parts of the data. Not every set has a validation part.
    class_names
        One name for each label, in the order of the labels `0, 1, ...`.
    feature_names
        One name for each column of a table; empty for images.
    licence, source
        Terms of use, and who made the data and where.
    scaling
        Mean and scale that standardised a table, from the training rows alone; None for images.
    encoding
        Way in which the columns of a table became its features; None for images.

    Raises
    ------
    DataError
        If a label has no class name, or the parts, the names, the scaling and the encoding don't fit together.
    """

    name: str
    train: Observations
    test: Observations
    validation: Observations | None = None
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""
    scaling: Scaling | None = None
    encoding: Encoding | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        features = self.train.x.shape[1:]
        parts = {"training": self.train, "validation": self.validation, "test": self.test}
        for part, observations in parts.items():
            if observations is None:
                continue
            check_labels(observations.y, len(self.class_names), where=f"the {part} part of {self.name}")
            if observations.x.shape[1:] != features:
                raise DataError(
                    f"the {part} part of {self.name} has rows of shape {observations.x.shape[1:]}, "
                    f"the training part has {features}; expected the same."
                )
        self.check_form(self.feature_names, features)


def check_labels(y: ArrayLike, n_classes: int, where: str = "y", advice: str = "") -> None:
    """Refuse labels outside `0 ... n_classes - 1`.

    Parameters
    ----------
    y
        Labels `(points,)`, whole numbers.
    n_classes
        Number of classes.
    where
        Name of the labels' place in the message.
    advice
        Sentence behind the message that says what to do.

    Raises
    ------
    DataError
        If there are such labels; the message names them and counts each.
    """
    labels, counts = np.unique(np.asarray(y), return_counts=True)
    outside = (labels < 0) | (labels >= n_classes)
    if outside.any():
        pairs = list(zip(labels[outside].tolist(), counts[outside].tolist(), strict=True))
        listed = ", ".join(f"{label} ({count:,} of {len(np.asarray(y)):,})" for label, count in pairs[:5])
        more = f" and {len(pairs) - 5} others" if len(pairs) > 5 else ""
        allowed = "0 and 1" if n_classes == 2 else f"0 to {n_classes - 1}"
        raise DataError(f"labels outside {allowed} in {where}: {listed}{more}.{' ' * bool(advice)}{advice}")


def _array(given: ArrayLike, name: str) -> NDArray[Any]:
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise DataError(
            f"{name} is not an array: its rows have different lengths; expected the same number of values in each row."
        ) from error
    if array.shape[:1] == (0,):
        raise DataError(f"there are no observations: {name} has shape {array.shape}; expected one row or more.")
    return array


def _inputs(given: ArrayLike) -> Floats:
    x = _array(given, "x")
    if x.dtype.kind in "biu":
        x = x.astype(np.float64)
    if x.dtype.kind != "f":
        raise DataError(f"x holds {x.dtype} values: numbers are expected.")
    if x.ndim < 2:
        raise DataError(
            f"x has shape {x.shape}: (points, features) is expected; x[:, None] makes one feature of a list."
        )
    if 0 in x.shape[1:]:
        raise DataError(f"x has shape {x.shape}: rows without features; expected one feature or more.")
    bad = ~np.isfinite(x)
    if bad.any():
        row, *place = (int(i) for i in np.argwhere(bad)[0])
        column = f"column {place[0]}" if len(place) == 1 else f"position {tuple(place)}"
        raise DataError(
            f"{bad.sum():,} of {x.size:,} values of x are NaN or infinite, the first in row {row}, {column} "
            "(counted from 0): fill them in or leave those rows out."
        )
    return frozen(x)


def whole_labels(given: ArrayLike) -> NDArray[np.int32]:
    """Make labels whole numbers of 32 bits.

    Parameters
    ----------
    given
        Labels `(points,)`: whole numbers of any type, or true and false.

    Returns
    -------
    np.ndarray
        Labels `(points,)`, int32, read-only.

    Raises
    ------
    DataError
        If `given` has another shape, or holds words, fractions, NaN or numbers of more than 32 bits.
    """
    y = _array(given, "y")
    if y.ndim != 1:
        raise DataError(f"y has shape {y.shape}: (points,) is expected, one label for each row; try y.ravel().")
    if y.dtype.kind not in "biuf":
        raise DataError(f"y holds {y.dtype} values, such as {y.tolist()[0]!r}: whole numbers 0, 1, ... are expected.")
    if y.dtype.kind != "b":
        limits = np.iinfo(np.int32)
        bad = (y != np.floor(y)) | (y < limits.min) | (y > limits.max)
        if bad.any():
            row = int(np.argmax(bad))
            raise DataError(
                f"{bad.sum():,} of {len(y):,} labels are not whole numbers of at most 32 bits, "
                f"the first is {y[row]} in row {row}."
            )
    return frozen(y.astype(np.int32))
