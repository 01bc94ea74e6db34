"""One fit in many processes: the same answer, and what happens when one of them is lost."""

import json
import os
import re
import socket
import sys
import time
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import torch
from running import with_torchrun
from troubles import BrokenRows, bits, end, fail, interrupt, kill, nothing, run, start, trouble

from companion.errors import InferenceError
from companion.training import Training, checkpoints, processes


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def both(name, folder, what=nothing, at=0, who=(0, 1), **options):
    """Fit in two processes, of which some have trouble."""
    port = free_port()
    troubles = [what if rank in who else nothing for rank in (0, 1)]
    begun = [start(name, folder, rank=r, port=port, what=troubles[r], at=at, **options) for r in (0, 1)]
    return [end(*one) for one in begun]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What two processes find whom nothing happens."""
    folder = tmp_path_factory.mktemp("processes") / "whole"
    answers = both("everything", folder)
    assert answers[0] == answers[1], "all keep the same parameters"
    return answers[0], bits(folder)


@pytest.mark.parametrize(("what", "who", "left"), [(kill, 0, 1), (kill, 1, 0), (fail, 1, 0)])
def test_a_lost_process_ends_the_other_and_all_go_on_from_the_checkpoint(what, who, left, whole, tmp_path):
    begun = time.perf_counter()
    answers = both("everything", tmp_path, what=what, at=71, who=[who])
    assert time.perf_counter() - begun < 30
    assert answers[left]["error"].startswith(f"process {left} of 2 lost another one at step 40")
    assert answers[who] is None if what is kill else "DataError: row 7 can't be read" in answers[who]["error"]
    assert bits(tmp_path)["step"] == 25
    assert both("everything", tmp_path) == [whole[0]] * 2
    assert bits(tmp_path) == whole[1]
    with pytest.raises(InferenceError, match="processes was 2, is 1"):
        run("everything", tmp_path)


def test_bayes_by_backprop_in_two_processes_finds_the_same_and_goes_on_after_a_kill(tmp_path):
    """Each process makes other weights, of which the first's are taken, and sees other rows."""
    both_whole = both("Bayes by Backprop", tmp_path / "whole")
    assert both_whole[0]["parameters"] == both_whole[1]["parameters"]
    losses = checkpoints.read(tmp_path / "whole", {}).tensors["losses"]
    alone = run("Bayes by Backprop").record.losses
    np.testing.assert_allclose(losses[-30:].mean(0), alone[-30:].mean(0), rtol=0.1)
    answers = both("Bayes by Backprop", tmp_path / "killed", what=kill, at=41, who=[1])
    assert answers[0]["error"].startswith("process 0 of 2 lost another one at step 40")
    assert bits(tmp_path / "killed")["step"] == 25
    assert both("Bayes by Backprop", tmp_path / "killed") == both_whole
    assert bits(tmp_path / "killed") == bits(tmp_path / "whole")


@pytest.mark.parametrize(("at", "when"), [(10, "10 of 30 of the start at the mode"), (70, "40 of 90")])
def test_ctrl_c_in_one_process_stops_all_after_the_same_step(at, when, whole, tmp_path):
    answers = both("everything", tmp_path, what=interrupt, at=at, who=[1])
    assert [answer["stopped"] for answer in answers] == [f"interrupted after step {when}"] * 2
    assert both("everything", tmp_path) == [whole[0]] * 2
    assert bits(tmp_path) == whole[1]


def test_nan_in_one_process_stops_all_with_the_same_error(tmp_path):
    answers = both("streamed", tmp_path / "nan", dataset=BrokenRows())
    assert (
        len({re.match(r"at step \d+ the gradient of '0.weight', .* became NaN", a["error"])[0] for a in answers}) == 1
    )


def test_a_folder_that_cannot_be_written_is_told_by_all(tmp_path):
    (tmp_path / "file").write_text("mine")
    answers = both("mini-batches", tmp_path / "file" / "fit")
    assert all("can't be written" in answer["error"] for answer in answers)


