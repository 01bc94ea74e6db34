"""Tables as people have them: what is read, what is refused by name, and that nothing is lost without a word."""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from messy import TABLES

from companion import datasets
from companion.errors import CompanionWarning, DataError

ROWS = 40
Load = Callable[..., datasets.Dataset]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a table from its text; the column "kind" holds the classes."""

    def from_text(text: str, **options: object) -> datasets.Dataset:
        (tmp_path / "mine.csv").write_text(text, encoding="utf-8")
        return datasets.from_csv(tmp_path / "mine.csv", "kind", **options)  # type: ignore[arg-type]

    return from_text


def column(entries: Iterable[object], name: str = "x", separator: str = ",") -> str:
    """Write a table of one column and the classes; every second row is "b"."""
    lines = [f"{entry}{separator}{'ab'[k % 2]}" for k, entry in enumerate(entries)]
    return "\n".join([f"{name}{separator}kind", *lines])


def original(data: datasets.Dataset) -> np.ndarray:
    """All values in the units of the file, sorted by the first feature."""
    assert data.scaling is not None
    values = data.scaling.undo(np.concatenate([data.train.x, data.test.x]))
    return values[np.argsort(values[:, 0])]


def told(load: Load, text: str, **options: object) -> tuple[datasets.Dataset, str]:
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        data = load(text, **options)
    assert all(w.category is CompanionWarning and w.filename == __file__ for w in given), "all at the reader's line"
    return data, "\n".join(str(w.message) for w in given)


NOTATIONS: dict[str, tuple[str, Callable[[float], str]]] = {
    "decimal comma": (";", lambda v: f"{v:.1f}".replace(".", ",")),
    "thousands with commas": (",", lambda v: f'"{1000 * v:,.2f}"'),
    "thousands with points": (";", lambda v: f"{1000 * v:,.2f}".translate(str.maketrans(",.", ".,"))),
    "thousands with spaces": (",", lambda v: f"{1000 * v:,.2f}".replace(",", " ")),
    "thousands with fixed spaces": (";", lambda v: f"{1000 * v:,.2f}".replace(",", "\u00a0")),
    "thousands with apostrophes": (",", lambda v: f"{1000 * v:,.2f}".replace(",", "'")),
    "percent": (",", lambda v: f"{v:.1f}%"),
    "percent with a space and a comma": (";", lambda v: f"{v:.1f} %".replace(".", ",")),
    "a unit": (",", lambda v: f"{v:.1f} kg/m³"),
    "a currency before": (",", lambda v: f'"${1000 * v:,.2f}"'),
    "a currency behind": (";", lambda v: f"{v:.2f} €".replace(".", ",")),
    "brackets for debts": (",", lambda v: f"({v:.1f})"),
    "a minus sign of typesetters": (",", lambda v: f"\N{MINUS SIGN}{v:.1f}"),
    "wide digits": (",", lambda v: f"{v:.1f}".translate({48 + k: 0xFF10 + k for k in range(10)})),
    "powers of ten": (",", lambda v: f"{v:.3e}"),
}


@pytest.mark.parametrize("name", NOTATIONS)
def test_numbers_in_any_usual_notation_are_numbers(name: str, load: Load) -> None:
    separator, write = NOTATIONS[name]
    values = np.arange(1, ROWS + 1) * 0.7 + 0.1
    data, words = told(load, column(map(write, values), separator=separator))
    assert data.feature_names == ("x",)
    found = np.sort(np.abs(original(data)[:, 0]))
    scale = found[0] / 0.8
    assert scale in (pytest.approx(1), pytest.approx(1000))
    np.testing.assert_allclose(found, scale * values, atol=0.06 * scale)
    if name != "powers of ten":
        assert "'x'" in words
        assert "is read as" in words, "what is not Python's notation is said"


def test_a_point_is_read_by_what_the_other_columns_of_the_file_do(load: Load) -> None:
    rows = [f"1.{100 + k};{k},5;{'ab'[k % 2]}" for k in range(ROWS)]
    data, words = told(load, "\n".join(["people;share;kind", *rows]))
    assert original(data)[0, 0] == pytest.approx(1100)
    assert "'people' (1.139 is read as 1139)" in words
    rows = [f"1.{100 + k};{k}.5;{'ab'[k % 2]}" for k in range(ROWS)]
    data, words = told(load, "\n".join(["people;share;kind", *rows]))
    assert original(data)[0, 0] == pytest.approx(1.1)
    assert words == ""


@pytest.mark.parametrize(
    ("entries", "separator"),
    [(["950", "1.200", "999", "2.400"], ";"), (['"1,234"', '"2,345"', '"3,456"', '"4,567"'], ",")],
)
def test_what_can_be_read_in_two_ways_is_said_to_be(entries: list[str], separator: str, load: Load) -> None:
    _, words = told(load, column(entries * 10, separator=separator))
    assert "'x' of mine.csv can be read in two ways" in words
    assert "If that is wrong" in words


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (lambda k: f"{k} cm" if k % 2 else f"{k} m", "several units or endings ('cm', 'm')"),
        (lambda k: f"{k} cm" if k % 2 else k + 0.5, "('cm' and some have none)"),
        (lambda k: f"{k} {('cm', 'm', 'km', 'mm')[k % 4]}", "several units or endings ('cm', 'km', 'm', ...)"),
        (lambda k: "<0.1" if k == 7 else k / 3, "numbers, but for 1 entries such as '<0.1'"),
        (lambda k: f"remark {k}", "another word in each row"),
        (lambda k: f"remark {k % 30}", "30 different words, most of them rare"),
        (lambda k: str(UUID(int=Random(k).getrandbits(128), version=4)), "'x' (another word in each row)"),
        (lambda k: "" if k == 4 else f"{Random(k).getrandbits(48):012x}", "'x' (another word in each row)"),
        (lambda k: f"{k + 1} {'abcdefghijkl'[k % 12]} street", "'x' (another word in each row)"),
        (lambda k: k % 7, "the same as 'size' in every row"),
        (lambda k: f"{k % 7}.0", "the same as 'size' in every row"),
        (lambda k: "", "'x' (empty)"),
        (lambda k: 5, "the same in every row, '5'"),
        (lambda k: k if k < 9 else "", "empty in 31 of 40 rows"),
        (lambda k: k / 3 if k < 9 else "NA", "empty in 31 of 40 rows, 'NA' taken for gaps"),
    ],
)
def test_a_column_that_is_left_out_is_named_with_the_reason(
    entry: Callable[[int], object], words: str, load: Load
) -> None:
    rows = [f"{k % 7},{entry(k)},{'ab'[k % 2]}" for k in range(ROWS)]
    data, said = told(load, "\n".join(["size,x,kind", *rows]))
    assert data.feature_names == ("size",)
    assert "columns of mine.csv that are left out: 'x'" in said
    assert words in said
    assert len(data.train) + len(data.test) == ROWS, "a column that is left out costs no rows"
    if "the same as" in words:
        return
    with pytest.raises(DataError, match="nothing to learn from") as refused:
        load("\n".join(["x,kind", *(f"{entry(k)},{'ab'[k % 2]}" for k in range(ROWS))]))
    assert words in str(refused.value)


def test_ratings_with_a_word_among_them_are_words_and_it_is_said(load: Load) -> None:
    data, words = told(load, column("unsure" if k % 5 == 3 else k % 5 for k in range(ROWS)))
    assert "x = unsure" in data.feature_names
    assert "taken for words: numbers, but for 8 entries such as 'unsure'" in words


@pytest.mark.parametrize("word", ["None", "NA", "N/A", "null", "NULL", "n/a", "?", "-", "inf"])
def test_a_word_that_pandas_takes_for_a_gap_is_a_word_among_words(word: str, load: Load) -> None:
    data = load(column([word, "gravel", "paved", "gravel"] * 10))
    assert len(data.train) + len(data.test) == ROWS
    assert f"x = {word}" in data.feature_names
    rows = [f"{k * 0.5},{(word, 'apnea', 'insomnia')[k % 3]}" for k in range(ROWS)]
    assert word in load("\n".join(["size,kind", *rows])).class_names


@pytest.mark.parametrize("word", ["None", "NA", "n.a.", "null", "?", "-", "--", "\N{EM DASH}", "unknown", "inf", ""])
def test_the_same_word_is_a_gap_among_numbers_and_is_named(word: str, load: Load) -> None:
    rows = [f"{word if k in (3, 4) else k * 0.5},{k % 3},{'ab'[k % 2]}" for k in range(ROWS)]
    data, words = told(load, "\n".join(["x,size,kind", *rows]))
    assert len(data.train) + len(data.test) == ROWS
    assert data.feature_names == ("x", "x is missing", "size")
    assert "2 of 40 rows of mine.csv have gaps that are filled in" in words
    assert ": 2 have no 'x'" in words
    assert repr(word) in words or word == ""
    data, words = told(load, "\n".join(["x,size,kind", *rows]), gaps="leave out")
    assert len(data.train) + len(data.test) == ROWS - 2
    assert "2 of 40 rows of mine.csv have gaps and are left out: 2 have no 'x'" in words
    with pytest.raises(DataError, match=r"2 of 40 rows of mine.csv have gaps: 2 have no 'x'.*gaps='fill in'"):
        load("\n".join(["x,size,kind", *rows]), gaps="refuse")


@pytest.mark.parametrize("word", ["NaN", "nan", "#N/A", "<NA>"])
def test_what_only_programs_write_is_a_gap_everywhere_and_is_named(word: str, load: Load) -> None:
    data, words = told(load, column([word, "gravel", "paved", "gravel"] * 10))
    assert data.feature_names == ("x = gravel", "x = paved", "x is missing")
    assert f"{word!r} in mine.csv counts as an empty entry (10 times)" in words
    assert "10 of 40 rows" in words


def test_true_and_false_in_any_spelling_are_one_feature_of_1_and_0(load: Load) -> None:
    data = load(column(["TRUE", "false", "True", "NA"][k % 4] for k in range(ROWS)), gaps="leave out")
    assert data.feature_names == ("x",)
    assert set(original(data)[:, 0].round(9)) == {0, 1}
    assert len(data.train) + len(data.test) == 30


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("", range(ROWS)),
        ("", np.random.default_rng(0).permutation(900)[:ROWS]),
        ("Unnamed: 0", range(1, ROWS + 1)),
        ("Id", range(ROWS)),
        ("customer_id", np.random.default_rng(0).permutation(10**6)[:ROWS]),
        ("PassengerId", range(1, ROWS + 1)),
        ("no.", range(1, ROWS + 1)),
        ("index", range(ROWS)),
        ("customer_number", np.random.default_rng(0).permutation(10**6)[:ROWS]),
        ("customer_number", [*range(500, 499 + ROWS), "NA"]),
        ("Order Nr.", range(7000, 7000 + ROWS)),
        ("invoice-no", range(7000, 7000 + ROWS)),
        ("zip_code", [f"{137 * k:05}" for k in range(ROWS)]),
        ("sales order key", [10**17 + k for k in range(ROWS)]),
        ("OrderNumber", range(7000, 7000 + ROWS)),
    ],
)
def test_numbers_of_rows_are_not_a_feature(name: str, numbers: Iterable[int], load: Load) -> None:
    rows = [f"{k},{i % 7},{'ab'[i % 2]}" for i, k in enumerate(numbers)]
    data, words = told(load, "\n".join([f"{name},size,kind", *rows]))
    assert data.feature_names == ("size",)
    assert "a number of its own for each row" in words


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("customer_number", lambda k: 400 + 3 * k % 20),  # a customer in several rows
        ("ship_no", lambda k: k + 0.5),
        ("share_key", lambda k: 7 * k % 100 - 50),  # a customer is not number -3
        ("reynolds_number", lambda k: 1000 + 370 * k * k),
        ("Mach No.", lambda k: 1000 + 370 * k * k),
        ("AtomicNumber", lambda k: 3 + k * k),
        ("number_of_rooms", lambda k: 3 + k * k),
        ("price", lambda k: 97_001 + 7919 * k % 100_000),
        ("steps", lambda k: 10_000 + 7919 * k % 1000),
        ("monkey", lambda k: 3 + k * k),
        ("casino", lambda k: 3 + k * k),
    ],
)
def test_a_quantity_that_is_different_in_every_row_is_a_number(
    name: str, write: Callable[[int], object], load: Load
) -> None:
    data, words = told(load, column(map(write, range(ROWS)), name=name))
    assert data.feature_names == (name,)
    assert words == ""


def test_leading_zeros_are_told_since_numbers_have_none(load: Load) -> None:
    data, words = told(load, column((f"{137 * (k % 9) + 1000:05}" for k in range(ROWS)), name="zip"))
    assert data.feature_names == ("zip",)
    assert "'zip' of mine.csv has numbers with leading zeros, such as 01000," in words
    assert "leave the column out" in words
    _, words = told(load, column((f"{k % 30 * 3 + 1:02}" for k in range(ROWS)), name="department"))
    assert "with leading zeros, such as 01" in words
    for dates in ((f"{k % 12 + 1:02}" for k in range(ROWS)), (f"{7 * k % 60:02}" for k in range(ROWS))):
        assert told(load, column(dates, name="month or minute"))[1] == ""
    assert told(load, column((f"0.{k % 9 + 1}" for k in range(ROWS)), name="share"))[1] == ""


@pytest.mark.parametrize("name", ["paid", "fluid", "grid", "numbers of cells"])
def test_a_name_that_only_sounds_like_row_numbers_is_kept(name: str, load: Load) -> None:
    data, words = told(load, column([7 * k % 100 for k in range(ROWS)], name=name))
    assert data.feature_names == (name,)
    assert words == ""


def test_a_column_that_counts_the_rows_under_another_name_is_kept_with_a_word(load: Load) -> None:
    data, words = told(load, column(range(ROWS), name="day"))
    assert data.feature_names == ("day",)
    assert "'day' of mine.csv counts the rows from 0" in words


def test_gaps_are_counted_for_each_column_the_most_costly_first(load: Load) -> None:
    rows = [f"{'' if k % 8 == 0 else k / 3},{'' if k % 3 == 0 else k % 5},{'ab'[k % 2]}" for k in range(ROWS)]
    data, words = told(load, "\n".join(["age,lab,kind", *rows]), gaps="leave out")
    assert "have gaps and are left out: 14 have no 'lab'; 5 have no 'age'" in words
    whole, _ = told(load, "\n".join(["age,lab,kind", *rows]), leave_out="lab", gaps="leave out")
    assert (len(data.train) + len(data.test), len(whole.train) + len(whole.test)) == (23, 35)


def test_a_class_that_gaps_have_taken_is_explained_by_the_gaps(load: Load) -> None:
    rows = [f"{'' if k % 4 == 1 else k / 3},{'b' if k % 4 == 1 else 'a'}" for k in range(ROWS)]
    with pytest.warns(CompanionWarning), pytest.raises(DataError, match=r"one class alone, 'a'") as refused:
        load("\n".join(["lab,kind", *rows]), gaps="leave out")
    assert "without the rows that have gaps (10 have no 'lab')" in str(refused.value)


@pytest.mark.parametrize("name", ["a trailing comma", "columns that say nothing"])
def test_all_rows_of_a_table_with_empty_columns_are_kept(name: str, load: Load) -> None:
    data, words = told(load, TABLES[name])
    assert len(data.train) + len(data.test) == 60
    assert "empty" in words


def test_two_columns_of_one_name_are_told_and_two_of_the_answer_refused(load: Load) -> None:
    rows = [f"{k % 7},{k % 5},{'ab'[k % 2]}" for k in range(ROWS)]
    data, words = told(load, "\n".join(["size,size,kind", *rows]))
    assert data.feature_names == ("size", "size (2)")
    assert "'size' stands in the header of mine.csv more than once" in words
    with pytest.warns(CompanionWarning), pytest.raises(DataError, match="the answer would be learned from"):
        load("\n".join(["size,kind,kind", *rows]))
    left, _ = told(load, "\n".join(["size,kind,kind", *rows]), leave_out=["kind (2)"])
    assert left.feature_names == ("size",)


def test_words_and_classes_that_differ_in_capital_letters_only_are_told(load: Load) -> None:
    _, words = told(load, column([["Red", "red", "blue"][k % 3] for k in range(ROWS)]))
    assert "differ in capital letters only: 'Red' and 'red'" in words
    _, words = told(load, "size,kind\n" + "".join(f"{k % 7},{('Yes', 'yes', 'no')[k % 3]}\n" for k in range(ROWS)))
    assert "differ in capital letters only: 'Yes' and 'yes'" in words


def test_a_table_that_is_as_it_should_be_is_read_without_a_word(load: Load) -> None:
    rows = [f"{k * 0.37:.3f},{k % 7},{('red', 'blue')[k // 2 % 2]},{'ab'[k % 2]}" for k in range(ROWS)]
    assert told(load, "\n".join(["length,size,colour,kind", *rows]))[1] == ""


@pytest.mark.parametrize("ending", ["xlsx", "ods"])
def test_a_spreadsheet_is_refused_with_what_to_do(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"mine.{ending}"
    path.write_bytes(b"PK\x03\x04\xff\xfe\x00")
    with pytest.raises(DataError, match="save the sheet as CSV UTF-8"):
        datasets.from_csv(path, "kind")


def test_excels_own_encodings_are_read_or_refused_with_what_to_do(tmp_path: Path) -> None:
    text = column(["Köln", "Rom"] * 20, separator="\t")
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-16")
    assert datasets.from_csv(path, "kind").feature_names == ("x = Köln", "x = Rom")
    path.write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match="save it as CSV UTF-8"):
        datasets.from_csv(path, "kind")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b\n1,2\n", ("a", "b")),
        ('"income, net";age;kind\n1;2;3\n', ("income, net", "age", "kind")),
        (",a,\n1,2,3\n", ("column 1", "a", "column 3")),
        ("a\tb\n", ("a", "b")),
        ("\n\n a , b \n1,2\n", ("a", "b")),
    ],
)
def test_the_columns_of_a_file_can_be_listed(text: str, names: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(text, encoding="utf-8")
    assert datasets.csv_columns(tmp_path / "mine.csv") == names


def test_numbers_too_large_to_be_scaled_are_refused_by_name(load: Load) -> None:
    with pytest.raises(DataError, match="the numbers of x in mine are too large"):
        load(column(f"{k}e200" for k in range(ROWS)))


def test_whole_numbers_of_many_digits_stay_different_classes(load: Load) -> None:
    rows = [f"{k % 7},{10**17 + k % 2}" for k in range(ROWS)]
    assert load("\n".join(["size,kind", *rows])).class_names == (str(10**17), str(10**17 + 1))


def test_columns_of_a_data_frame_written_without_thought_come_back(tmp_path: Path) -> None:
    """What `to_csv` writes by default: row numbers without a name, NaN as nothing, True and False."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=ROWS), "b": rng.random(ROWS) < 0.5, "kind": ["x", "y"] * (ROWS // 2)})
    frame.loc[3, "a"] = np.nan
    frame.to_csv(tmp_path / "mine.csv")
    with pytest.warns(CompanionWarning, match="1 have no 'a'"):
        data = datasets.from_csv(tmp_path / "mine.csv", "kind", gaps="leave out")
    assert data.feature_names == ("a", "b")
    values = original(data)
    expected = frame.dropna().sort_values("a")
    np.testing.assert_allclose(values, expected[["a", "b"]].to_numpy(dtype=float), atol=1e-12)
