"""Chains in several processes: the first one has the draws of all, and of those that are left where one is lost."""

import ctypes
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pymc as pm
import pytest
import torch
from running import with_torchrun

from companion.inference import Machine, sample
from companion.sampling import Chains
from companion.training import Processes, distributed

if not hasattr(os, "fork"):
    pytest.skip("this system has no SIGKILL", allow_module_level=True)

FORK = multiprocessing.get_context("fork")


def small():
    with pm.Model() as made:
        pm.Normal("y", pm.Normal("w", shape=2).sum(), pm.HalfNormal("s"), observed=[0.3, 1.0, 0.8])
    return made


@pytest.fixture(scope="module")
def model():
    return small()


def short(model, **options):
    return sample(model, 20, warmup=30, sampler="mclmc", thin=2, seed=1, progressbar=False, **options)


def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def worker(rank, port, model, folder, dies, seen, hosts, options):
    address = "127.0.0.1" if hosts is None else hosts.address
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR=address, MASTER_PORT=str(port))
    torch.set_num_threads(1)
    if hosts is not None:
        hosts.enter(rank)
    if rank and dies:
        setattr(*dies, killed)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        posterior = short(model, chains=5, checkpoint=folder, **options)
    record = posterior.record
    seen.put(
        (rank, np.array(posterior.values), record.settings["chains"], [str(w.message) for w in told], record.compiled)
    )


class Hosts:
    """Two hosts on this machine: network namespaces, with a cable between them, for as long as the context lasts."""

    address = "10.231.0.1"

    def __init__(self):
        self.names = [f"companion-test-{os.getpid()}-{rank}" for rank in range(2)]

    def __enter__(self):
        """Make them; where this machine or this user may not, the test is skipped, and nothing is left behind."""
        if shutil.which("ip") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
            pytest.skip("two hosts are network namespaces, which take root and the command ip (iproute2)")
        try:
            for name in self.names:
                self.ip("netns", "add", name)
            first, second = self.names
            self.ip("link", "add", "bnn0", "netns", first, "type", "veth", "peer", "bnn1", "netns", second)
            for rank, name in enumerate(self.names):
                self.ip("-n", name, "link", "set", "lo", "up")
                self.ip("-n", name, "address", "add", f"10.231.0.{rank + 1}/24", "dev", f"bnn{rank}")
                self.ip("-n", name, "link", "set", f"bnn{rank}", "up")
        except subprocess.CalledProcessError as error:
            self.__exit__()
            pytest.skip(f"network namespaces can't be made here: {error.stderr.decode().strip()}")
        return self

    def __exit__(self, *_):
        for name in self.names:  # each takes its end of the cable with it
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    def ip(self, *words):
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def enter(self, rank):
        """Move this process to a host, which has a name of its own where that may be."""
        libc, names = ctypes.CDLL(None, use_errno=True), 0x04000000  # CLONE_NEWUTS
        if libc.unshare(names) == 0:
            socket.sethostname(f"host-{rank}")
        os.environ["GLOO_SOCKET_IFNAME"] = f"bnn{rank}"
        with open(f"/var/run/netns/{self.names[rank]}") as place:  # noqa: PTH123  (a file descriptor is asked for)
            assert libc.setns(place.fileno(), 0) == 0


