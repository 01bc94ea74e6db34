"""Optimisers of the loop: they end where the mathematics says, and go on where they were killed."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
import torch

from companion.errors import InferenceError, ModelError
from companion.inference import Checkpoint, Machine, Rates, Start, fit
from companion.training.optimisers import WindowedAdagrad

QUICK = {"progressbar": False, "elbo_draws": 20, "machine": Machine("cpu", "float64", compile=False)}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)) @ np.array([[1.0, 0.6, 0.0], [0.0, 1.0, -0.4], [0.0, 0.0, 0.5]])
Y = X @ [1.0, -2.0, 0.5] + 0.5 * RNG.normal(size=60)
IVON = Rates(0.3, 0.05, "ivon")


def regression():
    with pm.Model() as model:
        w = pm.Normal("w", 0.3, 2, shape=3)
        pm.Normal("y", pm.Data("x", X) @ w, 0.5, observed=pm.Data("labels", Y))
    return model


def exact(temperature=1.0):
    """Mean, and variances of the best independent normals: the posterior's, tempered, has this precision."""
    precision = X.T @ X / 0.25 / temperature + np.eye(3) / 4
    mean = np.linalg.solve(precision, X.T @ Y / 0.25 / temperature + 0.3 * np.ones(3) / 4)
    return mean, 1 / np.diag(precision)


@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_ivon_ends_at_the_best_independent_normals(temperature):
    posterior = fit(regression(), 500, draws=4, learning_rate=IVON, temperature=temperature, **QUICK)
    mean, variance = exact(temperature)
    found = posterior.moments()["w"]
    np.testing.assert_allclose(found.mean, mean, atol=0.2 * variance.min() ** 0.5)
    np.testing.assert_allclose(found.scale**2, variance, rtol=0.1)


def test_ivon_ends_exactly_at_a_posterior_that_the_family_holds():
    y = np.random.default_rng(1).normal(1.0, 0.5, size=(30, 2))
    with pm.Model() as model:  # independent posteriors, so that the bound is the evidence
        w = pm.Normal("w", 0, 1, shape=2)
        pm.Normal("y", w[None, :], 0.5, observed=y)
    cov = 0.25 * np.eye(30) + 1
    evidence = sum(
        -0.5 * (c @ np.linalg.solve(cov, c) + np.linalg.slogdet(cov)[1] + 30 * np.log(2 * np.pi)) for c in y.T
    )
    posterior = fit(model, 500, learning_rate=IVON, estimator="sticking-the-landing", **QUICK)
    found = posterior.moments()["w"]
    np.testing.assert_allclose(found.mean, y.sum(axis=0) / 0.25 / 121, rtol=1e-4)
    np.testing.assert_allclose(found.scale**2, 1 / 121, rtol=1e-4)
    assert posterior.record.elbo == pytest.approx(evidence, abs=1e-4)
    assert posterior.record.settings["optimiser"] == "ivon"


def test_one_step_of_ivon_is_the_authors_formula():
    """Their h is the precision over the number of rows, with the prior's part in it; beta 2 is 1 - 0.05."""
    posterior = fit(regression(), 2, learning_rate=IVON, schedule="constant", start=Start({"w": np.zeros(3)}), **QUICK)
    objective, data = posterior.objective, posterior.batches.at(0)
    h, m, g = np.full(3, 100.0), np.zeros(3), np.zeros(3)
    for step in range(2):
        noise = _noise(posterior, step)
        w = torch.tensor(m + noise / np.sqrt(h), requires_grad=True)
        (-objective.density({"w": w}, data)).backward()
        likelihood = w.grad.numpy() - (w.detach().numpy() - 0.3) / 4
        gradient, estimate = likelihood + (m - 0.3) / 4, likelihood * noise * np.sqrt(h) + 1 / 4
        g = 0.9 * g + 0.1 * gradient
        h = 0.95 * h + 0.05 * estimate + 0.5 * 0.05**2 * (h - estimate) ** 2 / h
        m = m - 0.3 * g / (1 - 0.9 ** (step + 1)) / h
    found = posterior.moments()["w"]
    np.testing.assert_allclose(found.mean, m, rtol=1e-9)
    np.testing.assert_allclose(found.scale**-2.0, h, rtol=1e-9)


def _noise(posterior, step):
    from companion.machine import generator_for

    generator = generator_for(torch.device("cpu"), posterior.record.settings["seed"], "noise", step, 0)
    return torch.empty(1, 1, 3, dtype=torch.float64).normal_(generator=generator).numpy().ravel()


