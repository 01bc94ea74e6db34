"""Measurements along a curve."""

import numpy as np
import pytest

from companion import datasets
from companion.errors import DataError


def test_a_sinusoid_is_the_posts():
    data = datasets.sinusoid()
    assert (data.x.shape, data.y.shape, len(data)) == ((32, 1), (32,), 32)
    assert (data.x[0, 0], data.x[-1, 0]) == (-0.5, 0.5)
    residuals = data.y - datasets.sinusoid_truth(data.x[:, 0])
    assert 0.7 < residuals.std() < 1.3
    assert datasets.sinusoid_truth(0.25) == pytest.approx(10)
    with pytest.raises(ValueError, match="read-only"):
        data.y[0] = 0


def test_noise_and_place_can_be_chosen():
    many = datasets.sinusoid(5000, noise=lambda x: 0.1 + (x > 0), low=-1, high=1, spaced=False, seed=3)
    residuals = many.y - datasets.sinusoid_truth(many.x[:, 0])
    assert residuals[many.x[:, 0] < 0].std() == pytest.approx(0.1, rel=0.1)
    assert residuals[many.x[:, 0] > 0].std() == pytest.approx(1.1, rel=0.1)
    assert -1 < many.x.min() < -0.99
    assert np.unique(np.diff(np.sort(many.x[:, 0]))).size > 2
    np.testing.assert_array_equal(datasets.sinusoid(9, seed=5).y, datasets.sinusoid(9, seed=5).y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 0}, "n=0; expected a whole number"),
        ({"n": 2.5}, "n=2.5"),
        ({"low": 1.0, "high": 0.0}, "the first one smaller"),
        ({"noise": -1.0}, "noise=-1.0; expected a number from 0"),
        ({"noise": lambda x: x[:3]}, "a function that gives one for each x"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(DataError, match=message):
        datasets.sinusoid(**settings)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([[1.0]], [1.0, 2.0], r"x has shape \(1, 1\) and y \(2,\)"),
        ([1.0], [1.0], r"x has shape \(1,\)"),
        ([[np.nan]], [1.0], "NaN or infinity"),
        ([["a"]], [1.0], "not an array of numbers"),
        (np.empty((0, 1)), [], r"\(0, 1\)"),
    ],
)
def test_measurements_are_checked(x, y, message):
    with pytest.raises(DataError, match=message):
        datasets.Measurements(x, y)
