"""The state of a session: what runs inside a guard leaves torch's random numbers and threads as they were."""

from pathlib import Path

import pytest
import torch

import companion
from companion.machine import guard, random_kept


@pytest.mark.parametrize("kept", [guard, random_kept])
def test_random_numbers_go_on_as_if_nothing_had_run(kept):
    torch.manual_seed(3)
    torch.randn(2)
    wanted = torch.randn(4)
    torch.manual_seed(3)
    torch.randn(2)
    with kept():
        torch.manual_seed(8)
        torch.randn(100)
    assert torch.equal(torch.randn(4), wanted)


def test_random_numbers_are_kept_in_one_place():
    package = Path(companion.__file__).parent
    found = {p.relative_to(package).as_posix() for p in package.rglob("*.py") if "fork_rng" in p.read_text("utf-8")}
    assert found == {"machine/guarding.py"}
