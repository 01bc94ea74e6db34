"""Dates, orders, circles and gaps: what they become, that nothing is learned from held-out rows, and the way back."""

import datetime
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion import datasets
from companion.datasets import Form
from companion.errors import CompanionWarning, DataError, ModelError

ROWS = 60
DAYS = pd.date_range("2023-01-01", periods=ROWS, freq="11D")


@pytest.fixture
def load(tmp_path):
    """Load a table of columns, the last of which is called "kind" and holds the classes."""

    def from_columns(options=None, **columns):
        table = pd.DataFrame({**columns, "kind": ["ab"[k % 2] for k in range(len(next(iter(columns.values()))))]})
        table.to_csv(tmp_path / "mine.csv", index=False)
        with warnings.catch_warnings(record=True) as given:
            warnings.simplefilter("always")
            data = datasets.from_csv(tmp_path / "mine.csv", "kind", **(options or {}))
        assert all(w.category is CompanionWarning for w in given), [str(w.message) for w in given]
        return data, "\n".join(str(w.message) for w in given)

    return from_columns


def both(data):
    """All rows in the units of the features, those to learn from first."""
    return data.scaling.undo(np.concatenate([data.train.x, data.test.x]))


def comes_back(data):
    """Rows that are decoded are encoded to the same, and so they are by what was stored."""
    stored = Form.from_json(json.loads(json.dumps(data.form.as_json())))
    assert stored.steps == data.steps
    for part in (data.train, data.test):
        rows = data.decode(part.x)
        for form in (data, stored):
            np.testing.assert_allclose(form.encode(rows), part.x, atol=1e-6)
    return rows


@pytest.mark.parametrize(
    "written",
    [
        *("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d %b %Y", "%B %d, %Y", "%Y/%m/%d", "%d.%m.%y", "%Y-%m-%dT%H:%M:%S"),
        *("%d.%m.%Y %H:%M", "%Y-%m-%dT%H:%M:%S+01:00", "%m/%d/%Y %I:%M %p"),
    ],
)
def test_dates_in_usual_ways_become_days_and_seasons(written, load):
    data, words = load(when=DAYS.strftime(written), size=np.arange(ROWS) % 7)
    assert data.feature_names[:5] == (
        "when (days)", "when (year, sine)", "when (year, cosine)", "when (week, sine)", "when (week, cosine)",
    )  # fmt: skip
    values = both(data)
    days = np.sort(values[:, 0])
    np.testing.assert_allclose(np.diff(days), 11, atol=1e-6)
    place = 2 * np.pi * ((DAYS.day_of_year - 1) / np.where(DAYS.is_leap_year, 366, 365))
    found = values[np.argsort(values[:, 0]), 1:3]
    if "+01" not in written:  # an hour earlier in Greenwich
        np.testing.assert_allclose(found, np.column_stack([np.sin(place), np.cos(place)]), atol=1e-9)
    comes_back(data)
    assert "split by chance" in words
    assert "time='when'" in words
    assert data.steps[0].startswith("when: the days since 20")


def test_new_dates_may_come_as_pandas_has_them_and_nonsense_is_refused(load):
    data, _ = load(when=DAYS.strftime("%d.%m.%Y"))
    rows = pd.DataFrame({"when": DAYS[:3]})
    as_text = pd.DataFrame({"when": DAYS[:3].strftime("%d.%m.%Y")})
    np.testing.assert_allclose(data.encode(rows), data.encode(as_text))
    np.testing.assert_allclose(data.encode([[datetime.date(2023, 1, 1)]]), data.encode(as_text)[:1])
    for wrong in ("31.02.2023", "soon", "2023"):
        with pytest.raises(
            DataError, match=rf"'{wrong}' in column 'when', row 0 .* is not a date; expected one such as"
        ):
            data.encode([[wrong]])
    with pytest.raises(DataError, match="there is a gap in column 'when'"):
        data.encode([[None]])


def test_a_day_and_a_month_that_may_be_swapped_are_told(load):
    dates = [f"{k % 12 + 1}/{k % 11 + 1}/2024" for k in range(ROWS)]
    _, words = load(when=dates)
    assert "can be read in two ways: 1/1/2024 is read as 2024-01-01 here" in words
    _, words = load(when=[*dates[:-1], "1/31/2024"])
    assert "two ways" not in words