def together(model, folder, *, dies=None, hosts=None, **options):
    """What each of two processes gives: values, number of chains, warnings, and whether its steps were compiled."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    seen = FORK.Queue()
    every = [FORK.Process(target=worker, args=(r, port, model, folder, dies, seen, hosts, options)) for r in range(2)]
    for process in every:
        process.start()
    found = {rank: rest for rank, *rest in (seen.get(timeout=120 if options else 60) for _ in range(1 if dies else 2))}
    for process in every:
        process.join(60)
    assert [p.exitcode for p in every] == [0, -signal.SIGKILL if dies else 0]
    return found


def test_the_first_process_has_the_draws_of_all(model, tmp_path):
    found = together(model, tmp_path)
    values, chains, *_ = found[0]
    assert (values.shape, chains) == ((20, 5, 3), 5)
    np.testing.assert_array_equal(values[:, 3:], found[1][0])
    np.testing.assert_array_equal(values[:, :3], short(model, chains=3).values)
    assert len(np.unique(values[-1, :, 0])) == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["process-0", "process-1"]
    np.testing.assert_array_equal(together(model, tmp_path)[0][0], values)  # from their checkpoints


def test_draws_on_a_disk_travel_a_few_rows_at_a_time(model, tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "_PIECE_BYTES", 7 * 2 * 3 * 4)
    found = together(model, tmp_path / "disk", memory=100)
    np.testing.assert_array_equal(found[0][0], together(model, tmp_path / "memory")[0][0])


def test_compiled_chains_of_two_processes_are_those_of_each_alone(model, tmp_path):
    compiled = Machine("cpu", compile=True, threads=1)
    found = together(model, tmp_path, machine=compiled)
    assert [found[rank][3] for rank in range(2)] == [True, True]
    values = found[0][0]
    assert values.shape == (20, 5, 3)
    np.testing.assert_array_equal(values[:, 3:], found[1][0])
    np.testing.assert_array_equal(values[:, :3], short(model, chains=3, machine=compiled).values)


@pytest.mark.parametrize("dies", [(Chains, "run"), (Processes, "send_rows")], ids=["sampling", "sending"])
def test_a_process_that_is_lost_is_named_and_the_draws_of_the_others_are_kept(model, tmp_path, dies):
    [values, chains, told, _] = together(model, tmp_path, dies=dies)[0]
    assert (values.shape, chains) == ((20, 3, 3), 3)
    assert any(f"process 1 of 2 (on {socket.gethostname()}) had no draws to give" in message for message in told)
    again = together(model, tmp_path)[0][0]  # with the checkpoint, all of them
    np.testing.assert_array_equal(again[:, :3], values)
    assert again.shape == (20, 5, 3)


def test_two_hosts_are_as_good_as_two_processes_and_a_lost_one_is_named(model, tmp_path):
    with Hosts() as hosts:
        [values, _, told, _] = together(model, tmp_path, dies=(Chains, "run"), hosts=hosts)[0]
        assert any("process 1 of 2 (on host-1) had no draws to give" in message for message in told)
        again = together(model, tmp_path, hosts=hosts)[0][0]
    np.testing.assert_array_equal(again[:, :3], values)
    np.testing.assert_array_equal(again, together(model, tmp_path / "processes")[0][0])


def under_torchrun():
    """What each process does: chains, whose draws it stores, and others, in which the second process is killed."""
    folder, rank = Path(sys.argv[1]), os.environ["RANK"]
    np.save(folder / f"{rank}.npy", short(small(), chains=5).values)
    if rank == "1":
        Chains.run = killed
    short(small(), chains=5, callback=lambda *_: time.sleep(0.2))  # the first one's; torchrun looks more often
    (folder / "unscathed").touch()


def test_under_torchrun_the_first_has_all_draws_and_a_loss_on_its_host_ends_it(model, tmp_path):
    ended = with_torchrun(__file__, tmp_path)
    first, second = (np.load(tmp_path / f"{rank}.npy") for rank in (0, 1))
    assert (first.shape, second.shape) == ((20, 5, 3), (20, 2, 3))
    np.testing.assert_array_equal(first[:, 3:], second)
    np.testing.assert_array_equal(first[:, :3], short(model, chains=3).values)
    assert ended.returncode != 0
    assert "SIGKILL" in ended.stderr
    assert not (tmp_path / "unscathed").exists()


def test_processes_are_named_with_their_hosts_where_these_are_known():
    assert Processes(0, 3).named(1) == "process 1 of 3"
    assert Processes(0, 3).named(1, 2) == "processes 1, 2 of 3"
    assert Processes(0, 3, hosts=("a", "b", "c")).named(1, 2) == "processes 1 (on b), 2 (on c) of 3"


@pytest.mark.parametrize("fails", ["netns", "link"])
def test_hosts_that_can_not_be_made_are_skipped_and_leave_nothing_behind(monkeypatch, fails):
    asked = []

    def run(words, **_):
        asked.append(words)
        if words[1] == fails and words[2] == "add":
            raise subprocess.CalledProcessError(1, words, stderr=b"Operation not permitted\n")

    monkeypatch.setattr(shutil, "which", lambda name: f"/sbin/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(pytest.skip.Exception, match="can't be made here: Operation not permitted"):
        Hosts().__enter__()
    assert [words[2] for words in asked[-2:]] == ["delete", "delete"]
