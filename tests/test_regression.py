"""Measurements around what a torch network says: densities, units, fits and files."""

import numpy as np
import pymc as pm
import pytest
import torch
from scipy import stats

from companion import load_posterior, predict, save_posterior
from companion.datasets import Measurements
from companion.errors import DataError, ModelError
from companion.inference import fit, laplace
from companion.models import torch_regression
from companion.networks import dense
from companion.priors import FanIn, Gaussian
from companion.uncertainty import predictive_distribution

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 1))
Y = 100 + 20 * X[:, 0] + 5 * RNG.normal(size=60)


def line(outputs=1):
    return torch.nn.Linear(1, outputs).double()


def values(model, weight, bias, **others):
    """A point of the model where the network is a given line."""
    point = model.initial_point()
    return {**point, "weight": np.array(weight, dtype=float), "bias": np.array(bias, dtype=float), **others}


def likelihood_of(model, point):
    return float(model.compile_logp(vars=model.observed_RVs, jacobian=False, mode="FAST_COMPILE")(point))


def test_the_density_is_that_of_the_docstring_in_the_units_of_y():
    data = Measurements(X, Y)
    x, y = data.x[:, 0].astype(float), data.y.astype(float)
    f, m, s = 0.5 * x + 0.1, y.mean(), y.std()
    known = torch_regression(data, line(), Gaussian(1.0), noise=7.0)
    expected = stats.norm.logpdf(y, m + s * f, 7.0).sum()
    assert likelihood_of(known, values(known, [[0.5]], [0.1])) == pytest.approx(expected, rel=1e-5)
    wild = torch_regression(data, line(), Gaussian(1.0), likelihood="student-t", noise=7.0)
    point = values(wild, [[0.5]], [0.1], freedom_above_2_log__=np.log(3.0))
    assert likelihood_of(wild, point) == pytest.approx(stats.t.logpdf(y, 5, m + s * f, 7.0).sum(), rel=1e-5)
    logs = np.log(y)
    prices = torch_regression(data, line(), Gaussian(1.0), likelihood="log-normal", noise=0.2)
    expected = stats.lognorm.logpdf(y, 0.2, scale=np.exp(logs.mean() + logs.std() * f)).sum()
    assert likelihood_of(prices, values(prices, [[0.5]], [0.1])) == pytest.approx(expected, rel=1e-5)
    counts = Measurements(X, np.round(Y))
    many = torch_regression(counts, line(), Gaussian(1.0), likelihood="counts", noise=0.5)
    mean, n = counts.y.astype(float).mean() * np.exp(f), 1 / 0.25
    expected = stats.nbinom.logpmf(counts.y, n, n / (n + mean)).sum()
    assert likelihood_of(many, values(many, [[0.5]], [0.1])) == pytest.approx(expected, rel=1e-5)


def test_noise_that_depends_on_the_inputs_is_the_learned_one_where_its_output_is_zero():
    data = Measurements(X, Y)
    one = torch_regression(data, line(), Gaussian(1.0))
    two = torch_regression(data, line(2), Gaussian(1.0), noise="input")
    noise = {"noise_log__": np.log(6.0)}
    flat = values(two, [[0.5], [0.0]], [0.1, 0.0], **noise)
    assert likelihood_of(two, flat) == pytest.approx(likelihood_of(one, values(one, [[0.5]], [0.1], **noise)), rel=1e-6)
    bent = values(two, [[0.5], [1.0]], [0.1, 0.0], **noise)
    x, y = data.x[:, 0].astype(float), data.y.astype(float)
    spread = 6.0 * np.log1p(np.exp(x)) / np.log(2)
    expected = stats.norm.logpdf(y, y.mean() + y.std() * (0.5 * x + 0.1), spread).sum()
    assert likelihood_of(two, bent) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("likelihood", ["normal", "student-t"])
def test_other_units_move_the_density_by_their_logarithm_alone(likelihood):
    """Whoever measures in cents and from another zero gets the same fit."""
    here, there = (
        torch_regression(Measurements(X, y), line(2), Gaussian(1.0), likelihood=likelihood, noise="input")
        for y in (Y, 100 * Y - 2000)
    )
    point = values(here, [[0.5], [0.3]], [0.1, -0.2])
    moved = {**point, "noise_log__": point["noise_log__"] + np.log(100)}
    difference = here.compile_logp(mode="FAST_COMPILE")(point) - there.compile_logp(mode="FAST_COMPILE")(moved)
    assert difference == pytest.approx(len(Y) * np.log(100), rel=1e-4)


