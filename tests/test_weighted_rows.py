"""Weights per row reach the likelihood: a weight of 2 is the row twice, and a weight of 0 no row."""

import numpy as np
import pymc as pm
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion import predict
from companion.bridge import observe_weighted, torch_log_density
from companion.datasets import Measurements, Observations
from companion.errors import DataError, ModelError
from companion.inference import fit, laplace
from companion.models import Likelihood, binary_classifier, torch_classifier, torch_regression
from companion.networks import dense
from companion.priors import Gaussian
from companion.uncertainty import predictive_distribution

ROWS = 12
WEIGHTS = np.array([0, 1, 2, 3] * 3)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 2))
MEASURED = np.abs(RNG.normal(size=ROWS)) + 0.1
LABELS = np.arange(ROWS) % 3


def rows_of(kind, weights, repeated):
    """The rows with weights, or each of them as often as its weight says."""
    y = {"classes": LABELS, "two classes": LABELS % 2, "counts": np.round(5 * MEASURED)}.get(kind, MEASURED)
    y = np.column_stack([y, 2 * y + 1]) if kind == "two targets" else y
    make = Observations if "classes" in kind else Measurements
    return make(np.repeat(X, weights, axis=0), np.repeat(y, weights, axis=0)) if repeated else make(X, y, weights)


def model_of(kind, weights=WEIGHTS, repeated=False):
    rows = rows_of(kind, weights, repeated)
    outputs = {"classes": 3, "two targets": 2}.get(kind, 1)
    module = dense(2, 3, outputs, activation=torch.nn.Tanh, seed=0)
    if "classes" in kind:
        return torch_classifier(rows, module, Gaussian(1.0))
    likelihood = kind if kind in set(Likelihood) else "normal"
    return torch_regression(rows, module, Gaussian(1.0), likelihood=likelihood)


def value_and_slope(model, seed=0):
    """The log density of the lowered model at a random place, and its gradient."""
    density = torch_log_density(model)
    rng = np.random.default_rng(seed)
    values = {
        name: torch.tensor(rng.normal(size=a.shape), dtype=torch.float64, requires_grad=True)
        for name, a in model.initial_point().items()
    }
    found = density(values)
    return found.item(), torch.cat([g.reshape(-1) for g in torch.autograd.grad(found, list(values.values()))])


