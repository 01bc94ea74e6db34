"""Simplified graphs: the same numbers by fewer operations, and nothing handed out that isn't the taker's own."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from companion.bridge.simplifying import simplify


def traced(function, *example):
    graph = make_fx(function)(*example)
    before = calls(graph)
    return simplify(graph), before


def calls(graph):
    return sum(node.op == "call_function" for node in graph.graph.nodes)


def gradient(x, y):
    weight = torch.tensor(2.0)

    def loss(row, target):
        shifted = (row * 1 + 0.0).reshape(row.shape)
        residual = target - torch.tanh(shifted @ row * weight)
        return residual**2 + (target - torch.tanh(shifted @ row * weight)) ** 2

    return torch.vmap(torch.func.grad_and_value(loss))(x, y)


def test_a_gradient_stays_what_it_is_in_half_the_operations() -> None:
    x, y = torch.randn(7, 3), torch.randn(7)
    simple, before = traced(gradient, x, y)
    wanted = gradient(x, y)
    assert calls(simple) < before / 2
    for a, b in zip(simple(x, y), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "left"),
    [
        (lambda x: (x * 1).sum(), 1),
        (lambda x: (x + torch.zeros(3)).sum(), 1),
        (lambda x: (torch.ones(3) * x).sum(), 1),
        (lambda x: (x + 1e-300).sum(), 2),  # not zero
        (lambda x: x.exp().sum() + x.exp().sum(), 3),
        (lambda x: (x * (torch.arange(3.0) + 1) ** 2).sum(), 2),
        (lambda x: (x.view(3) - 0).permute(0).sum(), 1),
        (lambda x: (x.double() * 1).sum(), 2),  # the cast stays
        (lambda x: (x * torch.ones(2, 1)).sum(), 2),  # the shape changes
        (lambda x: (x / x).sum(), 2),
        (lambda x: (x**1.0).sum(), 1),
        (lambda x: (x**2.0).sum(), 2),
        (lambda x: x.neg().neg().sum(), 1),
        (lambda x: x.view(3, 1).t().t().sum(), 2),
    ],
)
def test_what_computes_nothing_goes(function, left) -> None:
    x = torch.tensor([0.5, -1.0, 3.0])
    simple, _ = traced(function, x)
    assert calls(simple) == left
    torch.testing.assert_close(simple(x), function(x), rtol=0, atol=0)


def test_random_numbers_are_drawn_anew_and_in_their_order() -> None:
    def noisy(x):
        return torch.randn(3) * x + torch.randn(3), torch.rand(3)

    simple, _ = traced(noisy, torch.ones(3))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first, second = simple(torch.ones(3)), simple(torch.ones(3))
        torch.manual_seed(1)
        wanted = noisy(torch.ones(3))
    assert all(torch.equal(a, b) for a, b in zip(first, wanted, strict=True))
    assert not torch.equal(first[0], second[0])


def test_a_graph_that_writes_stays_as_it_is() -> None:
    def writing(x):
        total = torch.zeros(3)
        total.add_(x * 1)
        return total

    simple, before = traced(writing, torch.ones(3))
    assert calls(simple) == before
    assert torch.equal(simple(torch.ones(3)), torch.ones(3))
    assert torch.equal(simple(torch.ones(3)), torch.ones(3))  # the zeros are new at each call


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x * 1, x.exp(), x.exp()),
        lambda x: ((x + 0)[None], torch.ones(3), torch.zeros(3)[None]),
        lambda x: (x.view(3), x.exp()[None], x.exp().view(3)),
    ],
)
def test_outputs_are_the_taker_s_own(function) -> None:
    x = torch.tensor([0.5, -1.0, 3.0])
    simple, _ = traced(function, x)
    wanted = [t.clone() for t in function(x)]
    for i in range(3):
        found = simple(x)
        found[i].fill_(99.0)
        for k, other in enumerate(found):
            if k != i:
                assert torch.equal(other, wanted[k])
        assert torch.equal(x, torch.tensor([0.5, -1.0, 3.0]))
    for a, b in zip(simple(x), wanted, strict=True):
        assert torch.equal(a, b)


def test_a_large_constant_is_not_kept() -> None:
    simple, _ = traced(lambda x: x.sum() * torch.zeros(300, 300).add(1), torch.ones(3))
    assert all(buffer.numel() <= 2**16 for buffer in simple.buffers())
