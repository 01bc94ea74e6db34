"""The engine: its fits against closed forms, and its posteriors as a user meets them."""

import inspect
from dataclasses import dataclass
from functools import cache

import numpy as np
import pymc as pm
import pytest
import torch

from companion import bayes_by_backprop
from companion.datasets import Observations
from companion.errors import CompanionWarning, InferenceError, ModelError
from companion.inference import Checkpoint, Machine, Rates, Schedule, Start, Stream, fit, plan
from companion.machine import devices
from companion.models import torch_classifier
from companion.networks import dense
from companion.posterior import VariationalPosterior, load_posterior, save_posterior
from companion.posterior import moments as posterior_moments
from companion.priors import Gaussian
from companion.training import lowering
from companion.variational import MeanField, register_family

QUICK = {"progressbar": False, "elbo_draws": 20}

# Conjugate regression: y ~ N(X w, NOISE^2), w ~ N(0, SPREAD^2), four correlated features.
NOISE, SPREAD, RNG = 0.5, 2.0, np.random.default_rng(0)
X = RNG.multivariate_normal(np.zeros(4), 0.4 * np.eye(4) + 0.6, size=40)
Y = X @ [1.0, -0.5, 0.3, 2.0] + NOISE * RNG.normal(size=40)
PRECISION = X.T @ X / NOISE**2 + np.eye(4) / SPREAD**2
COVARIANCE = np.linalg.inv(PRECISION)
MEAN = COVARIANCE @ X.T @ Y / NOISE**2
MARGINAL = SPREAD**2 * X @ X.T + NOISE**2 * np.eye(40)
EVIDENCE = -0.5 * (Y @ np.linalg.solve(MARGINAL, Y) + np.linalg.slogdet(2 * np.pi * MARGINAL)[1])
# The best factorised q has the precision's diagonal; what that misses of the evidence.
GAP = 0.5 * (np.log(np.diag(PRECISION)).sum() - np.linalg.slogdet(PRECISION)[1])


def regression():
    with pm.Model() as model:
        x = pm.Data("x", X)
        w = pm.Normal("w", 0, SPREAD, shape=4)
        pm.Normal("y", x @ w, NOISE, observed=pm.Data("labels", Y))
    return model


def classifier():
    return torch_classifier(Observations(X, (Y > 0).astype(int)), dense(4, 3, 1), Gaussian(1.0))


@cache
def conjugate_fit(family, estimator):
    exact = estimator == "sticking-the-landing" and family != "mean-field"  # then there is no noise to average out
    draws = 8 if exact else 1000 if family == "low-rank:4" else 500
    return fit(
        regression(), 2000, family=family, estimator=estimator, draws=draws, learning_rate=0.03,
        machine=Machine(precision="float64"),
        elbo_draws=1000, progressbar=False,
    )  # fmt: skip


def moments(posterior):
    """Mean and covariance of the first restart's approximation, from its parameters."""
    family, own = posterior.objective.family, {name: p[0] for name, p in posterior.parameters.items()}
    size = posterior.objective.layout.size
    noises = torch.eye(family.noise(size), dtype=torch.float64)
    factor = np.stack([(family.draw(own, e) - own["mean"]).numpy() for e in noises], axis=1)
    return own["mean"].numpy(), factor @ factor.T


FAMILIES = ["mean-field", "full-rank", "low-rank:4"]
ESTIMATORS = ["reparameterisation", "sticking-the-landing"]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_conjugate_posterior_is_found_to_one_percent(family, estimator):
    mean, covariance = moments(conjugate_fit(family, estimator))
    exact = np.diag(1 / np.diag(PRECISION)) if family == "mean-field" else COVARIANCE
    sds = np.sqrt(np.diag(exact))
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), sds, rtol=0.01)
    np.testing.assert_array_less(np.abs(mean - MEAN), 0.01 * sds)
    assert np.linalg.norm(covariance - exact) < 0.01 * np.linalg.norm(exact)
    if estimator == "sticking-the-landing" and family != "mean-field":
        np.testing.assert_allclose(covariance, exact, atol=1e-6 * exact.max())


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_elbo_is_the_evidence_less_what_the_family_misses(family, estimator):
    record = conjugate_fit(family, estimator).record
    expected = EVIDENCE - (GAP if family == "mean-field" else 0.0)
    assert abs(record.elbo - expected) < 4 * record.elbo_se + 1e-6
    assert record.elbo_se < 0.06
    assert -record.history[-200:].mean() == pytest.approx(expected, abs=0.1)


