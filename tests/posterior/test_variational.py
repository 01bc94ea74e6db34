"""The engine's posterior: draws, predictions and restarts, as a user meets them."""

from functools import cache, partial

import numpy as np
import pymc as pm
import pytest
import torch

from companion.compat import ARVIZ_1
from companion.datasets import Observations, moons
from companion.errors import ModelError
from companion.inference import Machine, Start, fit
from companion.machine import Work, draws_at_once
from companion.models import binary_classifier, torch_classifier
from companion.networks import dense
from companion.posterior import Posterior, VariationalPosterior, predictive, trend
from companion.prediction import predict
from companion.priors import LearnedScale

QUICK = {"progressbar": False, "elbo_draws": 20}
STILL = {"learning_rate": 1e-9, "start": Start("prior", scale=1e-6), **QUICK}  # where it starts it stays

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X @ [1.0, -0.5, 2.0] + 0.5 * RNG.normal(size=40)


def regression():
    """Normal observations, with variables of several supports and what is computed from them."""
    with pm.Model() as model:
        x, tilt = pm.Data("x", X), pm.Data("tilt", np.eye(3))  # the second has no rows
        scale = pm.HalfNormal("scale", 1)
        pm.Deterministic("variance", scale**2)
        w = pm.Normal("w", 0, 2, shape=3)
        mix = pm.Dirichlet("mix", np.ones(3))
        mean = pm.Deterministic("mean", x @ tilt @ w + (x**2) @ mix)
        pm.Normal("y", mean, scale, observed=pm.Data("labels", Y))
    return model


def classes():
    return torch_classifier(Observations(X, np.arange(40) % 3), dense(3, 4, 3), LearnedScale(centred=False))


MODELS = {
    "Normal": regression,
    "Bernoulli": lambda: binary_classifier(moons(n_samples=80).train),
    "Categorical": classes,
}


@cache
def fitted(kind):
    return fit(MODELS[kind](), 30, restarts=2, keep="mixture", machine=Machine(precision="float64"), **QUICK)


def inputs(kind, points=7):
    return np.random.default_rng(1).normal(size=(points, 2 if kind == "Bernoulli" else 3))


EVERY_KIND = pytest.mark.parametrize("kind", MODELS)

# --- draws ------------------------------------------------------------------------------------------------------------


@EVERY_KIND
def test_it_follows_the_protocol_of_posteriors(kind):
    posterior = fitted(kind)
    assert isinstance(posterior, Posterior)
    draws = posterior.draw(6, seed=0)
    shapes = posterior.model.eval_rv_shapes()
    assert {name: a.shape for name, a in draws.items()} == {
        rv.name: (6, *shapes[rv.name]) for rv in posterior.model.free_RVs
    }
    assert all(np.isfinite(a).all() and len(np.unique(a, axis=0)) == 6 for a in draws.values())


def test_some_variables_can_be_drawn_alone():
    every, some = fitted("Normal").draw(4, seed=3), fitted("Normal").draw(4, seed=3, names=["scale", "w"])
    assert list(some) == ["scale", "w"]
    np.testing.assert_array_equal(some["w"], every["w"])
    for names in (["w", "v"], "w"):
        with pytest.raises(ModelError, match="expected names of free variables"):
            fitted("Normal").draw(4, seed=3, names=names)


def test_draws_keep_to_the_support_and_have_the_moments_of_the_approximation():
    posterior = fit(regression(), 30, machine=Machine(precision="float64"), start=Start(scale=0.5), **QUICK)
    draws = posterior.draw(4000, seed=0)
    assert (draws["scale"] > 0).all()
    assert (draws["mix"] > 0).all()
    np.testing.assert_allclose(draws["mix"].sum(axis=1), 1)
    own = posterior.objective.layout
    mean, scale = (own.split(p[0]) for p in (posterior.parameters["mean"], posterior.parameters["log_scale"].exp()))
    for name, drawn in (("scale_log__", np.log(draws["scale"])), ("w", draws["w"])):
        np.testing.assert_allclose(drawn.mean(axis=0), mean[name], atol=4 * 0.6 / np.sqrt(4000))
        np.testing.assert_allclose(drawn.std(axis=0), scale[name], rtol=0.06)


