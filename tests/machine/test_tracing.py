"""A traced graph is the one that `make_fx` makes, with one fake mode for the notes on all of its nodes."""

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from companion.machine import traced


def slope(x, weights):
    return torch.func.grad(lambda w: torch.tanh(x @ w).square().sum())(weights)


EXAMPLE = [torch.ones(3, 2), torch.ones(2, 4)]


def test_the_graph_is_that_of_make_fx():
    graph = traced(slope, EXAMPLE)
    assert graph.code == make_fx(slope)(*EXAMPLE).code
    assert torch.equal(graph(*EXAMPLE), slope(*EXAMPLE))


def test_one_fake_mode_serves_all_nodes():
    def modes(graph):
        notes = [node.meta["val"] for node in graph.graph.nodes if "val" in node.meta]
        return len(notes), len({id(note.fake_mode) for note in notes})

    nodes, of_ours = modes(traced(slope, EXAMPLE))
    assert nodes > 5
    assert of_ours == 1
    assert modes(make_fx(slope)(*EXAMPLE))[1] > 1  # otherwise make_fx does it by itself, and `traced` can go
