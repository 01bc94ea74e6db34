"""Seeds: the same numbers as torch's own call, and nothing kept for a GPU that isn't there."""

import pytest
import torch

from companion.machine import fill_normal, guard, reseed


def test_a_reseeded_processor_draws_what_torch_s_own_seed_draws() -> None:
    with guard():
        torch.manual_seed(7)
        wanted = torch.randn(5)
        reseed(torch.device("cpu"), 7)
        assert torch.equal(torch.randn(5), wanted)


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU torch seeds it at once")
def test_reseeding_keeps_no_stack_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", calls.append)
    with guard():
        torch.manual_seed(7)
        assert calls == [7]
        reseed(torch.device("cpu"), 7)
        assert calls == [7]


@pytest.mark.parametrize("size", [1000, 600_000])
def test_long_tensors_of_normal_numbers_are_the_same_with_any_number_of_threads(size):
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(fill_normal(torch.empty(2, size // 2), 3.0, 7, "noise", 5))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
    assert abs(float(found[0].mean())) < 15 / size**0.5
    assert float(found[0].std()) == pytest.approx(3, rel=4 / size**0.5)
    assert not torch.equal(found[0], fill_normal(torch.empty(2, size // 2), 3.0, 7, "noise", 6))


def test_parts_of_a_long_tensor_have_numbers_of_their_own():
    parts = fill_normal(torch.empty(3 * 2**18), 1.0, 0, "noise", 0).reshape(3, -1)
    assert float((torch.corrcoef(parts) - torch.eye(3)).abs().max()) < 0.01
