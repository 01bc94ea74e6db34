"""Do the draws disagree, does a score find what is unfamiliar, and are ten classes calibrated?"""

import warnings

import numpy as np
import pytest
from scipy.special import softmax

from companion.errors import DataError, ModelError
from companion.originals import chi_square_of_codes
from companion.uncertainty import (
    accuracy,
    chi_square,
    choose_threshold,
    class_counts,
    detect,
    reliability,
    sample_labels,
    variation_ratio,
)


@pytest.fixture
def probabilities():
    """Of 400 draws, 30 points and 10 classes, in the single precision that networks give."""
    return softmax(np.random.default_rng(0).normal(0, 2, (400, 30, 10)), axis=2).astype(np.float32)


def certain(labels, classes=3):
    """Probabilities of draws that are each sure of their label."""
    return np.eye(classes)[np.asarray(labels)]


def test_draws_that_vote_alike_disagree_in_nothing_however_unsure():
    assert variation_ratio(np.full((50, 2, 3), [0.4, 0.3, 0.3])) == pytest.approx([0, 0])


def test_the_votes_against_the_majority_by_hand():
    labels = np.array([[0, 2, 0], [0, 2, 1], [1, 2, 2], [0, 0, 0]])
    np.testing.assert_allclose(variation_ratio(certain(labels)), [1 / 4, 1 / 4, 1 / 2])


def test_a_vote_split_evenly_is_the_highest_ratio():
    split = np.arange(30)[:, None] % 3
    assert variation_ratio(certain(split)) == pytest.approx(1 - 1 / 3)


def test_labels_are_sampled_as_often_as_their_probability_says():
    p = np.array([0.0, 0.1, 0.2, 0.7])
    labels = sample_labels(np.broadcast_to(p, (20_000, 2, 4)), seed=0)
    for point in range(2):
        share = np.bincount(labels[:, point], minlength=4) / len(labels)
        np.testing.assert_allclose(share, p, atol=4 * np.sqrt(0.25 / len(labels)))
        assert share[0] == 0
    assert (labels[:, 0] != labels[:, 1]).any()  # two points are not one


def test_each_draw_samples_from_its_own_probabilities():
    labels = np.random.default_rng(1).integers(0, 3, (50, 7))
    np.testing.assert_array_equal(sample_labels(certain(labels), seed=0), labels)


def test_sums_just_below_one_leave_no_label_without_a_class():
    short = np.full((100_000, 1, 2), 0.4996, dtype=np.float32)  # 80 labels would fall beyond
    assert set(np.unique(sample_labels(short, seed=0))) == {0, 1}


def test_a_seed_repeats_the_sample_and_another_does_not(probabilities):
    labels = sample_labels(probabilities, seed=3)
    assert labels.shape == probabilities.shape[:2]
    np.testing.assert_array_equal(labels, sample_labels(probabilities, seed=3))
    assert (labels != sample_labels(probabilities, seed=4)).any()


def test_counts_are_those_of_the_sample(probabilities):
    counts, labels = class_counts(probabilities, seed=3), sample_labels(probabilities, seed=3)
    np.testing.assert_array_equal(counts, [np.bincount(column, minlength=10) for column in labels.T])


@pytest.mark.parametrize("score", [variation_ratio, lambda p: sample_labels(p, 0), lambda p: class_counts(p, 0)])
def test_what_is_not_a_probability_is_refused(score):
    with pytest.raises(ModelError, match=r"expected \(draws, points, classes\)"):
        score(np.full((2, 3), 0.5))
    with pytest.raises(ModelError, match=r"\(0, 2, 3\); expected a draw"):
        score(np.zeros((0, 2, 3)))
    with pytest.raises(ModelError, match=r"1 of 1 points \(row 0\) hold NaN"):
        score(np.array([[[np.nan, 0.5]]]))
    with pytest.raises(ModelError, match="Did logits come in"):
        score(np.array([[[3.0, -2.0]]]))


