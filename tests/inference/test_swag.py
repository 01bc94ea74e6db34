"""SWAG and MultiSWAG: the Gaussian of the iterates, and what a user meets on the way."""

import re
from functools import cache

import numpy as np
import pymc as pm
import pytest
import torch

from companion.errors import CompanionWarning, InferenceError, ModelError
from companion.inference import Checkpoint, Machine, Rates, Start, Trajectory, swag
from companion.training import Iterates

QUICK = {"progressbar": False, "elbo_draws": 4, "machine": Machine("cpu", "float64", compile=False), "batch_size": 10}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4))
Y = X @ [1.0, -2.0, 0.5, 0.0] + 0.5 * RNG.normal(size=50)


@cache
def quadratic():
    """Its loss is a quadratic function of w."""
    with pm.Model() as model:
        w = pm.Normal("w", 0, 1, shape=4)
        pm.Normal("y", pm.Data("x", X) @ w, 0.5, observed=pm.Data("labels", Y))
    return model


def with_iterates(steps=100, trajectory=Trajectory(0.005), restarts=1, **settings):  # noqa: B008
    """A posterior, and every point that the trajectory went through: (steps, restarts, values)."""
    places = []

    def watch(step, state):
        places.append(state.posterior().parameters["mean"].numpy().copy())

    given = {**QUICK, "callback": watch, **settings}
    return swag(quadratic(), steps, trajectory=trajectory, restarts=restarts, **given), np.stack(places)


def covariance(posterior, restart=0):
    own = {name: p[restart].numpy() for name, p in posterior.parameters.items()}
    return np.diag(np.exp(2 * own["log_scale"])) + own["factor"] @ own["factor"].T


def expected(taken, rank):
    """Covariance of iterates (count, values), of which the last few make the columns."""
    last = (taken - taken.mean(axis=0))[-rank:]
    return 0.5 * np.diag(taken.var(axis=0)) + 0.5 * last.T @ last / (len(last) - 1)


