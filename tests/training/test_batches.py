"""Mini-batches: which rows a step sees, what they stand for, and rows read from a dataset."""

import multiprocessing
from functools import partial

import numpy as np
import pymc as pm
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset

from companion.bridge import torch_log_density
from companion.errors import DataError, ModelError
from companion.inference import Start, Stream, fit
from companion.training import Rows, batches_for
from companion.variational import Objective, elbo

QUICK = {"progressbar": False, "elbo_draws": 10, "precision": "float64"}

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X @ [1.0, -0.5, 2.0] + 0.5 * RNG.normal(size=40)


def regression(total_size=None, plain=False):
    with pm.Model() as model:
        x, labels = (X, Y) if plain else (pm.Data("x", X), pm.Data("labels", Y))
        sd = pm.Data("sd", 0.7)  # not one per row: every batch has the whole
        pm.Normal("y", x @ pm.Normal("w", 0, 2, shape=3), sd, observed=labels, total_size=total_size)
    return model


def own_minibatches(total_size=None, rows=8):
    with pm.Model() as model:
        x, labels = pm.Minibatch(X, Y, batch_size=rows)
        pm.Normal("y", x @ pm.Normal("w", 0, 2, shape=3), 0.7, observed=labels, total_size=total_size)
    return model


class Table(Dataset):
    """Rows one at a time: tuples, or mappings where there are names."""

    def __init__(self, *columns, names=None):
        self.columns, self.names = columns, names

    def __len__(self):
        return len(self.columns[0])

    def __getitem__(self, i):
        row = tuple(column[i] for column in self.columns)
        return dict(zip(self.names, row, strict=True)) if self.names else row


class Endless(IterableDataset):
    def __iter__(self):
        return iter(())


