"""Standardise a table, and keep the mean and the scale that did it.

Explained in the moons chapter (`book/pymc/moons`), section "Errata of the original": the training half alone scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.preprocessing import StandardScaler

from companion.errors import DataError

__all__ = ["Floats", "Scaling", "frozen", "standardised"]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Scaling:
    """Mean and scale that standardised a table, feature by feature.

    Attributes
    ----------
    mean, scale
        Mean and standard deviation `(features,)`, in the units of the original table.
    """

    mean: Floats
    scale: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", frozen(np.asarray(self.mean, dtype=np.float64)))
        object.__setattr__(self, "scale", frozen(np.asarray(self.scale, dtype=np.float64)))
        if self.mean.shape != self.scale.shape or self.mean.ndim != 1:
            raise DataError(
                f"mean has shape {self.mean.shape} and scale {self.scale.shape}; expected (features,) of both."
            )

    def apply(self, x: ArrayLike) -> Floats:
        """Standardise inputs in original units, for instance new observations.

        Parameters
        ----------
        x
            Finite numbers `(points, features)`, or any shape whose last axis has the features. Rows with words are
            for `Dataset.encode`.

        Returns
        -------
        np.ndarray
            Standardised inputs of the same shape, float64.

        Raises
        ------
        DataError
            If there are words, NaN or infinity in `x`, or another number of features.
        """
        values = self._values(x)
        if not np.isfinite(values).all():
            raise DataError(
                f"{(~np.isfinite(values)).sum():,} of {values.size:,} new values are NaN or infinite: fill them in or "
                "leave those rows out."
            )
        return (values - self.mean) / self.scale

    def undo(self, x: ArrayLike) -> Floats:
        """Bring standardised inputs back to original units.

        Parameters
        ----------
        x
            Numbers `(points, features)`, or any shape whose last axis has the features.

        Returns
        -------
        np.ndarray
            Inputs of the same shape, float64.

        Raises
        ------
        DataError
            If there are words in `x`, or another number of features.
        """
        return self._values(x) * self.scale + self.mean

    def _values(self, x: ArrayLike) -> Floats:
        """Return numbers whose last axis has the features of this scaling."""
        try:
            values = np.asarray(x, dtype=np.float64)
        except (TypeError, ValueError):
            raise DataError(
                "the new values are not an array of numbers; expected numbers (points, features). Rows as a file has "
                "them, with words, are for the method encode of the data set."
            ) from None
        if values.shape[-1:] != self.mean.shape:
            raise DataError(
                f"the new values have shape {values.shape}; expected (points, {len(self.mean)}), one column for each "
                "feature that was standardised."
            )
        return values


def standardised(values: Floats, features: Sequence[str], name: str, weights: Floats | None = None) -> Scaling:
    """Find the mean and the scale that standardise the rows to learn from.

    Parameters
    ----------
    values
        Rows to learn from (points, features), in the units of the table.
    features
        Names of the features.
    name
        Name of the table.
    weights
        How often each row counts, (points,); once by default.

    Raises
    ------
    DataError
        If numbers are too large to be squared.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scaler = StandardScaler().fit(values, sample_weight=weights)
    too_large = [feature for feature, scale in zip(features, scaler.scale_, strict=False) if not np.isfinite(scale)]
    if too_large:
        raise DataError(
            f"the numbers of {', '.join(too_large)} in {name} are too large to be squared: divide them first."
        )
    return Scaling(scaler.mean_, scaler.scale_)


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy that can't be written to, or the array itself if it is one already."""
    if array.flags.owndata and not array.flags.writeable:
        return array
    copy = np.array(array, copy=True)
    copy.flags.writeable = False
    return copy
