"""Graphs with their rows last: the same numbers but for rounding, and nothing turned that can't be."""

import pytest
import torch
from torch.nn import functional

from companion.machine import rows_last, traced


def network(x, y, w, b, v, c):
    hidden = functional.relu(functional.linear(x, w, b))
    logits = functional.linear(torch.tanh(hidden), v, c)
    return functional.cross_entropy(logits, y, reduction="sum") + (hidden.mean(0) ** 2).sum() + logits.softmax(1).max()


def gradient(x, y, *weights):
    found, value = torch.func.grad_and_value(lambda own: network(x, y, *own))(weights)
    return (value, *found)


def weights(inner, units, classes, *restarts):
    shapes = [(units, inner), (units,), (classes, units), (classes,)]
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*restarts, *shape, generator=generator, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize(("inner", "units", "classes"), [(2, 20, 2), (7, 9, 3), (1, 5, 1), (3, 70, 20), (8, 200, 2)])
@pytest.mark.parametrize("rows", [10, 100])
@pytest.mark.parametrize("restarts", [(), (3,)])
def test_the_gradient_of_a_network_is_the_same(inner, units, classes, rows, restarts):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, inner, generator=generator, dtype=torch.float64)
    y = torch.randint(classes, (rows,), generator=generator)
    function = torch.vmap(gradient, (None, None, 0, 0, 0, 0)) if restarts else gradient
    given = [x, y, *weights(inner, units, classes, *restarts)]
    graph = traced(function, given)
    turned = traced(rows_last(graph), given)  # a trace is what it is for
    for found, wanted in zip(turned(*given), graph(*given), strict=True):
        assert found.shape == wanted.shape
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_products_of_many_rows_are_turned():
    given = [torch.randn(100, 20), torch.zeros(100, dtype=torch.int64), *(w.float() for w in weights(20, 20, 2))]
    names = [str(n.target) for n in traced(rows_last(traced(gradient, given)), given).graph.nodes]
    assert "aten.mm.default" in names
    assert "aten.addmm.default" not in names


def test_a_narrow_factor_that_all_chains_share_is_copied_once():
    x, w = torch.randn(100, 2).expand(5, -1, -1), torch.randn(5, 2, 7)
    graph = traced(rows_last(traced(torch.bmm, [x, w])), [x, w])
    copies = [n.meta["val"] for n in graph.graph.nodes if n.target is torch.ops.aten.as_strided.default]
    assert [tuple(c.shape) for c in copies] == [(2, 100)]
    torch.testing.assert_close(graph(x, w), torch.bmm(x, w))


def odd(x, w):
    """Do to a product what isn't known to work on a turned one."""
    product = x @ w
    a = product.reshape(4, -1).cumsum(1).sum()
    b = product[3:50, 1].prod() + product.sum((0, 1)) + product.mean() + product.amax((0,)).sum()
    c = torch.cat([product, product.flip(0)]).var(0)
    return a, b, c, product, product.sum(0), product.sum(1, keepdim=True), torch.where(product > 0, x @ w.mT, 0.5)


def test_an_operation_that_isn_t_known_finds_its_matrix_as_it_was():
    given = [torch.randn(100, 6, dtype=torch.float64), torch.randn(6, 6, dtype=torch.float64)]
    graph = traced(odd, given)
    for found, wanted in zip(rows_last(graph)(*given), graph(*given), strict=True):
        torch.testing.assert_close(found, wanted)
        assert found.is_contiguous()


def test_a_network_of_convolutions_keeps_its_own_layout():
    given = [torch.randn(80, 1, 8, 8), torch.randn(3, 1, 3, 3)]
    graph = traced(lambda x, w: (functional.conv2d(x, w).flatten(1).sum(0),), given)
    assert rows_last(graph) is graph
