"""The door to samplers: right draws, draws that survive whatever happens, and errors that say what to do."""

import errno
import gc
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tracemalloc
import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import torch
from scipy import stats

import companion as bnn
from companion.errors import CompanionWarning, InferenceError, ModelError
from companion.inference import Checkpoint, Machine, fit, sample
from companion.inference.chains import _own as own_part
from companion.posterior import chains as chain_posteriors
from companion.posterior import diagnose
from companion.sampling import HMC, MCLMC, SGHMC, Plan, SamplerName, register_sampler, sampler_named, starting_positions
from companion.variational import Layout

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 2))
Y = X @ [1.0, -2.0] + 0.5 * RNG.normal(size=30)
FORK = multiprocessing.get_context("fork") if hasattr(os, "fork") else None


def regression():
    with pm.Model() as model:
        w = pm.Normal("w", 0, 2, shape=2)
        s = pm.HalfNormal("s", 1)
        pm.Normal("y", pm.Data("x", X) @ w, s, observed=pm.Data("labels", Y))
    return model


def short(model=None, draws=30, **options):
    common = {"warmup": 40, "chains": 3, "seed": 1, "progressbar": False}
    return sample(regression() if model is None else model, draws, **{**common, **options})


@pytest.fixture(scope="module")
def whole():
    """Chains that nothing came over."""
    return short(sampler="mclmc", thin=3)


def same(first, second):
    np.testing.assert_array_equal(first.values, second.values)
    assert list(first.stats) == list(second.stats)
    for name, array in first.stats.items():
        np.testing.assert_array_equal(array, second.stats[name])


# --- are the draws right? ---------------------------------------------------------------------------------------------


def test_truths_rank_evenly_among_the_draws_of_many_data_sets():
    """Simulation-based calibration: data sets that are independent given the model are sampled in one call."""
    sets, rng = 60, np.random.default_rng(5)
    truth = {"mean": rng.normal(size=sets), "scale": np.abs(rng.normal(size=sets))}
    y = truth["mean"] + truth["scale"] * rng.normal(size=(5, sets))
    with pm.Model() as model:
        mean, scale = pm.Normal("mean", shape=sets), pm.HalfNormal("scale", shape=sets)
        pm.Normal("y", mean, scale, observed=y)
    posterior = sample(model, 150, warmup=200, chains=8, sampler="adjusted-mclmc", seed=2, progressbar=False)
    draws = posterior.draw(399, seed=0)
    for name, true in truth.items():
        ranks = (draws[name] < true).sum(axis=0)
        counts = np.histogram(ranks, bins=6, range=(0, 400))[0]
        assert stats.chisquare(counts).pvalue > 1e-3, (name, counts)


def test_a_model_without_observations_gives_its_prior():
    with pm.Model() as model:
        pm.Gamma("rate", 3.0, 2.0, shape=20)
    posterior = sample(model, 200, warmup=200, chains=4, seed=3, progressbar=False)
    found = posterior.draw(800, seed=0)["rate"].ravel()
    assert stats.kstest(found[::4], stats.gamma(3, scale=0.5).cdf).pvalue > 1e-3


def test_predictions_of_a_network_agree_between_chains_where_weights_need_not(whole):
    found = whole.diagnose(X[:4])
    assert list(found.index) == ["w", "s", "predictions"]
    assert list(found.columns) == ["r_hat", "ess", "ess_tail"]
    assert list(whole.diagnose(X[:4], names=[]).index) == ["predictions"]
    every = whole.predict(X[:4], whole.draws)
    r_hat = az.rhat(az.convert_to_dataset({"p": every.reshape(3, 30, 4)}))["p"].values
    assert found.loc["predictions", "r_hat"] == pytest.approx(r_hat.max())


# --- the posterior ----------------------------------------------------------------------------------------------------