def test_k_hat_tells_a_family_that_fits_from_one_that_does_not():
    exact, factorised = (conjugate_fit(f, "reparameterisation").k_hat(2000) for f in ("full-rank", "mean-field"))
    assert exact < 0.4
    assert factorised > exact


def test_map_is_ridge_regression():
    posterior = fit(regression(), 1500, family="map", learning_rate=0.05, machine=Machine(precision="float64"), **QUICK)
    np.testing.assert_allclose(posterior.draw(2, seed=0)["w"], [MEAN, MEAN], rtol=1e-5)
    w = posterior.draw(1, seed=0)["w"][0]
    density = -0.5 * (((Y - X @ w) / NOISE) ** 2).sum() - 0.5 * ((w / SPREAD) ** 2).sum()
    density -= 40 * np.log(NOISE * np.sqrt(2 * np.pi)) + 4 * np.log(SPREAD * np.sqrt(2 * np.pi))
    assert posterior.record.elbo == pytest.approx(density)
    assert posterior.record.elbo_se < 1e-12


@pytest.mark.parametrize("temperature", [0.1, 3.0])
def test_a_cold_posterior_has_the_likelihood_to_the_power_of_one_over_t(temperature):
    posterior = fit(
        regression(), 1500, family="full-rank", estimator="sticking-the-landing", draws=8, learning_rate=0.1,
        machine=Machine(precision="float64"), temperature=temperature, elbo_draws=300, progressbar=False,
    )  # fmt: skip
    mean, covariance = moments(posterior)
    exact = np.linalg.inv(X.T @ X / NOISE**2 / temperature + np.eye(4) / SPREAD**2)
    np.testing.assert_allclose(covariance, exact, atol=1e-3 * exact.max())
    np.testing.assert_allclose(mean, exact @ X.T @ Y / NOISE**2 / temperature, rtol=1e-3)
    assert posterior.record.temperature == posterior.record.settings["temperature"] == temperature
    # ELBO and history are at full weight: the evidence less KL(q || posterior).
    ratio = PRECISION @ exact
    shift = mean - MEAN
    missed = 0.5 * (np.trace(ratio) - 4 - np.linalg.slogdet(ratio)[1] + shift @ PRECISION @ shift)
    assert abs(posterior.record.elbo - (EVIDENCE - missed)) < 4 * posterior.record.elbo_se + 1e-3
    assert -posterior.record.history[-500:].mean() == pytest.approx(EVIDENCE - missed, abs=0.2)


# --- restarts, seeds and what a fit leaves alone --------------------------------------------------------------------


def test_a_diverging_restart_leaves_the_others_as_they_are(monkeypatch):
    healthy = fit(regression(), 200, restarts=3, keep="mixture", **QUICK)
    whole = plan.starting_means

    def one_awful(*args):  # no setting starts one restart alone at a place of its own
        means = whole(*args)
        means[1] = 1e30
        return means

    monkeypatch.setattr(plan, "starting_means", one_awful)
    with pytest.warns(CompanionWarning, match="1 of 3 restarts diverged") as caught:
        posterior = fit(regression(), 200, restarts=3, keep="mixture", **QUICK)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(posterior.record.losses[:, [0, 2]], healthy.record.losses[:, [0, 2]])
    np.testing.assert_array_equal(posterior.record.bounds[[0, 2]], healthy.record.bounds[[0, 2]])
    assert posterior.record.bounds[1, 0] == -np.inf
    np.testing.assert_array_equal(posterior.weights, [0.5, 0, 0.5])
    np.testing.assert_array_equal(posterior.mixture("equal").weights, [0.5, 0, 0.5])
    assert posterior.mixture("elbo").weights[1] == 0
    assert np.isfinite(posterior.draw(50, seed=0)["w"]).all()


def test_a_fit_that_diverges_from_its_start_names_the_variable():
    with pytest.raises(InferenceError, match=r"'w'.*learning_rate") as diverged:
        fit(regression(), 200, start={"w": np.full(4, 1e30)}, **QUICK)
    assert isinstance(diverged.value.posterior, VariationalPosterior)


