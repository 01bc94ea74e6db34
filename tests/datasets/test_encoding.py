"""New rows, as a file has them, in the form that a model reads."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from messy import FOLDERS, TABLES, write_folder

from companion import datasets
from companion.errors import CompanionWarning, DataError

CITIES = ("Oslo", "Paris", "Rome")


@pytest.fixture
def data(tmp_path: Path) -> datasets.Dataset:
    """Ages and cities, with a remark that is left out."""
    rows = [f"{20 + i % 30},{CITIES[i % 3]},remark {i},{'yn'[i % 2]}" for i in range(90)]
    (tmp_path / "mine.csv").write_text("\n".join(["age,city,remark,kind", *rows]), encoding="utf-8")
    with pytest.warns(CompanionWarning, match="'remark'"):
        return datasets.from_csv(tmp_path / "mine.csv", "kind")


def test_rows_in_any_form_become_the_same_inputs(data: datasets.Dataset, tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("city;age\nRome;33\nOslo; 20\n", encoding="utf-8")
    assert data.scaling is not None
    expected = data.scaling.apply([[33, 0, 0, 1], [20, 1, 0, 0]])
    frame = pd.DataFrame({"city": ["Rome", "Oslo"], "age": [33, 20], "kind": ["y", "n"], "remark": ["", ""]})
    for rows in (
        path,
        str(path),
        frame,
        frame.astype(str),
        frame.astype({"city": "category"}),
        frame.set_index(pd.Index([7, 9])),
        frame.to_dict("records"),
        [[33, "Rome"], [20, "Oslo"]],
        [("33", " Rome "), (20.0, "Oslo")],
        np.array([[33, "Rome"], [20, "Oslo"]], dtype=object),
    ):
        np.testing.assert_allclose(data.encode(rows), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([["young", "Rome"]], "'young' in column 'age', row 0"),
        ([["1,234", "Rome"]], "'1,234' in column 'age'"),
        ([[np.inf, "Rome"]], "'inf' in column 'age'"),
        ([[33, "Rome"], [None, "Rome"], ["", "Rome"]], r"a gap in column 'age', row 1 .*2 rows"),
        ([[33, np.nan]], "a gap in column 'city'"),
        ([[33]], "a new row has 1 entries; .* 2 entries each: age, city"),
        (np.ones((2, 4)), "a new row has 4 entries"),
        ([33, "Rome"], "list without rows in it"),
        ("no.csv", "there is no file no.csv"),
        ([], "no new rows"),
        (None, "NoneType without rows"),
        ([{"age": 3}], "no column 'city'; expected age, city"),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_row_and_column(data: datasets.Dataset, rows: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        data.encode(rows)  # type: ignore[arg-type]


def test_columns_that_the_table_never_had_are_told(data: datasets.Dataset) -> None:
    with pytest.warns(CompanionWarning, match="not used: 'weight'"):
        data.encode([{"age": 33, "city": "Rome", "weight": 70}])


@pytest.mark.parametrize(
    ("rows", "word"), [([[33, "Berlin"]], "'Berlin'"), ([[33, "rome"]], "'rome'"), (np.full((1, 2), 33.0), "'33.0'")]
)
def test_words_that_the_table_never_had_are_not_taken_for_its_words_and_told(
    data: datasets.Dataset, rows: object, word: str
) -> None:
    with pytest.warns(CompanionWarning, match=rf"had no {word} in column 'city', .* \(Oslo, Paris, Rome\)"):
        found = data.encode(rows)  # type: ignore[arg-type]
    assert data.scaling is not None
    np.testing.assert_allclose(data.scaling.undo(found), [[33, 0, 0, 0]], atol=1e-12)
    assert data.decode(found)["city"].tolist() == ["another word"]


@pytest.mark.filterwarnings("ignore::companion.errors.CompanionWarning")
@pytest.mark.parametrize("name", TABLES)
def test_inputs_come_back_as_the_file_has_them_and_go_in_again(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(TABLES[name], encoding="utf-8")
    data = datasets.from_csv(tmp_path / "mine.csv", "kind")
    rows = data.decode(data.test.x)
    assert data.encoding is not None
    assert list(rows.columns) == [column.name for column in data.encoding.columns]
    np.testing.assert_allclose(data.encode(rows), data.test.x, atol=1e-9)
    rows.to_csv(tmp_path / "new.csv", index=False)
    np.testing.assert_allclose(data.encode(tmp_path / "new.csv"), data.test.x, atol=1e-9)
    whole = [len(data.encode(tmp_path / "mine.csv"))] if "NA" not in TABLES[name] else []
    assert whole in ([], [len(data.train) + len(data.test)]), "the file itself may be given as new rows"


def test_numbers_are_read_as_the_table_wrote_them(tmp_path: Path) -> None:
    rows = [f"1.{100 + i},{i};{i},5;{'yn'[i % 2]}" for i in range(40)]
    (tmp_path / "mine.csv").write_text("\n".join(["income;share;kind", *rows]), encoding="utf-8")
    with pytest.warns(CompanionWarning, match="another notation"):
        data = datasets.from_csv(tmp_path / "mine.csv", "kind")
    np.testing.assert_allclose(data.encode([["1.234", "2,5"]]), data.encode([[1234, 2.5]]))


def test_a_built_in_table_takes_its_rows_by_name() -> None:
    data = datasets.breast_cancer()
    frame = pd.DataFrame({"mean texture": [20.0], "mean radius": [12.0]})
    assert data.scaling is not None
    np.testing.assert_allclose(data.encode(frame), data.scaling.apply([[12.0, 20.0]]))
    with pytest.raises(DataError, match="no column 'mean radius'"):
        data.encode(frame[["mean texture"]])


def test_images_have_no_columns(tmp_path: Path) -> None:
    assert "tiny" in FOLDERS
    with pytest.warns(CompanionWarning):
        data = datasets.from_folder(write_folder(tmp_path, "tiny"))
    with pytest.raises(DataError, match="tiny is not a table"):
        data.encode([[1, 2]])
    with pytest.raises(DataError, match="tiny is not a table"):
        data.decode(data.test.x)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ([[33, "Rome"]], "method encode of the data set"),
        (np.ones((2, 3)), r"shape \(2, 3\); expected \(points, 2\)"),
        (np.ones(3), r"shape \(3,\)"),
        (1.0, r"shape \(\)"),
        ([[1.0], [1.0, 2.0]], "not an array of numbers"),
    ],
)
def test_scaling_refuses_what_does_not_have_its_features(x: object, words: str) -> None:
    scaling = datasets.Scaling(np.zeros(2), np.ones(2))
    for way in (scaling.apply, scaling.undo):
        with pytest.raises(DataError, match=words):
            way(x)  # type: ignore[arg-type]


def test_scaling_refuses_new_values_that_are_not_finite() -> None:
    with pytest.raises(DataError, match="1 of 4 new values are NaN or infinite"):
        datasets.Scaling(np.zeros(2), np.ones(2)).apply([[1.0, np.nan], [0.0, 1.0]])
