"""Groups that stay together, the latest rows held out, weights, rare classes, and targets in disguise."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from messy import quietly

from companion import datasets
from companion.datasets.splits import grouped_rows, later_rows
from companion.errors import CompanionWarning, DataError

ROWS = 120
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 2))
Y = np.arange(ROWS) % 2


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=4, max_size=80), st.floats(0.1, 0.9), st.integers(0, 1000))
def test_no_group_is_on_both_sides_and_no_row_is_lost(groups, share, seed):
    assume(len(set(groups)) > 1)
    train, test = grouped_rows(groups, None, test_fraction=share, seed=seed, what="rows")
    own = np.array(groups)
    assert not set(own[train]) & set(own[test])
    assert sorted([*train, *test]) == list(range(len(own)))
    assert len(train)
    assert len(test)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-5, 30), min_size=2, max_size=80), st.floats(0.05, 0.95))
def test_what_is_held_out_is_later_than_what_is_learned_from(times, share):
    try:
        train, test = later_rows(times, test_fraction=share, what="rows")
    except DataError:
        own = np.sort(times)
        assert own[-int(np.ceil(share * len(own)))] == own[0], "refused only where the first time is to be held out"
        return
    own = np.array(times)
    assert own[train].max() < own[test].min()
    assert len(test) >= share * len(own) - 1e-9
    assert len(train) + len(test) == len(own)


def test_groups_have_their_share_of_rows_and_classes():
    groups = np.arange(ROWS) // 4
    labels = np.isin(groups, np.arange(0, 30, 5)).astype(int)
    data = datasets.tabular(X, labels, name="mine", groups=groups, test_fraction=0.25)
    assert abs(len(data.test) / ROWS - 0.25) < 0.05
    assert abs(data.test.y.mean() - labels.mean()) < 0.08
    table = datasets.tabular(X, X[:, 0], name="mine", groups=[f"p{g}" for g in groups], test_fraction=0.25)
    assert abs(len(table.test) / ROWS - 0.25) < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": np.zeros(ROWS)}, "in 1 group and test_fraction=0.5; expected two groups or more"),
        ({"groups": Y}, "no choice among 100 of whole groups has each class"),
        ({"groups": [None, *Y[1:]]}, "1 of the rows of mine have no group"),
        ({"groups": Y[:-1]}, r"groups has shape \(119,\); expected \(120,\)"),
        ({"time": [np.nan, *X[1:, 0]]}, "1 of the rows of mine have no time"),
        ({"time": np.zeros(ROWS)}, "in 1 different times leaves a part empty"),
        ({"time": ["a"] * ROWS}, "expected numbers or dates"),
        ({"time": X[:, 0], "groups": Y}, "groups and time are both given"),
        ({"weights": X[:, 0]}, "weights are negative or not finite"),
    ],
)
def test_what_cannot_be_split_or_weighed_is_refused(options, message):
    with pytest.raises(DataError, match=message):
        datasets.tabular(X, Y, name="mine", **options)


@pytest.fixture
def path(tmp_path):
    """Visits of patients, three each, with a date and a weight."""
    frame = pd.DataFrame(
        {
            "patient": [f"p{k // 3}" for k in range(ROWS)],
            "day": pd.date_range("2020-01-05", periods=ROWS, freq="7D").strftime("%d.%m.%Y")[RNG.permutation(ROWS)],
            "often": 1 + np.arange(ROWS) % 3 / 2,
            "x": (RNG.permutation(ROWS) * 0.37).round(2),
            "kind": np.where(Y, "ill", "well"),
            "score": (X[:, 1] * 10).round(3),
        }
    )
    frame.to_csv(tmp_path / "visits.csv", index=False)
    return tmp_path / "visits.csv"


@pytest.mark.parametrize("target", ["kind", "score"])
def test_groups_of_a_file_stay_together_and_are_not_a_feature(target, path):
    data = quietly(path, target, groups="patient", weights="often", leave_out="day")
    file = pd.read_csv(path).set_index("x")
    own = [set(file.loc[data.decode(part.x)["x"].round(2), "patient"]) for part in (data.train, data.test)]
    assert not own[0] & own[1]
    assert not [name for name in data.feature_names if "patient" in name or "often" in name]
    for part in (data.train, data.test):
        np.testing.assert_allclose(part.weights, file.loc[data.decode(part.x)["x"].round(2), "often"])
    assert any(step.startswith("patient: not learned from: its rows") for step in data.steps)
    assert any(step.startswith("often: not learned from") for step in data.steps)
    rows = data.encode(pd.read_csv(path))
    assert len(rows) == ROWS, "the file itself may be given as new rows"


@pytest.mark.parametrize("target", ["kind", "score"])
def test_the_latest_rows_of_a_file_are_held_out(target, path):
    data = quietly(path, target, time="day")
    days = [pd.to_datetime(data.decode(part.x)["day"], format="%d.%m.%Y") for part in (data.train, data.test)]
    assert days[0].max() < days[1].min()
    assert len(data.test) == ROWS // 4
    assert "day (days)" in data.feature_names
    without = quietly(path, target, time="day", leave_out="day")
    assert not [name for name in without.feature_names if "day" in name]
    np.testing.assert_array_equal(without.test.y, data.test.y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": "pation"}, "no column 'pation'; did you mean 'patient'"),
        ({"time": "patient"}, "time='patient', but that column of visits.csv isn't one of numbers or dates"),
        (
            {"weights": "patient"},
            "weights='patient', but that column of visits.csv isn't one of numbers: it holds words",
        ),
        ({"weights": "score"}, "weights are negative or not finite"),
        ({"weights": "kind"}, "'kind' is the target and can't be weights, groups or time"),
        ({"groups": "patient", "time": "day"}, "groups and time are both given"),
    ],
)
def test_columns_that_cannot_be_what_they_are_called_are_refused(options, message, path):
    with pytest.raises(DataError, match=message):
        quietly(path, "kind", **options)


def test_weights_far_from_one_are_told_and_weigh_the_scaling(path):
    frame = pd.read_csv(path)
    frame.assign(often=1000 * frame["often"]).to_csv(path, index=False)
    with pytest.warns(CompanionWarning, match=r"the weights of visits.csv sum to 1\.8e\+05 for 120 rows.*mean, 1500"):
        datasets.from_csv(path, "score", weights="often", leave_out=["day", "patient", "kind"])
    whole = np.arange(ROWS) % 3
    data = datasets.tabular(X, Y, name="mine", weights=whole, test_fraction=0.5)
    mean = np.average(data.train.x, axis=0, weights=data.train.weights)
    np.testing.assert_allclose(mean, 0, atol=1e-12)


def test_a_rare_class_is_told_and_an_even_one_is_not():
    labels = (np.arange(ROWS) < 5).astype(int)
    with pytest.warns(
        CompanionWarning, match=r"few are 'class 1' \(5 rows\). Who always says 'class 0' is right in 95"
    ):
        datasets.tabular(X, labels, name="mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        datasets.tabular(X, (np.arange(ROWS) < 20).astype(int), name="mine")


@pytest.mark.parametrize(
    ("target", "disguise"),
    [
        ("score", lambda f: np.exp(f["score"] / 10)),  # rises with it
        ("score", lambda f: 100 - 2 * f["score"]),
        # a date that only the ill have
        ("kind", lambda f: [f"2021-01-{4 + k % 9:02}" if kind == "ill" else "" for k, kind in enumerate(f["kind"])]),
        ("kind", lambda f: np.where(f["kind"] == "ill", 20, 10) + f["x"] / 10),  # another range for each
        ("kind", lambda f: f["kind"].map({"ill": "yes", "well": "no"})),
    ],
)
def test_the_target_in_disguise_is_named(target, disguise, path):
    frame = pd.read_csv(path)
    others = [name for name in ("kind", "score") if name != target]
    frame.assign(hidden=disguise(frame)).drop(columns=others).to_csv(path, index=False)
    with pytest.warns(CompanionWarning, match="in visits.csv, 'hidden' tells the target of every row"):
        datasets.from_csv(path, target, leave_out=["patient", "day"])
