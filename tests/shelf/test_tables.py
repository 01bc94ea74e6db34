"""Tables as a page shows them."""

import numpy as np
import pandas as pd
import pytest

from companion.errors import DataError
from companion.shelf import MISSING, with_errors

VALUES = pd.DataFrame({"yacht": [0.194, np.nan], "energy": [-0.515, 12.0]}, index=["a", "b"])
ERRORS = pd.DataFrame({"yacht": [0.066, np.nan], "energy": [0.03, np.nan]}, index=["a", "b"])


def test_a_cell_holds_a_value_and_its_error_or_a_dash() -> None:
    pm = "\u00a0±\u00a0"
    found = with_errors(VALUES, ERRORS)
    assert found.to_dict("list") == {"yacht": [f"0.19{pm}0.07", MISSING], "energy": [f"-0.52{pm}0.03", "12.00"]}
    assert with_errors(VALUES, ERRORS, (".1f", ".0e")).loc["a", "yacht"] == f"0.2{pm}7e-02"


@pytest.mark.parametrize("errors", [ERRORS.iloc[::-1], ERRORS.drop(columns="yacht"), ERRORS.rename(columns=str.title)])
def test_errors_of_another_table_are_refused(errors) -> None:
    with pytest.raises(DataError, match="expected the same"):
        with_errors(VALUES, errors)