def test_chi_square_is_a_function_of_the_squared_shares():
    counts = np.random.default_rng(0).multinomial(100, np.full(10, 0.1), size=20)
    shares = counts / 100
    np.testing.assert_allclose(chi_square(counts), 100 * 10 * (shares**2).sum(axis=1) - 100, atol=1e-9)


def test_chi_square_runs_from_even_counts_to_a_single_class():
    counts = np.array([[25, 25, 25, 25], [70, 10, 10, 10], [0, 0, 100, 0]])
    np.testing.assert_allclose(chi_square(counts), [0, 108, 300])


def test_chi_square_does_not_care_which_class_is_which():
    counts = np.random.default_rng(0).multinomial(100, np.full(10, 0.1), size=20)
    np.testing.assert_allclose(chi_square(counts), chi_square(counts[:, ::-1]))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.array([1, 2]), r"shape \(2,\); expected \(points, classes\)"),
        (np.zeros((0, 3), int), r"shape \(0, 3\)"),
        (np.array([[0.5, 0.5]]), "float64 from 0.5 on; expected whole numbers"),
        (np.array([[3, -1]]), "from -1 on"),
        (np.array([[1, 2], [0, 0]]), "1 points have no label"),
    ],
)
def test_chi_square_refuses_what_are_not_counts(counts, message):
    with pytest.raises(DataError, match=message):
        chi_square(counts)


def test_the_posts_statistic_is_a_spread_of_codes():
    labels = np.random.default_rng(0).integers(0, 10, (100, 5))
    mean = labels.mean(axis=0)
    np.testing.assert_allclose(chi_square_of_codes(labels), ((labels - mean) ** 2).sum(axis=0) / mean)


def test_the_posts_statistic_of_labels_that_agree_is_zero_or_lost():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(chi_square_of_codes(np.tile([0, 1, 9], (10, 1))), [np.nan, 0, 0])


def test_the_posts_statistic_depends_on_the_names_of_the_classes_and_pearsons_does_not():
    near, far = (np.repeat([[a], [b]], 50, axis=0) for a, b in ((3, 4), (0, 9)))
    assert chi_square_of_codes(far)[0] > 50 * chi_square_of_codes(near)[0]
    of_near, of_far = (chi_square(class_counts(certain(labels, 10), seed=0)) for labels in (near, far))
    np.testing.assert_allclose(of_near, of_far)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([1, 2]), r"shape \(2,\); expected \(draws, points\)"),
        (np.zeros((0, 3), int), r"shape \(0, 3\)"),
        (np.array([[0.5, 1.0]]), "float64 from 0.5 on"),
        (np.array([[3, -1]]), "from -1 on"),
    ],
)
def test_the_posts_statistic_refuses_what_are_not_labels(labels, message):
    with pytest.raises(DataError, match=message):
        chi_square_of_codes(labels)


def test_a_score_that_separates_is_perfect_and_its_opposite_the_worst():
    familiar, unfamiliar = np.arange(30), np.arange(30, 40)
    best, worst = detect(familiar, unfamiliar), detect(-familiar, -unfamiliar)
    assert (best.auroc, best.fpr95) == (1, 0)
    assert (worst.auroc, worst.fpr95) == (0, 1)


def test_a_score_that_says_nothing_guesses():
    rng = np.random.default_rng(0)
    found = detect(rng.normal(size=50_000), rng.normal(size=20_000))
    assert found.auroc == pytest.approx(0.5, abs=0.01)
    assert found.fpr95 == pytest.approx(0.95, abs=0.01)
    assert detect(np.zeros(5), np.zeros(3)).auroc == 0.5


def test_auroc_is_the_chance_to_score_above_with_ties_counting_half():
    rng = np.random.default_rng(0)
    familiar, unfamiliar = rng.integers(0, 10, 200), rng.integers(3, 13, 80)
    above = (unfamiliar[:, None] > familiar) + 0.5 * (unfamiliar[:, None] == familiar)
    assert detect(familiar, unfamiliar).auroc == pytest.approx(above.mean())