# --- rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3, 10])
def test_an_epoch_sees_every_row_once_in_an_order_of_its_own(batch):
    rows = Rows(10, batch, seed=1)
    epochs = np.concatenate([rows.at(step) for step in range(30 // batch)]).reshape(3, 10)
    assert (np.sort(epochs) == np.arange(10)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 3
    np.testing.assert_array_equal(Rows(10, batch, seed=1).at(2), rows.at(2))  # no state: a fit can go on anywhere
    assert any((Rows(10, batch, seed=2).at(s) != rows.at(s)).any() for s in range(10 // batch))


def test_processes_share_an_epoch_among_them():
    alone, ranks = Rows(30, 6, seed=1), [Rows(30, 2, seed=1, rank=r, world=3) for r in range(3)]
    for step in range(10):
        np.testing.assert_array_equal(np.concatenate([r.at(step) for r in ranks]), alone.at(step))


# --- what a batch stands for ------------------------------------------------------------------------------------------

MODELS = {
    "pm.Data": regression,
    "pm.Data with total_size": partial(regression, total_size=40),
    "pm.Minibatch": own_minibatches,
    "pm.Minibatch with total_size": partial(own_minibatches, total_size=40),
}


@pytest.mark.parametrize("kind", MODELS)
def test_batches_average_to_the_likelihood_of_all_rows(kind):
    density = torch_log_density(MODELS[kind]())
    batches, rows = batches_for(density, 8, None, seed=0, rank=0, world=1, workers=0)
    objective = Objective(density, None, rows=rows)
    w = np.array([0.3, 0.2, 1.0])
    full = (-0.5 * ((Y - X @ w) / 0.7) ** 2 - np.log(0.7 * np.sqrt(2 * np.pi))).sum()
    found = [float(objective.log_likelihood({"w": torch.tensor(w)}, batches.at(step))) for step in range(5)]
    assert np.mean(found) == pytest.approx(full)
    assert np.std(found) > 1


@pytest.mark.parametrize("kind", MODELS)
def test_every_way_of_writing_mini_batches_is_the_same_fit(kind):
    batch_size = None if "Minibatch" in kind else 8
    posterior, plain = (
        fit(model, 50, batch_size=n, **QUICK) for model, n in ((MODELS[kind](), batch_size), (regression(), 8))
    )
    np.testing.assert_allclose(posterior.record.history, plain.record.history)
    assert posterior.record.elbo == pytest.approx(plain.record.elbo)
    assert posterior.predict(X[:4], posterior.draw(2, seed=0)).shape == (2, 4)


def test_observations_without_rows_count_once_and_the_elbo_does_not_depend_on_its_parts():
    with pm.Model() as model:
        w = pm.Normal("w", 0, 2, shape=3)
        pm.Normal("y", pm.Data("x", X) @ w, 0.7, observed=pm.Data("labels", Y), total_size=40)
        pm.Normal("z", w[0] * pm.Data("z_x", X[:, 0]), 0.7, observed=pm.Data("z_labels", Y))
        pm.Normal("few", w.sum(), 1, observed=np.array([1.0, 2.0]))
    settings = {"learning_rate": 1e-9, "start": Start(scale=1e-7), **QUICK}
    batched, whole = (fit(model, 5, batch_size=n, **settings) for n in (8, None))
    np.testing.assert_allclose(batched.record.elbo, whole.record.elbo, rtol=1e-6)
    assert whole.record.elbo == pytest.approx(-whole.record.history[0], rel=1e-6)
    assert whole.record.elbo == pytest.approx(-batched.record.history.mean(), rel=1e-6)  # of an epoch
    for posterior in (batched, whole):
        own = {name: p[0] for name, p in posterior.parameters.items()}
        found = elbo(posterior.objective, own, posterior.batches.parts(most=7), 10, 0)
        np.testing.assert_allclose(found[0], posterior.record.elbo)


@pytest.mark.parametrize("rows", [1, 8, 40])
def test_batches_of_any_size_fit(rows):
    posterior = fit(regression(), 2000, batch_size=rows, learning_rate=0.02, **QUICK)
    precision = X.T @ X / 0.49 + np.eye(3) / 4
    exact, sds = np.linalg.solve(precision, X.T @ Y / 0.49), 1 / np.sqrt(np.diag(precision))
    mean, scale = posterior.parameters["mean"][0].numpy(), posterior.parameters["log_scale"][0].exp().numpy()
    assert np.abs((mean - exact) / sds).max() < 0.5
    np.testing.assert_allclose(scale, sds, rtol=0.25)


@pytest.mark.parametrize(
    ("model", "batch_size", "message"),
    [
        (regression, 41, "batch_size=41; expected 1 to 40"),
        (partial(regression, plain=True), 8, r"batch_size=8, but .* plain arrays.*pm.Data\('x', X\)"),
        (own_minibatches, 7, "batch_size=7; the model's own pm.Minibatch draws 8 rows"),
    ],
)
def test_batches_that_cannot_be_drawn_are_refused(model, batch_size, message):
    with pytest.raises(ModelError, match=message):
        fit(model(), 1, batch_size=batch_size, **QUICK)


def test_observed_data_of_different_lengths_are_refused():
    with pm.Model() as model:
        w = pm.Normal("w")
        pm.Normal("a", w, 1, observed=pm.Data("one", np.ones(5)))
        pm.Normal("b", w, 1, observed=pm.Data("two", np.ones(6)))
    with pytest.raises(ModelError, match=r"\{'one': 5, 'two': 6\}"):
        fit(model, 1, batch_size=2, **QUICK)


# --- datasets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("names", [("x", "labels"), None])
def test_rows_read_from_a_dataset_give_the_same_fit_bit_for_bit(names, workers):
    whole = regression()
    with whole:  # the model's own rows only give shapes
        pm.set_data({"x": np.zeros((2, 3)), "labels": np.zeros(2)})
    streamed = fit(whole, 30, batch_size=Stream(Table(X, Y, names=names), 7, workers), **QUICK)
    resident = fit(regression(), 30, batch_size=7, **QUICK)
    np.testing.assert_array_equal(streamed.record.history, resident.record.history)
    np.testing.assert_allclose(streamed.record.elbo, resident.record.elbo)
    assert streamed.k_hat(100) == pytest.approx(resident.k_hat(100))
    assert not multiprocessing.active_children()  # nobody goes on reading


@pytest.mark.parametrize(
    ("dataset", "size", "error", "message"),
    [
        (Endless(), 7, ModelError, "dataset is a Endless; expected a map-style"),
        ([1, 2], 7, ModelError, "dataset is a list"),
        (Table(X, Y), None, ModelError, "without batch_size"),
        (Table(X, Y), 41, ModelError, "batch_size=41; expected 1 to 40"),
        (Table(X, Y, names=("x", "y")), 7, DataError, r"has \['x', 'y'\]; the model reads"),
        (Table(X, Y, Y), 7, DataError, "has 3 entries; the model reads"),
        (Table(X[:, :2], Y), 7, DataError, r"'x' .* shape \(2,\); .* \(3,\)"),
    ],
)
def test_datasets_that_do_not_fit_are_named(dataset, size, error, message):
    with pytest.raises(error, match=message):
        fit(regression(), 3, batch_size=Stream(dataset, size), **QUICK)


def test_a_dataset_needs_a_model_with_data():
    with pytest.raises(ModelError, match=r"not in pm\.Data, which its rows could fill"):
        fit(regression(plain=True), 3, batch_size=Stream(Table(X, Y), 7), **QUICK)
