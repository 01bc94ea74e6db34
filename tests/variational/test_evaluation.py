"""A bound is evaluated on as many rows at once as fit into memory."""

import numpy as np
import pytest
import torch

from companion.datasets import Observations
from companion.inference import Machine, fit
from companion.machine import BUDGET_BYTES
from companion.models import torch_classifier
from companion.priors import Gaussian
from companion.variational import elbo, rows_at_once

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
