"""A process that is killed while it samples goes on from its last checkpoint, and gives the same draws."""

import os

import pytest
from killed import Task, kill_again_and_again


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
def test_killed_chains_are_those_that_nobody_killed(tmp_path):
    task = Task(rows=20, settings={"draws": 20, "warmup": 15, "chains": 2})
    found = kill_again_and_again(task, tmp_path, kills=2, mean=8)
    assert found.kills == 2
    assert found.warming > 0
    assert max(found.lost) <= task.every
    assert found.same
