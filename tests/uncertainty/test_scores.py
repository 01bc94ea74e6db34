"""Scores, calibration and decisions, against what can be worked out by hand."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from companion.errors import DataError, ModelError
from companion.uncertainty import brier_score, decide, log_score, reliability, risk_coverage


def binary(p):
    """Probabilities (1, points, 2) from those of class 1."""
    p = np.asarray(p, dtype=float)
    return np.stack([1 - p, p], axis=-1)[None]


@pytest.fixture
def honest():
    """A forecaster whose probabilities are true, and what happened."""
    rng = np.random.default_rng(0)
    p = rng.beta(0.7, 0.7, size=200_000)
    return binary(p), (rng.random(p.shape) < p).astype(int)


def test_scores_of_a_coin():
    y = np.array([0, 1, 1, 0])
    assert log_score(binary([0.5] * 4), y) == pytest.approx(np.log(2))
    assert brier_score(binary([0.5] * 4), y) == pytest.approx(0.25)


def test_scores_by_hand_and_averaged_over_draws_first():
    draws = np.concatenate([binary([0.9, 0.3]), binary([0.5, 0.1])])  # means 0.7 and 0.2
    y = np.array([1, 0])
    assert log_score(draws, y) == pytest.approx(-(np.log(0.7) + np.log(0.8)) / 2)
    assert brier_score(draws, y) == pytest.approx((0.3**2 + 0.2**2) / 2)


def test_scores_of_three_classes():
    p = np.array([[[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]])
    assert brier_score(p, np.array([2, 0])) == pytest.approx((0.2**2 + 0.3**2 + 0.5**2) / 2)
    assert log_score(p, np.array([2, 0])) == pytest.approx(-np.log(0.5) / 2)
    assert np.isfinite(log_score(p, np.array([2, 1])))  # a certain error costs much, not infinitely much


def test_a_class_that_does_not_occur_is_no_obstacle():
    assert log_score(binary([0.1, 0.2]), np.zeros(2, int)) == pytest.approx(-(np.log(0.9) + np.log(0.8)) / 2)
    assert brier_score(binary([0.1, 0.2]), np.zeros(2, int)) == pytest.approx((0.01 + 0.04) / 2)


@pytest.mark.parametrize("score", [log_score, brier_score])
def test_proper_scores_punish_both_exaggeration_and_hedging(score, honest):
    p, y = honest
    logit = np.log(p[0, :, 1] / p[0, :, 0])
    exaggerated, hedged = (binary(1 / (1 + np.exp(-factor * logit))) for factor in (1.5, 0.6))
    assert score(p, y) < score(exaggerated, y)
    assert score(p, y) < score(hedged, y)


@pytest.mark.parametrize("score", [log_score, brier_score, reliability])
def test_labels_that_do_not_fit_are_refused(score):
    with pytest.raises(DataError, match=r"\(3,\) labels for 2 predicted points"):
        score(binary([0.5, 0.5]), np.zeros(3, int))
    with pytest.raises(DataError, match="outside 0 and 1"):
        score(binary([0.5, 0.5]), np.array([0, 2]))


@pytest.mark.parametrize("of", [None, 0, 1])
def test_an_honest_forecaster_is_calibrated_and_a_boaster_is_not(of, honest):
    p, y = honest
    curve = reliability(p, y, of=of)
    assert curve.count.sum() == len(y)
    np.testing.assert_allclose(curve.happened, curve.stated, atol=0.015)
    assert curve.ece < 0.005
    boast = p**3 / (p**3).sum(axis=-1, keepdims=True)
    assert reliability(boast, y, of=of).ece > 0.1


def test_reliability_by_hand():
    p, y = binary([0.05, 0.15, 0.15, 1.0]), np.array([0, 1, 0, 1])
    curve = reliability(p, y, of=1, bins=10)
    np.testing.assert_allclose(curve.stated, [0.05, 0.15, 1.0])
    np.testing.assert_allclose(curve.happened, [0, 0.5, 1])
    np.testing.assert_array_equal(curve.count, [1, 2, 1])
    assert curve.ece == pytest.approx((0.05 + 2 * 0.35 + 0) / 4)


def test_probabilities_just_beyond_one_by_rounding_are_counted():
    assert reliability(binary([1 + 1e-7, 0.5]), np.array([1, 0])).count.sum() == 2


def test_reliability_refuses_what_it_cannot_bin():
    with pytest.raises(ModelError, match="bins=0"):
        reliability(binary([0.5]), np.array([0]), bins=0)
    with pytest.raises(ModelError, match="of=2; expected a class from 0 to 1"):
        reliability(binary([0.5]), np.array([0]), of=2)
    with pytest.raises(DataError, match="no points"):
        reliability(np.zeros((1, 0, 2)), np.zeros(0, int))


COSTS = {"leave": (0, 20), "operate": (1, 0), "refer": (0.25, 0.25)}


def test_the_cheapest_action_follows_the_odds():
    """By hand: 20 p < 0.25 up to p = 0.0125, and 1 - p < 0.25 from p = 0.75 on."""
    chosen = decide(binary([0.0, 0.012, 0.013, 0.74, 0.76, 1.0]), COSTS)
    assert [chosen.actions[k] for k in chosen.chosen] == ["leave", "leave", "refer", "refer", "operate", "operate"]
    np.testing.assert_allclose(chosen.expected, [0, 0.24, 0.25, 0.25, 0.24, 0])
    np.testing.assert_allclose(chosen.paid(np.array([0, 1, 1, 0, 0, 1])), [0, 20, 0.25, 0.25, 1, 0])
    assert chosen.share("refer") == pytest.approx(2 / 6)


def test_expected_costs_are_those_paid_by_an_honest_forecaster(honest):
    p, y = honest
    decisions = decide(p, COSTS)
    assert decisions.paid(y).mean() == pytest.approx(decisions.expected.mean(), rel=0.03)
    best_threshold = min(np.where(p[0, :, 1] > t, 1 - y, 20 * y).mean() for t in np.linspace(0, 1, 201))
    assert decide(p, {k: COSTS[k] for k in ("leave", "operate")}).paid(y).mean() == pytest.approx(
        best_threshold, rel=0.01
    )


def test_decisions_refuse_what_makes_no_sense():
    with pytest.raises(ModelError, match="no action to choose"):
        decide(binary([0.5]), {})
    for costs in ((1, 2, 3), (1,), (np.nan, 0), (0, np.inf)):
        with pytest.raises(ModelError, match=r"costs of 'leave'.*expected 2 numbers"):
            decide(binary([0.5]), {"leave": costs})
    decisions = decide(binary([0.5]), COSTS)
    with pytest.raises(DataError, match=r"\(2,\) labels for 1 decisions"):
        decisions.paid(np.zeros(2, int))
    with pytest.raises(DataError, match="outside 0 and 1"):
        decisions.paid(np.array([-1]))
    with pytest.raises(ModelError, match="no action 'wait'; there are leave, operate, refer"):
        decisions.share("wait")


def test_risk_and_coverage_by_hand():
    p, y = binary([0.9, 0.8, 0.7, 0.6]), np.array([1, 1, 0, 1])
    curve = risk_coverage(1 - p[0].max(axis=1), p, y)
    np.testing.assert_allclose(curve.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(curve.risk, [0, 0, 1 / 3, 1 / 4])
    assert curve.area == pytest.approx((1 / 3 + 1 / 4) / 4)
    assert curve.at(0.5) == 0
    assert curve.at(0.51) == pytest.approx(1 / 3)
    assert curve.at(1) == pytest.approx(1 / 4)


def test_a_doubt_that_says_nothing_leaves_the_risk_where_it_is():
    p, y = binary([0.9, 0.9, 0.9, 0.9]), np.array([1, 0, 1, 1])
    np.testing.assert_allclose(risk_coverage(np.zeros(4), p, y).risk, 0.25)


def test_doubt_that_finds_errors_lowers_the_area(honest):
    p, y = (a[..., :2000, :] if a.ndim == 3 else a[:2000] for a in honest)
    doubt = 1 - p[0].max(axis=1)
    wrong = p[0].argmax(axis=1) != y
    assert roc_auc_score(wrong, doubt) > 0.7
    assert risk_coverage(doubt, p, y).area < 0.6 * wrong.mean() < risk_coverage(-doubt, p, y).area


def test_risk_coverage_refuses_what_does_not_fit():
    p, y = binary([0.5, 0.6]), np.array([0, 1])
    with pytest.raises(DataError, match=r"\(3,\) for 2 points"):
        risk_coverage(np.zeros(3), p, y)
    with pytest.raises(DataError, match="1 doubts are NaN"):
        risk_coverage(np.array([0, np.nan]), p, y)
    with pytest.raises(ModelError, match="coverage=0"):
        risk_coverage(np.zeros(2), p, y).at(0)