def test_times_of_day_lie_on_a_circle(load):
    data, _ = load(at=[f"{k % 24}:{k % 60:02}" for k in range(ROWS)], size=np.arange(ROWS) % 7)
    assert data.feature_names == ("at (day, sine)", "at (day, cosine)", "size")
    ends = data.scaling.undo(data.encode([["23:59", 0], ["0:00", 0], ["12:00", 0]]))[:, :2]
    assert np.linalg.norm(ends[0] - ends[1]) < 0.01
    assert np.linalg.norm(ends[1] - ends[2]) == pytest.approx(2)
    comes_back(data)


@pytest.mark.parametrize("entries", [["3-5", "6-8", "9-11"], ["1.2.3", "1.2.4", "1.3.0"], ["16:9", "4:3", "1:1"]])
def test_words_that_only_look_like_dates_are_words(entries, load):
    data, words = load(x=[entries[k % 3] for k in range(ROWS)])
    assert data.feature_names == tuple(f"x = {word}" for word in sorted(entries))
    assert "dates" not in words


def test_words_in_an_order_and_words_that_go_round(load):
    sizes, winds = ["S", "M", "L"], ["N", "E", "S", "W"]
    rng = np.random.default_rng(0)
    given = {"size": rng.choice(sizes, ROWS), "wind": rng.choice(winds, ROWS), "hour": rng.integers(0, 24, ROWS)}
    data, _ = load({"ordered": {"size": sizes}, "cyclic": {"wind": winds, "hour": 24}}, **given)
    assert data.feature_names == ("size", "wind (sine)", "wind (cosine)", "hour (sine)", "hour (cosine)")
    assert set(both(data)[:, 0].round(9)) == {0, 1, 2}
    np.testing.assert_allclose(
        data.scaling.undo(data.encode([["L", "E", 6], ["S", "W", 24]])), [[2, 1, 0, 1, 0], [0, -1, 0, 0, 1]], atol=1e-9
    )
    comes_back(data)
    assert data.steps[0] == "size: the place in the order S < M < L; standardised"
    with pytest.raises(DataError, match=r"'XL' in column 'size', row 0 .* expected one of S, M, L"):
        data.encode([["XL", "N", 1]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ordered": {"size": ["S", "M"]}}, r"ordered\['size'\] doesn't name 'L', which 'size' of mine.csv holds"),
        ({"ordered": {"size": ["S", "S"]}}, "expected the words in their order, each of them once"),
        ({"ordered": {"sizes": ["S", "M"]}}, "no column 'sizes'; did you mean 'size'"),
        ({"cyclic": {"size": 3}}, "for numbers, and 'size' of mine.csv isn't one of them: it holds words such as 'S'"),
        ({"cyclic": {"hour": 0}}, "expected the number after which it begins again, such as 24"),
        ({"cyclic": {"size": ["S", "M", "X"]}}, r"cyclic\['size'\] doesn't name 'L'"),
    ],
)
def test_an_order_or_a_circle_that_does_not_fit_is_refused(options, message, load):
    with pytest.raises(DataError, match=message):
        load(options, size=["SML"[k % 3] for k in range(ROWS)], hour=np.arange(ROWS) % 24)


# --- gaps -------------------------------------------------------------------------------------------------


def test_gaps_hold_what_the_rows_to_learn_from_say_and_are_marked(load):
    rng = np.random.default_rng(0)
    age = np.where(rng.random(ROWS) < 0.3, np.nan, rng.normal(40, 10, ROWS).round(2))
    town = np.where(rng.random(ROWS) < 0.3, "", rng.choice(["Rome", "Oslo"], ROWS))
    data, words = load(age=age, town=town)
    assert data.feature_names == ("age", "age is missing", "town = Oslo", "town = Rome", "town is missing")
    assert "gaps that are filled in" in words
    learned = data.scaling.undo(data.train.x)
    median = np.median(learned[learned[:, 1] < 0.5, 0])
    values = both(data)
    np.testing.assert_allclose(values[values[:, 1] > 0.5, 0], median)
    assert (values[:, 1] > 0.5).sum() == np.isnan(age).sum()
    np.testing.assert_allclose(values[:, 2:].sum(axis=1), 1, atol=1e-9)
    new = data.scaling.undo(data.encode([[None, "Rome"], ["NA", None], [33, ""]]))
    np.testing.assert_allclose(new[:, :2], [[median, 1]] * 2 + [[33, 0]], atol=1e-9)
    assert comes_back(data)["age"].isna().any()
    assert data.steps[0] == f"age: a number; a gap counts as {median:.4g}, and one more feature marks it; standardised"


