"""Densities that PyMC wrote for float64 hold in float32, or the error says that float64 is what they need."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import torch

from companion.bridge import torch_log_density
from companion.errors import CompanionWarning, InferenceError, ModelError
from companion.inference import fit

RNG = np.random.default_rng(1)
X = RNG.normal(size=(60, 2))
Y = X[:, 0] + 0.3 * RNG.normal(size=60)
GROUPS = RNG.integers(0, 4, 60)
TIMES = RNG.weibull(1.5, 60) * np.exp(0.3 * X[:, 0]) + 0.01
CUT = RNG.random(60) < 0.3


def zero_sum():
    pm.Normal("y", pm.ZeroSumNormal("g", 1, shape=4)[GROUPS], 1, observed=Y)


def skew():
    pm.SkewNormal("y", mu=pm.Normal("m"), sigma=pm.HalfNormal("s"), alpha=pm.Normal("a"), observed=Y)


def survival():
    w, a = pm.Normal("w", 0, 1, shape=2), pm.HalfNormal("a", 2)
    upper = np.where(CUT, TIMES, np.inf)
    pm.Censored("t", pm.Weibull.dist(a, pt.exp(X @ w)), lower=None, upper=upper, observed=TIMES)


def wald():
    pm.Wald("t", mu=pm.HalfNormal("m"), lam=pm.HalfNormal("l"), observed=TIMES)


def half_student():
    pm.HalfStudentT("t", nu=pm.Exponential("nu", 0.1), sigma=pm.HalfNormal("s"), observed=TIMES)


DENSITIES = {f.__name__: f for f in (zero_sum, skew, survival, wald, half_student)}


@pytest.mark.parametrize("make", DENSITIES.values(), ids=DENSITIES)
def test_density_and_gradient_in_float32_are_those_of_float64_far_from_the_start(make):
    with pm.Model() as model:
        make()
    single, double = torch_log_density(model, dtype=torch.float32), torch_log_density(model)
    rng = np.random.default_rng(2)
    for _ in range(20):
        point = {name: a + 0.7 * rng.normal(size=a.shape) for name, a in double.start.items()}
        point = {name: a.astype("float32").astype(float) for name, a in point.items()}
        exact, truth = torch.func.grad_and_value(double)(double.tensors(point))
        slope, value = torch.func.grad_and_value(single)(single.tensors(point))
        if min(float(entries.min()) for entries, _ in double.observations(double.tensors(point)).values()) < -80:
            continue  # float32 has no number for such a density, only for its logarithm
        torch.testing.assert_close(value.double(), truth, rtol=2e-4, atol=1e-3)
        for name, gradient in exact.items():
            torch.testing.assert_close(slope[name].double(), gradient, rtol=5e-3, atol=5e-3)


FAR = np.array([-800.0, -120.0, -20.0, 0.0, 20.0, 120.0, 800.0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("observe", "slope"),
    [
        (lambda o: pm.Bernoulli("y", logit_p=o, observed=[1, 1, 1, 1, 0, 0, 0]), [1, 1, 1, 0.5, -1, -1, -1]),
        (lambda o: pm.Bernoulli("y", pm.math.sigmoid(o), observed=pm.Data("l", FAR < 5)), [1, 1, 1, 0.5, -1, -1, -1]),
    ],
)
def test_logits_may_be_as_far_out_as_they_like(observe, slope, dtype):
    with pm.Model() as model:
        observe(pm.Normal("o", shape=7))
    density, at = torch_log_density(model, dtype=dtype), {"o": torch.tensor(FAR, dtype=dtype)}
    gradient, value = torch.func.grad_and_value(lambda v: density.likelihoods(v)["y"])(at)
    assert float(value) == pytest.approx(np.minimum(FAR, -FAR).sum() - np.log(2), rel=1e-6)
    np.testing.assert_allclose(gradient["o"], slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("make", "elbo"), [(zero_sum, -82.9), (skew, -86.8), (survival, -51.6)])
def test_a_fit_in_float32_ends_where_one_in_float64_does(make, elbo):
    with pm.Model() as model:
        make()
    posterior = fit(model, 800, restarts=4, compile=False, progressbar=False, device="cpu")
    assert posterior.record.elbo == pytest.approx(elbo, abs=1)


def large_counts():
    pm.NegativeBinomial("y", pm.math.exp(pm.Normal("m", 8)), pm.math.exp(pm.Normal("a", 15)), observed=[3000, 2900])


def narrow_shares():
    pm.Beta("y", pm.math.exp(pm.Normal("a", 12)), pm.math.exp(pm.Normal("b", 12)), observed=[0.5, 0.5001])


def large_shape_as_prior():
    pm.Normal("y", pm.Gamma("g", 1e6, 1e6), 1, observed=[1.0])


@pytest.mark.parametrize("make", [large_counts, narrow_shares, large_shape_as_prior])
def test_a_term_that_float32_cannot_hold_is_computed_in_float64_and_named(make):
    with pm.Model() as model:
        make()
    name = "g" if make is large_shape_as_prior else "y"
    with pytest.warns(CompanionWarning, match=rf"float32 can't hold the log density of '{name}', a \w+ \(off by"):
        single = torch_log_density(model, dtype=torch.float32)
    assert single.wide == {"" if name == "g" else "y"}
    double, at = torch_log_density(model), single.tensors(single.start)
    exact, truth = torch.func.grad_and_value(double)({n: v.double() for n, v in at.items()})
    slope, value = torch.vmap(torch.func.grad_and_value(single))({n: v[None] for n, v in at.items()})
    assert value.dtype == torch.float32
    torch.testing.assert_close(value[0].double(), truth, rtol=1e-6, atol=1e-6)
    for n, gradient in exact.items():
        torch.testing.assert_close(slope[n][0].double(), gradient, rtol=1e-4, atol=1e-4)


def test_what_is_rounded_before_it_is_computed_is_refused_by_its_name():
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("a", 2e7, 10), 0.1, observed=[20000001.3, 20000002.1])
    with pytest.raises(
        ModelError, match=r"log density of 'y', a Normal: at the start it is off by .*precision='float64'"
    ):
        fit(model, 50, compile=False, progressbar=False, device="cpu")
    torch_log_density(model)


def test_a_potential_that_float32_cannot_hold_is_computed_in_float64():
    with pm.Model() as model:
        x = pm.Normal("x", 0, 1)
        pm.Potential("far", -pt.exp(120 + x) / np.exp(120))
    with pytest.warns(CompanionWarning, match="float32 can't hold the log density of the potential 'far'"):
        posterior = fit(model, 50, compile=False, progressbar=False, device="cpu")
    assert np.isfinite(posterior.record.elbo)


def test_what_only_float64_can_hold_on_the_way_is_told_so_first():
    with pm.Model() as model:
        x = pm.Normal("x", 0, 1)
        pm.Potential("far", 50 * x - pt.exp(80 + 10 * x) / np.exp(88))
    settings = {"compile": False, "progressbar": False, "device": "cpu", "learning_rate": 0.1}
    with pytest.raises(InferenceError, match=r"in every restart that was left\. In float64 .*precision='float64'"):
        fit(model, 50, **settings)
    assert np.isfinite(fit(model, 50, precision="float64", **settings).record.elbo)


def test_a_loss_that_float64_cannot_hold_either_is_not_blamed_on_rounding():
    with pm.Model() as model:
        x = pm.Normal("x", 0, 1)
        pm.Potential("never", pt.log(x - x))
    with pytest.raises(InferenceError) as caught:
        fit(model, 50, compile=False, progressbar=False, device="cpu")
    assert "In float64" not in str(caught.value)