@pytest.mark.parametrize("family", ["mean-field", "map"])
def test_a_start_without_a_density_is_told_from_a_rate_that_is_too_high(family):
    with pm.Model() as model:
        w = pm.Normal("w", initval=-1.0)
        pm.Exponential("y", w, observed=[1.0, 2.0])
    with pytest.raises(InferenceError, match=r"where the fit starts, too.*Give a start inside the support") as told:
        fit(model, 20, family=family, start=Start(scale=0.01), **QUICK)
    assert "the log likelihood of 'y'" in str(told.value)
    assert "learning_rate" not in str(told.value)


def global_state():
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002  (what is looked after)


def test_a_fit_follows_its_seed_and_leaves_the_global_state_alone():
    model = classifier()
    settings = {"restarts": 2, "estimator": "local", "batch_size": 10, "keep": "mixture", **QUICK}
    before = global_state()
    first = fit(model, 20, seed=3, **settings)
    assert global_state() == before
    torch.manual_seed(5)
    again, other = fit(model, 20, seed=3, **settings), fit(model, 20, seed=4, **settings)
    np.testing.assert_array_equal(first.record.history, again.record.history)
    np.testing.assert_array_equal(first.record.elbo, again.record.elbo)
    for name, array in first.draw(5, seed=1).items():
        np.testing.assert_array_equal(array, again.draw(5, seed=1)[name])
        assert not np.array_equal(array, again.draw(5, seed=2)[name])
    assert (first.record.history != other.record.history).all()


@pytest.mark.parametrize("flushes", [False, True])
def test_denormals_are_flushed_in_a_fit_and_nowhere_else(flushes):
    def flushing():
        return bool(torch.tensor(1e-310, dtype=torch.float64) * 0.5 == 0)

    def fails(step, state):
        seen.append(flushing())
        raise ValueError("a callback that fails")

    seen = []
    torch.set_flush_denormal(flushes)
    try:
        fit(regression(), 2, callback=lambda *_: seen.append(flushing()), **QUICK)
        with pytest.raises(InferenceError, match="step 1 failed: ValueError: a callback that fails"):
            fit(regression(), 2, callback=fails, **QUICK)
        assert seen == [True, True, True]
        assert flushing() is flushes
    finally:
        torch.set_flush_denormal(False)


# --- how a fit computes --------------------------------------------------------------------------


def test_map_steps_lead_to_the_mode_first():
    settings = {"machine": Machine(precision="float64", compile=False), "learning_rate": 0.02, **QUICK}
    near, far = (
        fit(regression(), 1, start=Start(scale=1e-3, map_steps=m), **settings).parameters["mean"][0].numpy()
        for m in (1500, 0)
    )
    np.testing.assert_allclose(near, MEAN, atol=0.03)  # the one step after moves by the learning rate
    assert np.abs(far - MEAN).max() > 0.5


def test_the_kl_divergence_warms_up_from_zero():
    with pm.Model() as model:
        pm.Normal("untouched", 5, 1, initval=0.0)  # by the likelihood: only the KL divergence moves it
        pm.Normal("y", pm.Normal("w"), 1, observed=Y)
    first, without = (fit(model, 1, schedule=Schedule(kl_warmup=share), **QUICK) for share in (0.5, 0.0))
    assert first.parameters["mean"][0, 0] == 0
    assert without.parameters["mean"][0, 0] > 0
    assert first.record.history[0] == without.record.history[0]  # recorded at full weight all the same
    long = fit(model, 1500, schedule=Schedule(kl_warmup=0.5), learning_rate=0.05, **QUICK)
    assert long.parameters["mean"][0, 0] == pytest.approx(5, abs=0.1)


def test_precisions(monkeypatch):
    kinds = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}
    # Patched, because what a processor can do is not a setting.
    monkeypatch.setattr(lowering, "has_bfloat16", lambda device: True)  # autocast computes it anywhere, if slowly
    fits = {name: fit(classifier(), 3, machine=Machine(precision=name, compile=False), **QUICK) for name in kinds}
    for name, posterior in fits.items():
        assert posterior.parameters["mean"].dtype == kinds[name]
        assert posterior.record.precision == name
    single, half = (fits[name].record.history for name in ("float32", "bfloat16"))
    assert np.all(single != half)
    np.testing.assert_allclose(half, single, rtol=0.02)
    monkeypatch.setattr(lowering, "has_bfloat16", lambda device: False)
    without = fit(classifier(), 3, machine=Machine(precision="bfloat16", compile=False), **QUICK)
    np.testing.assert_array_equal(without.record.history, single)
    assert without.record.precision == "float32"
    assert without.record.settings["precision"] == "bfloat16"


