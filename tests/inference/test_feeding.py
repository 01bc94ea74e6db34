"""Batches from a generator: the right rows together, the right place to stop, and the right answer."""

import itertools

import numpy as np
import pymc as pm
import pytest

from companion.datasets import Observations, moons
from companion.errors import DataError, ModelError
from companion.inference import feed, fit_advi, minibatches
from companion.models import binary_classifier


@pytest.fixture(scope="module")
def data():
    return moons(n_samples=400).train


@pytest.fixture
def fed(data):
    return binary_classifier(Observations(data.x[:20], data.y[:20]), total_size=len(data))


def batches_of(data, seed=0):
    return minibatches({"x": data.x, "labels": data.y}, 20, seed)


def test_inputs_keep_their_labels_and_every_row_comes(data):
    key = {tuple(row): label for row, label in zip(data.x, data.y, strict=True)}
    seen = set()
    for batch in itertools.islice(batches_of(data), 100):
        assert batch["x"].shape == (20, 2)
        assert [key[tuple(row)] for row in batch["x"]] == batch["labels"].tolist()
        seen |= {tuple(row) for row in batch["x"]}
    assert len(seen) == len(data)


def test_batches_follow_the_seed(data):
    first, again, other = (next(batches_of(data, seed))["x"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_rows_may_lie_in_a_file(data, tmp_path):
    np.save(tmp_path / "x.npy", data.x)
    on_disk = np.load(tmp_path / "x.npy", mmap_mode="r")
    batch = next(minibatches({"x": on_disk, "labels": data.y}, 20))
    assert type(batch["x"]) is np.ndarray
    np.testing.assert_array_equal(batch["x"], next(batches_of(data))["x"])


def test_each_step_sees_the_next_batch(fed):
    numbered = ({"x": np.full((20, 2), float(k)), "labels": np.zeros(20, int)} for k in itertools.count())
    seen = []

    def look(approximation, losses, step):
        seen.append(fed["x"].get_value()[0, 0])

    callback = feed(fed, numbered)
    assert fed["x"].get_value()[0, 0] == 0
    fit_advi(fed, 5, callbacks=[look, callback], elbo_draws=2)
    assert seen == [0, 1, 2, 3, 4]


def test_a_fed_fit_finds_what_a_fit_on_all_rows_finds(data, fed):
    full, adam = binary_classifier(data), pm.adam(learning_rate=0.02)
    whole = fit_advi(full, 4000, optimizer=adam)
    by_feeding = fit_advi(fed, 4000, optimizer=adam, callbacks=[feed(fed, batches_of(data))], full_model=full)
    assert -by_feeding.record.elbo == pytest.approx(-whole.record.elbo, rel=0.25)
    assert -by_feeding.record.elbo < 0.75 * len(data) * np.log(2)


def test_a_fit_ends_where_its_batches_end(data, fed):
    few = itertools.islice(batches_of(data), 8)
    fit = fit_advi(fed, 50, callbacks=[feed(fed, few)], full_model=binary_classifier(data), elbo_draws=5)
    assert len(fit.record.history) in (7, 8)  # PyMC forgets the loss of the step at which a callback stops it
    assert np.isfinite(fit.record.elbo)


def test_what_does_not_fit_is_refused(data, fed):
    with pytest.raises(DataError, match="same number of rows"):
        minibatches({"x": data.x, "labels": data.y[:-1]}, 20)
    with pytest.raises(DataError, match="one or more arrays"):
        minibatches({}, 20)
    with pytest.raises(ModelError, match="batch_size=0; expected 1 to 200"):
        minibatches({"x": data.x}, 0)
    with pytest.raises(ModelError, match="has not run out"):
        feed(fed, iter(()))
    with pytest.raises(ModelError, match=r"a batch has \['x'\]; expected the model's data, \['labels', 'x'\]"):
        feed(fed, iter([{"x": data.x}]))
    with pytest.raises(ModelError, match="doesn't fit"):
        feed(fed, iter([{"x": data.x[0], "labels": data.y}]))
