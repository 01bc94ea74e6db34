"""Samplers of mini-batches through the door: their posterior, rows, cycles, warnings and resuming."""

from dataclasses import replace
from functools import cache

import numpy as np
import pymc as pm
import pytest
import torch
from torch.utils.data import Dataset

from companion.bridge import torch_log_density
from companion.errors import CompanionWarning, InferenceError, ModelError
from companion.inference import Checkpoint, Machine, Stream, sample
from companion.sampling import SGHMC, SGLD, SGNHT, Preconditioner, Problem, Target, warn_ahead
from companion.sampling.preconditioning import Scaling
from companion.sampling.relaxation import prior_precisions
from companion.training import Rows, batches_for
from companion.variational import Objective, PointMass

ROWS, VALUES = 200, 12
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, VALUES))
Y = X @ RNG.normal(size=VALUES) + 0.7 * RNG.normal(size=ROWS)
QUICK = {"progressbar": False, "machine": Machine("cpu", "float32", compile=False)}


def regression(minibatch=None):
    with pm.Model() as model:
        if minibatch is None:
            x, labels = pm.Data("x", X), pm.Data("labels", Y)
        else:
            x, labels = pm.Minibatch(X, Y, batch_size=minibatch)
        w = pm.Normal("w", 0, 2, shape=VALUES)
        pm.Normal("y", x @ w, 0.7, observed=labels, total_size=None if minibatch is None else ROWS)
    return model


@cache
def model():
    return regression()


def exact():
    covariance = np.linalg.inv(X.T @ X / 0.7**2 + np.eye(VALUES) / 4)
    return covariance @ X.T @ Y / 0.7**2, np.sqrt(np.diag(covariance))


def chains(sampler, draws=150, **settings):
    given = {"warmup": 200, "chains": 16, "batch_size": 20, "start": {"w": exact()[0]}} | QUICK | settings
    return sample(given.pop("model", model()), draws, sampler=sampler, **given)


# --- the posterior ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sampler",
    [
        SGLD(step_size=0.02),
        SGHMC(step_size=0.005),
        SGNHT(step_size=0.005),
        SGHMC(step_size=0.005, preconditioner="warm-up"),
    ],
    ids=lambda s: f"{s.name}-{s.preconditioner}",
)
def test_batches_of_a_tenth_of_the_rows_give_the_posterior_of_all(sampler):
    posterior = chains(sampler, thin=5)
    drawn, (mean, scale) = posterior.draw(len(posterior), seed=0)["w"], exact()
    assert np.abs((drawn.mean(axis=0) - mean) / scale).mean() < 0.1
    assert drawn.std(axis=0) / scale == pytest.approx(np.ones(VALUES), abs=0.15)
    assert (drawn.std(axis=0) / scale).mean() == pytest.approx(1, abs=0.06)
    assert posterior.diagnose().loc["w", "r_hat"] < 1.1
    assert posterior.record.method == sampler.name


@pytest.mark.filterwarnings("ignore:the chain is too short")
def test_rows_of_a_data_set_or_of_the_models_own_mini_batches_give_the_same_chains():
    class Table(Dataset):
        def __len__(self):
            return ROWS

        def __getitem__(self, i):
            return {"x": X[i], "labels": Y[i]}

    first = chains("sghmc", 5, warmup=5, chains=2)
    for other in ({"batch_size": Stream(Table(), 20)}, {"model": regression(20), "batch_size": None}):
        assert np.allclose(chains("sghmc", 5, warmup=5, chains=2, **other).values, first.values, atol=1e-5)


def test_the_thermostat_draws_its_rows_anew_at_each_step_and_others_deal_them_in_epochs():
    density = torch_log_density(model())
    for independent in (False, True):
        batches, _ = batches_for(density, 20, None, 0, 0, 1, 0, independent)
        epoch = np.concatenate([batches.rows.at(step) for step in range(10)])
        assert (len(set(epoch)) == ROWS) != independent
    assert SGNHT.independent_rows
    assert not SGHMC.independent_rows
    drawn = Rows(ROWS, 20, 0, independent=True)
    assert all(len(set(drawn.at(step))) == 20 for step in range(50))
    assert not np.array_equal(drawn.at(0), Rows(ROWS, 20, 0, rank=1, independent=True).at(0))


# --- cycles and resuming ----------------------------------------------------------------------------------------------


def test_draws_of_a_cyclical_chain_come_from_the_cold_parts_alone():
    posterior = chains(SGHMC(step_size=0.01, schedule="cyclical", cycles=3), 30, warmup=20, chains=2, thin=2)
    assert posterior.draws_per_chain == 30
    assert posterior.stats["step_size"].max() < 0.01 * 0.5 * (1 + np.cos(0.8 * np.pi)) + 1e-9
    assert (np.diff(posterior.stats["step_size"][:, 0]) > 0).sum() == 2  # it rises only where a cycle begins


def test_the_callback_is_told_how_many_draws_of_a_cyclical_chain_there_are():
    told = {}
    sampler = SGHMC(step_size=0.01, schedule="cyclical", cycles=2)
    posterior = chains(sampler, 10, warmup=20, chains=2, callback=lambda step, state: told.update({step: state.draws}))
    assert max(told.values()) == told[max(told)] == posterior.draws_per_chain == 10
    assert told[21] == 0, "the first part of a cycle gives none"
    assert set(np.diff(list(told.values()))) == {0, 1}


