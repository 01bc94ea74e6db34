"""Plain torch networks: their shapes, their starts, their errors."""

import pytest
import torch

from companion.errors import ModelError
from companion.networks import dense


def test_a_dense_network_has_the_widths_that_were_asked_for():
    network = dense(784, 30, 20, 10)
    assert network(torch.zeros(7, 784)).shape == (7, 10)
    assert [tuple(p.shape) for p in network.parameters()] == [(30, 784), (30,), (20, 30), (20,), (10, 20), (10,)]


def test_the_last_layer_gives_its_sums_as_they_are():
    network = dense(3, 2, activation=torch.nn.Tanh)
    x = torch.randn(5, 3)
    assert torch.equal(network(x), x @ network[0].weight.T + network[0].bias)


def test_without_biases_zero_goes_to_zero():
    assert torch.equal(dense(2, 5, 5, 1, activation=torch.nn.Tanh, bias=False)(torch.zeros(1, 2)), torch.zeros(1, 1))


def test_starts_follow_the_seed_and_nothing_else():
    before = torch.random.get_rng_state()
    one, same, other = (dense(20, 30, 2, seed=s)[0].weight for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_sums_start_with_about_unit_variance():
    sums = dense(1000, 500)(torch.randn(200, 1000, generator=torch.Generator().manual_seed(1)))
    assert 0.9 < float(sums.std()) < 1.1


@pytest.mark.parametrize("widths", [(), (3,), (3, 0), (3, -1, 2), (3, 2.5), ("3", 2)])
def test_widths_that_make_no_network_are_refused(widths):
    with pytest.raises(ModelError, match="widths"):
        dense(*widths)
