"""The classifier of the posts: its density, its mini-batches, and what it refuses."""

import numpy as np
import pymc as pm
import pytest
import torch
from scipy import stats

from companion import datasets
from companion.datasets import Observations
from companion.errors import CompanionError, DataError, ModelError
from companion.models import binary_classifier, torch_classifier
from companion.networks import dense
from companion.priors import Gaussian


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


# --- a torch network in a model --------------------------------------------------------------------------


def torch_moons(outputs):
    network = dense(2, 5, 5, outputs, activation=torch.nn.Tanh, bias=False, seed=3)
    return network, torch_classifier(datasets.moons().train, network, Gaussian(1.0))


def test_the_torch_network_of_the_posts_is_the_same_model():
    _, model = torch_moons(1)
    point = model.initial_point()
    same = {"w_in_1": point["0.weight"].T, "w_1_2": point["2.weight"].T, "w_2_out": point["4.weight"][0]}
    by_hand = binary_classifier(datasets.moons().train)
    assert model.compile_logp()(point) == pytest.approx(by_hand.compile_logp()(same), rel=1e-6)


def test_two_outputs_that_differ_by_the_logit_are_one():
    _, model = torch_moons(1)
    _, other = torch_moons(2)
    point = model.initial_point()
    doubled = point | {"4.weight": np.stack([np.zeros(5), point["4.weight"][0]])}
    first = model.compile_logp(vars=model.observed_RVs)(point)
    second = other.compile_logp(vars=other.observed_RVs)(doubled)
    assert first == pytest.approx(second, rel=1e-5)


def test_the_module_is_not_changed_and_is_where_inference_starts():
    network, model = torch_moons(1)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    with model:
        pm.fit(20, progressbar=False, random_seed=1)
    for name, p in network.named_parameters():
        assert torch.equal(p, before[name])
        np.testing.assert_allclose(model.initial_point()[name], before[name])


def test_labels_without_an_output_are_refused():
    data = datasets.moons().train
    with pytest.raises(DataError, match=r"0 to 2.*2 outputs"):
        torch_classifier(Observations(data.x, data.y * 2), dense(2, 3, 2), Gaussian(1.0))


def test_a_module_that_gives_no_table_of_logits_is_refused():
    module = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Flatten(0))
    with pytest.raises(ModelError, match="rows, outputs"):
        torch_classifier(datasets.moons().train, module, Gaussian(1.0))


def test_what_are_not_observations_is_refused():
    with pytest.raises(DataError, match="Observations"):
        torch_classifier(np.zeros((3, 2)), dense(2, 1), Gaussian(1.0))


def test_features_go_by_their_names(data):
    model = binary_classifier(data, feature_names=("radius", "texture"))
    assert model.coords["feature"] == ("radius", "texture")
    with pytest.raises(ModelError, match="expected 2 different names"):
        binary_classifier(data, feature_names=("radius",))
    with pytest.raises(ModelError, match="expected 2 different names"):
        binary_classifier(data, feature_names=("radius", "radius"))


def test_a_batch_that_stands_for_all_rows_counts_for_them(data):
    whole, part = binary_classifier(data), binary_classifier(Observations(data.x[:10], data.y[:10]), total_size=40)
    w = whole.initial_point()
    by_row = whole.compile_logp(vars=whole.observed_RVs, sum=False)(w)[0]
    assert part.compile_logp(vars=part.observed_RVs)(w) == pytest.approx(4 * by_row[:10].sum())
    with pytest.raises(ModelError, match=r"total_size=39.*at least 40"):
        binary_classifier(data, total_size=39)
    with pytest.raises(ModelError, match="no batch_size"):
        binary_classifier(data, batch_size=5, total_size=40)
