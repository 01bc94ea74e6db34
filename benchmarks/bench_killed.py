"""Fifty kills by signal 9 while chains run: what is lost, and whether the draws are those of an undisturbed run."""

from __future__ import annotations

from pathlib import Path

import pytest
from killed import Task, kill_again_and_again
from report import Report, Target

KILLS = 50
SAMPLERS = {
    "HMC (ChEES)": Task(),
    "SGHMC": Task(settings={"draws": 400, "warmup": 200, "chains": 8, "sampler": "sghmc", "batch_size": 10, "thin": 1}),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_killed(name: str, tiny: bool, report: Report, tmp_path: Path) -> None:
    task = SAMPLERS[name]
    found = kill_again_and_again(task, tmp_path, 2 if tiny else KILLS)
    report.settings |= {"checkpoint_every": task.every, "kills": KILLS}
    report.rows[name] = {
        "kills": found.kills, "kills_in_the_warm_up": found.warming, "steps_lost": found.lost, "same": found.same,
    }  # fmt: skip
    report.targets += [
        Target(f"{name}: kills while it sampled", found.kills, least=2 if tiny else KILLS),
        Target("  most steps done again after a kill (a checkpoint each 5)", max(found.lost), most=task.every),
        Target("  draws that equal those of an undisturbed run, bit for bit (1: all)", float(found.same), least=1),
    ]
    assert found.same