def test_arviz_gets_every_chain_with_the_samplers_statistics():
    posterior = short(draws=20)
    found = posterior.to_arviz(log_likelihood=True)
    assert dict(found["posterior"].sizes) == {"chain": 3, "draw": 20, "w_dim_0": 2}
    assert set(found["sample_stats"].data_vars) == {
        "lp", "energy", "acceptance_rate", "diverging", "n_steps", "step_size",
    }  # fmt: skip
    assert found["sample_stats"]["diverging"].dtype == bool
    assert found["posterior"].attrs["tuning_steps"] == 40
    logp = posterior.model.compile_logp()
    values = {"w": posterior.values[4, 1, :2], "s_log__": posterior.values[4, 1, 2]}
    assert found["sample_stats"]["lp"].values[1, 4] == pytest.approx(float(logp(values)))
    assert found["log_likelihood"]["y"].shape == (3, 20, 30)
    health = posterior.health()
    np.testing.assert_allclose(health.bfmi, np.asarray(az.bfmi(found)).ravel() if hasattr(az, "bfmi") else health.bfmi)
    assert health.lost == ()
    assert (health.acceptance > 0.5).all()


def test_one_draw_says_nothing_of_the_energy_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        health = short(draws=1).health()
    assert np.isnan(health.bfmi).all()
    assert health.bfmi.shape == (3,)


def test_one_chain_can_be_kept():
    posterior = short(draws=10)
    alone = posterior.chain(2)
    assert len(alone) == 10
    np.testing.assert_allclose(np.sort(alone.draw(10, 0)["w"][:, 0]), np.sort(posterior.values[:, 2, 0]))
    with pytest.raises(ModelError, match=r"chain 3 asked for; there are \[0, 1, 2\]"):
        posterior.chain(3)
    with pytest.raises(ModelError, match="expected at least 2 to compare"):
        alone.diagnose()


def test_float64_is_taken_where_it_costs_nothing_and_float32_where_it_is_asked_for():
    assert short(draws=2).record.precision == "float64"
    found = short(draws=2, machine=Machine(precision="float32"))
    assert (found.record.precision, found.values.dtype) == ("float32", np.float32)


def test_denormals_and_the_random_state_are_as_they_were():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    short(draws=2)
    assert torch.equal(torch.rand(1), expected)
    assert float(torch.tensor(1e-310, dtype=torch.float64) * 0.5) != 0


# --- memory and disk --------------------------------------------------------------------------------------------------


def test_draws_that_do_not_fit_go_to_a_file_that_goes_with_them(whole):
    posterior = short(sampler="mclmc", thin=3, memory=100)
    assert isinstance(posterior.values, np.memmap)
    folder = Path(posterior.values.filename).parent
    assert folder.is_dir()
    same(posterior, whole)
    del posterior
    gc.collect()
    assert not folder.exists()


def unobserved(size):
    with pm.Model() as model:
        pm.Normal("w", shape=size)
        pm.Dirichlet("share", np.ones(3))
    return model


def test_draws_on_a_disk_are_saved_without_a_copy_in_memory(tmp_path):
    model = unobserved(50_000)
    posterior = short(model, draws=100, warmup=2, chains=2, sampler="mclmc", memory=100)
    tracemalloc.start()
    path = posterior.save(tmp_path / "posterior.safetensors")
    found = bnn.load_posterior(path, model)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < posterior.values.nbytes / 2
    np.testing.assert_array_equal(found.values, posterior.values)


def test_variables_are_compared_a_part_of_their_entries_at_a_time(monkeypatch):
    posterior = short(unobserved(50), memory=100)
    at_once = posterior.diagnose()
    assert at_once.shape == (2, 3)
    seen = []

    def watched(draws, chains):
        seen.extend(array.shape for array in draws.values())
        return diagnose(draws, chains)

    monkeypatch.setattr(chain_posteriors, "BUDGET_BYTES", 8 * 16 * 7 * len(posterior))
    monkeypatch.setattr(chain_posteriors, "diagnose", watched)
    pd.testing.assert_frame_equal(posterior.diagnose(), at_once)
    assert seen == [(len(posterior), entries) for entries in [7] * 7 + [1, 3]]


