"""A bound is evaluated on as many rows at once as fit into memory."""

import numpy as np
import pymc as pm
import pytest
import torch

from companion.datasets import Observations
from companion.inference import Machine, fit
from companion.machine import BUDGET_BYTES
from companion.models import torch_classifier
from companion.priors import Gaussian
from companion.variational import elbo, evaluation, rows_at_once

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


def fitted(units, **settings):
    network = torch.nn.Sequential(torch.nn.Linear(3, units), torch.nn.Tanh(), torch.nn.Linear(units, 2))
    model = torch_classifier(Observations(X, (X[:, 0] > 0).astype(int)), network, Gaussian(1.0))
    machine = Machine("cpu", compile=False)
    return fit(model, 2, family="map", machine=machine, progressbar=False, elbo_draws=2, **settings)


def most(posterior):
    own = {name: values[0] for name, values in posterior.parameters.items()}
    return rows_at_once(posterior.objective, own, posterior.batches.parts)


def test_the_wider_a_network_the_fewer_rows_at_once():
    units = 2**16
    for_each = 2 * 4 * units  # bytes: the sums that reach the units, and what they hand on
    assert most(fitted(units, batch_size=8)) == pytest.approx(BUDGET_BYTES / for_each, rel=0.1)
    assert most(fitted(10, batch_size=8)) == 20_000


def test_the_bound_of_a_mode_has_no_error():
    posterior = fitted(10, batch_size=8)
    own = {name: values[0] for name, values in posterior.parameters.items()}
    found, error = elbo(posterior.objective, own, posterior.batches.parts(7), 100, 0)
    assert (found, error) == (pytest.approx(posterior.record.elbo), 0)
    assert posterior.record.elbo_se == 0


def test_rows_that_are_taken_as_a_whole_stay_together():
    assert most(fitted(2**16)) == 20_000


class Recurrent(torch.nn.Module):
    """Rows as sequences of three numbers, by a layer that `torch.vmap` has no rule for."""

    def __init__(self):
        super().__init__()
        self.recurrent, self.out = torch.nn.LSTM(1, 4, batch_first=True), torch.nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.recurrent(x[:, :, None])[0][:, -1])


def with_three_observed():
    with pm.Model() as model:
        weight, width = pm.Normal("weight", 0, 1, shape=3), pm.HalfNormal("width", 1)
        pm.Normal("y", pm.Data("x", X) @ weight, width, observed=pm.Data("values", X[:, 0]))
        pm.Normal("one", weight.sum(), width, observed=0.3)
        pm.Poisson("count", pm.math.exp(weight[0]), observed=[1, 0, 2])
    return model


def of_network(network):
    return torch_classifier(Observations(X, (X[:, 0] > 0).astype(int)), network, Gaussian(1.0))


@pytest.mark.parametrize(
    "model",
    [
        with_three_observed,
        lambda: of_network(torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))),
        lambda: of_network(Recurrent()),
    ],
    ids=["three observed", "network", "no rule for vmap"],
)
@pytest.mark.parametrize("family", ["mean-field", "low-rank"])
def test_draws_side_by_side_have_the_bound_of_draws_one_by_one(monkeypatch, recwarn, model, family):
    posterior = fit(model(), 3, family=family, machine="cpu", progressbar=False, elbo_draws=11, batch_size=8)
    own = {name: values[0] for name, values in posterior.parameters.items()}
    rows = next(iter(posterior.batches.parts(15)))
    each = evaluation._COPIES * posterior.objective.layout.size + sum(t.numel() for t in rows.values())
    found = []
    for numbers in (0, 5 * each, 2**21):  # one by one, by fives and the rest, all at once
        monkeypatch.setattr(evaluation, "_NUMBERS", numbers)
        parts = posterior.batches.parts(15)
        weights = evaluation.log_weights(posterior.objective, own, parts, 11, 0)
        assert weights.shape == (11,)
        found.append([*elbo(posterior.objective, own, posterior.batches.parts(15), 11, 0), *weights])
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-4)
    assert not [w for w in recwarn if "loop" in str(w.message)]
