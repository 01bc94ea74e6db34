"""Conformal bands and sets, and temperature scaling: each promise is kept in 500 simulated data sets.

Whatever needn't be done set by set is done for all at once: the 500 cost a few seconds.
"""

import numpy as np
import pytest
from scipy.special import softmax

from companion.errors import DataError, ModelError
from companion.uncertainty import (
    ConformalBand,
    PredictiveDistribution,
    accuracy,
    conformal_band,
    conformal_sets,
    log_score,
    temperature_scaling,
)

SETS = 500
CALIBRATION, NEW = 99, 100


def stated(mean, sigma):
    """What a model says that believes in one normal distribution."""
    return PredictiveDistribution(
        "NormalRV", {"mu": np.asarray(mean)[None], "sigma": np.full((1, *np.shape(mean)), sigma)}
    )


@pytest.mark.parametrize(("believed", "level"), [(0.3, 0.9), (4.0, 0.5)])
def test_a_band_keeps_its_promise_whatever_noise_the_model_believes_in(believed, level):
    """True noise has heavy tails and grows with the mean; coverage is level to level + 1 / (n + 1) on average."""
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(SETS, CALIBRATION + NEW))
    y = mean + (1 + np.abs(mean)) * rng.standard_t(3, size=mean.shape)
    held, ahead = (slice(None), slice(CALIBRATION)), (slice(None), slice(CALIBRATION, None))
    bands = [
        conformal_band(stated(m, believed), measured, level) for m, measured in zip(mean[held], y[held], strict=True)
    ]
    every = ConformalBand(np.array([[band.widening] for band in bands]), level, CALIBRATION)
    found = every.around(stated(mean[ahead], believed))
    shares = ((found.low <= y[ahead]) & (y[ahead] <= found.high)).mean(axis=1)
    assert shares[7] == bands[7].around(stated(mean[ahead][7], believed)).coverage(y[ahead][7])
    error = np.std(shares) / np.sqrt(SETS)
    assert level - 3.5 * error <= np.mean(shares) <= level + 1 / (CALIBRATION + 1) + 3.5 * error
    own = stated(mean[ahead], believed).interval(level).coverage(y[ahead])
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


def test_scaling_finds_the_true_temperature_and_helps_on_new_rows():
    p, y = drawn(np.random.default_rng(4), SETS * 400, sharper=2.0)
    p, y = p.reshape(1, SETS, 400, 3), y.reshape(SETS, 400)
    seen, new = slice(300), slice(300, None)
    scalings = [temperature_scaling(p[:, k, seen], y[k, seen]) for k in range(SETS)]
    assert np.median([scaling.temperature for scaling in scalings]) == pytest.approx(2, rel=0.05)
    for k, scaling in enumerate(scalings[:20]):
        assert log_score(scaling.apply(p[:, k, seen]), y[k, seen]) <= log_score(p[:, k, seen], y[k, seen])
        assert accuracy(scaling.apply(p[:, k]), y[k]) == accuracy(p[:, k], y[k])
    scaled = np.stack([scaling.apply(p[:, k, new]) for k, scaling in enumerate(scalings)], axis=1)
    chances = [np.take_along_axis(q[0], y[:, new, None], axis=-1) for q in (p[:, :, new], scaled)]
    better = np.log(chances[1] / chances[0]).mean(axis=(1, 2))
    assert better[3] == pytest.approx(log_score(p[:, 3, new], y[3, new]) - log_score(scaled[:, 3], y[3, new]))
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