@pytest.fixture(scope="module")
def two_targets():
    """A line and one that is a thousand times as large, with noise of 1 and of 500."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-2, 2, (300, 1))
    y = np.c_[3 * x[:, 0] + rng.normal(0, 1, 300), 2000 - 3000 * x[:, 0] + rng.normal(0, 500, 300)]
    model = torch_regression(Measurements(x, y), dense(1, 2), Gaussian(10.0))
    posterior = fit(model, 600, family="map", learning_rate=0.05, progressbar=False)
    return model, posterior


def test_several_targets_come_back_in_their_own_units(two_targets):
    _, posterior = two_targets
    d = predictive_distribution(posterior, [[0.0], [1.0]], draws=3)
    assert d.shape == (2, 2)
    assert (np.abs(d.mean - [[0, 2000], [3, -1000]]) < [0.3, 150]).all()
    np.testing.assert_allclose(d.std, [[1, 500], [1, 500]], rtol=0.15)
    np.testing.assert_allclose(predict(posterior, [[0.0], [1.0]], draws=3), d.means, rtol=1e-5)


def test_a_saved_regression_predicts_the_same_distribution(two_targets, tmp_path):
    model, posterior = two_targets
    again = load_posterior(save_posterior(posterior, tmp_path / "p.safetensors", half=False), model)
    x = [[0.5], [-1.0]]
    for one, two in zip(
        *(predictive_distribution(p, x, 2).parameters.values() for p in (posterior, again)), strict=True
    ):
        np.testing.assert_allclose(one, two, rtol=1e-6)


def test_a_linearised_laplace_approximation_keeps_its_curve_and_its_noise():
    model = torch_regression(Measurements(X, Y), dense(1, 4, 1, activation=torch.nn.Tanh), FanIn(2.0))
    posterior = laplace(model, 500, learning_rate=0.05, progressbar=False)
    d = predictive_distribution(posterior, X[:5], draws=50, seed=3)
    np.testing.assert_allclose(d.means, predict(posterior, X[:5], draws=50, seed=3), rtol=1e-4)
    assert d.std.mean() == pytest.approx(5, rel=0.3)
    sampled = predictive_distribution(posterior.predicting("sampled"), X[:5], draws=50, seed=3)
    assert not np.allclose(sampled.means, d.means, rtol=1e-4)


def test_a_model_of_the_reader_s_own_has_a_distribution_too():
    with pm.Model() as model:
        x = pm.Data("x", X)
        rate = pm.math.exp(1 + pm.Normal("w", 0, 1) * x[:, 0])
        pm.Poisson("y", rate, observed=np.random.default_rng(0).poisson(np.exp(1 + 0.5 * X[:, 0])))
    posterior = fit(model, 200, family="map", learning_rate=0.05, progressbar=False)
    d = predictive_distribution(posterior, [[0.0]], draws=2)
    np.testing.assert_allclose(d.mean, np.e, rtol=1e-5)
    np.testing.assert_allclose(d.variance.aleatoric, np.e, rtol=1e-5)


def test_a_likelihood_without_a_known_distribution_is_refused():
    with pm.Model() as model:
        x = pm.Data("x", X)
        pm.Gamma("y", mu=pm.math.exp(pm.Normal("w") * x[:, 0]), sigma=1, observed=np.ones(60))
    posterior = fit(model, 2, family="map", progressbar=False)
    with pytest.raises(ModelError, match="'y' is a Gamma; the distribution of the next measurement is known for"):
        predictive_distribution(posterior, X)


@pytest.mark.parametrize(
    ("y", "outputs", "settings", "error", "message"),
    [
        (Y, 2, {}, ModelError, r"expected \(rows, 1\) for 1 target"),
        (Y, 1, {"noise": "input"}, ModelError, r"expected \(rows, 2\) for 1 target .*a second one"),
        (np.c_[Y, Y], 1, {}, ModelError, r"expected \(rows, 2\) for 2 targets"),
        (Y, 1, {"likelihood": "gauss"}, ModelError, "likelihood='gauss'; expected one of"),
        (Y, 1, {"noise": "none"}, ModelError, "noise='none'"),
        (Y, 1, {"noise": 0.0}, ModelError, "noise=0.0"),
        (Y - 200, 1, {"likelihood": "log-normal"}, DataError, "60 of 60 measurements are 0 or below"),
        (Y, 1, {"likelihood": "counts"}, DataError, "likelihood='counts' expects whole numbers"),
        (np.full(60, 3.0), 1, {}, DataError, "differs by no more than rounding"),
        (np.c_[Y, np.ones(60)], 2, {}, DataError, "target 1 differs by no more than rounding"),
    ],
)
def test_what_does_not_fit_is_named(y, outputs, settings, error, message):
    with pytest.raises(error, match=message):
        torch_regression(Measurements(X, y), line(outputs), Gaussian(1.0), **settings)


def test_labels_are_not_measurements():
    with pytest.raises(DataError, match=r"data is a ndarray; expected companion.datasets.Measurements"):
        torch_regression(X, line(), Gaussian(1.0))
