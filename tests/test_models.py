"""The classifier of the posts: its density, its mini-batches, and what it refuses."""

import numpy as np
import pytest
from scipy import stats

from companion.datasets import Observations
from companion.errors import CompanionError, DataError, ModelError
from companion.models import binary_classifier


def forward(w, x):
    return 1 / (1 + np.exp(-np.tanh(np.tanh(x @ w["w_in_1"]) @ w["w_1_2"]) @ w["w_2_out"]))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return Observations(rng.normal(size=(40, 2)), rng.integers(0, 2, size=40))


def test_log_density_is_prior_plus_likelihood_as_the_docstring_says(data):
    model = binary_classifier(data, hidden=3, seed=1)
    w = model.initial_point()
    prior = sum(stats.norm.logpdf(value).sum() for value in w.values())
    likelihood = stats.bernoulli.logpmf(data.y, forward(w, data.x)).sum()
    assert model.compile_logp()(w) == pytest.approx(prior + likelihood, rel=1e-6)


def test_starting_weights_follow_the_seed_and_are_not_all_alike(data):
    first, again, other = (binary_classifier(data, seed=s).initial_point()["w_1_2"] for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.std(first) > 0.3


def test_minibatch_likelihood_is_an_unbiased_estimate_of_the_whole(data):
    whole, batches = binary_classifier(data), binary_classifier(data, batch_size=10)
    w = whole.initial_point()
    likelihood = whole.compile_logp(vars=whole.observed_RVs)(w)
    estimate = batches.compile_logp(vars=batches.observed_RVs)
    estimates = np.array([estimate(w) for _ in range(2000)])
    error = estimates.std() / np.sqrt(len(estimates))
    assert error > 0
    assert estimates.mean() == pytest.approx(likelihood, abs=4 * error)


@pytest.mark.parametrize("labels", [[0, 1, 2, 1], [-1, 1, 1, -1]])
def test_labels_outside_0_and_1_are_refused_by_name(labels):
    with pytest.raises(DataError, match=r"outside 0 and 1: \[(2|-1)\]"):
        binary_classifier(Observations(np.zeros((4, 2)), np.array(labels)))


def test_images_are_refused_with_the_way_out():
    with pytest.raises(DataError, match=r"\(4, 8, 8\).*reshape"):
        binary_classifier(Observations(np.zeros((4, 8, 8)), np.array([0, 1, 0, 1])))


@pytest.mark.parametrize("settings", [{"hidden": 0}, {"hidden": 2.5}, {"batch_size": 0}, {"batch_size": 41}])
def test_sizes_out_of_range_are_refused(data, settings):
    with pytest.raises(ModelError, match=str(next(iter(settings.values())))):
        binary_classifier(data, **settings)


def test_a_bare_array_is_refused_with_what_was_expected(data):
    with pytest.raises(DataError, match=r"ndarray; expected companion.datasets.Observations"):
        binary_classifier(data.x)


def test_one_except_clause_catches_what_is_ours(data):
    with pytest.raises(CompanionError):
        binary_classifier(data, hidden=0)
