"""Seeds: the same numbers as torch's own call, and nothing kept for a GPU that isn't there."""

import numpy as np
import pytest
import torch

from companion.machine import Generators, Seeds, fill_normal, guard, reseed, seed_for


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


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**63 + 12_345, 2**70])
@pytest.mark.parametrize("after", [(), (0,), (3,), (2**33,), (1, 2, 3)])
def test_seeds_in_bulk_are_those_that_are_made_one_by_one(seed, after):
    seeds, generators = Seeds(seed, "rows", *after), Generators(seed, "rows", *after)
    for number in [0, 1, 999, 1000, 1001, 5, 2**32 - 1, 123_456]:
        wanted = seed_for(seed, "rows", number, *after)
        assert seeds.at(number) == wanted
        generator = np.random.default_rng(wanted)
        np.testing.assert_array_equal(generators.at(number).permutation(101), generator.permutation(101))


def test_a_generator_forgets_what_was_drawn_from_the_last_one():
    generators = Generators(7, "rows")
    generators.at(3).integers(0, 10, 3, dtype=np.int32)  # leaves half a word
    wanted = np.random.default_rng(seed_for(7, "rows", 4)).integers(0, 10, 3, dtype=np.int32)
    np.testing.assert_array_equal(generators.at(4).integers(0, 10, 3, dtype=np.int32), wanted)


@pytest.mark.parametrize("size", [1, 7, 15, 16, 522])
def test_one_torch_generator_seeded_anew_draws_what_a_new_one_draws(size):
    own = torch.Generator()
    for seed in (1, 2, 1):
        wanted = torch.empty(size).normal_(generator=torch.Generator().manual_seed(seed))
        assert torch.equal(torch.empty(size).normal_(generator=own.manual_seed(seed)), wanted)
