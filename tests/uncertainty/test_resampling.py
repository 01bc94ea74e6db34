"""Intervals by groups and over repeated splits: as long as they should be, and refused on bad input."""

import numpy as np
import pytest

from companion.errors import DataError, ModelError
from companion.uncertainty import group_bootstrap, repeated_split_interval


def test_groups_of_one_give_the_usual_standard_error():
    values = np.random.default_rng(0).normal(3, 2, size=400)
    found = group_bootstrap(values, np.arange(400), resamples=4000)
    assert found.value == pytest.approx(values.mean())
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(values.std() / 20, rel=0.06)


def test_rows_of_the_same_group_count_once():
    """Each value written down ten times says nothing new: the interval stays as long as that of the values."""
    rng = np.random.default_rng(1)
    values, names = rng.normal(size=100), np.array([f"mass {k}" for k in range(100)])
    once = group_bootstrap(values, names)
    often = group_bootstrap(np.tile(values, 10), np.tile(names, 10))
    assert often.low == pytest.approx(once.low)
    assert often.high == pytest.approx(once.high)
    alone = group_bootstrap(np.tile(values, 10), np.arange(1000))
    assert alone.high - alone.low < 0.4 * (once.high - once.low)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """Groups of different sizes with a mean of their own; the truth is 0."""
    rng, held = np.random.default_rng(2), 0
    for _ in range(200):
        size = rng.integers(1, 8, size=60)
        groups = np.repeat(np.arange(60), size)
        found = group_bootstrap(rng.normal(size=60)[groups], groups, resamples=300)
        held += found.low <= 0 <= found.high
    assert 0.88 <= held / 200 <= 0.98


def test_means_inside_bins_are_those_of_their_points():
    values, groups = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 0, 1, 2])
    inside = np.array([[True, True, False, False], [False, False, True, True], [False] * 4])
    found = group_bootstrap(values[None], groups, within=inside)
    np.testing.assert_allclose(found.value, [1.5, 3.5, np.nan])
    assert found.low[0] == found.high[0] == 1.5  # one group: nothing to resample
    assert (found.low[1], found.high[1]) == (3, 4)
    assert np.isnan(found.low[2])


def test_the_same_seed_gives_the_same_interval():
    values = np.arange(30.0)
    first, again, other = (group_bootstrap(values, np.arange(30), seed=s, resamples=50) for s in (0, 0, 1))
    assert first.low == again.low
    assert first.low != other.low


def test_bad_input_is_refused():
    with pytest.raises(DataError, match=r"groups have shape \(3,\) for 2 points"):
        group_bootstrap(np.zeros(2), np.zeros(3))
    with pytest.raises(DataError, match=r"groups have shape \(0,\) for 0 points"):
        group_bootstrap(np.zeros(0), np.zeros(0))
    with pytest.raises(DataError, match="1 values aren't finite"):
        group_bootstrap(np.array([1, np.nan]), np.arange(2))
    with pytest.raises(DataError, match="weight of `within` is negative"):
        group_bootstrap(np.zeros(2), np.arange(2), within=np.array([1, -1]))
    with pytest.raises(ModelError, match="resamples=0"):
        group_bootstrap(np.zeros(2), np.arange(2), resamples=0)
    with pytest.raises(ModelError, match="level=1"):
        group_bootstrap(np.zeros(2), np.arange(2), level=1)


def test_overlapping_splits_are_corrected_for():
    """By hand: the standard error of two halves is the root of 1/n + 1, times the standard deviation of the splits."""
    scores = np.array([0.1, 0.3, 0.2, 0.4])
    found = repeated_split_interval(scores, train=100, test=100)
    error = np.sqrt(0.25 + 1) * scores.std(ddof=1)
    assert found.value == pytest.approx(0.25)
    assert found.high - found.value == pytest.approx(3.182446 * error)  # t of 3 degrees of freedom
    more = repeated_split_interval(np.tile(scores, 50), train=100, test=100)
    assert more.high - more.low > 1.9 * scores.std()  # more splits of the same table don't make it certain


def test_splits_that_hold_nothing_to_compare_are_refused():
    for scores in ([0.1], [0.1, np.nan], [[0.1, 0.2]]):
        with pytest.raises(DataError, match="one for each of 2 or more splits"):
            repeated_split_interval(np.array(scores), train=10, test=10)
    with pytest.raises(ModelError, match="train=0"):
        repeated_split_interval(np.array([0.1, 0.2]), train=0, test=10)