def test_draws_can_be_thinned_to_a_budget(whole):
    posterior = short(sampler="mclmc", draws=90, thin="fit", memory=30 * 3 * 3 * 8)
    assert posterior.values.shape == (30, 3, 3)
    assert posterior.record.settings["thin"] == 30
    with pytest.raises(ModelError, match="bytes hold 1 draws of 3 chains of 3 values"):
        short(thin="fit", memory=100)
    assert len(whole) == 90


def failing(number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("asked", [True, False], ids=["reserves", "looks"])
@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_full_disk_is_told_before_the_first_step_and_leaves_no_draws_behind(monkeypatch, tmp_path, asked, checkpoint):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if asked:
        monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC), raising=False)
    else:
        monkeypatch.setattr(os, "posix_fallocate", failing(errno.EOPNOTSUPP), raising=False)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))
    options = {"checkpoint": tmp_path} if checkpoint else {"memory": 100}
    with pytest.raises(InferenceError, match=r"^the draws can't be written to .*No space left.*a disk with room"):
        short(sampler="mclmc", draws=3000, callback=pytest.fail, **options)
    assert not list(tmp_path.rglob("draws.npy"))


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP])
def test_a_disk_that_reserves_no_room_is_written_to_all_the_same(monkeypatch, tmp_path, number):
    monkeypatch.setattr(os, "posix_fallocate", failing(number), raising=False)
    assert len(short(sampler="mclmc", checkpoint=tmp_path)) == 90


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system reserves no room")
def test_files_with_holes_are_filled_when_chains_go_on(monkeypatch, tmp_path):
    """Those of an earlier version had them."""

    def stop(step, state):
        if step == 60:
            raise StopIteration

    monkeypatch.setattr(os, "posix_fallocate", lambda *_: None)
    options = {"sampler": "mclmc", "draws": 5000, "checkpoint": Checkpoint(tmp_path, 10)}
    assert short(callback=stop, **options).record.stopped
    monkeypatch.undo()
    before = (tmp_path / "draws.npy").stat()
    assert 512 * before.st_blocks < before.st_size
    sizes = []
    short(callback=lambda step, state: sizes.append((tmp_path / "draws.npy").stat()) or stop(60, state), **options)
    assert 512 * sizes[0].st_blocks >= sizes[0].st_size


