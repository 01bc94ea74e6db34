"""The originals' mistakes do what the errata say, and our own model doesn't."""

import numpy as np
import pytest

from companion import originals
from companion.datasets import Observations
from companion.models import binary_classifier


@pytest.fixture
def separable():
    """Inputs whose sign is their label."""
    sign = np.where(np.arange(200) % 2, 1.0, -1.0)
    return Observations(np.column_stack([sign, np.zeros(200)]), (sign > 0).astype(int))


@pytest.fixture
def sure_weights():
    """Weights that give the label of each `separable` row the log-odds 20."""
    return {
        "w_in_1": np.array([[5.0] * 5, [0.0] * 5]),
        "w_1_2": 5 * np.eye(5),
        "w_2_out": np.full(5, 4.0),
    }


def test_minibatch_draws_inputs_with_their_own_labels(separable, sure_weights):
    model = binary_classifier(separable, batch_size=20)
    likelihood = model.compile_logp(vars=model.observed_RVs)
    assert min(likelihood(sure_weights) for _ in range(50)) > -1e-3


def test_the_originals_builder_ignores_what_it_is_given(separable):
    data = separable
    construct = originals.builder_that_ignores_its_arguments(data)
    other = Observations(data.x + 100, 1 - data.y)
    model = construct(other.x, other.y)
    w = model.initial_point()
    assert model.compile_logp()(w) == pytest.approx(binary_classifier(data).compile_logp()(w))


def test_minibatches_drawn_apart_mix_up_the_labels(separable, sure_weights):
    model = originals.separate_minibatches(separable, batch_size=50)
    likelihood = model.compile_logp(vars=model.observed_RVs)
    wrong_pair = -20.0 * len(separable) / 50  # what one row with the label of another costs these weights
    mixed = np.mean([likelihood(sure_weights) / wrong_pair for _ in range(50)])
    assert mixed == pytest.approx(25, abs=3)  # half of each batch