def test_nothing_is_learned_from_held_out_rows(load):
    """What held-out rows hold changes nothing of the form: neither medians, nor words, nor the first date."""
    number = np.arange(ROWS) % 7 + 0.5
    number[::5] = np.nan
    columns = {"x": number, "town": ["Rome", "Oslo"] * (ROWS // 2), "when": DAYS.strftime("%Y-%m-%d")}
    plain, _ = load({"time": "when"}, **columns)
    last = slice(ROWS - len(plain.test), None)
    changed = {name: np.array(list(own), dtype=object) for name, own in columns.items()}
    changed["x"][last], changed["town"][last] = 1e6, "Atlantis"
    other, words = load({"time": "when"}, **changed)
    assert "had no 'Atlantis' in column 'town'" in words
    assert other.form.as_json() == plain.form.as_json()
    np.testing.assert_array_equal(other.train.x, plain.train.x)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_filled_arrays_keep_every_number_and_mark_every_gap(data):
    x = np.array(data.draw(st.lists(st.tuples(*[st.floats(-100, 100)] * 2), min_size=8, max_size=30)))
    where = np.array(data.draw(st.lists(st.tuples(st.booleans(), st.just(False)), min_size=len(x), max_size=len(x))))
    x[where] = np.nan
    y = np.arange(len(x)) + 0.5
    table = datasets.tabular(x, y, name="mine", gaps="fill in")
    values = table.scaling.undo(np.concatenate([table.train.x, table.test.x]).astype(float))
    own = x[np.concatenate([table.train.y, table.test.y]).astype(int)]
    missing = np.isnan(own[:, 0])
    tolerance = {"atol": 1e-3, "rtol": 1e-4}
    if where.any():
        assert table.feature_names == ("x1", "x1 is missing", "x2")
        np.testing.assert_allclose(values[:, 1], missing, atol=1e-4)
    np.testing.assert_allclose(values[~missing, 0], own[~missing, 0], **tolerance)
    np.testing.assert_allclose(values[:, -1], own[:, 1], **tolerance)


def test_arrays_with_gaps_are_refused_or_lose_rows_as_asked():
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    x[3, 1] = np.nan
    with pytest.raises(DataError, match="NaN or infinite"):
        datasets.tabular(x, y, name="mine")
    with pytest.warns(CompanionWarning, match="1 of 20 rows of mine have gaps and are left out"):
        data = datasets.tabular(x, y, name="mine", gaps="leave out", weights=np.ones(20))
    assert len(data.train) + len(data.test) == 19
    filled = datasets.tabular(x, y, name="mine", gaps="fill in")
    assert filled.feature_names == ("x1", "x2", "x2 is missing")
    np.testing.assert_allclose(filled.scaling.undo(filled.encode([[1, None]]))[0, 2], 1)
    with pytest.raises(DataError, match="NaN or infinite"):
        datasets.tabular(np.where(np.isnan(x), np.inf, x), y, name="mine", gaps="fill in")
    with pytest.raises(ModelError, match="gaps='drop'; expected one of"):
        datasets.tabular(x, y, name="mine", gaps="drop")
    with pytest.raises(DataError, match=r"have lengths \[19, 20\]"):
        datasets.tabular(x, y, name="mine", gaps="leave out", weights=np.ones(19))
    with pytest.raises(DataError, match=r"such as 'a'; .*datasets\.from_csv reads words and dates"):
        datasets.tabular([["a", 1]] * 20, y, name="mine", gaps="leave out")


def test_of_many_words_the_frequent_ones_are_told_apart(load):
    towns = [f"town {k % 3}" if k % 4 else f"village {k}" for k in range(200)]
    data, words = load(town=towns, size=np.arange(200) % 7)
    assert data.feature_names == ("town = town 0", "town = town 1", "town = town 2", "town = another word", "size")
    assert "has 53 different words; the 3 most frequent ones are told apart" in words
    new = data.scaling.undo(data.encode([["village 8", 1], ["village new", 1]]))
    np.testing.assert_allclose(new[:, :4], [[0, 0, 0, 1]] * 2, atol=1e-9)


def test_identifiers_that_repeat_are_left_out_with_a_word_on_groups(load):
    data, words = load(patient_id=np.arange(ROWS) // 3, size=np.arange(ROWS) % 7)
    assert data.feature_names == ("size",)
    assert "groups='patient_id'" in words
    data, words = load(userId=[f"u{k // 2}" for k in range(ROWS)], size=np.arange(ROWS) % 7)
    assert data.feature_names == ("size",)
    assert "groups='userId'" in words
