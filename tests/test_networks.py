"""Plain torch networks: their shapes, their starts, their errors."""

from functools import partial

import numpy as np
import pytest
import torch

from companion import networks
from companion.errors import ModelError
from companion.networks import convolutional, dense


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


def test_the_convolutional_network_is_the_posts():
    network = convolutional()
    assert network(torch.zeros(3, 28, 28)).shape == (3, 10)
    shapes = [(32, 1, 5, 5), (32,), (32, 32, 5, 5), (32,), (256, 512), (256,), (10, 256), (10,)]
    assert [tuple(p.shape) for p in network.parameters()] == shapes


def test_pooling_before_a_rising_activation_changes_nothing():
    network, images = convolutional(seed=3), torch.rand(4, 28, 28)
    hidden = images[:, None]
    for layer in (network[1], network[5]):
        hidden = torch.nn.functional.max_pool2d(torch.tanh(layer(hidden)), 2)
    torch.testing.assert_close(network(images), network[10:](hidden.flatten(1)))


def test_convolutions_run_under_vmap():
    network, images = convolutional(seed=3), torch.rand(2, 4, 28, 28)
    torch.testing.assert_close(torch.vmap(network)(images), torch.stack([network(x) for x in images]))


def test_other_images_and_layers_make_other_networks():
    network = convolutional(filters=(4,), kernel=3, hidden=7, classes=3, side=8, activation=torch.nn.ReLU, seed=1)
    assert network(torch.zeros(2, 8, 8)).shape == (2, 3)
    assert torch.equal(network[1].weight, convolutional(filters=(4,), kernel=3, side=8, seed=1)[1].weight)
    assert not torch.equal(network[1].weight, convolutional(filters=(4,), kernel=3, side=8, seed=2)[1].weight)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filters": ()}, "expected the number of filters"),
        ({"kernel": 0}, "kernel=0"),
        ({"hidden": 2.5}, "hidden=2.5"),
        ({"filters": (8, 8, 8)}, "3 convolutions of 5x5 with pooling leave nothing of an image of 28x28"),
    ],
)
def test_sizes_that_make_no_network_are_refused(settings, message):
    with pytest.raises(ModelError, match=message):
        convolutional(**settings)


@pytest.mark.parametrize(
    ("build", "kernels", "biases"), [(networks.lenet, 545_310, 236), (networks.lenet5, 61_470, 236)]
)
def test_the_lenets_have_the_sizes_that_are_known_of_them(build, kernels, biases):
    network = build(seed=1)
    sizes = {name: p.numel() for name, p in network.named_parameters()}
    assert sum(n for name, n in sizes.items() if name.endswith("weight")) == kernels
    assert sum(n for name, n in sizes.items() if name.endswith("bias")) == biases
    assert network(torch.zeros(3, 28, 28)).shape == (3, 10)
    assert network[1](network[0](torch.zeros(3, 28, 28))).is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(network[1].weight, build(seed=2)[1].weight)
    with pytest.raises(ModelError, match="classes=0"):
        build(classes=0)


def test_a_lenet_starts_as_wide_as_tensorflows_where_that_is_asked():
    wide = {name: p.std().item() for name, p in networks.lenet(scale=0.1, seed=1).named_parameters() if p.numel() > 100}
    assert len(wide) == 6
    assert all(abs(std - 0.1) < 0.02 for std in wide.values()), wide
    assert not torch.equal(networks.lenet(scale=0.1, seed=1)[1].weight, networks.lenet(scale=0.1, seed=2)[1].weight)
    assert networks.lenet(seed=1)[1].bias.abs().max() == 0 < networks.lenet(scale=0.1, seed=1)[1].bias.abs().max()
    with pytest.raises(ModelError, match=r"scale=0"):
        networks.lenet(scale=0)


@pytest.mark.parametrize("activation", [torch.nn.ReLU(), torch.relu, int, None])
@pytest.mark.parametrize("build", [partial(dense, 1, 3, 1), convolutional])
def test_an_activation_is_a_class_of_modules(build, activation):
    with pytest.raises(ModelError, match=r"activation=.*; expected a class of modules, such as torch\.nn\.ReLU"):
        build(activation=activation)


def test_sizes_may_be_numpys_numbers():
    assert networks.dense(2, np.int64(3), np.int32(1))(torch.zeros(4, 2)).shape == (4, 1)
    assert convolutional(classes=np.int64(3))(torch.zeros(2, 28, 28)).shape == (2, 3)
    with pytest.raises(ModelError, match="one of the widths=True"):
        networks.dense(True, 3, 1)
    with pytest.raises(ModelError, match="filters=32; expected the number of filters of each"):
        convolutional(filters=32)