def test_processes_that_are_asked_for_different_fits_say_so(tmp_path):
    port = free_port()
    begun = [start("mini-batches", tmp_path, rank=r, port=port, learning_rate=0.1 + r) for r in (0, 1)]
    answers = [end(*one)["error"] for one in begun]
    assert "lost another one" in answers[0]
    assert "than process 0: learning_rate was 0.1, is 1.1; scale_rate" in answers[1]


def test_networks_that_each_process_draws_anew_start_from_those_of_the_first(tmp_path):
    answers = both("own starts", tmp_path)
    assert answers[0]["parameters"] == answers[1]["parameters"]


def test_a_checkpoint_in_one_process_alone_is_refused_and_hangs_none(tmp_path):
    port = free_port()
    begun = [start("mini-batches", folder, rank=r, port=port) for r, folder in enumerate((tmp_path, None))]
    answers = [end(*one)["error"] for one in begun]
    assert "lost another one" in answers[0]
    assert "than process 0: checkpoint was True, is False" in answers[1]


LONG = {"steps": 1500, "learning_rate": 0.03, "elbo_draws": 500}


def under_torchrun():
    """What each process does: a fit, noting what it sees and finds, and another one, in which the second is killed."""
    folder, rank, evaluate, seen = Path(sys.argv[1]), os.environ["RANK"], Training.evaluate, []

    def watched(self, step):
        found = evaluate(self, step)
        seen.append([self.batches.rows.at(step).tolist(), crc32(self.noise.numpy())])
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "evaluate", watched)
        posterior = run("mini-batches", **LONG)
    parameters = [p.numpy().tobytes().hex() for p in posterior.parameters.values()]
    elbo = [float(posterior.record.elbo), float(posterior.record.elbo_se)]
    (folder / f"{rank}.json").write_text(json.dumps({"parameters": parameters, "seen": seen[:30], "elbo": elbo}))
    with trouble(kill if rank == "1" else nothing, 200):
        run("mini-batches")
        run("mini-batches")
    (folder / "unscathed").touch()


@pytest.fixture(scope="module")
def torchrun(tmp_path_factory):
    """How it ended, and the folder with what the processes noted."""
    folder = tmp_path_factory.mktemp("torchrun")
    ended = with_torchrun(__file__, folder)
    return ended, folder


def test_two_processes_under_torchrun_find_the_elbo_of_one(torchrun, capsys):
    first, second = (json.loads((torchrun[1] / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["parameters"] == second["parameters"]
    for (rows, noise), (other_rows, other_noise) in zip(first["seen"], second["seen"], strict=True):
        assert rows != other_rows
        assert noise != other_noise
    for step in range(0, 30, 3):  # 60 rows, in batches of 20, to two processes: 3 steps of both see every row twice
        dealt = [row for seen in (first, second) for rows, _ in seen["seen"][step : step + 3] for row in rows]
        assert sorted(dealt) == sorted([*range(60)] * 2)
    alone = run("mini-batches", **LONG).record
    assert first["elbo"] == second["elbo"]
    elbo, error = first["elbo"]
    with capsys.disabled():
        print(f"\ntorchrun: ELBO {elbo:.3f} +- {error:.3f}; alone {alone.elbo:.3f} +- {alone.elbo_se:.3f}")
    assert elbo == pytest.approx(alone.elbo, abs=4 * np.hypot(error, alone.elbo_se))


def test_a_process_killed_under_torchrun_ends_all_with_a_clear_message(torchrun):
    ended, folder = torchrun
    assert ended.returncode != 0
    assert "process 0 of 2 lost another one at step 79 (" in ended.stderr
    assert "Start all again" in ended.stderr
    assert not (folder / "unscathed").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [(RuntimeError(), "RuntimeError"), (RuntimeError("[c10d.cpp:12] timed out\nand more"), "timed out")],
)
def test_an_error_of_torch_is_told_by_its_words_or_by_its_name(error, said, monkeypatch):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(torch.distributed, "init_process_group", refuse)
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    asked = rf"process 0 of 2 can't reach the others at 127.0.0.1:1 \({said}\)"
    with pytest.raises(InferenceError, match=asked), processes(torch.device("cpu")):
        pass