def test_a_rate_of_sgd_means_the_same_for_any_number_of_rows():
    def ends(copies):
        with pm.Model() as model:
            w = pm.Flat("w", shape=3, initval=np.zeros(3))
            x, labels = pm.Data("x", np.tile(X, (copies, 1))), pm.Data("labels", np.tile(Y, copies))
            pm.Normal("y", x @ w, 0.5, observed=labels)
        return fit(model, 30, family="map", learning_rate=Rates(0.01, 0.01, "sgd"), **QUICK).moments()["w"].mean

    np.testing.assert_allclose(ends(1), ends(5), rtol=1e-9)


def test_windowed_adagrad_is_the_default_optimiser_of_pymc():
    """The same gradients, for more steps than the window holds, with two rates, through both optimisers."""
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(25, 4)) * [0.1, 1.0, 10.0, 100.0]
    shared, gradient = pytensor.shared(np.zeros(4)), pt.vector("gradient")
    advance = pytensor.function([gradient], updates=pm.adagrad_window([gradient], [shared], 0.01, epsilon=1.0))
    theirs = []
    for g in gradients:
        advance(g)
        theirs.append(shared.get_value())
    ours = {"mean": torch.zeros(1, 4, dtype=torch.float64), "log_scale": torch.zeros(1, 4, dtype=torch.float64)}
    optimiser = WindowedAdagrad(ours, {"mean": 0.01, "log_scale": 0.02}, 1.0)
    for step, g in enumerate(torch.tensor(gradients)[:, None]):
        optimiser.follow((g, g), step, 1.0, torch.ones(()))
        np.testing.assert_allclose(ours["mean"][0], theirs[step], rtol=1e-12)
        np.testing.assert_allclose(ours["log_scale"][0], 2 * theirs[step], rtol=1e-12)


def test_windowed_adagrad_ends_where_adam_does():
    rates = Rates(0.05, 0.05, "windowed-adagrad", epsilon=1.0)
    found = fit(regression(), 1500, draws=4, learning_rate=rates, **QUICK).moments()["w"]
    mean, variance = exact()
    np.testing.assert_allclose(found.mean, mean, atol=0.2 * variance.min() ** 0.5)
    np.testing.assert_allclose(found.scale**2, variance, rtol=0.1)


@pytest.mark.parametrize("optimiser", ["adam", "ivon", "windowed-adagrad"])
def test_a_killed_fit_goes_on_bit_for_bit(tmp_path, optimiser):
    settings = {
        "learning_rate": Rates(0.02, 0.02, optimiser),
        "restarts": 2,
        "keep": "mixture",
        "batch_size": 20,
        **QUICK,
    }
    whole = fit(regression(), 40, **settings)

    def killed(step, state):
        if step == 27:
            raise RuntimeError("the power went off")

    with pytest.raises(InferenceError, match="the power went off"):
        fit(regression(), 40, checkpoint=Checkpoint(tmp_path, 10), callback=killed, **settings)
    resumed = fit(regression(), 40, checkpoint=Checkpoint(tmp_path, 10), **settings)
    for name, p in whole.parameters.items():
        assert torch.equal(resumed.parameters[name], p)
    other = {**settings, "learning_rate": Rates(0.02, 0.02, "sgd" if optimiser == "adam" else "adam")}
    with pytest.raises(InferenceError, match=rf"optimiser was '{optimiser}', is"):
        fit(regression(), 40, checkpoint=tmp_path, **other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (lambda: {"learning_rate": Rates(0.1, 0.1, "newton")}, "optimiser='newton'; expected one of"),
        (lambda: {"learning_rate": Rates(0.1, 1.0, "ivon")}, r"scales=1.0 in Rates .*expected a number below 1"),
        (lambda: {"learning_rate": IVON, "family": "map"}, "is for independent normals, and family='map'"),
        (lambda: {"learning_rate": IVON, "family": "full-rank"}, "Use family='mean-field', or optimiser='adam'"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(settings, message):
    with pytest.raises(ModelError, match=message):
        fit(regression(), 10, **settings(), **QUICK)


def test_ivon_starts_at_the_mode_that_adam_walks_to():
    still = Rates(1e-12, 1e-12, "ivon")
    posterior = fit(regression(), 1, learning_rate=still, start=Start(map_steps=50), **QUICK)
    mode = fit(regression(), 50, family="map", learning_rate=0.01, **QUICK)
    np.testing.assert_allclose(posterior.moments()["w"].mean, mode.moments()["w"].mean, rtol=1e-6)
