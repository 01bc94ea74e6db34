"""A table with a measured quantity: split, standardised, and kept with the way in which new rows come into its form.

Explained in the book's data page (`book/reference/data`), section "Measurements".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from companion.datasets.arrays import filled_in, names_of
from companion.datasets.columns import NumberColumn
from companion.datasets.curves import Measurements, copied_numbers
from companion.datasets.encoding import Encoding
from companion.datasets.form import TableForm
from companion.datasets.scaling import Scaling, standardised
from companion.datasets.splits import Rows, chosen_rows
from companion.datasets.weights import whole_weights
from companion.errors import DataError

__all__ = ["MeasuredTable", "measured_table", "measurements_of_rows"]


@dataclass(frozen=True, eq=False, kw_only=True)
class MeasuredTable(TableForm):
    """A table whose target is a measurement, or several.

    Attributes
    ----------
    name
        Name of the data set.
    train, test
        Rows to learn from, and rows that are held out: standardised inputs, and measurements in their own units.
    target_names
        Name of each target.
    feature_names
        One name for each column of the inputs.
    licence, source
        Terms of use, and who made the data and where.
    scaling
        Mean and scale that standardised the inputs, from the training rows alone.
    encoding
        Way in which the columns of the table became its features.

    Raises
    ------
    DataError
        If the parts, the names, the scaling and the encoding don't fit together.
    """

    name: str
    train: Measurements
    test: Measurements
    target_names: tuple[str, ...]
    feature_names: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""
    scaling: Scaling | None = None
    encoding: Encoding | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        features, targets = self.train.x.shape[1], self.train.y.shape[1:]
        if self.test.x.shape[1] != features or self.test.y.shape[1:] != targets:
            raise DataError(
                f"the test part of {self.name} has rows of {self.test.x.shape[1:]} and {self.test.y.shape[1:]}, the "
                f"training part of {self.train.x.shape[1:]} and {targets}; expected the same."
            )
        if len(self.target_names) != (targets or (1,))[0]:
            raise DataError(f"target_names={self.target_names}; expected one name for each of {(targets or (1,))[0]}.")
        self.check_form(self.feature_names, (features,))


def measured_table(
    x: ArrayLike,
    y: ArrayLike,
    *,
    name: str,
    target_names: Sequence[str] = (),
    feature_names: Sequence[str] = (),
    seed: int = 0,
    test_fraction: float = 0.5,
    fill_in: bool = False,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    time: ArrayLike | None = None,
    licence: str = "",
    source: str = "",
    encoding: Encoding | None = None,
) -> MeasuredTable:
    """Split a table of measurements and standardise its inputs with the mean and scale of its training rows.

    Parameters
    ----------
    x
        Inputs (points, features), in their own units.
    y
        Measurements (points,), or (points, targets). They keep their units.
    name
        Name of the data set.
    target_names, feature_names
        Names of the targets and of the columns; y, or y1, y2, ... and x1, x2, ... by default.
    seed
        Seed of the split.
    test_fraction
        Share of rows that are held out, between 0 and 1.
    fill_in
        Whether NaN in x is a gap, in which the median of the training rows stands, and one more feature marks it.
    weights, groups, time
        Weight, group and time of each row, (points,), as `tabular` takes them.
    licence, source
        Terms of use and origin.
    encoding
        Way in which the columns of a file became these features; by default each feature is a column of numbers.

    Raises
    ------
    DataError
        If a value is NaN, lengths differ, or a part would be empty.
    """
    values, measured = copied_numbers(x, y, np.float64)
    whole = np.where(np.isnan(values), 0, values) if fill_in else values
    Measurements(whole, measured, weights)  # type: ignore[arg-type]  # its checks, before anything is split
    rows = chosen_rows(
        len(values), groups=groups, time=time, test_fraction=test_fraction, seed=seed, what=f"rows of {name}"
    )
    if fill_in:
        values, encoding = filled_in(values, feature_names, rows[0])
        feature_names = encoding.features
    return measurements_of_rows(
        values, measured, rows, name=name, target_names=target_names, feature_names=feature_names, weights=weights,
        licence=licence, source=source, encoding=encoding,
    )  # fmt: skip


def measurements_of_rows(
    values: np.ndarray,
    measured: np.ndarray,
    rows: Rows,
    *,
    name: str,
    target_names: Sequence[str],
    feature_names: Sequence[str],
    weights: ArrayLike | None,
    licence: str,
    source: str,
    encoding: Encoding | None,
) -> MeasuredTable:
    """Standardise a table of measurements whose rows to learn from and to hold out are chosen; see `measured_table`."""
    features = names_of(feature_names, values.shape[1])
    own = whole_weights(weights, len(values))
    first, held_out = (None, None) if own is None else (own[rows[0]], own[rows[1]])
    scaling = standardised(values[rows[0]], features, name, first)
    several = tuple(f"y{i + 1}" for i in range(measured.shape[1])) if measured.ndim > 1 else ("y",)
    return MeasuredTable(
        name=name,
        train=Measurements(scaling.apply(values[rows[0]]), measured[rows[0]], first),
        test=Measurements(scaling.apply(values[rows[1]]), measured[rows[1]], held_out),
        target_names=tuple(target_names) or several,
        feature_names=features,
        licence=licence,
        source=source,
        scaling=scaling,
        encoding=encoding or Encoding(tuple(NumberColumn(feature) for feature in features)),
    )