def test_arviz_gets_the_draws_and_what_follows_from_them():
    posterior = fitted("Normal")
    stored = posterior.to_arviz(50, seed=3)
    assert type(stored).__name__ == ("DataTree" if ARVIZ_1 else "InferenceData")
    group, draws = stored["posterior"], posterior.draw(50, seed=3)
    assert set(group.data_vars) == {"scale", "w", "mix", "variance", "mean"}  # those that PyMC puts there
    for name, array in draws.items():
        np.testing.assert_allclose(group[name].values, array[None])
    np.testing.assert_allclose(group["variance"].values[0], draws["scale"] ** 2)
    np.testing.assert_allclose(group["mean"].values[0], posterior.predict(X, draws))
    alone = posterior.to_arviz(50, seed=3, names=["variance", "w"])["posterior"]
    assert set(alone.data_vars) == {"variance", "w"}
    np.testing.assert_allclose(alone["variance"].values, group["variance"].values)


def test_arviz_is_told_which_restart_a_draw_comes_from():
    posterior = fit(regression(), 1, restarts=3, keep="mixture", **STILL)
    stored = posterior.to_arviz(30, seed=1)
    for draw, restart in enumerate(stored["sample_stats"]["restart"].values[0]):
        own = posterior.restart(int(restart)).draw(1, seed=0)["w"][0]
        np.testing.assert_allclose(stored["posterior"]["w"].values[0, draw], own, atol=1e-4)


# --- predictions ------------------------------------------------------------------------------------------------------


@EVERY_KIND
def test_predictions_of_draws_are_those_of_each_draw(kind):
    posterior, x = fitted(kind), inputs(kind)
    draws = posterior.draw(5, seed=2)
    found = posterior.predict(x, draws)
    assert found.shape == {"Normal": (5, 7), "Bernoulli": (5, 7, 2), "Categorical": (5, 7, 3)}[kind]
    each = [posterior.predict(x, {name: a[k : k + 1] for name, a in draws.items()})[0] for k in range(5)]
    np.testing.assert_allclose(found, each, rtol=1e-9)
    np.testing.assert_allclose(predict(posterior, x, draws=5, seed=2), found, rtol=1e-9)
    np.testing.assert_allclose(posterior.predict(x[::-1], draws), found[:, ::-1], rtol=1e-9)
    assert posterior.predict(x[:1].tolist(), draws).shape == (5, 1, *found.shape[2:])
    if kind != "Normal":
        np.testing.assert_allclose(found.sum(axis=-1), 1)


def test_predictions_are_the_models_formula():
    x = inputs("Normal")
    draws = fitted("Normal").draw(4, seed=0)
    np.testing.assert_allclose(
        fitted("Normal").predict(x, draws), draws["w"] @ x.T + draws["mix"] @ (x**2).T, rtol=1e-9
    )
    x = inputs("Bernoulli")
    draws = fitted("Bernoulli").draw(4, seed=0)
    for k, found in enumerate(fitted("Bernoulli").predict(x, draws)):
        hidden = np.tanh(np.tanh(x @ draws["w_in_1"][k]) @ draws["w_1_2"][k])
        np.testing.assert_allclose(found[:, 1], 1 / (1 + np.exp(-hidden @ draws["w_2_out"][k])), rtol=1e-9)
    x = inputs("Categorical")
    draws = fitted("Categorical").draw(4, seed=0)
    for k, found in enumerate(fitted("Categorical").predict(x, draws)):
        w = {n: draws[f"{n}.raw"][k] * draws[f"{n[0]}.scale"][k] for n in ("0.weight", "0.bias", "2.weight", "2.bias")}
        logits = np.maximum(x @ w["0.weight"].T + w["0.bias"], 0) @ w["2.weight"].T + w["2.bias"]
        np.testing.assert_allclose(found, torch.tensor(logits).softmax(dim=1), rtol=1e-9)


@EVERY_KIND
@pytest.mark.parametrize("budget", [1, 5000])
def test_chunks_do_not_change_predictions(kind, budget, monkeypatch):
    posterior, x = fitted(kind), inputs(kind, points=23)
    whole = posterior.predict(x, posterior.draw(6, seed=0)), posterior.predictive(x, 6, seed=0)
    sizes = []

    def measured(*args, **shared):  # no setting makes the memory smaller
        sizes.append(draws_at_once(*args, budget=budget, **shared))
        return sizes[-1]

    monkeypatch.setattr(predictive, "draws_at_once", measured)
    parts = posterior.predict(x, posterior.draw(6, seed=0)), posterior.predictive(x, 6, seed=0)
    assert all(draws < 6 and (budget > 1 or points == 1) for draws, points in sizes)
    np.testing.assert_allclose(parts, whole, rtol=1e-9)


