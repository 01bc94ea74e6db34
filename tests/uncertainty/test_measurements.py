"""Distributions of the next measurement: mixtures of the draws' own, and what scores say of them."""

import numpy as np
import pytest
from scipy import stats

from companion.errors import DataError, ModelError
from companion.uncertainty import (
    PredictiveDistribution,
    crps,
    predictive_distribution,
    quantile_calibration,
    rmse,
)

RNG = np.random.default_rng(0)
LAWS = {
    "NormalRV": {"mu": RNG.normal(size=(7, 5)), "sigma": RNG.uniform(0.5, 2, (7, 5))},
    "StudentTRV": {"nu": np.full((7, 5), 4.0), "mu": RNG.normal(size=(7, 5)), "sigma": RNG.uniform(0.5, 2, (7, 5))},
    "LogNormalRV": {"mu": RNG.normal(size=(7, 5)), "sigma": RNG.uniform(0.2, 0.6, (7, 5))},
    "LaplaceRV": {"mu": RNG.normal(size=(7, 5)), "b": RNG.uniform(0.5, 2, (7, 5))},
    "NegBinomialRV": {"n": RNG.uniform(1, 9, (7, 5)), "p": RNG.uniform(0.2, 0.8, (7, 5))},
    "PoissonRV": {"rate": RNG.uniform(0.5, 30, (7, 5))},
}
COUNTS = ("NegBinomialRV", "PoissonRV")


def distribution(kind):
    return PredictiveDistribution(kind, LAWS[kind])


@pytest.mark.parametrize("kind", LAWS)
@pytest.mark.parametrize("level", [0.01, 0.5, 0.975])
def test_a_quantile_is_where_the_probability_below_reaches_its_level(kind, level):
    d = distribution(kind)
    quantile = d.quantiles(level)
    assert quantile.shape == (5,)
    if kind in COUNTS:
        assert (quantile == np.floor(quantile)).all()
        assert (d.below(quantile) >= level).all()
        assert (d.below(quantile - 1) < level).all()
    else:
        np.testing.assert_allclose(d.below(quantile), level, atol=1e-6)


@pytest.mark.parametrize("kind", LAWS)
def test_moments_are_those_of_many_samples(kind):
    d = distribution(kind)
    sample = np.concatenate([d.sample(seed) for seed in range(4000)])
    error = sample.std(axis=0) / np.sqrt(len(sample))
    assert (np.abs(sample.mean(axis=0) - d.mean) < 4.5 * error).all()
    np.testing.assert_allclose(d.std, sample.std(axis=0), rtol=0.08)
    np.testing.assert_allclose(d.variance.total, d.std**2)
    np.testing.assert_allclose(d.variance.epistemic, d.means.var(axis=0))


def test_a_density_is_the_mean_density_of_the_draws_and_not_of_the_logarithms():
    d, y = distribution("NormalRV"), np.linspace(-1, 1, 5)
    each = stats.norm.pdf(y, LAWS["NormalRV"]["mu"], LAWS["NormalRV"]["sigma"])
    np.testing.assert_allclose(d.log_density(y), np.log(each.mean(axis=0)))
    counts = distribution("PoissonRV")
    each = stats.poisson.pmf(3, LAWS["PoissonRV"]["rate"])
    np.testing.assert_allclose(counts.log_density(np.full(5, 3)), np.log(each.mean(axis=0)))


def test_crps_of_a_normal_distribution_is_the_formula_and_of_a_point_the_absolute_error():
    one = PredictiveDistribution("NormalRV", {"mu": np.full((4000, 3), 2.0), "sigma": np.full((4000, 3), 3.0)})
    y = np.array([2.0, 0.0, 8.0])
    z = (y - 2) / 3
    formula = 3 * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert crps(one, y) == pytest.approx(formula.mean(), rel=0.03)
    point = PredictiveDistribution("NormalRV", {"mu": np.full((2, 3), 2.0), "sigma": np.full((2, 3), 1e-9)})
    assert crps(point, y) == pytest.approx(np.abs(y - 2).mean(), rel=1e-6)
    assert rmse(point, y) == pytest.approx(np.sqrt(np.mean((y - 2) ** 2)))


def test_the_truth_is_calibrated_and_what_is_too_sure_is_not():
    """500 data sets of 200 rows at once: a true 90 % band holds 90 % of each, within the error of a share."""
    rng, sets, rows = np.random.default_rng(1), 500, 200
    y = rng.normal(3, 2, sets * rows)
    true = PredictiveDistribution("NormalRV", {"mu": np.full((1, y.size), 3.0), "sigma": np.full((1, y.size), 2.0)})
    held = true.interval(0.9)
    shares = ((held.low <= y) & (y <= held.high)).reshape(sets, rows).mean(axis=1)
    assert shares.mean() == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / y.size))
    assert shares.std() == pytest.approx(np.sqrt(0.09 / rows), rel=0.15)
    few = y[:2000]
    sure = PredictiveDistribution("NormalRV", {"mu": np.full((1, 2000), 3.0), "sigma": np.full((1, 2000), 1.0)})
    honest = PredictiveDistribution("NormalRV", {"mu": np.full((1, 2000), 3.0), "sigma": np.full((1, 2000), 2.0)})
    assert quantile_calibration(honest, few).ece < 0.02
    found = quantile_calibration(sure, few, [0.1, 0.9])
    assert found.happened[0] > 0.2
    assert found.happened[1] < 0.8
    assert found.count.tolist() == [2000, 2000]


def test_one_of_several_targets_can_be_taken():
    both = PredictiveDistribution("NormalRV", {"mu": RNG.normal(size=(4, 3, 2)), "sigma": np.ones((4, 3, 2))})
    second = both.of_target(1)
    assert (both.shape, second.shape) == ((3, 2), (3,))
    np.testing.assert_array_equal(second.mean, both.mean[:, 1])
    assert both.interval(0.9).coverage(both.mean) == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: PredictiveDistribution("CauchyRV", {}), ModelError, "kind='CauchyRV'; expected one of"),
        (lambda: distribution("NormalRV").quantiles(1.5), ModelError, "a level=1.5"),
        (lambda: distribution("NormalRV").interval(0), ModelError, "level=0"),
        (lambda: distribution("NormalRV").log_density(np.zeros(4)), DataError, r"shape \(4,\); expected .* \(5,\)"),
        (lambda: rmse(distribution("NormalRV"), np.full(5, np.nan)), DataError, "finite"),
        (lambda: distribution("NormalRV").of_target(0), ModelError, "target 0"),
        (lambda: crps(PredictiveDistribution("PoissonRV", {"rate": np.ones((1, 2))}), [1, 1]), ModelError, "one draw"),
        (lambda: predictive_distribution(object(), [[1.0]]), ModelError, "posterior is a object; expected one of"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
