"""What a fit survives: kills at any moment, damaged files, full disks, Ctrl-C and NaN."""

import os
import re
import resource
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import torch
from troubles import (
    FITS,
    PROCESSES,
    Y,
    bits,
    end,
    fail,
    interrupt,
    interrupt_twice,
    kill,
    regression,
    run,
    start,
    trouble,
)

from companion.errors import CompanionWarning, DataError, InferenceError
from companion.inference import ensemble
from companion.machine import Machine
from companion.training import Training, checkpoints

KILLS = int(os.environ.get("COMPANION_KILLS", "8"))


pytestmark = pytest.mark.usefixtures("one_thread")


# --- kills -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FITS)
def test_a_fit_killed_three_times_ends_bit_for_bit_where_it_would_have(name, tmp_path):
    for _ in range(3):
        process, answer = start(name, tmp_path / "killed", what=kill, at=40)
        assert end(process, answer) is None
        assert process.exitcode == -signal.SIGKILL
    resumed, whole = run(name, tmp_path / "killed"), run(name, tmp_path / "whole")
    assert bits(tmp_path / "killed") == bits(tmp_path / "whole")
    np.testing.assert_array_equal(resumed.record.losses, whole.record.losses)
    np.testing.assert_array_equal(resumed.record.bounds, whole.record.bounds)
    files = [path for path in (tmp_path / "killed").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}, "no pickle, and no half-written file"
    with trouble(fail, 1):  # a fit that has ended takes no step
        again = run(name, tmp_path / "killed")
    np.testing.assert_array_equal(again.record.bounds, whole.record.bounds)


def watched(folder, steps, written, done):
    """Fit, and tell other processes how far it is and what is written."""
    write, update = checkpoints.write, Training.update

    def telling_write(folder, step, *rest):
        write(folder, step, *rest)
        written.value = step

    def telling_update(self, *rest):
        update(self, *rest)
        done.value = self.step

    checkpoints.write, Training.update = telling_write, telling_update
    torch.set_num_threads(1)
    run("mini-batches", folder, steps=steps, checkpoint_every=10)


def test_kills_at_random_moments_lose_nothing_past_the_last_checkpoint(tmp_path, capsys):
    rng, steps, folder = np.random.default_rng(KILLS), 150 * KILLS + 100, tmp_path / "killed"
    written, done = PROCESSES.RawValue("q", -1), PROCESSES.RawValue("q", 0)
    lost, begun = [], time.perf_counter()
    for _ in range(KILLS):
        process = PROCESSES.Process(target=watched, args=(folder, steps, written, done))
        process.start()
        until, deadline = done.value + rng.integers(100), time.monotonic() + 60
        while done.value < until:
            assert process.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "it was still at work"
        found = checkpoints.read(folder, {})
        assert found.step >= written.value
        lost.append(done.value - found.step)
        done.value = found.step
    assert max(lost) <= 10, "no more than what lies between two checkpoints"
    run("mini-batches", folder, steps=steps, checkpoint_every=10)
    run("mini-batches", tmp_path / "whole", steps=steps)
    assert bits(folder) == bits(tmp_path / "whole")
    assert sorted(p.name for p in folder.iterdir()) == ["checkpoint.json", f"step-{steps:09d}.safetensors"]
    with capsys.disabled():
        seconds = time.perf_counter() - begun
        print(f"\n{KILLS} kills: {np.mean(lost):.1f} steps lost on average, {max(lost)} at most; {seconds:.0f} s")


# --- files -------------------------------------------------------------------------------------------


