"""Bands of measurements, against what the normal distribution says."""

import numpy as np
import pytest

from companion.errors import DataError, ModelError
from companion.uncertainty import Interval, decompose_measurements, interval, sample_measurements, sigma_interval


@pytest.fixture
def normal():
    return np.random.default_rng(0).normal(3.0, 2.0, size=(20_000, 4))


def test_the_interval_of_normal_draws_is_the_normal_one(normal):
    band = interval(normal, level=0.95)
    np.testing.assert_allclose(band.low, 3 - 1.96 * 2, atol=0.1)
    np.testing.assert_allclose(band.high, 3 + 1.96 * 2, atol=0.1)
    np.testing.assert_allclose(band.width, band.high - band.low)
    assert np.mean((normal >= band.low) & (normal <= band.high)) == pytest.approx(0.95, abs=0.001)


def test_two_standard_deviations_to_each_side_of_the_mean(normal):
    band = sigma_interval(normal, 2.0)
    np.testing.assert_allclose((band.low + band.high) / 2, normal.mean(axis=0))
    np.testing.assert_allclose(band.width, 4 * normal.std(axis=0))


def test_a_true_predictive_band_covers_what_it_says():
    rng = np.random.default_rng(1)
    means = rng.normal(size=(4000, 3000))
    band = interval(sample_measurements(means, np.full((4000, 1), 0.5), seed=2), 0.9)
    fresh = rng.normal(scale=np.sqrt(1 + 0.5**2), size=3000)
    assert band.coverage(fresh) == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / 3000))


def test_coverage_counts_the_points_inside_with_the_ends():
    band = Interval(np.zeros(4), np.ones(4))
    assert band.coverage([0.0, 1.0, 0.5, 1.1]) == 0.75


def test_expected_coverage_is_what_ever_more_measurements_tend_to():
    rng = np.random.default_rng(4)
    mean, scale = rng.normal(size=5), rng.uniform(0.5, 2, size=5)
    band = Interval(mean - 1, mean + rng.uniform(0, 2, size=5))
    fresh = mean + scale * rng.normal(size=(40_000, 5))
    counted = np.mean([band.coverage(y) for y in fresh])
    assert band.expected_coverage(mean, scale) == pytest.approx(counted, abs=0.005)
    assert Interval(mean - 1.96, mean + 1.96).expected_coverage(mean, 1.0) == pytest.approx(0.95, abs=1e-4)


@pytest.mark.parametrize(("mean", "scale"), [(np.zeros(3), 1.0), (np.zeros(4), 0.0), (np.full(4, np.nan), 1.0)])
def test_expected_coverage_needs_a_law_for_each_point(mean, scale):
    with pytest.raises(DataError, match=r"(mean|scale) has shape"):
        Interval(np.zeros(4), np.ones(4)).expected_coverage(mean, scale)


def test_variance_of_measurements_is_the_sum_of_its_parts():
    rng = np.random.default_rng(3)
    means, scales = rng.normal(size=(50_000, 2)) * [1.0, 3.0], rng.uniform(0.5, 2.0, size=(50_000, 1))
    parts = decompose_measurements(means, scales)
    np.testing.assert_allclose(parts.total, parts.aleatoric + parts.epistemic)
    np.testing.assert_allclose(parts.epistemic, [1.0, 9.0], rtol=0.03)
    np.testing.assert_allclose(sample_measurements(means, scales, seed=4).var(axis=0), parts.total, rtol=0.03)


def test_the_same_seed_measures_the_same():
    means = np.zeros((3, 2))
    np.testing.assert_array_equal(sample_measurements(means, 1.0, seed=5), sample_measurements(means, 1.0, seed=5))
    assert np.ptp(sample_measurements(means, 0.0, seed=5)) == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: interval(np.zeros(3)), ModelError, r"shape \(3,\); expected \(draws, points\)"),
        (lambda: interval(np.zeros((0, 3))), ModelError, "one or more of both"),
        (lambda: interval(np.full((2, 3), np.nan)), ModelError, "Did the fit diverge"),
        (lambda: interval(np.zeros((2, 3)), 95), ModelError, "level=95; expected a share between 0 and 1"),
        (lambda: sigma_interval(np.zeros((2, 3)), 0), ModelError, "sigmas=0; expected a positive"),
        (lambda: sample_measurements(np.zeros((2, 3)), np.ones((3, 1)), 0), ModelError, r"shape \(3, 1\) and means"),
        (lambda: sample_measurements(np.zeros((2, 3)), -1.0, 0), ModelError, "standard deviations from 0"),
        (lambda: decompose_measurements(np.zeros((2, 3)), np.nan), ModelError, "standard deviations from 0"),
        (lambda: Interval(np.zeros(2), np.ones(2)).coverage([0.5]), DataError, "for each of 2 points"),
        (lambda: Interval(np.zeros(2), np.ones(2)).coverage([0.5, np.nan]), DataError, "finite measurement"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_scales_that_could_be_of_draws_or_of_points_are_refused():
    with pytest.raises(ModelError, match=r"scales have shape \(4,\) .* scales\[:, None\]"):
        decompose_measurements(np.zeros((4, 4)), np.arange(4.0))