def shared_and_own(draw, points):
    return torch.tanh(points["x"] @ draw["shared"]) @ draw["own"]


@pytest.mark.parametrize("at", ["shared", "own"])
def test_what_all_draws_share_is_computed_once(at):
    draws = {"shared": torch.randn(1, 30, 40).expand(20, -1, -1), "own": torch.randn(20, 40)}
    draws |= {"own": draws["own"][:1].expand(20, -1)} if at == "own" else {}
    points = {"x": torch.randn(50, 30)}
    found, computed = [], []

    def some(numbers):
        return {name: a[numbers] for name, a in draws.items()}

    for certain in ({}, {at: draws[at][0]}):
        with Work() as work:
            found.append(predictive.in_parts(shared_and_own, 20, some, points, certain))
        computed.append(work.computed_bytes)
    torch.testing.assert_close(*found)
    if at == "shared":
        assert computed[1] < computed[0] / 4, "twenty times the hidden units, or once and twice to measure"
    else:
        assert computed[1] < 1.5 * computed[0], "what is shared is little, and all goes as without it"


def test_what_all_draws_share_may_have_no_rule_for_many_draws():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return torch.from_numpy(2 * x.numpy())

    def respond(draw, points):
        return Double.apply(points["x"] * draw["shared"]) + draw["own"]

    draws = {"shared": torch.full((3,), 5.0), "own": torch.arange(3.0)}
    found = predictive.in_parts(
        respond, 3, lambda at: {n: a[at] for n, a in draws.items()}, {"x": torch.ones(4)}, {"shared": torch.tensor(5.0)}
    )
    torch.testing.assert_close(found, 10 + torch.arange(3.0)[:, None].expand(3, 4))


def test_the_front_door_never_asks_for_all_draws_of_the_engine(monkeypatch):
    monkeypatch.setattr(VariationalPosterior, "draw", lambda *_: pytest.fail("all draws at once"))
    assert predict(fitted("Normal"), inputs("Normal"), draws=3).shape == (3, 7)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((5, 2)), r"x has shape \(5, 2\)"),
        (np.zeros(3), r"x has shape \(3,\)"),
        (np.zeros((0, 3)), r"x has shape \(0, 3\)"),
        ([["a", "b", "c"]], "expected numbers"),
        ({"x": X, "z": X}, r"lack or add \['z'\]"),
        ({}, r"lack or add \['x'\]"),
    ],
)
def test_inputs_that_do_not_fit_are_named(x, message):
    posterior = fitted("Normal")
    for ask in (lambda: posterior.predict(x, posterior.draw(2, seed=0)), lambda: posterior.predictive(x, 2, seed=0)):
        with pytest.raises(ModelError, match=message):
            ask()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w": None}, "no draws of 'w'"),
        ({"w": np.zeros((4, 2))}, r"'w' have shape \(4, 2\)"),
        ({"w": np.zeros((0, 3))}, r"'w' have shape \(0, 3\)"),
        ({"w": np.zeros((3, 3))}, "differ in their number of draws"),
    ],
)
def test_draws_that_do_not_fit_are_named(change, message):
    draws = {n: a for n, a in {**fitted("Normal").draw(4, seed=0), **change}.items() if a is not None}
    with pytest.raises(ModelError, match=message):
        fitted("Normal").predict(inputs("Normal"), draws)


def test_no_draws_at_all_are_refused():
    posterior = fitted("Normal")
    asks = (partial(posterior.draw, 0, 0), partial(posterior.predictive, inputs("Normal"), 0, 0), posterior.to_arviz)
    for ask in (*asks[:2], partial(asks[2], 0), partial(predict, posterior, inputs("Normal"), 0)):
        with pytest.raises(ModelError, match="n=0; expected a whole number, 1 or more"):
            ask()