ON_A_SMALL_DISK = """
import sys, torch
from pathlib import Path
from companion.errors import InferenceError
from companion.sampling.store import Store
store = Store(1000, 4, 1000, torch.float64, 10**9, Path(sys.argv[1]))
try:
    for _ in range(1000):
        store.add(torch.zeros(4, 1000, dtype=torch.float64), {"lp": torch.zeros(4)})
    store.flush()
except InferenceError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may make a small disk")
def test_a_disk_that_is_really_full_does_not_kill_the_process(tmp_path):
    disk = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)]
    if subprocess.run(disk, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a small disk")
    try:
        command = [sys.executable, "-c", ON_A_SMALL_DISK, str(tmp_path)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
    assert run.returncode == 0, run.stderr
    assert "No space left on device" in run.stdout


# --- kills, interruptions, callbacks ----------------------------------------------------------------------------------


def killed(folder, at, model):
    def callback(step, state):
        if step == at:
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    short(model, sampler="mclmc", thin=3, checkpoint=Checkpoint(folder, 10), callback=callback)


@pytest.mark.skipif(FORK is None, reason="this system has no SIGKILL")
@pytest.mark.usefixtures("one_thread")
def test_chains_that_are_killed_go_on_draw_for_draw(whole, tmp_path):
    for at in (5, 33, 34, 58, 111):  # before the first checkpoint, twice in the warm-up, between draws
        process = FORK.Process(target=killed, args=(tmp_path, at, whole.model))
        process.start()
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
    resumed = short(whole.model, sampler="mclmc", thin=3, checkpoint=Checkpoint(tmp_path, 10))
    same(resumed, whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint.json", "draws.npy", "stats.npy", "step-000000130.safetensors",
    ]  # fmt: skip
    again = short(whole.model, sampler="mclmc", thin=3, checkpoint=Checkpoint(tmp_path, 10), callback=pytest.fail)
    same(again, whole)


def test_a_checkpoint_of_other_chains_or_a_damaged_one_is_refused(tmp_path):
    model = regression()
    short(model, draws=20, checkpoint=tmp_path)
    for change, message in (
        ({"seed": 2}, "seed was 1, is 2"),
        ({"sampler": HMC(mass="dense")}, "sampler: mass was 'diagonal', is 'dense'"),
        ({"draws": 25}, "draws was 20, is 25"),
    ):
        with pytest.raises(InferenceError, match=f"is of another fit: .*{message}"):
            short(model, **{"draws": 20, "checkpoint": tmp_path, **change})
    with (tmp_path / "draws.npy").open("r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"\x55")
    with pytest.raises(InferenceError, match=r"isn't what the checkpoint says.*remove the folder"):
        short(model, draws=20, checkpoint=tmp_path)
    (tmp_path / "draws.npy").unlink()
    with pytest.raises(InferenceError, match=r"can't be read.*restore them from a copy"):
        short(model, draws=20, checkpoint=tmp_path)


def test_an_interruption_or_the_callback_ends_the_chains_which_keep_their_draws():
    seen = []

    def interrupt(step, state):
        seen.append((state.step, state.draws, state.warming, state.lp.shape))
        if step == 55:
            os.kill(os.getpid(), signal.SIGINT)

    posterior = short(callback=interrupt)
    assert posterior.record.stopped == "interrupted after step 55 of 70"
    assert seen[0] == (1, 0, True, (3,))
    assert seen[-1] == (55, 15, False, (3,))
    assert posterior.values.shape == (15, 3, 3)
    whole = short()
    np.testing.assert_array_equal(posterior.values, whole.values[:15])

    def stop(step, state):
        if step == 50:
            copies.append(state.posterior())
        if step == 60:
            raise StopIteration

    copies = []
    assert short(callback=stop).record.stopped == "stopped by the callback after step 60 of 70"
    np.testing.assert_array_equal(copies[0].values, whole.values[:10])


def test_a_stop_in_the_warmup_or_a_failing_callback_says_so():
    def stop(step, state):
        if step == 10:
            with pytest.raises(InferenceError, match="there are no draws yet after step 10"):
                state.posterior()
            raise StopIteration

    with pytest.raises(InferenceError, match=r"callback after step 10 of 70\. There are no draws to keep"):
        short(callback=stop)

    def fail(step, state):
        if step == 50:
            raise RuntimeError("the power went off")

    with pytest.raises(InferenceError, match="step 50 failed: RuntimeError: the power went off") as caught:
        short(callback=fail)
    assert caught.value.posterior.values.shape == (10, 3, 3)


# --- chains that diverge ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Runaway:
    """A sampler whose chains of some numbers run away."""

    runs_away: tuple = (1,)
    name: str = "runaway"
    minibatches: bool = False
    warmup: int = 0
    thin: int = 1

    def kernel(self, problem):
        return self

    def as_json(self):
        return {"sampler": self.name}

    def begin(self, position, noise):
        return {"position": position, "lp": position[:, 0]}

    def step(self, state, noise, step):
        position = state["position"] + noise.normal("step", state["position"].shape[1])
        position[list(self.runs_away)] = torch.nan
        return {"position": position, "lp": position[:, 0]}, {"lp": position[:, 0]}

    def adapt(self, state, info, step, total):
        return state


def test_a_chain_that_runs_away_is_named_and_left_out():
    with pytest.warns(CompanionWarning, match="chain 1 of 3 chains diverged for good, and is left out"):
        posterior = short(sampler=Runaway(), warmup=0, draws=120)
    assert posterior.chains.tolist() == [0, 2]
    assert posterior.health().lost == (1,)
    assert np.isfinite(posterior.draw(240, seed=0)["w"]).all()
    with pytest.raises(InferenceError, match=r"all 3 chains had diverged by step 100: .* Lower .* step_size"):
        short(sampler=Runaway((0, 1, 2)), warmup=0, draws=120)


def test_chains_whose_steps_are_too_large_for_the_posterior_say_so():
    with pytest.warns(CompanionWarning, match=r"chains 0, 1, 2 moved at up to .* times the temperature"):
        hot = short(draws=200, sampler=SGHMC(step_size=0.03), batch_size=3)
    assert hot.health().temperature.mean() > 1.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calm = short(draws=200, sampler=SGHMC(step_size=0.1, temperature=0.5))
    assert np.abs(calm.health().temperature - 1).max() < 0.3
    assert np.isnan(short(sampler="mclmc").health().temperature).all()


def test_draws_that_diverge_are_counted_with_their_chains():
    with pytest.warns(CompanionWarning, match=r"of 90 draws diverged, most in chains \d, \d, \d: .*target_accept"):
        posterior = short(sampler=HMC(step_size=30.0, trajectory=100.0))
    assert (posterior.health().divergences > 20).all()
    assert posterior.to_arviz()["sample_stats"]["diverging"].values.sum() == posterior.health().divergences.sum()


# --- starts -----------------------------------------------------------------------------------------------------------


def test_chains_start_at_the_members_of_an_ensemble():
    model = regression()
    members = fit(model, 3, family="map", restarts=3, keep="mixture", elbo_draws=2, progressbar=False)
    layout = Layout.of(model.initial_point())
    everywhere = partial(torch.ones, 6, dtype=torch.bool)
    found = starting_positions(model, layout, members, 6, 0, lambda p: everywhere())
    expected = members.parameters["mean"].double()
    nearest = torch.cdist(found, expected).min(1)
    assert float(nearest.values.max()) < 1e-5
    assert torch.bincount(nearest.indices).tolist() == [2, 2, 2]
    assert len(short(model, start=members, draws=2)) == 6


def test_chains_start_at_draws_of_a_variational_fit():
    model, precise = regression(), Machine(precision="float64")
    fitted = fit(model, 300, learning_rate=0.05, elbo_draws=2, seed=2, machine=precise, progressbar=False)
    layout, count = Layout.of(model.initial_point()), 400
    found = starting_positions(model, layout, fitted, count, 0, lambda p: torch.ones(count, dtype=torch.bool)).numpy()
    mean, scale = (fitted.own_parameters("a test")[name].numpy() for name in ("mean", "log_scale"))
    np.testing.assert_allclose(found.std(0), np.exp(scale), rtol=4 / np.sqrt(2 * count))
    assert np.abs((found.mean(0) - mean) / np.exp(scale)).max() < 4 / np.sqrt(count)
    # chains that hardly move and warm up in no step are still where they started
    still = short(model, draws=2, start=fitted, warmup=0, sampler=HMC(step_size=1e-7, trajectory=1e-7))
    assert still.record.settings["start"] == "posterior"
    begun = fitted.draw(3, seed=1)
    np.testing.assert_allclose(still.values[0], np.column_stack([begun["w"], np.log(begun["s"])]), atol=1e-5)


def test_starts_without_a_density_are_drawn_again_or_refused():
    with pm.Model() as model:
        w = pm.Normal("w", shape=2)
        pm.Potential("positive", pm.math.switch(pm.math.gt(w.sum(), 0), 0.0, -np.inf))
    posterior = sample(model, 2, warmup=0, chains=20, start="prior", progressbar=False)
    assert (posterior.values.sum(axis=2) > 0).all()
    with pytest.raises(
        ModelError, match=r"3 of 3 chains start where there is no density \(chain 0 first\): the log prior"
    ):
        short(model, start={"w": np.array([-1.0, -1.0])})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": {"w": np.zeros(2), "s": -1.0}}, "start gives 's' -1 outside its support .*expected finite numbers"),
        ({"start": {"w": np.full(2, np.nan), "s": 1.0}}, "start gives 'w' nan outside its support"),
        ({"start": {"w": np.zeros(2)}}, "start has no value of 's'"),
        ({"start": "middle"}, r"start='middle'; expected one of \['model', 'prior'\], a mapping .* or a posterior"),
        ({"sampler": "nuts"}, r"sampler='nuts'; expected one of \['chees-hmc', 'mclmc', 'adjusted-mclmc'"),
        ({"sampler": HMC}, "expected one of"),
        ({"batch_size": 10}, "batch_size=10 with sampler='chees-hmc', whose proposals need all rows"),
        ({"draws": 0}, "draws=0; expected a whole number, 1 or more"),
        ({"chains": 0}, "chains=0; expected a whole number, 1 or more"),
        ({"warmup": -1}, "warmup=-1; expected a whole number, 0 or more"),
        ({"thin": 0}, "thin=0; expected a whole number, 1 or more"),
        ({"thin": "all"}, "thin='all'; expected a number of steps, None or 'fit'"),
        ({"seed": -1}, "seed=-1; expected a whole number, 0 or more"),
        ({"memory": 0}, "memory=0; expected a whole number"),
        ({"chains": 1}, r"chains=1; expected 2 or more, because sampler='chees-hmc' .*HMC\(trajectory=\.\.\.\)"),
        (
            {"chains": 1, "sampler": "adjusted-mclmc"},
            "chains=1; expected 2 or more, because sampler='adjusted-mclmc'.*AdjustedMCLMC",
        ),
        ({"machine": "tpu"}, "device='tpu' can't be used"),
        ({"machine": Machine(precision="bfloat16")}, r"precision='bfloat16'\) with sampler='chees-hmc'"),
        ({"model": "model"}, "model is a str; expected a pymc.Model"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else "",
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ModelError, match=message):
        short(**change)


def test_chains_that_are_too_few_for_the_processes_are_refused_by_each_of_them():
    plan = Plan(30, 40, 1, 30, 5, {}, None, "model", "float64", 1)
    for rank in range(4):
        group = SimpleNamespace(rank=rank, world=4)
        with pytest.raises(ModelError, match="chains=5 in 4 processes; expected 2 or more for each, because"):
            own_part(plan, group, HMC())
        assert own_part(plan, group, MCLMC()).chains == (2 if rank == 0 else 1)
        assert own_part(replace(plan, warmup=0), group, HMC()).world == 4
        assert own_part(plan, group, HMC(trajectory=1.0)).rank == rank
    with pytest.raises(ModelError, match=r"chains=3 in 4 processes; expected 1 or more for each\.$"):
        own_part(replace(plan, chains=3), SimpleNamespace(rank=0, world=4), MCLMC())


def test_a_posterior_of_another_model_or_a_discrete_variable_is_refused():
    with pm.Model() as other:
        pm.Normal("v")
    with pytest.raises(ModelError, match=r"start is a posterior of .*'v'.*; the model has .*'w'"):
        short(start=short(other, draws=2, sampler="chees-hmc"))
    with pm.Model() as discrete:
        pm.Poisson("k", 3.0)
    with pytest.raises(ModelError, match="'k'"):
        short(discrete)


def test_samplers_have_names_and_new_ones_can_be_registered():
    assert all(sampler_named(name).name == name for name in SamplerName)
    assert bnn.sample is sample
    register_sampler(Runaway())
    assert sampler_named("runaway") == Runaway()
    with pytest.raises(ModelError, match=r"named 'runaway' is known already"):
        register_sampler(type("Other", (MCLMC,), {"name": "runaway"})())
    with pytest.raises(ModelError, match=r"expected the parts of a companion\.sampling.Sampler"):
        register_sampler("nuts")
