"""Tables with a measured quantity: how they are recognised, split and standardised."""

import warnings

import numpy as np
import pandas as pd
import pytest
from messy import quietly

from companion import datasets
from companion.datasets import Dataset, MeasuredTable
from companion.errors import CompanionWarning, DataError, ModelError

ROWS = 40


def written(tmp_path, columns):
    path = tmp_path / "mine.csv"
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def columns(**targets):
    rng = np.random.default_rng(0)
    return {"size": rng.normal(5, 2, ROWS).round(2), "town": [("Rome", "Oslo")[k % 2] for k in range(ROWS)], **targets}


PRICE = {"price": np.arange(ROWS) * 1.5 + 100}


def test_a_price_is_recognised_kept_in_its_units_and_stays_with_its_row(tmp_path):
    given = columns(**PRICE)
    with pytest.warns(CompanionWarning, match="'price' in mine.csv are taken for measurements .40 different ones"):
        table = datasets.from_csv(written(tmp_path, given), "price")
    assert isinstance(table, MeasuredTable)
    assert (table.target_names, table.feature_names) == (("price",), ("size", "town = Oslo", "town = Rome"))
    assert (len(table.train), len(table.test)) == (30, 10)
    size_of = dict(zip(given["price"], given["size"], strict=True))
    for part in (table.train, table.test):
        np.testing.assert_allclose(table.decode(part.x)["size"], [size_of[price] for price in part.y], atol=1e-4)
    np.testing.assert_allclose(table.train.x.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(table.encode([[5.0, "Rome"]])[0, 1:], table.encode([[9.0, "Rome"]])[0, 1:])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(ROWS), MeasuredTable),  # more than twenty
        (np.arange(ROWS) % 8 + 0.5, MeasuredTable),  # fractions
        (np.arange(ROWS) % 8, Dataset),
        (np.arange(ROWS) % 2, Dataset),
        (np.arange(ROWS) % 3 + 0.5, Dataset),
        ([f"{'abc'[k % 3]}" for k in range(ROWS)], Dataset),
        ([f"{1000 + k},50" for k in range(ROWS)], MeasuredTable),
    ],
)
def test_auto_tells_measurements_from_classes_by_their_entries(values, kind, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("y;x\n" + "".join(f"{y};{k}\n" for k, y in enumerate(values)), encoding="utf-8")
    assert type(quietly(path, "y")) is kind


def test_few_rows_with_a_number_of_their_own_are_measurements(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("y,x\n" + "".join(f"{3 * k},{k % 4}\n" for k in range(10)), encoding="utf-8")
    assert isinstance(quietly(path, "y"), MeasuredTable)


def test_who_decides_is_not_told_otherwise(tmp_path):
    path = written(tmp_path, columns(y=np.arange(ROWS) % 8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(datasets.from_csv(path, "y", task="measurements"), MeasuredTable)
        assert isinstance(datasets.from_csv(path, "y", task="classes"), Dataset)
    with pytest.warns(CompanionWarning, match="taken for 8 classes"):
        datasets.from_csv(path, "y")


def test_several_targets_and_gaps_in_them(tmp_path):
    prices = [*PRICE["price"][:-1], "NA"]
    path = written(tmp_path, columns(price=prices, weight=np.arange(ROWS) % 3))
    with pytest.warns(CompanionWarning, match=r"1 of 40 rows .*1 have no 'price' \('NA' taken for gaps\)"):
        table = datasets.from_csv(path, ["price", "weight"])
    assert table.train.y.shape == (29, 2)
    assert table.target_names == ("price", "weight")
    assert "price" not in table.encoding.features


def test_decimal_commas_of_a_target_are_read_as_the_other_columns_are(tmp_path):
    path = tmp_path / "mine.csv"
    lines = [f"{k + 0.25:.3f};{k},5".replace(".", ",") for k in range(ROWS)]
    path.write_text("\n".join(["y;x", *lines]), encoding="utf-8")
    table = quietly(path, "y", test_fraction=0.5)
    assert sorted(np.concatenate([table.train.y, table.test.y])) == [k + 0.25 for k in range(ROWS)]


@pytest.mark.parametrize(
    ("target", "settings", "error", "message"),
    [
        ("price", {"task": "regression"}, ModelError, "task='regression'; expected one of"),
        ("town", {"task": "measurements"}, DataError, "'town' of mine.csv isn't a measurement: it holds words such as"),
        ("price", {"task": "classes"}, DataError, "single row"),
        (["price", "size"], {"task": "classes"}, DataError, "expected one column with the classes"),
        ([], {}, DataError, "target=.*expected the name of a column"),
        (["price", "price"], {}, DataError, "different names of several"),
        ("price", {"leave_out": ["price"]}, DataError, "is the target and can't be left out"),
        ("almost", {"task": "measurements"}, DataError, "numbers, but for 1 entries such as '<3'"),
    ],
)
def test_what_cannot_be_learned_is_said(target, settings, error, message, tmp_path):
    path = written(tmp_path, columns(**PRICE, almost=[*range(ROWS - 1), "<3"]))
    with pytest.raises(error, match=message):
        quietly(path, target, **settings)


@pytest.mark.filterwarnings("ignore::companion.errors.CompanionWarning")
def test_arrays_with_fractions_or_several_columns_are_measurements():
    x = np.random.default_rng(0).normal(size=(20, 2))
    one = datasets.tabular(x, x[:, 0] * 3, name="mine")
    two = datasets.tabular(x, np.round(x), name="mine", target_names=("a", "b"))
    labels = datasets.tabular(x, np.arange(20) % 2, name="mine")
    forced = datasets.tabular(x, np.arange(20) % 2, name="mine", task="measurements")
    assert [type(t) for t in (one, two, labels, forced)] == [MeasuredTable, MeasuredTable, Dataset, MeasuredTable]
    assert (one.target_names, two.target_names) == (("y",), ("a", "b"))
    np.testing.assert_allclose(one.scaling.undo(one.train.x)[:, 0] * 3, one.train.y, rtol=1e-5)


DOLLARS = np.random.default_rng(0).integers(90_000, 300_000, 100)


def rows_of(y):
    return np.random.default_rng(1).normal(size=(len(y), 2))


@pytest.mark.parametrize("y", [DOLLARS, DOLLARS.astype(float), DOLLARS[:10], DOLLARS + 0.5, np.arange(100) % 25])
def test_prices_in_arrays_are_measurements_in_whole_dollars_too_and_it_is_said(y):
    words = rf"numbers of y of homes are taken for measurements \({len(set(y))} different ones in {len(y)} rows\)"
    with pytest.warns(CompanionWarning, match=words):
        table = datasets.tabular(rows_of(y), y, name="homes")
    assert isinstance(table, MeasuredTable)
    assert sorted(np.concatenate([table.train.y, table.test.y])) == sorted(y)


@pytest.mark.parametrize("kind", [int, float, bool])
def test_0_and_1_in_arrays_and_labels_with_names_are_classes_without_a_word(kind):
    y = np.arange(104) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(datasets.tabular(rows_of(y), y.astype(kind), name="mine"), Dataset)
        letters = np.arange(104) % 26
        named = datasets.tabular(rows_of(letters), letters, name="mine", class_names="abcdefghijklmnopqrstuvwxyz")
        assert isinstance(named, Dataset)
        assert isinstance(datasets.tabular(rows_of(y), y, name="mine", task="measurements"), MeasuredTable)
        datasets.tabular(rows_of(y), DOLLARS.repeat(2)[:104], name="mine", task="measurements")


def test_counts_in_arrays_are_taken_for_classes_with_a_word_on_what_to_say_instead():
    y = np.arange(100) % 7
    with (
        pytest.warns(
            CompanionWarning, match="y of mine are taken for 7 classes. If they are measurements, say task='m"
        ),
        pytest.raises(DataError, match=r"labels outside 0 and 1 in y of mine: 2 .*or, .*say task='measurements'\."),
    ):
        datasets.tabular(rows_of(y), y, name="mine")
    with pytest.raises(DataError, match=r"labels outside 0 to 4.*class_names one name for each .*task='measurements'"):
        datasets.tabular(rows_of(y), y, name="mine", class_names="abcde")


@pytest.mark.parametrize("y", [DOLLARS, np.arange(100) % 2])
@pytest.mark.parametrize("gaps", ["refuse", "fill in", "leave out"])
@pytest.mark.parametrize(
    ("x", "shown"),
    [
        ([[1.5, "Rome"]] * 100, "Rome"),
        (pd.DataFrame({"size": [1.5, None] * 50, "town": "Rome"}), "Rome"),
        (np.full((100, 1), "2024-01-31", "M8[ns]"), "2024-01-31"),
    ],
)
def test_words_and_dates_in_an_array_are_sent_to_from_csv(x, shown, y, gaps):
    with pytest.raises(DataError, match=rf"words or dates, such as '{shown}.*datasets\.from_csv reads words"):
        quietly_tabular(x, y, gaps)


@pytest.mark.parametrize("y", [DOLLARS, np.arange(100) % 2])
@pytest.mark.parametrize("x", [[["1.5", "2"], ["2.5", "3"]] * 50, pd.DataFrame({"a": [1.5, 2.5] * 50, "b": True})])
def test_numbers_in_quotes_or_beside_true_and_false_are_numbers(x, y):
    table = quietly_tabular(x, y, "refuse")
    assert set(table.scaling.undo(table.train.x)[:, 0].round(6)) == {1.5, 2.5}


def quietly_tabular(x, y, gaps):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompanionWarning)
        return datasets.tabular(x, y, name="mine", gaps=gaps)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: datasets.measured_table(x, x[:-1, 0], name="m"), r"x has shape \(20, 2\) and y \(19,\)"),
        (lambda x: datasets.measured_table(x, ["a"] * 20, name="m"), "not an array of numbers"),
        (lambda x: datasets.measured_table(x, x[:, 0], name="m", test_fraction=1), "leaves a part empty"),
        (lambda x: datasets.measured_table(x, x, name="m", target_names=["a"]), "expected one name for each of 2"),
        (lambda x: datasets.measured_table(x, x, name="m", feature_names=["a"]), "1 feature names"),
        (lambda x: datasets.measured_table(x * np.nan, x, name="m"), "NaN"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(call, message):
    with pytest.raises(DataError, match=message):
        call(np.random.default_rng(0).normal(size=(20, 2)))


def test_a_column_that_is_the_target_in_disguise_is_named(tmp_path):
    prices = PRICE["price"]
    path = written(tmp_path, columns(**PRICE, cents=prices * 100 + 7, code=[("r", "o")[k % 2] for k in range(ROWS)]))
    with pytest.warns(CompanionWarning, match="in mine.csv, 'cents' tells the target of every row"):
        datasets.from_csv(path, "price", task="measurements")
    with pytest.warns(CompanionWarning, match="'code' tells the target"):
        datasets.from_csv(path, "town")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        datasets.from_csv(path, "price", task="measurements", leave_out="cents")
        datasets.from_csv(path, "town", leave_out=["code"])
