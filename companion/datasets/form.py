"""The form of a table: how its columns became features, and how those were standardised, for new rows as well.

Explained in the book's data page (`book/reference/data`), section "Your own data".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from companion.datasets.encoding import Encoding
from companion.datasets.scaling import Floats, Scaling
from companion.errors import DataError

__all__ = ["Form", "TableForm"]


class TableForm:
    """What data sets share that may come from a table: new rows are brought into its form, and out of it again."""

    name: str
    scaling: Scaling | None
    encoding: Encoding | None

    def encode(self, rows: str | Path | pd.DataFrame | Sequence[Any] | np.ndarray) -> Floats:
        """Bring new rows into the form that a model of this table reads: words as 0 and 1, numbers standardised.

        Parameters
        ----------
        rows
            Path of a CSV file, a `pandas.DataFrame`, a list of dictionaries, or a list of rows with one entry for each
            column that is learned from, in the order of the file. The target may be there or not.

        Returns
        -------
        np.ndarray
            Inputs `(points, features)`, float64, such as `companion.prediction.predict` takes them.

        Raises
        ------
        DataError
            If this is not a table, a column is missing, a row has too many or too few entries, or an entry is a gap in
            a column that had none, not a number, or a word that an ordered column did not have.

        Warns
        -----
        CompanionWarning
            If a column of words has one that the table did not have: it counts as none of them.
        """
        encoding, scaling = self._table_form()
        return scaling.apply(encoding.apply(rows))

    def decode(self, x: ArrayLike) -> pd.DataFrame:
        """Turn inputs of a model back into rows as the file has them, in its units and with its words.

        Parameters
        ----------
        x
            Standardised inputs `(points, features)`, such as `test.x`.

        Returns
        -------
        pandas.DataFrame
            One column for each column of the file that is learned from.

        Raises
        ------
        DataError
            If this is not a table, or `x` has another number of features.
        """
        encoding, scaling = self._table_form()
        return encoding.undo(np.atleast_2d(scaling.undo(x)))

    @property
    def steps(self) -> tuple[str, ...]:
        """What was done to each column of the table, one line per column.

        Raises
        ------
        DataError
            If this is not a table.
        """
        return self._table_form()[0].steps

    def _table_form(self) -> tuple[Encoding, Scaling]:
        if self.encoding is None or self.scaling is None:
            raise DataError(f"{self.name} is not a table with a scaling; encode and decode are for tables.")
        return self.encoding, self.scaling

    @property
    def form(self) -> Form:
        """The form alone, without the rows, such as `companion.save_posterior` keeps it.

        Raises
        ------
        DataError
            If this is not a table.
        """
        encoding, scaling = self._table_form()
        return Form(self.name, encoding, scaling)

    def check_form(self, feature_names: tuple[str, ...], features: tuple[int, ...]) -> None:
        """Refuse names, a scaling or an encoding of another number of features than the rows of shape `features` have.

        Raises
        ------
        DataError
            If there are such.
        """
        if feature_names and (len(feature_names),) != features:
            raise DataError(f"{len(feature_names)} feature names for rows of shape {features}: expected one for each.")
        if self.scaling is not None and self.scaling.mean.shape != features:
            raise DataError(
                f"a scaling of {len(self.scaling.mean)} features for rows of shape {features}: expected one for each."
            )
        if self.encoding is not None and (len(self.encoding.features),) != features:
            raise DataError(
                f"an encoding of {len(self.encoding.features)} features for rows of shape {features}: expected one for "
                "each."
            )


@dataclass(frozen=True, eq=False)
class Form(TableForm):
    """The form of a table without its rows: it encodes new rows as the table did, and decodes them.

    Attributes
    ----------
    name
        Name of the table.
    encoding
        Way in which its columns become features.
    scaling
        Mean and scale that standardise them.
    """

    name: str
    encoding: Encoding
    scaling: Scaling

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values, of which `from_json` makes the same form."""
        scaling = {"mean": self.scaling.mean.tolist(), "scale": self.scaling.scale.tolist()}
        return {"name": self.name, "encoding": self.encoding.as_json(), "scaling": scaling}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Form:
        """Make a form of what `as_json` returned."""
        mean, scale = (np.array(stored["scaling"][key], dtype=np.float64) for key in ("mean", "scale"))
        return cls(stored["name"], Encoding.from_json(stored["encoding"]), Scaling(mean, scale))
