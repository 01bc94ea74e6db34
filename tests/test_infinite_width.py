"""The kernel is that of wide networks, and the regression is the Gaussian process's."""

import tracemalloc

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel

from companion.errors import DataError, ModelError
from companion.infinite_width import LimitDraws, network_kernel, regress, sample_limit


def few(rows=6, features=4, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, features))


@pytest.mark.parametrize(("size", "error"), [(0.3, 1e-8), (1.0, 1e-5), (3.0, 6e-3)])
def test_a_layer_is_the_expected_product_of_two_units(size, error):
    """By quadrature in two dimensions, also where the units saturate."""
    x = size * few(3)
    found = network_kernel(x, x, 1.0, (1,)) - 1
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    covariance = x @ x.T + 1
    for i in range(3):
        for j in range(3):
            low = np.linalg.cholesky(covariance[np.ix_([i, j], [i, j])] + 1e-12 * np.eye(2))
            u = low[0, 0] * nodes[:, None]
            v = low[1, 0] * nodes[:, None] + low[1, 1] * nodes
            expected = (np.tanh(u) * np.tanh(v) * weights[:, None] * weights).sum() / weights.sum() ** 2
            assert found[i, j] == pytest.approx(expected, abs=error)


def test_wide_networks_have_this_covariance():
    rng, x, s, width = np.random.default_rng(1), few(4), 0.3, 150
    made = []
    for _ in range(2000):
        hidden = np.tanh(x @ rng.normal(0, s, (4, width)) + rng.normal(0, s, width))
        hidden = np.tanh(hidden @ rng.normal(0, s, (width, width)) + rng.normal(0, s, width))
        made.append(hidden @ rng.normal(0, s, width) + rng.normal(0, s))
    kernel = network_kernel(x, x, s, (width, width))
    error = np.sqrt((np.outer(np.diag(kernel), np.diag(kernel)) + kernel**2) / len(made))
    assert (abs(np.cov(np.array(made).T) - kernel) < 5 * error).all()


def test_a_kernel_takes_little_more_memory_than_it_has():
    x = few(2500)
    tracemalloc.start()
    kernel = network_kernel(x, x, 0.5, (20, 20))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2.2 * kernel.nbytes


class Limit(Kernel):
    """The same kernel as scikit-learn wants it."""

    def __init__(self):
        pass

    def __call__(self, x, y=None, eval_gradient=False):
        return network_kernel(x, x if y is None else y, 0.5, (20,))

    def diag(self, x):
        return np.diag(self(x))

    def is_stationary(self):
        return False


def test_it_regresses_as_scikit_learn_does():
    x, new = few(30), few(2500, seed=2)  # more points than are computed at a time
    targets = np.column_stack([np.sin(x[:, 0]), x[:, 1]])
    (found,) = regress(x, targets, new, [0.1], scale=0.5, widths=(20,))
    of_sklearn = GaussianProcessRegressor(Limit(), alpha=0.1, optimizer=None).fit(x, targets)
    np.testing.assert_allclose(found.mean, of_sklearn.predict(new), rtol=1e-6, atol=1e-8)
    assert found.evidence == pytest.approx(of_sklearn.log_marginal_likelihood_value_)
    assert found.noise == 0.1


@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_the_limit_is_sampled_as_two_dimensional_quadrature_has_it(temperature):
    """Two classes at one training input; the difference of their logits is a number that can be integrated over."""
    x, new = few(1), few(3, seed=4)
    found = sample_limit(
        x, [1], new, scale=0.8, widths=(10,), classes=2, draws=4000, warmup=300, chains=4, temperature=temperature,
        machine="cpu", seed=1,
    )  # fmt: skip
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    own, across = network_kernel(x, x, 0.8, (10,))[0, 0], network_kernel(x, new, 0.8, (10,))[0]
    at = np.sqrt(2 * own) * nodes  # logit of class 1 less that of class 0, under the prior
    likelihood = weights * (1 + np.exp(-at)) ** (-1 / temperature)
    expected = across / own * (likelihood @ at) / likelihood.sum()
    difference = found.means[:, :, 1] - found.means[:, :, 0]
    np.testing.assert_allclose(difference.mean(axis=0), expected, atol=0.04 * abs(across / own).max() * np.sqrt(own))
    left = [network_kernel(z[None], z[None], 0.8, (10,))[0, 0] - k**2 / own for z, k in zip(new, across, strict=True)]
    np.testing.assert_allclose(found.left, np.sqrt(left), rtol=1e-4)


def test_what_is_left_of_the_spread_is_drawn():
    draws = LimitDraws(np.zeros((20_000, 2, 2), np.float32), np.array([0.0, 3.0], np.float32))
    p = draws.probabilities(seed=3)
    assert p.dtype == np.float32
    assert np.ptp(p[:, 0]) == 0
    log_odds = np.log(p[:, 1, 1] / p[:, 1, 0])
    assert log_odds.std() == pytest.approx(3 * np.sqrt(2), rel=0.03)


def test_bad_labels_of_the_limit_are_named():
    x = few()
    for labels in ([0, 1], [0, 1, 2, 3, 4, 10], [0, 1, 2, 3, 4, -1]):
        with pytest.raises(DataError, match="from 0 to 9"):
            sample_limit(x, np.array(labels), x, scale=0.1, widths=(5,))
    with pytest.raises(ModelError, match="temperature"):
        sample_limit(x, np.arange(6), x, scale=0.1, widths=(5,), temperature=0.0)


def test_bad_input_is_named():
    x = few()
    with pytest.raises(DataError, match="features"):
        network_kernel(x, x[:, :3], 0.1, (5,))
    with pytest.raises(ModelError, match="scale"):
        network_kernel(x, x, 0.0, (5,))
    with pytest.raises(ModelError, match="widths"):
        network_kernel(x, x, 0.1, (0,))
    with pytest.raises(DataError, match="outputs"):
        list(regress(x, x[:, 0], x, [0.1], scale=0.1, widths=(5,)))
    with pytest.raises(ModelError, match="noises"):
        list(regress(x, x, x, [0.0], scale=0.1, widths=(5,)))
    same = np.repeat(few(1), 50, axis=0).astype(np.float32)
    with pytest.raises(ModelError, match="float64"):
        list(regress(same, np.ones((50, 1)), same, [1e-12], scale=10.0, widths=(50,)))