def middle_bit(content):
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGES = {
    "removed": None,
    "emptied": lambda content: b"",
    "truncated": lambda content: content[:-7],
    "garbage": lambda content: np.random.default_rng(0).bytes(len(content)),
    "one bit": middle_bit,
    "longer": lambda content: content + b"{}",
    "another step": lambda content: content.replace(b'"step": 60', b'"step": 90'),
}


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A checkpoint of step 60, of 120."""
    folder = tmp_path_factory.mktemp("checkpoint") / "interrupted"
    with trouble(interrupt, 60):
        assert run("mini-batches", folder).record.stopped == "interrupted after step 60 of 120"
    return folder


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_damaged_checkpoint_is_an_error_and_never_another_result(interrupted, tmp_path, suffix, damage):
    folder = Path(shutil.copytree(interrupted, tmp_path / "damaged"))
    (path,) = folder.glob(f"*{suffix}")
    if damage is None:
        path.unlink()
    else:
        before = path.read_bytes()
        path.write_bytes(damage(before))
        if path.read_bytes() == before:
            pytest.skip("this file says nothing of the step")
    with pytest.raises(InferenceError, match=re.escape(str(folder))):
        checkpoints.read(folder, {})


def test_what_killed_writes_leave_behind_is_not_a_checkpoint_and_goes_away(tmp_path):
    folder = tmp_path / "fit"
    folder.mkdir()
    for name in ("step-000000000.safetensors", "step-000000025.safetensors.77.part", "checkpoint.json.77.part"):
        (folder / name).write_bytes(b"half of")
    run("mini-batches", folder, steps=30)
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.json", "step-000000030.safetensors"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"learning_rate": 0.02}, "learning_rate was 0.01, is 0.02"),
        ({"batch_size": 30, "seed": 2}, "batch_size was 20, is 30; seed was 1, is 2"),
        ({"model": regression(y=Y[::-1])}, "data: y was"),
        ({"model": regression(prior=1.1)}, "log density was"),
        ({"start": {"w": np.zeros(3), "s": 1.0}}, "start was 'model', is 'given'; start values was None"),
    ],
)
def test_the_checkpoint_of_another_fit_is_refused_by_what_differs(interrupted, options, named):
    before = bits(interrupted)
    with pytest.raises(InferenceError, match=f"of another fit: {named}"):
        run("mini-batches", interrupted, **options)
    assert bits(interrupted) == before


def test_a_folder_that_cannot_be_written_is_told_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("mine")
    with trouble(fail, 1), pytest.raises(InferenceError, match="can't be written"):
        run("mini-batches", tmp_path / "file" / "fit")


def test_a_full_disk_keeps_the_last_checkpoint_and_the_fit_so_far(interrupted, tmp_path):
    folder = Path(shutil.copytree(interrupted, tmp_path / "full"))
    before, limits = bits(folder), resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))

    try:
        with trouble(fill_the_disk, 2), pytest.raises(InferenceError, match=r"can't be written .* step 75") as told:
            run("mini-batches", folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(told.value.posterior.record.history) == 75
    assert np.isfinite(told.value.posterior.draw(9, seed=0)["w"]).all()
    assert bits(folder) == before
    assert len(list(folder.iterdir())) == 2
    run("mini-batches", folder)
    run("mini-batches", tmp_path / "whole")
    assert bits(folder) == bits(tmp_path / "whole")


# --- Ctrl-C ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "at"), [("everything", 20), ("streamed", 70)])
def test_ctrl_c_gives_the_posterior_so_far_and_the_next_call_goes_on(name, at, tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    with trouble(interrupt, at):
        posterior = run(name, tmp_path / "stopped")
    assert signal.getsignal(signal.SIGINT) is handler
    assert posterior.record.stopped.startswith(f"interrupted after step {at} of ")
    assert all(np.isfinite(draws).all() for draws in posterior.draw(9, seed=0).values())
    run(name, tmp_path / "stopped")
    run(name, tmp_path / "whole")
    assert bits(tmp_path / "stopped") == bits(tmp_path / "whole")


def test_ctrl_c_reaches_a_process_and_not_the_workers_that_it_reads_from(tmp_path):
    process, answer = start("streamed", tmp_path / "stopped", what=os.setpgrp, at=1, workers=1, steps=100_000)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "stopped").glob("step-000000[1-9]*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    stopped = end(process, answer)["stopped"]
    assert re.fullmatch(r"interrupted after step [\d,]+ of 100,000", stopped)
    assert bits(tmp_path / "stopped")["step"] == int(stopped.split()[3].replace(",", ""))


def test_a_second_ctrl_c_ends_it_at_once_and_the_handler_is_back_after_errors(tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    with trouble(interrupt_twice, 30), pytest.raises(KeyboardInterrupt):
        run("mini-batches", tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler
    assert bits(tmp_path)["step"] == 25
    with trouble(fail, 30), pytest.raises(DataError):
        run("mini-batches")
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_thread_fits_as_the_main_thread_does(tmp_path):
    with ThreadPoolExecutor() as threads:
        threads.submit(run, "everything", tmp_path / "thread").result()
    run("everything", tmp_path / "main")
    assert bits(tmp_path / "thread") == bits(tmp_path / "main")


# --- NaN ---------------------------------------------------------------------------------------------


def walled(pull, wall=pt.sqrt):
    """The square root, or the logarithm, of a negative number lies where the data pull to."""
    with pm.Model() as model:
        w = pm.Normal("w", 0, 5, shape=2)
        pm.Potential("wall", wall(3 - w).sum())
        pm.Normal("obs", w, 1, observed=pull)
    return model


@pytest.mark.parametrize(
    ("every", "wall", "named"),
    [(1, pt.sqrt, "the gradient of 'w'"), (7, pt.sqrt, "the gradient of 'w'"), (1000, pt.log, "the log prior")],
)
def test_a_loss_that_becomes_nan_names_its_step_and_keeps_a_good_state(every, wall, named, tmp_path):
    options = {"learning_rate": 0.1, "checkpoint_every": every, "batch_size": None, "steps": 1500}
    with pytest.raises(InferenceError, match=rf"at step \d+ {named} became NaN .*Lower learning_rate") as told:
        run("mini-batches", tmp_path, model=walled([-1.0, 50.0], wall), **options)
    step = int(re.match(r"at step (\d+)", str(told.value)).group(1))
    saved, tensors, _ = checkpoints.read(tmp_path, {})
    assert saved == step // every * every
    assert all(torch.isfinite(t[:saved] if name == "losses" else t).all() for name, t in tensors.items())
    assert step > 5
    for advice in ("start=Start(scale=...)", "use machine=Machine(precision='float64') to tell rounding"):
        assert advice in str(told.value)
    assert np.isfinite(told.value.posterior.draw(50, seed=0)["w"]).all()


def test_networks_that_diverge_are_not_told_to_start_with_other_scales():
    """They have none; and float64 would not help, because it is what they were computed in."""
    with pytest.raises(InferenceError, match=r"Lower learning_rate .*, or standardise the inputs") as told:
        ensemble(
            walled([-1.0, 50.0]), 1500, members=2, learning_rate=0.1, progressbar=False,
            machine=Machine(precision="float64"),
        )  # fmt: skip
    assert "Start(scale" not in str(told.value)
    assert "precision=" not in str(told.value)


def test_gradients_whose_squares_overflow_are_not_taken_for_a_fit():
    """Adam would divide by infinity, and the parameter would rest where it is."""
    model = regression(y=1e21 * Y)
    with pytest.raises(InferenceError, match=r"at step 0 the gradient of 'w', .* too large for float32"):
        run("mini-batches", model=model, steps=5)


def test_restarts_that_diverge_are_left_out_with_a_warning():
    options = {"start": "prior", "restarts": 8, "batch_size": None, "keep": "mixture", "steps": 100}
    with pytest.warns(CompanionWarning, match="of 8 restarts diverged"):
        posterior = run("mini-batches", model=walled([-20.0, -20.0]), **options)
    alive = np.isfinite(posterior.record.bounds[:, 0])
    assert 0 < alive.sum() < 8
    np.testing.assert_array_equal(posterior.weights > 0, alive)
    assert np.isfinite(posterior.draw(80, seed=0)["w"]).all()
