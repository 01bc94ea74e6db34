"""Conformal bands and sets, and temperature scaling: each promise is kept in simulated data sets.

There are a hundred of them in the unit tests, and 500 in `make fuzz`.
"""

import numpy as np
import pytest
from hypothesis import settings
from scipy.special import softmax

from companion.errors import DataError, ModelError
from companion.uncertainty import (
    PredictiveDistribution,
    accuracy,
    conformal_band,
    conformal_sets,
    log_score,
    temperature_scaling,
)

SETS = 500 if settings.get_current_profile_name() == "long" else 100
CALIBRATION, NEW = 99, 100


def stated(mean, sigma):
    """What a model says that believes in one normal distribution."""
    return PredictiveDistribution("NormalRV", {"mu": np.asarray(mean)[None], "sigma": np.full((1, len(mean)), sigma)})


@pytest.mark.hypothesis
@pytest.mark.parametrize(("believed", "level"), [(0.3, 0.9), (4.0, 0.5)])
def test_a_band_keeps_its_promise_whatever_noise_the_model_believes_in(believed, level):
    """True noise has heavy tails and grows with the mean; coverage is level to level + 1 / (n + 1) on average."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(SETS):
        mean = rng.normal(size=CALIBRATION + NEW)
        y = mean + (1 + np.abs(mean)) * rng.standard_t(3, size=len(mean))
        band = conformal_band(stated(mean[:CALIBRATION], believed), y[:CALIBRATION], level)
        shares.append(band.around(stated(mean[CALIBRATION:], believed)).coverage(y[CALIBRATION:]))
    error = np.std(shares) / np.sqrt(SETS)
    assert level - 3.5 * error <= np.mean(shares) <= level + 1 / (CALIBRATION + 1) + 3.5 * error
    own = stated(mean, believed).interval(level).coverage(y)
    assert (own < level - 0.1) or believed > 0.3, "the model's own band breaks the promise where it is too sure"


def test_an_honest_posterior_is_hardly_widened_and_a_sure_one_is():
    rng = np.random.default_rng(1)
    mean = rng.normal(size=5000)
    y = mean + rng.normal(size=5000)
    assert abs(conformal_band(stated(mean, 1.0), y, 0.9).widening) < 0.1
    assert conformal_band(stated(mean, 0.5), y, 0.9).widening == pytest.approx(0.82, abs=0.1)
    narrowed = conformal_band(stated(mean, 3.0), y, 0.9)
    assert narrowed.widening < 0
    tiny = narrowed.around(stated(np.zeros(1), 0.01))
    assert tiny.width[0] == pytest.approx(0, abs=1e-9), "a band doesn't turn inside out"


def drawn(rng, rows, sharper=1.0):
    """Probabilities, and what a model says that is too sure or too modest by a factor of the logits; three classes."""
    logits = 1.5 * rng.normal(size=(rows, 3))
    p = softmax(logits, axis=1)
    labels = (rng.uniform(size=(rows, 1)) > p.cumsum(axis=1)).sum(axis=1)
    return softmax(sharper * logits, axis=1)[None], labels


@pytest.mark.hypothesis
@pytest.mark.parametrize("score", ["threshold", "adaptive"])
@pytest.mark.parametrize("sharper", [0.3, 3.0])
def test_sets_keep_their_promise_whatever_the_model_s_confidence(score, sharper):
    rng = np.random.default_rng(2)
    shares = []
    for k in range(SETS):
        p, y = drawn(rng, CALIBRATION + NEW, sharper)
        sets = conformal_sets(p[:, :CALIBRATION], y[:CALIBRATION], 0.9, score=score, seed=2 * k)
        held = sets.of(p[:, CALIBRATION:], seed=2 * k + 1)
        shares.append(held[np.arange(NEW), y[CALIBRATION:]].mean())
    error = np.std(shares) / np.sqrt(SETS)
    assert 0.9 - 3.5 * error <= np.mean(shares) <= 0.9 + 1 / (CALIBRATION + 1) + 3.5 * error


def test_a_set_of_a_sure_and_of_a_hard_row():
    p, y = drawn(np.random.default_rng(3), 2000)
    for score in ("threshold", "adaptive"):
        held = conformal_sets(p, y, 0.9, score=score).of(np.array([[[0.98, 0.01, 0.01], [0.34, 0.33, 0.33]]]))
        assert held[0].sum() <= 1 < held[1].sum()


@pytest.mark.hypothesis
def test_scaling_finds_the_true_temperature_and_helps_on_new_rows():
    rng = np.random.default_rng(4)
    found, before, after = [], [], []
    for _ in range(SETS):
        p, y = drawn(rng, 400, sharper=2.0)
        scaling = temperature_scaling(p[:, :300], y[:300])
        found.append(scaling.temperature)
        before.append(log_score(p[:, 300:], y[300:]))
        after.append(log_score(scaling.apply(p[:, 300:]), y[300:]))
        if len(found) <= 20:
            assert log_score(scaling.apply(p[:, :300]), y[:300]) <= log_score(p[:, :300], y[:300])
            assert accuracy(scaling.apply(p), y) == accuracy(p, y)
    assert np.median(found) == pytest.approx(2, rel=0.05)
    better = np.subtract(before, after)
    assert better.mean() > 5 * better.std() / np.sqrt(SETS), "on rows that it has not seen, too"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: conformal_band(stated(np.zeros(5), 1.0), np.zeros(5), 0.9),
            DataError,
            "5 rows .* 0.9 needs at least 9",
        ),
        (lambda: conformal_band(stated(np.zeros(50), 1.0), np.zeros(50), 90), ModelError, "level=90"),
        (lambda: conformal_band(stated(np.zeros(5), 1.0), np.zeros(4)), DataError, r"shape \(4,\)"),
        (
            lambda: conformal_band(PredictiveDistribution("PoissonRV", {"rate": np.ones((1, 5, 2))}), np.ones((5, 2))),
            ModelError,
            r"expected one target: distribution.of_target",
        ),
        (lambda: conformal_sets(np.full((1, 20, 2), 0.5), np.zeros(20), score="raps"), ModelError, "score='raps'"),
        (lambda: conformal_sets(np.full((1, 20, 2), 0.5), np.zeros(19)), DataError, "labels for 20"),
        (lambda: conformal_sets(np.full((1, 20, 2), 0.9), np.zeros(20)), ModelError, "sum to"),
        (lambda: temperature_scaling([[[0.9, 0.1]] * 20], np.zeros(20)), DataError, "every prediction is right"),
        (lambda: temperature_scaling([[[0.9, 0.1]] * 20], np.ones(20)), DataError, "tell nothing of the labels"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