KINDS = ["normal", "student-t", "log-normal", "counts", "two targets", "classes", "two classes"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_is_the_row_as_often_in_the_lowered_density_and_its_gradient(kind):
    weighted, repeated = (value_and_slope(model_of(kind, repeated=r)) for r in (False, True))
    assert weighted[0] == pytest.approx(repeated[0], rel=1e-9)
    torch.testing.assert_close(weighted[1], repeated[1], rtol=1e-8, atol=1e-9)
    ones = value_and_slope(model_of(kind, np.ones(ROWS, dtype=int)))
    assert abs(ones[0] - weighted[0]) > 0.1, "the weights do something"


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=ROWS, max_size=ROWS).filter(lambda w: sum(map(bool, w)) > 2))
def test_any_whole_weights_are_repetitions(weights):
    weighted, repeated = (value_and_slope(model_of("normal", np.array(weights), r)) for r in (False, True))
    assert weighted[0] == pytest.approx(repeated[0], rel=1e-9)
    torch.testing.assert_close(weighted[1], repeated[1], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", ["normal", "classes"])
def test_pymcs_own_density_has_the_weights_too(kind):
    weighted, repeated = model_of(kind), model_of(kind, repeated=True)
    start = weighted.initial_point()
    assert weighted.compile_logp()(start) == pytest.approx(repeated.compile_logp()(start), rel=1e-6)
    np.testing.assert_allclose(weighted.compile_dlogp()(start), repeated.compile_dlogp()(start), rtol=1e-5)


@pytest.mark.parametrize("total_size", [None, 60])
def test_a_batch_brings_its_own_weights_and_counts_for_all_rows(total_size):
    """The mean over all batches of one row is the whole; the model may scale it up, or the fit."""
    with pm.Model() as model:
        slope = pm.Normal("slope")
        x, y, weights = pm.Data("x", X[:, 0]), pm.Data("y_data", MEASURED), pm.Data("w", WEIGHTS.astype(float))
        observe_weighted("y", pm.Normal.dist(slope * x, 1.0), weights, y, total_size=total_size)
    density = torch_log_density(model)
    assert density.observed[0].weights == "w"
    values = {"slope": torch.tensor(0.3, dtype=torch.float64)}
    parts = [
        density.likelihoods(values, {n: torch.as_tensor(a[k : k + 1]) for n, a in density.data.items()})["y"].item()
        for k in range(ROWS)
    ]
    own = WEIGHTS * (-0.5 * (MEASURED - 0.3 * X[:, 0]) ** 2 - 0.5 * np.log(2 * np.pi))
    np.testing.assert_allclose(parts, own * (total_size or 1), rtol=1e-9)


def test_fits_on_batches_use_the_weights():
    """Rows of weight 0 say that y is -3; whoever drops or mixes up the weights sees them."""
    x = np.tile(X[:, :1], (50, 1))
    y, weights = 3 + 0.1 * RNG.normal(size=len(x)), np.ones(len(x))
    y[::2], weights[::2] = -3, 0
    model = torch_regression(Measurements(x, y, weights), torch.nn.Linear(1, 1), Gaussian(1.0), noise=0.1)
    for batch_size in (None, 64):
        posterior = fit(model, 600, batch_size=batch_size, learning_rate=0.02, seed=0, progressbar=False)
        p = predictive_distribution(posterior, x[:5], draws=50, seed=0)
        np.testing.assert_allclose(p.mean, 3, atol=0.1)
        assert predict(posterior, x[:7], draws=3, seed=0).shape == (3, 7), "other rows than those that have weights"


@pytest.mark.parametrize("structure", ["full", "kronecker", "diagonal"])
@pytest.mark.parametrize("kind", ["normal", "classes"])
def test_laplaces_curvature_has_the_weights(kind, structure):
    found = []
    for repeated in (False, True):
        posterior = laplace(
            model_of(kind, repeated=repeated), structure=structure, steps=500, seed=0, progressbar=False
        )
        found.append(posterior.draw(400, seed=0))
    for name, draws in found[0].items():
        np.testing.assert_allclose(draws.std(axis=0), found[1][name].std(axis=0), rtol=0.02)


def test_draws_of_the_observed_variable_are_those_of_its_distribution():
    with pm.Model() as model:
        observe_weighted("y", pm.Normal.dist(5.0, 0.1, shape=3), [1, 100, 0.01], np.full(3, 5.0))
    draws = pm.draw(model["y"], 200, random_seed=0)
    np.testing.assert_allclose(draws.mean(axis=0), 5, atol=0.05)
    np.testing.assert_allclose(draws.std(axis=0), 0.1, rtol=0.2)
    assert "y_weights" in model.named_vars


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (WEIGHTS[:-1], r"shape \(11,\); expected \(12,\)"),
        (WEIGHTS - 1, "3 of 12 weights are negative or not finite, the first is -1 in row 0"),
        ([np.nan, *WEIGHTS[1:]], "1 of 12 weights are negative or not finite"),
        (np.zeros(ROWS), "all weights are 0"),
        (["heavy"] * ROWS, "not an array of numbers"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights, message):
    for make, y in ((Measurements, MEASURED), (Observations, LABELS)):
        with pytest.raises(DataError, match=message):
            make(X, y, weights)


def test_what_does_not_read_weights_says_so():
    with pytest.raises(DataError, match="binary_classifier doesn't read; take torch_classifier"):
        binary_classifier(Observations(X, LABELS % 2, WEIGHTS))
    with pm.Model():
        weights = pm.Data("w", WEIGHTS.astype(float))
        with pytest.raises(ModelError, match="computed from something else"):
            observe_weighted("y", pm.Normal.dist(0.0, 1.0, shape=ROWS), 2 * weights, MEASURED)
        with pytest.raises(ModelError, match="expected one weight for each row"):
            observe_weighted("z", pm.Normal.dist(0.0, 1.0, shape=ROWS), np.ones((ROWS, 1)), MEASURED)
