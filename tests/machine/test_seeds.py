"""Seeds: the same numbers as torch's own call, and nothing kept for a GPU that isn't there."""

import pytest
import torch

from companion.machine import guard, reseed


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