def test_the_precision_is_chosen_by_the_size_of_the_model_and_by_what_the_processor_multiplies(monkeypatch):
    machine = Machine("cpu", "auto", compile=False)
    for multiplies, values, chosen in [(True, 10**6, "bfloat16"), (True, 100, "float32"), (False, 10**6, "float32")]:
        # Patched, because what a processor can do is not a setting.
        monkeypatch.setattr(devices, "has_bfloat16", lambda device, found=multiplies: found)
        assert machine.settled(values).precision == chosen
    assert Machine("cpu", "float64").settled(10**6).precision == "float64"
    found = fit(classifier(), 3, machine=machine, **QUICK)
    assert found.record.precision == found.record.settings["precision"] == "float32"
    again = fit(classifier(), 3, machine=Machine("cpu", compile=False), **QUICK)
    np.testing.assert_array_equal(found.record.history, again.record.history)


def test_compilation_changes_nothing_but_rounding():  # about 10 s: it compiles
    plain, fast = (
        fit(classifier(), 10, estimator="local", machine=Machine(compile=c), **QUICK).record for c in (False, True)
    )
    assert (plain.compiled, fast.compiled) == (False, True)
    np.testing.assert_allclose(fast.history, plain.history, rtol=1e-5)


# --- settings ---------------------------------------------------------------------------------------------------------

BAD = {
    "steps": [0, 2.5, "many"], "batch_size": [0, 2.5, 41], "restarts": [0], "draws": [0],
    "family": ["mean", "low-rank:0", None], "estimator": ["best", None], "schedule": ["linear"],
    "learning_rate": [0, float("nan"), "fast"], "temperature": [0.0], "seed": [-1, 0.5],
    "start": ["zero", "given", 5, None], "keep": ["all"], "elbo_draws": [1],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_setting_is_named_with_its_value(name, value):
    with pytest.raises(ModelError, match=rf"{name}={value!r}"):
        fit(regression(), **{"steps": 2, **QUICK, name: value})


@pytest.mark.parametrize(
    ("group", "given", "message"),
    [
        (Rates, {"means": 0.1, "scales": -1.0}, "scales=-1.0 in Rates; expected a positive"),
        (Start, {"scale": float("inf")}, "scale=inf in Start; expected a positive"),
        (Start, {"map_steps": -1}, "map_steps=-1; expected a whole number, 0 or more"),
        (Start, {"at": "zero"}, "start='zero'; expected one of .'model', 'prior'., a mapping"),
        (Schedule, {"kl_warmup": 1.5}, "kl_warmup=1.5; expected a share of the steps"),
        (Schedule, {"kl_warmup": None}, "kl_warmup=None; expected a share of the steps"),
        (Schedule, {"shape": "linear"}, "schedule='linear'; expected one of"),
        (
            Machine,
            {"precision": "float16"},
            "precision='float16'; expected one of .'float32', 'float64', 'bfloat16', 'auto'.",
        ),
        (Machine, {"compile": "yes"}, "compile='yes'; expected 'auto', True, False or 'kernels'"),
        (Checkpoint, {"folder": "x", "every": 0}, "every=0; expected a whole number, 1 or more"),
        (Checkpoint, {"folder": "x", "every": 2.5}, "every=2.5; expected a whole number"),
        (Stream, {"dataset": None, "batch_size": 5, "workers": -1}, "workers=-1; expected a whole number"),
        (Stream, {"dataset": None, "batch_size": None}, "a dataset was given without batch_size"),
    ],
)
def test_a_group_of_settings_refuses_what_it_can_not_mean(group, given, message):
    with pytest.raises(ModelError, match=message):
        group(**given)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ModelError, match="device='tpu'"):
        fit(regression(), 2, machine="tpu", **QUICK)


