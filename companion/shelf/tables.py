"""Tables as a page shows them: a figure with its error in one cell, and a dash where there is none.

Used throughout the chapter `book/beyond/uci`, beginning with the section "The table".
"""

from __future__ import annotations

import pandas as pd

from companion.errors import DataError

__all__ = ["MISSING", "with_errors"]

MISSING = "\u2013"
"""What stands in a cell without a figure."""


def with_errors(values: pd.DataFrame, errors: pd.DataFrame, formats: tuple[str, str] = (".2f", ".2f")) -> pd.DataFrame:
    """Write each value and its error into one cell, such as "0.19 ± 0.07", which no line end parts.

    Parameters
    ----------
    values
        Figures (rows, columns); NaN where there is none.
    errors
        Their errors, such as standard errors, with the same rows and columns, in the values' units.
    formats
        Format specifications of a value and of an error, as Python's `format` takes them.

    Returns
    -------
    pandas.DataFrame
        Texts, with a dash where a value is NaN, and a value alone where its error is.

    Raises
    ------
    DataError
        If rows or columns of the two tables differ.
    """
    if not (values.index.equals(errors.index) and values.columns.equals(errors.columns)):
        raise DataError(
            f"errors with rows {list(errors.index)} and columns {list(errors.columns)} for values with rows "
            f"{list(values.index)} and columns {list(values.columns)}; expected the same, in the same order."
        )
    value, error = formats
    written = values.map(lambda v: format(v, value)) + errors.map(
        lambda e: "" if pd.isna(e) else f"\u00a0±\u00a0{e:{error}}"
    )
    return written.where(values.notna(), MISSING)
