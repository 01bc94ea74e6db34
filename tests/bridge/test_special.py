"""Functions that torch lacks are SciPy's, with the gradients of all their arguments."""

import numpy as np
import pymc as pm
import pytest
import torch
from scipy import special as known
from scipy.interpolate import InterpolatedUnivariateSpline

from companion.bridge import special, torch_log_density

RNG = np.random.default_rng(0)
SIZES = np.exp(RNG.uniform(np.log(0.05), np.log(5000.0), (2, 400)))
NEAR = RNG.beta(*SIZES).clip(1e-3, 1 - 1e-3)
TIMES = RNG.gamma(SIZES[0]) + 1e-6
FUNCTIONS = {
    "beta_inc": (special.beta_inc, known.betainc, (*SIZES, NEAR)),
    "gamma_inc": (special.gamma_inc, known.gammainc, (SIZES[0], TIMES)),
    "gamma_inc_c": (special.gamma_inc_c, known.gammaincc, (SIZES[0], TIMES)),
    "gamma": (special.gamma, known.gamma, (RNG.uniform(-4.9, 9, 400),)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_scipys_and_gradients_those_of_the_values(name):
    ours, theirs, arguments = FUNCTIONS[name]
    tensors = [torch.tensor(a, requires_grad=True) for a in arguments]
    values = ours(*tensors)
    np.testing.assert_allclose(values.detach(), theirs(*arguments), rtol=1e-7, atol=1e-9)
    slopes = torch.autograd.grad(values.sum(), tensors)
    for i, (slope, argument) in enumerate(zip(slopes, arguments, strict=True)):
        step = 1e-6 * np.minimum(np.abs(argument), 1 - argument if name == "beta_inc" and i == 2 else np.inf)
        ends = [theirs(*(a + sign * step * (j == i) for j, a in enumerate(arguments))) for sign in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(slope, expected, rtol=2e-5, atol=1e-6 * (1 + np.abs(expected).max() * 1e-3))


def test_at_the_ends_of_their_range_they_are_0_and_1_with_finite_gradients():
    a = torch.tensor([0.5, 2.0, 900.0], dtype=torch.float64, requires_grad=True)
    for x, lower in ((0.0, 0.0), (1.0, 1.0)):
        value = special.beta_inc(a, a, torch.full_like(a, x))
        assert value.tolist() == [lower] * 3
        assert torch.isfinite(torch.autograd.grad(value.sum(), a)[0]).all()
    value = special.gamma_inc(a, torch.zeros_like(a))
    assert value.tolist() == [0.0] * 3
    assert special.gamma_inc_c(a, torch.zeros_like(a)).tolist() == [1.0] * 3
    assert torch.isfinite(torch.autograd.grad(value.sum(), a)[0]).all()


@pytest.mark.parametrize("end", ["zeros", "extrapolate"])
def test_a_spline_is_scipys_inside_its_knots_and_outside(end):
    fitted = InterpolatedUnivariateSpline(np.linspace(0, 3, 8), RNG.normal(size=8), k=3, ext=end)
    x = torch.linspace(-1, 4, 101, dtype=torch.float64, requires_grad=True)
    values = special.spline(fitted, torch.float64, torch.device("cpu"))(x)
    np.testing.assert_allclose(values.detach(), fitted(x.detach()), rtol=1e-9, atol=1e-9)
    slope = torch.autograd.grad(values.sum(), x)[0]
    inside = (x.detach() > 0) & (x.detach() < 3)
    np.testing.assert_allclose(slope[inside], fitted.derivative()(x.detach())[inside], rtol=1e-8, atol=1e-8)


BOUNDS = [(12.0, None), (None, -12.0), (8.0, 9.0), (14.0, 15.0), (-4.0, 4.0)]


@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_a_formula_that_is_not_chosen_leaves_the_gradient_alone(bounds):
    low, high = bounds
    value = np.array([0.25 + (low if low is not None else high - 1)])
    with pm.Model() as model:
        pm.TruncatedNormal("y", pm.Normal("m"), pm.HalfNormal("s"), lower=low, upper=high, observed=value)
    logp, start = model.compile_logp(mode="FAST_COMPILE"), model.initial_point()
    sides = [{n: logp(start | {n: start[n] + step}) for n in start} for step in (1e-5, -1e-5)]
    expected = [(sides[0][n] - sides[1][n]) / 2e-5 for n in start]
    for dtype, rtol in ((torch.float64, 1e-5), (torch.float32, 5e-3)):
        density = torch_log_density(model, dtype=dtype)
        slopes = torch.func.grad(density)(density.tensors(density.start))
        np.testing.assert_allclose([float(slopes[name]) for name in start], expected, rtol=rtol)
