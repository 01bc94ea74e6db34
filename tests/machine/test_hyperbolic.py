"""The tangent that compiled code computes: how far it is from the true one, and that libraries have it."""

import numpy as np
import pytest
import torch

from companion.machine import QUICKER, Loop, loops, traced
from companion.machine.hyperbolic import quick_tanh

X = np.concatenate([np.linspace(-20, 20, 400_001), np.geomspace(1e-30, 1, 10_001), [0.0, np.inf, -np.inf]])


def test_it_is_right_to_five_units_in_the_last_place():
    x = X.astype(np.float32)
    found, wanted = quick_tanh(torch.from_numpy(x)).numpy(), np.tanh(x.astype(float))
    assert np.abs(found).max() == 1
    np.testing.assert_allclose(found, wanted, rtol=5e-7, atol=0)
    assert quick_tanh(torch.tensor([torch.nan])).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_keep_their_own(dtype):
    x = torch.from_numpy(X).to(dtype)
    graph = traced(torch.tanh, [x], QUICKER)
    assert torch.ops.aten.tanh.default in {n.target for n in graph.graph.nodes}
    torch.testing.assert_close(graph(x), torch.tanh(x), rtol=0, atol=0, equal_nan=True)


def test_its_slope_is_that_of_the_true_one():
    x = torch.linspace(-5, 5, 1001, requires_grad=True)
    quick_tanh(x).sum().backward()
    torch.testing.assert_close(x.grad, 1 - torch.tanh(x.detach()) ** 2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_loop_has_it_in_the_place_of_the_tangent(dtype, monkeypatch):
    """In single precision, and still the slope of torch's own."""

    def value(x):
        return torch.tanh(x).sum()

    def body(k, carried, given):
        return (torch.func.grad(value)(carried[0]),)

    seen = []
    monkeypatch.setattr(loops, "Library", lambda graph, *a, **k: seen.append(graph))
    x = torch.linspace(-3, 3, 50, dtype=dtype)
    Loop(body, (x,), (), 1, beside=False)
    targets = {n.target for n in seen[0].graph.nodes}
    assert (torch.ops.aten.tanh.default in targets) == (dtype == torch.float64)
    assert (torch.ops.aten.exp.default in targets) == (dtype == torch.float32)
    [slope] = seen[0](torch.tensor(0), x)
    torch.testing.assert_close(slope, 1 - torch.tanh(x) ** 2, rtol=1e-5, atol=1e-6)


def test_a_trace_without_it_has_torch_s():
    x = torch.randn(3)
    assert torch.ops.aten.tanh.default in {n.target for n in traced(torch.tanh, [x]).graph.nodes}
    assert torch.ops.aten.tanh.default not in {n.target for n in traced(torch.tanh, [x], QUICKER).graph.nodes}
