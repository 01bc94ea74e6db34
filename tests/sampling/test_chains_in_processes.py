"""Chains in several processes: the first one has the draws of all, and of those that are left where one is lost."""

import multiprocessing
import os
import signal
import socket
import warnings

import numpy as np
import pymc as pm
import pytest
import torch

from companion.inference import sample
from companion.sampling import Chains

if not hasattr(os, "fork"):
    pytest.skip("this system has no SIGKILL", allow_module_level=True)

FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def model():
    with pm.Model() as made:
        pm.Normal("y", pm.Normal("w", shape=2).sum(), pm.HalfNormal("s"), observed=[0.3, 1.0, 0.8])
    return made


def short(model, **options):
    return sample(model, 20, warmup=30, sampler="mclmc", thin=2, seed=1, progressbar=False, **options)


def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def worker(rank, port, model, folder, dies, seen):
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    if rank and dies:
        Chains.run = killed
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        posterior = short(model, chains=5, checkpoint=folder)
    seen.put((rank, np.array(posterior.values), posterior.record.settings["chains"], [str(w.message) for w in told]))


def together(model, folder, *, dies=False):
    """What each of two processes gives: values, number of chains, warnings."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    seen = FORK.Queue()
    every = [FORK.Process(target=worker, args=(r, port, model, folder, dies, seen)) for r in range(2)]
    for process in every:
        process.start()
    found = {rank: rest for rank, *rest in (seen.get(timeout=120) for _ in range(1 if dies else 2))}
    for process in every:
        process.join(60)
    assert [p.exitcode for p in every] == [0, -signal.SIGKILL if dies else 0]
    return found


def test_the_first_process_has_the_draws_of_all(model, tmp_path):
    found = together(model, tmp_path)
    values, chains, _ = found[0]
    assert (values.shape, chains) == ((20, 5, 3), 5)
    np.testing.assert_array_equal(values[:, 3:], found[1][0])
    np.testing.assert_array_equal(values[:, :3], short(model, chains=3).values)
    assert len(np.unique(values[-1, :, 0])) == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["process-0", "process-1"]
    np.testing.assert_array_equal(together(model, tmp_path)[0][0], values)  # from their checkpoints


def test_a_process_that_is_lost_is_named_and_the_draws_of_the_others_are_kept(model, tmp_path):
    [values, chains, told] = together(model, tmp_path, dies=True)[0]
    assert (values.shape, chains) == ((20, 3, 3), 3)
    assert any("process 1 of 2 had no draws to give" in message for message in told)
    again = together(model, tmp_path)[0][0]  # with the checkpoint, all of them
    np.testing.assert_array_equal(again[:, :3], values)
    assert again.shape == (20, 5, 3)