def test_the_covariance_is_that_of_the_iterates_on_a_quadratic_loss():
    posterior, places = with_iterates(trajectory=Trajectory(0.005, rank=40, every=1))
    taken = places[:, 0]
    assert len(taken) == 40
    found, half = covariance(posterior), 0.5 * np.diag(taken.var(axis=0))
    np.testing.assert_allclose(found, expected(taken, 40), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(2 * (found - half), np.cov(taken.T), rtol=1e-9, atol=1e-15)  # in 4 columns, of 40
    moments, scale = posterior.moments()["w"], np.sqrt(np.diag(found))
    np.testing.assert_allclose(moments.mean, taken.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(moments.scale, scale, rtol=1e-9)
    draws = posterior.draw(4000, seed=0)["w"]
    np.testing.assert_allclose(np.cov(draws.T) / np.outer(scale, scale), found / np.outer(scale, scale), atol=0.1)


@pytest.mark.parametrize(("rank", "every"), [(3, 1), (4, 10), (50, 1)])
def test_the_last_iterates_make_the_columns(rank, every):
    places = torch.randn(40, 2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    iterates = Iterates(places[0], rank, every)
    for step, place in enumerate(places, start=1):
        iterates.collect(step, {"mean": place})
    own = iterates.gaussian(40)
    for restart in range(2):
        q = {name: p[restart] for name, p in own.items()}
        found = torch.diag((2 * q["log_scale"]).exp()) + q["factor"] @ q["factor"].T
        np.testing.assert_allclose(found, expected(places[every - 1 :: every, restart].numpy(), rank), rtol=1e-9)
    assert own["factor"].shape == (2, 5, min(rank, 5))  # what the family "low-rank" draws with


def test_it_stays_around_the_mode_and_its_width_follows_the_rate():
    narrow, wide = (with_iterates(200, Trajectory(rate, share=0.5), learning_rate=0.1)[0] for rate in (0.001, 0.01))
    mode = np.linalg.solve(X.T @ X / 0.25 + np.eye(4), X.T @ Y / 0.25)
    np.testing.assert_allclose(narrow.moments()["w"].mean, mode, atol=0.1)
    assert np.trace(covariance(wide)) > 3 * np.trace(covariance(narrow))


def test_an_elbo_is_reported_and_it_is_a_bound():
    posterior, _ = with_iterates(200, learning_rate=0.1, elbo_draws=200)
    cov = 0.25 * np.eye(50) + X @ X.T
    evidence = -0.5 * (Y @ np.linalg.solve(cov, Y) + np.linalg.slogdet(cov)[1] + 50 * np.log(2 * np.pi))
    assert posterior.record.elbo < evidence + 4 * posterior.record.elbo_se
    assert posterior.record.method == "SWAG"
    assert str(posterior.record).startswith("SWAG, 80 steps: ELBO")
    assert len(posterior.record.history) == 80


def test_restarts_make_a_mixture_of_trajectories_with_equal_weights():
    posterior, places = with_iterates(50, restarts=3, trajectory=Trajectory(0.005, rank=5))
    np.testing.assert_allclose(posterior.weights, 1 / 3)
    for r in range(3):
        taken = places[3::4, r]
        np.testing.assert_allclose(posterior.restart(r).moments()["w"].mean, taken.mean(axis=0), rtol=1e-9)
    chosen = posterior.to_arviz(9, seed=0)["sample_stats"]["restart"].values
    assert sorted(chosen.ravel()) == [0] * 3 + [1] * 3 + [2] * 3
    assert sorted(posterior.best().weights) == [0, 0, 1]


@pytest.mark.parametrize(("optimiser", "at"), [("sgd", 33), ("adam", 2)], ids=["late", "before the first iterate"])
def test_a_killed_fit_goes_on_bit_for_bit(tmp_path, optimiser, at):
    settings = QUICK | {"trajectory": Trajectory(0.002, rank=4, every=3, optimiser=optimiser), "restarts": 2}
    whole = swag(quadratic(), 100, **settings)

    def killed(step, state):
        if step == at:
            raise RuntimeError("the power went off")

    with pytest.raises(InferenceError, match="the power went off"):
        swag(quadratic(), 100, checkpoint=Checkpoint(tmp_path, 10), callback=killed, **settings)
    resumed = swag(quadratic(), 100, checkpoint=Checkpoint(tmp_path, 10), **settings)
    for name, p in whole.parameters.items():
        assert torch.equal(resumed.parameters[name], p), name
    other = settings | {"trajectory": Trajectory(0.002, rank=5, every=3, optimiser=optimiser)}
    with pytest.raises(InferenceError, match="gathering: rank was 4, is 5"):
        swag(quadratic(), 100, checkpoint=tmp_path, **other)


def stopped(every):
    def stop(step, state):
        if step == 20:
            raise StopIteration

    path = Trajectory(0.005, every=every)
    return swag(quadratic(), 100, trajectory=path, callback=stop, **QUICK)


def test_what_was_stopped_early_is_the_gaussian_so_far_or_the_point():
    posterior = stopped(every=5)
    assert posterior.record.stopped == "stopped by the callback after step 20 of 40"
    assert np.isfinite(covariance(posterior)).all()
    with pytest.raises(
        InferenceError, match=r"has 1 iterates, and a covariance needs two.*stopped by the callback"
    ) as one:
        stopped(every=15)
    assert one.value.posterior.record.method == "map"
    assert one.value.posterior.draw(2, seed=0)["w"].shape == (2, 4)


def test_all_rows_at_every_step_make_a_trajectory_without_noise_and_a_notice():
    with pytest.warns(CompanionWarning, match=r"takes all rows at every step.*Give batch_size"):
        swag(quadratic(), 20, **QUICK | {"batch_size": None})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (lambda: {"steps": 2}, r"steps=2 with share=0.4 .*expected at least two iterates"),
        (lambda: {"steps": 20, "trajectory": Trajectory(every=5)}, "8 steps and 1 iterates; expected at least two"),
        (lambda: {"trajectory": 0}, "trajectory=0; expected a positive, finite number"),
        (lambda: {"trajectory": Trajectory(rate=-1)}, "rate=-1 in Trajectory; expected a positive"),
        (lambda: {"trajectory": Trajectory(share=1)}, "share=1 in Trajectory; expected a share between 0 and 1"),
        (lambda: {"trajectory": Trajectory(rank=1)}, "rank=1; expected a whole number, 2 or more"),
        (lambda: {"trajectory": Trajectory(optimiser="ivon")}, "in Trajectory; expected 'sgd' or 'adam'"),
        (lambda: {"learning_rate": Rates(0.1, 0.1)}, "learning_rate is a Rates; expected a number"),
        (lambda: {"restarts": 2, "start": {"w": np.zeros(4)}}, "swag and restarts=2 with given start values"),
        (lambda: {"keep": "all"}, "keep='all'; expected one of"),
        (lambda: {"batch_size": 51}, "batch_size=51; expected 1 to 50"),
    ],
)  # fmt: skip
def test_useless_settings_are_refused(settings, message):
    with pytest.raises(ModelError, match=message):
        swag(quadratic(), **{"steps": 20, **QUICK, **settings()})


def test_a_trajectory_that_diverges_names_its_own_rate_and_says_where_its_steps_count_from():
    """A step of the trajectory is not a step of the fit: half of these go to the mode."""
    with pytest.raises(InferenceError) as told:
        swag(quadratic(), 400, trajectory=Trajectory(1e6, share=0.5), **QUICK)
    said = str(told.value)
    assert re.search(r"at step \d+ of the trajectory ", said)
    assert "Lower trajectory, the learning rate of this part (a tenth" in said
    assert "the last good state (step 0 of the trajectory)" in said
    assert "learning_rate" not in said


def test_a_way_to_the_mode_that_diverges_names_the_learning_rate():
    with pytest.raises(InferenceError, match=r"at step \d+ .*Lower learning_rate") as told:
        swag(quadratic(), 2000, learning_rate=1e200, **QUICK)
    assert "of the trajectory" not in str(told.value)
    assert "Lower trajectory" not in str(told.value)


def test_a_start_can_be_given():
    posterior = swag(quadratic(), 10, start=Start({"w": np.full(4, 9.0)}), learning_rate=1e-9, trajectory=1e-9, **QUICK)
    np.testing.assert_allclose(posterior.moments()["w"].mean, 9, rtol=1e-5)


def test_a_value_that_does_not_move_has_almost_no_variance_and_a_finite_density():
    iterates = Iterates(torch.zeros(1, 2), 2, 1)
    for step in range(1, 4):
        iterates.collect(step, {"mean": torch.tensor([[1.0, float(step)]])})
    own = {name: p[0] for name, p in iterates.gaussian(3).items()}
    assert float(iterates.family.variance(own)[0]) < 1e-20
    assert torch.isfinite(iterates.family.log_prob(own, torch.tensor([1.0, 2.0])))
