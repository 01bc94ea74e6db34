"""Fits for the tests of resilience, troubles that can come over them, and processes that have these troubles."""

import itertools
import multiprocessing
import os
import signal
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytest
import torch
from torch.utils.data import Dataset

from companion import bayes_by_backprop
from companion.bayes_by_backprop import Regression, to_bayesian
from companion.bridge import bayesian
from companion.errors import CompanionError, DataError
from companion.inference import fit
from companion.networks import dense
from companion.priors import Gaussian
from companion.training import Training, checkpoints

if not hasattr(os, "fork"):
    pytest.skip("this system has no SIGKILL", allow_module_level=True)

PROCESSES = multiprocessing.get_context("forkserver")

X = np.random.default_rng(0).normal(size=(60, 3))
Y = X @ [1.0, -2.0, 0.5] + np.random.default_rng(1).normal(size=60)


def regression(prior=1.0, y=Y):
    with pm.Model() as model:
        w = pm.Normal("w", 0, prior, shape=3)
        s = pm.HalfNormal("s", 1)
        pm.Normal("obs", pm.Data("x", X) @ w, s, observed=pm.Data("y", y))
    return model


def network(seed=0):
    torch.manual_seed(seed)
    with pm.Model() as model:
        net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        out = bayesian(net, Gaussian(), pm.Data("x", X))
        pm.Normal("obs", out[:, 0], 1, observed=pm.Data("y", Y))
    return model


class Rows(Dataset):
    """The data, row by row; the second process finds NaN in some of them."""

    broken = False

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        bad = self.broken and os.environ.get("RANK") == "1" and i > 40
        return {"x": X[i], "y": np.float64(np.nan) if bad else Y[i]}


class BrokenRows(Rows):
    broken = True


def network_of_its_own():
    return network(seed=int(os.environ.get("RANK", 0)))


def pyro_network():
    net = dense(3, 4, 1, seed=int(os.environ.get("RANK", 0)))
    return Regression(to_bayesian(net, Gaussian()), noise="learned")


def fit_pyro(model, **options):
    return bayes_by_backprop.fit(model, SimpleNamespace(x=X.astype(np.float32), y=Y.astype(np.float32)), **options)


FITS = {
    "own starts": (network_of_its_own, {"batch_size": 20}),
    "mini-batches": (regression, {"batch_size": 20}),
    "restarts": (regression, {"restarts": 3, "start": "prior", "family": "full-rank", "keep": "mixture"}),
    "streamed": (network, {"batch_size": 20, "dataset": Rows(), "estimator": "flipout", "draws": 2}),
    "everything": (network, {"batch_size": 20, "estimator": "local", "restarts": 2, "map_steps": 30, "steps": 90}),
    "Bayes by Backprop": (
        pyro_network,
        {"batch_size": 20, "restarts": 2, "estimator": "flipout", "learning_rate": 0.05},
    ),
}


def run(name, folder=None, **options):
    make, own = FITS[name]
    common = {"steps": 120, "seed": 1, "compile": False, "progressbar": False, "elbo_draws": 2, "checkpoint_every": 25}
    model = options.pop("model", None) or make()
    door = fit if isinstance(model, pm.Model) else fit_pyro
    return door(model, checkpoint=folder, **{**common, **own, **options})


def found(posterior):
    """Everything that a fit found: parameter to its bytes."""
    if isinstance(posterior, bayes_by_backprop.PyroPosterior):
        return {n: p.detach().numpy().tobytes() for m in posterior.members for n, p in m.parameters.items()}
    return {n: p.numpy().tobytes() for n, p in posterior.parameters.items()}


def bits(folder):
    """Everything that the next step depends on, and all losses."""
    step, tensors, _ = checkpoints.read(folder, {})
    return {"step": step, **{name: t.numpy().tobytes() for name, t in tensors.items()}}


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt():
    signal.raise_signal(signal.SIGINT)


def interrupt_twice():
    interrupt()
    interrupt()


def fail():
    raise DataError("row 7 can't be read")


def nothing():
    pass


@contextmanager
def trouble(what, at):
    """Let something happen in a step, counted over all that this process takes.

    A callback would not do: it is called in the first process alone, and not on the walk to the mode.
    """
    evaluate, count = Training.evaluate, itertools.count(1)

    def troubled(self, step):
        if next(count) == at:
            what()
        return evaluate(self, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "evaluate", troubled)
        yield


def child(answer, name, folder, rank, port, what, at, options):
    multiprocessing.set_start_method("fork", force=True)  # as in a process of its own, for the readers of rows
    torch.set_num_threads(1)
    if rank is not None:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with trouble(what, at):
        try:
            posterior = run(name, folder, **options)
            answer.send({"stopped": posterior.record.stopped, "parameters": found(posterior)})
        except CompanionError as error:
            answer.send({"error": str(error)})


def start(name, folder, *, rank=None, port=0, what=None, at=0, **options):
    ours, theirs = PROCESSES.Pipe(duplex=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        rooms = [f"companion.{room}" for room in ("inference", "bridge", "bayes_by_backprop")]
        PROCESSES.set_forkserver_preload([*rooms, "torch._dynamo"])
        process = PROCESSES.Process(target=child, args=(theirs, name, folder, rank, port, what, at, options))
        process.start()
    theirs.close()
    return process, ours


def end(process, answer):
    """Wait for its answer; None from one that was killed."""
    process.join(60)
    if process.exitcode is None:
        process.kill()
        pytest.fail("the process hangs")
    try:
        return answer.recv()
    except EOFError:
        return None
