"""Scores of predictive probabilities, against what the mathematics says."""

import warnings
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from companion import plots
from companion.errors import DataError, ModelError
from companion.prediction import check_probabilities, grid, mean_probabilities, predicted_labels
from companion.uncertainty import (
    accuracy,
    brier_score,
    class_counts,
    decide,
    decompose_entropy,
    decompose_variance,
    log_score,
    reliability,
    risk_coverage,
    sample_labels,
    variation_ratio,
)


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
    with pytest.raises(ModelError, match=r"1 of 4 points \(row 2\) hold NaN"):
        decompose_variance(broken)


@pytest.mark.parametrize("value", [-0.5, 1.5])
def test_logits_are_not_taken_for_probabilities(value):
    with pytest.raises(ModelError, match="logits"):
        decompose_entropy(np.full((2, 3, 2), value))


def scored(score, p):
    return score(p, np.zeros(np.shape(p)[1], dtype=int))


def risk(p):
    return risk_coverage(np.zeros(np.shape(p)[1]), p, np.zeros(np.shape(p)[1], dtype=int))


# Every score, decision and figure that takes the class probabilities of draws.
TAKERS = {
    "mean_probabilities": mean_probabilities,
    "predicted_labels": predicted_labels,
    **{score.__name__: partial(scored, score) for score in (accuracy, log_score, brier_score, reliability)},
    "risk_coverage": risk,
    "decide": lambda p: decide(p, {"act": np.ones(np.shape(p)[-1])}),
    "decompose_variance": decompose_variance,
    "decompose_entropy": decompose_entropy,
    "variation_ratio": variation_ratio,
    "sample_labels": partial(sample_labels, seed=0),
    "class_counts": partial(class_counts, seed=0),
    "image_predictions": lambda p: plots.image_predictions(np.zeros((np.shape(p)[1], 2, 2)), p),
    "probability_surface": lambda p: plots.probability_surface(grid(n=3), p),
}
TRUE = np.random.default_rng(0).dirichlet(np.ones(2), size=(4, 9))  # 4 draws, 9 points, 2 classes
SIGMOIDS = np.random.default_rng(0).uniform(0.6, 0.9, size=TRUE.shape)


def spoiled(value):
    """Probabilities of which one entry, that of row 7, is something else."""
    p = TRUE.copy()
    p[1, 7, 0] = value
    return p


NOT_PROBABILITIES = {
    "sigmoids of several labels": (
        SIGMOIDS,
        r"of 9 of 9 points \(rows 0, 1, 2, 3, 4, \.\.\.\) sum to between 1\..*one label",
    ),
    "a class left out": (
        TRUE[..., :1],
        r"of 9 of 9 points .*Add the class that is left out: np\.concatenate\(\[1 - p, p\]",
    ),
    "classes before points": (np.moveaxis(TRUE, -1, 1), r"of 2 of 2 points .*over axis 1: .*\(probabilities, 1, -1\)"),
    "classes before draws": (np.moveaxis(TRUE, -1, 0), r"over axis 0: .*\(probabilities, 0, -1\)"),
    "one draw of one point": (spoiled(0.0), r"of 1 of 9 points \(row 7\) sum to 0\.\d+; expected 1 over all classes"),
    "NaN": (spoiled(np.nan), r"of 1 of 9 points \(row 7\) hold NaN"),
    "a negative number": (spoiled(-0.25), r"of 1 of 9 points \(row 7\) reach from -0\.25 to"),
    "infinity": (spoiled(np.inf), r"of 1 of 9 points \(row 7\) reach from .* to inf"),
    "logits": (np.log(TRUE), r"9 of 9 points .*Did logits come in\? .*softmax"),
    "no draw": (TRUE[:0], r"\(0, 9, 2\); expected a draw and a class"),
    "no class": (TRUE[..., :0], r"\(4, 9, 0\); expected a draw and a class"),
    "no axis of draws": (TRUE[0], r"\(9, 2\); expected \(draws, points, classes\).*probabilities\[None\]"),
    "words": (TRUE.astype(str), r"of the type <U32; expected numbers"),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize(("given", "message"), NOT_PROBABILITIES.values(), ids=NOT_PROBABILITIES)
def test_whatever_takes_probabilities_refuses_all_else_and_names_the_rows(taker, given, message):
    with pytest.raises(ModelError, match=message):
        TAKERS[taker](given)


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_rounding_is_let_through(taker, precision):
    logits = 5 * torch.randn(4, 9, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TAKERS[taker](logits.to(precision).softmax(-1).float().numpy())
    plt.close("all")


def test_the_coarsest_precision_of_a_fit_leaves_less_than_is_let_through():
    logits = 5 * torch.randn(1, 50_000, 10, generator=torch.Generator().manual_seed(0))
    rounded = logits.bfloat16().softmax(-1).float().numpy()
    assert np.abs(rounded.sum(axis=2) - 1).max() > 2e-3  # far more than the rounding of float32
    check_probabilities(rounded)


def test_three_sigmoids_are_no_longer_scored():
    """They had an accuracy of 1, a Brier score above its largest, and an action of cost 1 was expected to cost 2.7."""
    with pytest.raises(ModelError, match=r"5 of 5 points \(rows 0, 1, 2, 3, 4\) sum to 2\.7; expected 1"):
        accuracy(np.full((1, 5, 3), 0.9), np.zeros(5, int))


def test_grid_puts_values_back_where_their_points_are():
    plane = grid(-1, 1, 5)
    np.testing.assert_array_equal(plane.image(plane.points[:, 0]), plane.x1)
    np.testing.assert_array_equal(plane.image(plane.points[:, 1]), plane.x2)
    with pytest.raises(ModelError, match="25"):
        plane.image(np.zeros(24))
    with pytest.raises(ModelError, match="low < high"):
        grid(1, -1)


@pytest.mark.parametrize("labels", [[0.5] * 20, ["a"] * 20, [0] * 19 + [np.nan]])
def test_labels_that_are_not_whole_numbers_are_refused(labels):
    with pytest.raises(DataError, match="whole numbers"):
        accuracy(np.full((3, 20, 2), 0.5), labels)


def test_whole_numbers_in_another_type_are_labels():
    assert accuracy(np.eye(2)[None], [0.0, 1.0]) == 1.0
    assert accuracy(np.eye(2)[None], [False, True]) == 1.0
