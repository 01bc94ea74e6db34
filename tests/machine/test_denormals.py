"""Denormal numbers: zeros for as long as a fit lasts, in every thread."""

import torch

from companion.machine import denormals_flushed


def test_denormals_are_flushed_in_all_threads_and_come_back():
    torch.set_num_threads(2)
    small = torch.full((4_000_000,), 1e-30)

    def share():
        """Which part of the products is not zero, by their bits: a flushing processor compares denormals as zeros."""
        return float(((small * 1e-10).view(torch.int32) != 0).double().mean())

    assert share() == 1, "the threads are there before"
    with denormals_flushed():
        assert share() == 0
        with denormals_flushed():
            assert share() == 0
        assert share() == 0
    assert share() == 1
