"""Chains in several processes: the first one has the draws of all, and of those that are left where one is lost."""

import ctypes
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
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


def worker(rank, port, model, folder, dies, seen, hosts):
    address = "127.0.0.1" if hosts is None else hosts.address
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR=address, MASTER_PORT=str(port))
    torch.set_num_threads(1)
    if hosts is not None:
        hosts.enter(rank)
    if rank and dies:
        Chains.run = killed
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        posterior = short(model, chains=5, checkpoint=folder)
    seen.put((rank, np.array(posterior.values), posterior.record.settings["chains"], [str(w.message) for w in told]))


class Hosts:
    """Two hosts on this machine: network namespaces, with a cable between them."""

    names, address = ("bnn-test-0", "bnn-test-1"), "10.231.0.1"

    def __enter__(self):
        for name in self.names:
            self.ip("netns", "add", name)
        self.ip("link", "add", "bnn0", "netns", self.names[0], "type", "veth", "peer", "bnn1", "netns", self.names[1])
        for rank, name in enumerate(self.names):
            self.ip("-n", name, "link", "set", "lo", "up")
            self.ip("-n", name, "address", "add", f"10.231.0.{rank + 1}/24", "dev", f"bnn{rank}")
            self.ip("-n", name, "link", "set", f"bnn{rank}", "up")
        return self

    def __exit__(self, *_):
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    def ip(self, *words):
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def enter(self, rank):
        """Move this process to a host."""
        os.environ["GLOO_SOCKET_IFNAME"] = f"bnn{rank}"
        with open(f"/var/run/netns/{self.names[rank]}") as place:  # noqa: PTH123  (a file descriptor is asked for)
            assert ctypes.CDLL(None, use_errno=True).setns(place.fileno(), 0) == 0


def together(model, folder, *, dies=False, hosts=None):
    """What each of two processes gives: values, number of chains, warnings."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    seen = FORK.Queue()
    every = [FORK.Process(target=worker, args=(r, port, model, folder, dies, seen, hosts)) for r in range(2)]
    for process in every:
        process.start()
    found = {rank: rest for rank, *rest in (seen.get(timeout=60) for _ in range(1 if dies else 2))}
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


def test_two_hosts_are_as_good_as_two_processes_and_a_lost_one_is_named(model, tmp_path):
    if "COMPANION_HOSTS" not in os.environ or shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("set COMPANION_HOSTS=1 as root: it makes two network namespaces, and takes a minute")
    try:
        with Hosts() as hosts:
            [values, _, told] = together(model, tmp_path, dies=True, hosts=hosts)[0]
            assert any("process 1 of 2 had no draws to give" in message for message in told)
            again = together(model, tmp_path, hosts=hosts)[0][0]
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces can't be made here: {error.stderr}")
    np.testing.assert_array_equal(again[:, :3], values)
    np.testing.assert_array_equal(again, together(model, tmp_path / "processes")[0][0])
