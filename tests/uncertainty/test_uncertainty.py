"""Scores of predictive probabilities, against what the mathematics says."""

import numpy as np
import pytest
import torch

from companion.errors import DataError, ModelError
from companion.prediction import grid, mean_probabilities, predicted_labels
from companion.uncertainty import accuracy, decompose_entropy, decompose_variance


@pytest.fixture(params=[2, 5])
def probabilities(request):
    return np.random.default_rng(0).dirichlet(np.ones(request.param), size=(300, 20))


@pytest.mark.parametrize("decompose", [decompose_variance, decompose_entropy])
@pytest.mark.parametrize("given", [torch.tensor, np.ndarray.tolist], ids=["tensor", "list"])
def test_tensors_and_lists_are_split_as_arrays_are(decompose, given, probabilities):
    for found, expected in zip(
        vars(decompose(given(probabilities))).values(), vars(decompose(probabilities)).values(), strict=True
    ):
        np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("decompose", [decompose_variance, decompose_entropy])
def test_total_is_aleatoric_plus_epistemic_and_neither_is_negative(decompose, probabilities):
    parts = decompose(probabilities)
    np.testing.assert_allclose(parts.total, parts.aleatoric + parts.epistemic, atol=1e-12)
    assert (parts.aleatoric >= 0).all()
    assert (parts.epistemic > 0).all()


@pytest.mark.parametrize("decompose", [decompose_variance, decompose_entropy])
def test_draws_that_agree_leave_no_epistemic_part(decompose):
    parts = decompose(np.full((10, 3, 2), 0.5))
    np.testing.assert_allclose(parts.epistemic, 0, atol=1e-12)
    assert parts.total[0] == pytest.approx(
        {"decompose_variance": 0.25, "decompose_entropy": np.log(2)}[decompose.__name__]
    )


@pytest.mark.parametrize("decompose", [decompose_variance, decompose_entropy])
def test_certain_draws_that_disagree_are_all_epistemic(decompose):
    coin = np.zeros((100, 1, 2))
    coin[:50, :, 0], coin[50:, :, 1] = 1, 1
    parts = decompose(coin)
    np.testing.assert_allclose(parts.aleatoric, 0, atol=1e-12)
    np.testing.assert_allclose(parts.epistemic, parts.total)


def test_total_variance_is_that_of_sampled_labels():
    rng = np.random.default_rng(1)
    p = rng.beta(2, 5, size=(400_000, 1))
    sampled = rng.random(p.shape) < p
    parts = decompose_variance(np.stack([1 - p, p], axis=-1))
    assert parts.total[0] == pytest.approx(sampled.var(), rel=0.01)
    assert parts.epistemic[0] == pytest.approx(2 * 5 / (7**2 * 8), rel=0.01)  # the variance of Beta(2, 5)


def test_accuracy_counts_the_labels_of_the_mean_prediction():
    probabilities = np.array([[[0.9, 0.1], [0.4, 0.6]], [[0.2, 0.8], [0.1, 0.9]]])  # means 0.55 and 0.25 for class 0
    np.testing.assert_array_equal(predicted_labels(probabilities), [0, 1])
    assert accuracy(probabilities, np.array([0, 0])) == 0.5
    with pytest.raises(DataError, match="3,"):
        accuracy(probabilities, np.zeros(3))


def test_bad_probabilities_are_named():
    with pytest.raises(ModelError, match=r"\(4, 2\); expected \(draws, points, classes\)"):
        mean_probabilities(np.zeros((4, 2)))
    broken = np.full((3, 4, 2), 0.5)
    broken[1, 2, 0] = np.nan
    with pytest.raises(ModelError, match="1 points have NaN"):
        decompose_variance(broken)


@pytest.mark.parametrize("value", [-0.5, 1.5])
def test_logits_are_not_taken_for_probabilities(value):
    with pytest.raises(ModelError, match="logits"):
        decompose_entropy(np.full((2, 3, 2), value))


def test_grid_puts_values_back_where_their_points_are():
    plane = grid(-1, 1, 5)
    np.testing.assert_array_equal(plane.image(plane.points[:, 0]), plane.x1)
    np.testing.assert_array_equal(plane.image(plane.points[:, 1]), plane.x2)
    with pytest.raises(ModelError, match="25"):
        plane.image(np.zeros(24))
    with pytest.raises(ModelError, match="low < high"):
        grid(1, -1)


@pytest.mark.parametrize("labels", [[0.5] * 20, ["a"] * 20, [0] * 19 + [np.nan]])
def test_labels_that_are_no_whole_numbers_are_refused(labels):
    with pytest.raises(DataError, match="whole numbers"):
        accuracy(np.full((3, 20, 2), 0.5), labels)


def test_whole_numbers_in_another_type_are_labels():
    assert accuracy(np.eye(2)[None], [0.0, 1.0]) == 1.0
    assert accuracy(np.eye(2)[None], [False, True]) == 1.0