def test_several_inputs_come_by_name_and_constants_stay():
    with pm.Model() as model:
        a, b, c = pm.Data("a", X[:, 0]), pm.Data("b", X[:, 1]), pm.Data("c", 3.0)
        pm.StudentT("y", 4, mu=pm.Normal("w") * a + b + c, sigma=1, observed=Y)
    posterior = fit(model, 2, machine=Machine(precision="float64"), **QUICK)
    draws = posterior.draw(3, seed=0)
    found = posterior.predict({"a": X[:5, 2], "b": X[:5, 0]}, draws)
    np.testing.assert_allclose(found, draws["w"][:, None] * X[:5, 2] + X[:5, 0] + 3)
    with pytest.raises(ModelError, match=r"a mapping from these names"):
        posterior.predict(X[:5, 0], draws)
    with pytest.raises(ModelError, match="differ in their number of points"):
        posterior.predict({"a": X[:5, 0], "b": X[:4, 0]}, draws)


def test_a_model_that_was_given_plain_arrays_says_how_to_predict():
    with pm.Model() as model:
        pm.Normal("y", X @ pm.Normal("w", shape=3), 1, observed=Y)
    posterior = fit(model, 2, **QUICK)
    with pytest.raises(ModelError, match=r"pm.Data\('x', X\)"):
        posterior.predict(X, posterior.draw(2, seed=0))


# --- restarts and diagnostics -----------------------------------------------------------------------------------------


def test_restarts_can_be_kept_alone_or_mixed():
    mixed = fit(regression(), 1, restarts=3, keep="mixture", **STILL)
    alone = [mixed.restart(r).draw(1, seed=0)["w"][0] for r in range(3)]

    def taken(posterior, n=30):
        """How many draws came from each restart: they are far apart, and each is almost a point."""
        drawn = posterior.draw(n, seed=1)["w"]
        from_ = [np.abs(drawn - w).max(axis=1) < 1e-4 for w in alone]
        assert np.sum(from_) == n
        return [int(f.sum()) for f in from_]

    assert taken(mixed) == [10, 10, 10]
    assert taken(mixed.mixture([1, 0, 1])) == [15, 0, 15]
    assert taken(mixed.mixture([0, 0, 2])) == [0, 0, 30]
    assert taken(mixed.mixture([0.9, 0.1, 0]), 2000)[0] == pytest.approx(1800, abs=60)
    best = int(np.argmax(mixed.record.bounds[:, 0]))
    np.testing.assert_array_equal(mixed.best().weights, np.eye(3)[best])
    kept = fit(regression(), 1, restarts=3, **STILL)
    np.testing.assert_array_equal(kept.weights, mixed.best().weights)
    weights = np.exp(mixed.record.bounds[:, 0] - mixed.record.bounds[:, 0].max())
    np.testing.assert_allclose(mixed.mixture("elbo").weights, weights / weights.sum())
    for wrong in ("best", [1, 1], [-1, 1, 1], [0, 0, 0], [np.nan, 1, 1]):
        with pytest.raises(ModelError, match="weights="):
            mixed.mixture(wrong)
    with pytest.raises(ModelError, match="restart 3 asked for; there are 3"):
        mixed.restart(3)


def test_k_hat_is_refused_where_it_says_nothing():
    with pm.Model() as large:
        pm.Normal("y", pm.Normal("w", shape=2001).sum(), 1, observed=0.0)
    two = fit(regression(), 5, restarts=2, keep="mixture", **QUICK)
    for posterior, message in (
        (fit(large, 1, **QUICK), "2,001 values"),
        (fit(regression(), 5, family="map", **QUICK), "family 'map'"),
        (two, r"one with best\(\) or restart"),
    ):
        with pytest.raises(ModelError, match=message):
            posterior.k_hat()
    with pytest.raises(ModelError, match="99 draws"):
        two.best().k_hat(99)


def test_the_trend_tells_a_falling_loss_from_one_that_rests():
    noise, steps = np.random.default_rng(0).normal(size=2000), np.arange(2000)
    falling, resting = trend(900 - 0.1 * steps + noise), trend(900 + noise)
    assert falling.slope == pytest.approx(-100, abs=4 * falling.slope_se)
    assert not falling.converged
    assert resting.converged
    record = fit(regression(), 400, restarts=2, **QUICK).record
    assert record.trend() == record.trend(int(np.argmax(record.bounds[:, 0])))
    assert record.trend(share=1.0).slope < 0
    for history, share in ((noise[:99], 0.2), (np.full(500, np.nan), 0.2), (noise, 0.0), (noise, 1.5)):
        with pytest.raises(ModelError, match="expected 20 or more"):
            trend(history, share)