def test_false_alarms_are_counted_where_19_of_20_are_caught():
    unfamiliar = np.arange(20) + 0.5  # the threshold is 1.5: one is missed
    familiar = np.array([0, 1, 2, 3, -1, -2, -3, -4])
    assert detect(familiar, unfamiliar).fpr95 == 2 / 8
    assert detect(np.array([1.5, 1.4]), unfamiliar).fpr95 == 1 / 2  # at the threshold is flagged


def test_turned_round_it_is_the_share_of_the_unfamiliar_that_pass():
    rng = np.random.default_rng(0)
    familiar, unfamiliar = rng.normal(0, 1, 2000), rng.normal(2, 3, 1000)
    there, back = detect(familiar, unfamiliar), detect(-unfamiliar, -familiar)
    assert back.auroc == pytest.approx(there.auroc)
    assert back.fpr95 == pytest.approx(np.mean(unfamiliar <= np.quantile(familiar, 0.95)), abs=0.005)
    assert there.fpr95 > back.fpr95 + 0.1  # so which is meant has to be said


def test_only_the_order_of_scores_matters():
    rng = np.random.default_rng(0)
    familiar, unfamiliar = rng.normal(0, 1, 300), rng.normal(1, 1, 200)
    assert detect(np.exp(familiar), np.exp(unfamiliar)) == detect(familiar, unfamiliar)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], r"shape \(0,\); expected \(points,\)"),
        ([[1.0, 2.0]], r"shape \(1, 2\)"),
        (3.0, r"shape \(\)"),
        ([1.0, np.nan], "1 of the {} scores are NaN"),
        ([np.inf, 1.0], "1 of the {} scores are NaN or infinite"),
    ],
)
def test_detection_refuses_what_it_cannot_order(scores, message):
    for name, groups in (("familiar", (scores, [1.0])), ("unfamiliar", ([1.0], scores))):
        with pytest.raises(DataError, match=f"the {name} scores|{message.format(name)}") as error:
            detect(*groups)
        assert error.match(message.format(name))
        assert error.match(f"the {name} scores")


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.999])
@pytest.mark.parametrize("n", [1, 7, 1000])
def test_no_more_of_the_familiar_is_refused_than_was_asked_for(n, share):
    scores = np.random.default_rng(n).normal(size=n)
    threshold = choose_threshold(scores, share)
    assert np.mean(scores > threshold) <= share
    assert np.mean(scores >= threshold) >= share  # and a lower threshold would refuse more


def test_ties_at_the_threshold_are_answered():
    assert np.mean(np.zeros(100) > choose_threshold(np.zeros(100), 0.01)) == 0


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, np.nan, "few", True, None])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(DataError, match=r"share=.*expected a number from 0"):
        choose_threshold(np.arange(5), share)


@pytest.mark.parametrize("scores", [[], [[0.1]], [np.nan, 0]])
def test_a_threshold_needs_scores(scores):
    with pytest.raises(DataError, match="the familiar scores"):
        choose_threshold(scores)


@pytest.mark.parametrize("sharper", [0.5, 1.0, 3.0])
def test_calibration_of_ten_classes_agrees_with_torchmetrics(sharper):
    torchmetrics = pytest.importorskip("torchmetrics")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (5000, 10))
    y = np.array([rng.choice(10, p=p) for p in softmax(logits, axis=1)])
    p = softmax(sharper * logits, axis=1)
    ours = reliability(p[None], y, bins=15).ece
    theirs = torchmetrics.classification.MulticlassCalibrationError(num_classes=10, n_bins=15, norm="l1")
    assert ours == pytest.approx(float(theirs(torch.tensor(p), torch.tensor(y))), abs=1e-6)
    assert (ours < 0.03) == (sharper == 1)  # and only the honest forecaster is calibrated
    assert accuracy(p[None], y) > 0.4
