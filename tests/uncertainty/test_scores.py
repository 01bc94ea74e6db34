"""Scores, calibration and decisions, against what can be worked out by hand."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from companion.errors import DataError, ModelError
from companion.uncertainty import (
    brier_score,
    calibration_floor,
    check_calibration,
    decide,
    log_score,
    net_benefit,
    paid_at,
    reliability,
    risk_coverage,
)


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


def test_a_class_that_does_not_occur_is_not_an_obstacle():
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


def test_bins_of_any_width_take_their_edges():
    p, y = binary([0.0, 0.004, 0.01, 0.5, 1.0]), np.array([0, 0, 1, 0, 1])
    curve = reliability(p, y, of=1, bins=[0, 0.01, 0.1, 1])
    np.testing.assert_array_equal(curve.count, [2, 1, 2])  # a point on an edge belongs to the bin above it
    np.testing.assert_allclose(curve.happened, [0, 1, 0.5])
    for edges in ([0, 1, 0.5], [0.1, 1], [0, 0.9], [0], [0, 0, 1]):
        with pytest.raises(ModelError, match="expected edges that rise from 0 to 1"):
            reliability(p, y, of=1, bins=edges)


def test_intervals_around_shares_count_groups_and_not_rows(honest):
    p, y = honest[0][:, :300], honest[1][:300]
    many, labels, mass = np.tile(p, (1, 10, 1)), np.tile(y, 10), np.tile(np.arange(300), 10)
    once, rows = reliability(p, y, of=1, bins=5), reliability(many, labels, of=1, bins=5)
    grouped = reliability(many, labels, of=1, bins=5, groups=mass)
    width, by_row, by_mass = (curve.high - curve.low for curve in (once, rows, grouped))
    assert (by_row < 0.5 * width).all()
    np.testing.assert_allclose(by_mass, width, rtol=0.25)
    assert ((grouped.low <= grouped.happened) & (grouped.happened <= grouped.high)).all()


def test_a_bin_in_which_all_labels_agree_is_not_certain():
    p, y = binary(np.full(8, 0.02)), np.zeros(8, int)
    rows = reliability(p, y, of=1)
    grouped = reliability(p, y, of=1, groups=np.repeat([0, 1], 4))
    assert rows.low[0] == grouped.low[0] == 0
    assert 0.2 < rows.high[0] < grouped.high[0]  # two masses prove less than eight
    with pytest.raises(DataError, match=r"groups have shape \(2,\) for 8 points"):
        reliability(p, y, of=1, groups=np.zeros(2))


@pytest.mark.parametrize("of", [None, 0, 1])
def test_true_statements_lie_about_at_their_floor_and_false_ones_above_it(of, honest):
    p, y = honest[0][:, :1000], honest[1][:1000]
    floor = calibration_floor(p, of=of, resamples=400)
    assert floor.shape == (400,)
    assert np.quantile(floor, 0.005) < reliability(p, y, of=of).ece < np.quantile(floor, 0.995)
    boast = p**3 / (p**3).sum(axis=-1, keepdims=True)
    assert reliability(boast, y, of=of).ece > calibration_floor(boast, of=of).max()
    assert calibration_floor(boast, of=of).mean() < 0.9 * floor.mean()  # bold statements have a lower floor


def test_the_floor_by_hand():
    """Two points in bins of their own: each misses by p or by 1 - p."""
    floor = calibration_floor(binary([0.25, 0.75]), of=1, bins=2, resamples=2000)
    np.testing.assert_allclose(np.unique(floor.round(6)), [0.25, 0.5, 0.75])
    assert floor.mean() == pytest.approx(0.375, abs=0.02)
    for setting, said in (({"of": 2}, "of=2"), ({"bins": 0}, "bins=0"), ({"resamples": 0}, "resamples=0")):
        with pytest.raises(ModelError, match=said):
            calibration_floor(binary([0.5]), **setting)
    with pytest.raises(ModelError, match="no points"):
        calibration_floor(np.zeros((1, 0, 2)))


def test_a_calibration_error_is_held_against_that_of_true_probabilities(honest):
    p, y = honest[0][:, :1000], honest[1][:1000]
    found = check_calibration(p, y, bins=15, resamples=300, seed=1)
    assert found.ece == reliability(p, y, bins=15).ece
    assert found.floor == np.quantile(calibration_floor(p, bins=15, resamples=300, seed=1), 0.95)
    assert found.log_score == pytest.approx(log_score(p, y))
    boast = p**3 / (p**3).sum(axis=-1, keepdims=True)
    assert check_calibration(boast, y, bins=15, resamples=300).ece > 1.2 * found.floor
    looser = check_calibration(p, y, bins=15, resamples=300, share=0.5, seed=1)
    assert looser.floor < found.floor
    said = str(looser)
    assert f"log score {found.log_score:.3f}, ECE {found.ece:.3f};" in said
    assert said.endswith(f"below {looser.floor:.3f} in 50 of 100 test sets")
    with pytest.raises(ModelError, match="share=1"):
        check_calibration(p, y, share=1)


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


def priced(price):
    return {"leave": (0, price), "operate": (1, 0)}


def test_costs_over_prices_are_those_of_each_price():
    p, y = binary([0.02, 0.08, 0.4, 0.9]), np.array([0, 1, 0, 1])
    found = paid_at(p, y, priced, [1, 20, 100])
    np.testing.assert_allclose(found, [[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 1, 0]])  # thresholds 1/2, 1/21, 1/101
    assert found[1].mean() == decide(p, priced(20)).paid(y).mean()
    for prices in ([], 20.0):
        with pytest.raises(ModelError, match="expected a list of one or more"):
            paid_at(p, y, priced, prices)
    with pytest.raises(ModelError, match="costs of 'leave'"):
        paid_at(p, y, priced, [np.nan])


def test_net_benefit_by_hand_and_of_those_who_treat_everybody():
    p, y = binary([0.1, 0.3, 0.6, 0.9]), np.array([0, 1, 0, 1])
    found = net_benefit(p, y, [0.2, 0.5])
    np.testing.assert_allclose(found, [[0, 1, -0.25, 1], [0, 0, -1, 1]])
    everybody = net_benefit(binary(np.ones(4)), y, [0.2]).mean()
    assert everybody == pytest.approx(0.5 - 0.5 * 0.25)
    np.testing.assert_allclose(net_benefit(p, y, [0.5], of=0), [[1, -1, 0, 0]])


def test_net_benefit_is_the_cost_curve_in_other_units(honest):
    """Cost = L (share of cases - net benefit) at the threshold 1 / (1 + L), whatever the probabilities."""
    p, y = honest[0][:, :2000], honest[1][:2000]
    prices = np.array([0.5, 3, 20, 150])
    paid = paid_at(p, y, priced, prices).mean(axis=1)
    benefit = net_benefit(p, y, 1 / (1 + prices)).mean(axis=1)
    np.testing.assert_allclose(paid, prices * (y.mean() - benefit))


def test_net_benefit_refuses_what_is_not_a_threshold():
    for thresholds in ([], [0.0], [1.0], [np.nan], 0.5):
        with pytest.raises(ModelError, match="expected a list of probabilities between 0 and 1"):
            net_benefit(binary([0.5]), np.array([0]), thresholds)
    with pytest.raises(ModelError, match="of=2"):
        net_benefit(binary([0.5]), np.array([0]), [0.5], of=2)
    with pytest.raises(DataError, match="no points"):
        net_benefit(np.zeros((1, 0, 2)), np.zeros(0, int), [0.5])


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