@pytest.mark.filterwarnings("ignore:the chain is too short")
@pytest.mark.parametrize(
    "sampler",
    [
        SGLD(preconditioner="rmsprop"),
        SGHMC(schedule="cyclical", cycles=2),
        SGNHT(preconditioner="warm-up"),
    ],
    ids=lambda s: s.name,
)
def test_killed_chains_go_on_draw_for_draw(sampler, tmp_path):
    settings = {"warmup": 30, "chains": 2, "thin": 2}
    whole = chains(sampler, 20, **settings)
    stored = Checkpoint(tmp_path, 7)

    def killed(step, state):
        if step == 45:
            raise RuntimeError("the power went off")

    with pytest.raises(InferenceError, match="step 45 failed"):
        chains(sampler, 20, checkpoint=stored, callback=killed, **settings)
    resumed = chains(sampler, 20, checkpoint=stored, **settings)
    assert np.array_equal(resumed.values, whole.values)
    with pytest.raises(InferenceError, match="step_size"):
        chains(replace(sampler, step_size=0.02), 20, checkpoint=stored, **settings)


def test_a_preconditioner_cools_the_variable_that_mini_batches_heat(recwarn):
    """One wide input beside others: its slope has large gradients, which a step of its own takes care of."""
    wide = X.copy()
    wide[:, 0] *= 6
    with pm.Model() as uneven:
        first, others, x = pm.Normal("first", 0, 2), pm.Normal("others", 0, 2, shape=VALUES - 1), pm.Data("x", wide)
        pm.Normal("y", first * x[:, 0] + x[:, 1:] @ others, 0.7, observed=pm.Data("labels", Y))
    sampler = SGHMC(step_size=0.0005)
    given = {"model": uneven, "start": "model", "warmup": 600, "thin": 20, "chains": 4}
    with pytest.warns(CompanionWarning, match="raise the temperature of 'first' by"):
        chains(sampler, 100, **given)
    recwarn.clear()
    chains(replace(sampler, preconditioner="warm-up"), 100, **given)
    assert not [found for found in recwarn.list if "raise the temperature" in str(found.message)]


def test_a_lost_chain_tells_no_scales_and_one_that_has_learned_nothing_no_steps(recwarn):
    """A scale that is unknown, and chains of which the first is lost: what is foretold is what the others have."""
    with pm.Model() as hierarchical:
        scale = pm.HalfNormal("scale", 1.0)
        w = pm.Normal("w", 0, scale, shape=VALUES)
        pm.Normal("y", pm.Data("x", X) @ w, 0.7, observed=pm.Data("labels", Y))
    density = torch_log_density(hierarchical)
    batches, _ = batches_for(density, 20, None, 0, 0, 1, 0, False)
    objective = Objective(density, PointMass(), rows=ROWS)
    target = Target(objective, batches, Machine("cpu", compile=False), 100)
    sampler = SGHMC(preconditioner="rmsprop", step_size=0.0005)
    problem = Problem(target, objective.layout.size, 2, 0, 10**6, density.device, density.dtype, ROWS, 20)
    position = torch.zeros(2, objective.layout.size, dtype=density.dtype)
    state = {"position": position, "square": torch.zeros_like(position), "scale": torch.ones_like(position)}
    whole = warn_ahead(sampler, problem, objective, state)
    lost = state | {"position": position.clone()}
    lost["position"][0] = torch.nan
    found = warn_ahead(sampler, problem, objective, lost)
    assert found.relaxation == pytest.approx(whole.relaxation, rel=0.2)
    factors = Scaling(Preconditioner.RMSPROP, 0).factors(position + torch.linspace(1, 4, position.shape[1]))
    learned = warn_ahead(
        sampler, problem, objective, state | {"square": torch.ones_like(position), "scale": 0.01 * factors}
    )
    assert learned.relaxation > 10 * whole.relaxation, "its own steps are taken where it has learned some"


# --- warnings and refusals --------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:mini-batches of 20 rows raise")
def test_a_chain_shorter_than_ten_relaxation_times_is_warned_of_by_name_and_in_steps():
    with pm.Model() as wide:
        w = pm.Normal("w", 0, 2, shape=VALUES)
        idle = pm.Normal("idle", 0, 0.5, shape=5)
        x, labels = pm.Data("x", X), pm.Data("labels", Y)
        pm.Normal("y", x @ w + 0 * idle.sum(), 0.7, observed=labels)
    with pytest.warns(
        CompanionWarning, match=r"'idle', relax in 5,000 steps, and there are 40 steps after.* 49,\d\d\d"
    ):
        chains(SGLD(step_size=0.01), 4, model=wide, start="model", warmup=10)


def test_priors_are_read_as_the_model_has_them():
    with pm.Model() as mixed:
        scale = pm.HalfNormal("scale")
        pm.Normal("of the scale", 0, scale, shape=2)
        pm.Normal("fixed", 0, 0.1)
        pm.Laplace("other", 0, 1)
    objective = Objective(torch_log_density(mixed), PointMass())
    point = torch.tensor([np.log(0.5), 1.0, 1.0, 1.0, 1.0])
    found = dict(zip(("scale", "a", "b", "fixed", "other"), prior_precisions(objective, point).tolist(), strict=True))
    assert found["a"] == found["b"] == pytest.approx(4)
    assert found["fixed"] == pytest.approx(100)
    assert np.isnan([found["scale"], found["other"]]).all()


def test_a_batch_larger_than_the_data_and_a_step_of_zero_are_refused():
    with pytest.raises(ModelError, match=r"batch_size=201; expected 1 to 200, the number of rows"):
        chains("sgld", 4, batch_size=201)
    with pytest.raises(ModelError, match="step_size=0 in SGHMC"):
        chains(SGHMC(step_size=0), 4)


def test_steps_that_are_far_too_large_end_with_advice():
    with pytest.raises(InferenceError, match=r"all 2 chains had diverged.*Lower the sampler's step_size"):
        chains(SGLD(step_size=100.0), 40, chains=2)