def test_keywords_of_before_the_groups_still_work_and_name_the_new_ones():
    before = {"precision": "float64", "start_scale": 0.3, "scale_rate": 0.02, "kl_warmup": 0.5, "compile": False}
    with pytest.warns(DeprecationWarning, match=r"machine=Machine\(precision=...\).*Rates\(means, scales\)"):
        old = fit(regression(), 5, learning_rate=0.01, **before, **QUICK)
    new = fit(
        regression(), 5, learning_rate=Rates(0.01, 0.02), schedule=Schedule(kl_warmup=0.5), start=Start(scale=0.3),
        machine=Machine(precision="float64", compile=False), **QUICK,
    )  # fmt: skip
    np.testing.assert_array_equal(old.record.losses, new.record.losses)
    assert old.record.settings == new.record.settings
    with (
        pytest.raises(TypeError, match="device given beside machine"),
        pytest.warns(DeprecationWarning, match="grouped"),
    ):
        fit(regression(), 5, device="cpu", machine="cpu", **QUICK)
    with pytest.raises(TypeError, match=r"snapshots=\.\.\. is gone: give callback"):
        bayes_by_backprop.fit(None, None, snapshots=(5,))


def test_fit_has_few_enough_parameters_to_read():
    assert len(inspect.signature(fit).parameters) <= 18
    pyro = inspect.signature(bayes_by_backprop.fit).parameters
    for name, parameter in inspect.signature(fit).parameters.items():
        if name in pyro and name != "model":
            assert pyro[name].default == parameter.default, f"{name} has another default in Bayes by Backprop"


@dataclass(frozen=True)
class Narrow:
    """A reader's own family: mean-field with one common standard deviation."""

    name: str = "one-scale"
    factorised: bool = True

    def start(self, mean, scale):
        return {"mean": mean.clone(), "log_scale": torch.full_like(mean[:1], np.log(scale))}

    def noise(self, size):
        return size

    def draw(self, parameters, noise):
        return parameters["mean"] + parameters["log_scale"].exp() * noise

    def log_prob(self, parameters, draw):
        return torch.distributions.Normal(parameters["mean"], parameters["log_scale"].exp()).log_prob(draw).sum()

    def entropy(self, parameters):
        size = parameters["mean"].numel()
        return size * (parameters["log_scale"].sum() + 0.5 * np.log(2 * np.pi * np.e))

    def variance(self, parameters):
        return (2 * parameters["log_scale"]).exp().expand_as(parameters["mean"])


def test_a_family_of_the_readers_own_is_fitted_saved_and_loaded(tmp_path):
    model = regression()
    posterior = fit(model, 300, family=Narrow(), learning_rate=0.03, **QUICK)
    assert posterior.record.method == "one-scale"
    scales = posterior_moments(posterior)["w"].scale
    assert np.ptp(scales) < 1e-6
    save_posterior(posterior, tmp_path / "mine.safetensors", half=False)
    with pytest.raises(ModelError, match="register_family"):
        load_posterior(tmp_path / "mine.safetensors", model)
    register_family(Narrow())
    loaded = load_posterior(tmp_path / "mine.safetensors", model)
    np.testing.assert_allclose(loaded.draw(5, 0)["w"], posterior.draw(5, 0)["w"], rtol=1e-6)
    assert np.isfinite(fit(model, 5, family="one-scale", **QUICK).record.elbo)
    with pytest.raises(ModelError, match="a family named 'mean-field' is known already"):
        register_family(Narrow(name="mean-field"))
    with pytest.raises(ModelError, match="str can't be registered"):
        register_family("one-scale")


def test_numpys_numbers_and_families_themselves_are_taken():
    numbers = {"steps": np.int64(3), "seed": np.int32(2), "restarts": np.int64(2), "learning_rate": np.float32(0.5)}
    settings = fit(regression(), family=MeanField(), **numbers, **QUICK).record.settings
    assert settings | {"steps": 3, "seed": 2, "restarts": 2, "learning_rate": 0.5} == settings
    assert settings["family"] == "mean-field"
    assert {type(v) for v in settings.values()} <= {int, float, str, type(None)}


@pytest.mark.parametrize("family", ["full-rank", "low-rank", "map"])
@pytest.mark.parametrize("estimator", ["local", "flipout"])
def test_layer_estimators_need_independent_weights(family, estimator):
    with pytest.raises(ModelError, match=f"estimator='{estimator}'.*family='{family}"):
        fit(classifier(), 1, family=family, estimator=estimator, **QUICK)


def test_what_is_not_a_model_is_refused():
    with pytest.raises(ModelError, match=r"NoneType; expected a pymc.Model"):
        fit(None, 1)
