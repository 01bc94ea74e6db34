"""Scans become loops: series that depend on their own past, and densities of them, are what PyMC computes."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
import torch
from pytensor.scan.utils import until

from companion.bridge import torch_log_density
from companion.errors import ModelError

SERIES = np.array([0.1, -0.3, 0.4, 0.2, -0.1, 0.5])


@pytest.fixture
def without_compiling():
    """PyTensor in plain Python, the steps of scans as well."""
    with pytensor.config.change_flags(mode="FAST_COMPILE"):
        yield


def scanned(function, **how):
    found = pytensor.scan(function, **how)
    return found[0] if isinstance(found, list | tuple) else found  # PyTensor 3 may leave the updates out


def two_steps_back():
    w = pm.Normal("w", 0, 0.3, shape=2)
    start = {"initial": pt.ones(2), "taps": [-2, -1]}
    series = scanned(
        lambda t, older, old, w: w[0] * old + w[1] * older + 0.1 * t,
        sequences=pt.arange(6.0)[::-1],
        outputs_info=[start],
        non_sequences=w,
    )
    pm.Normal("y", series, 1, observed=SERIES)


def only_the_last():
    w = pm.Normal("w", 0, 0.3, shape=2)
    series = scanned(lambda old, w: pt.tanh(w * old + 1), outputs_info=[pt.zeros(2)], non_sequences=w, n_steps=5)
    pm.Normal("y", series[-1], 1, observed=SERIES[:2])


def without_memory():
    w = pm.Normal("w", 0, 0.3, shape=3)
    squares = scanned(
        lambda x, w: (w * x).sum() ** 2, sequences=pt.as_tensor(SERIES), outputs_info=[None], non_sequences=w
    )
    pm.Normal("y", squares, 1, observed=SERIES)


def of_random_steps():
    def walk(m, s, size):
        def step(old, m, s):
            new = pm.Normal.dist(m * old, s)
            return new, pm.pytensorf.collect_default_updates([new])

        return scanned(step, outputs_info=[pt.zeros(())], non_sequences=[m, s], n_steps=6, strict=True)

    pm.CustomDist("y", pm.Normal("m"), pm.HalfNormal("s"), dist=walk, observed=SERIES)


def with_its_gradient():
    w = pm.Normal("w", 0, 0.3)
    last = scanned(lambda old, w: w * old + 1, outputs_info=[pt.ones(())], non_sequences=w, n_steps=4)[-1]
    pm.Potential("steep", -(pytensor.grad(last, w) ** 2))


SCANS = [two_steps_back, only_the_last, without_memory, of_random_steps, with_its_gradient]


@pytest.mark.parametrize("make", SCANS, ids=[make.__name__ for make in SCANS])
def test_value_and_gradient_are_pymcs_for_several_points_at_once(make, without_compiling):
    with pm.Model() as model:
        make()
    rng, start = np.random.default_rng(0), model.initial_point()
    points = [{n: a + 0.2 * rng.normal(size=np.shape(a)) for n, a in start.items()} for _ in range(2)]
    density = torch_log_density(model)
    together = density.tensors({n: np.stack([p[n] for p in points]) for n in start})
    slopes, values = torch.vmap(torch.func.grad_and_value(density))(together)
    logp = model.compile_logp()
    np.testing.assert_allclose(values, [logp(p) for p in points], rtol=1e-9)
    name = next(iter(start))
    for i, point in enumerate(points):
        for at in np.ndindex(np.shape(start[name])):
            beside = np.zeros(np.shape(start[name]))
            beside[at] = 1e-5
            ends = [logp(point | {name: point[name] + sign * beside}) for sign in (1, -1)]
            assert float(slopes[name][(i, *at)]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-6)


def test_a_scan_that_stops_when_something_holds_is_refused_by_the_name_of_its_term():
    with pm.Model() as model:
        w = pm.Normal("w")
        series = scanned(
            lambda old, w: (w * old, until(old > 3)), outputs_info=[pt.ones(())], non_sequences=w, n_steps=9
        )
        pm.Normal("y", series.sum(), 1, observed=1.0)
    with pytest.raises(ModelError, match=r"torch can't compute the log density of 'y', a Normal: the Op .*Scan"):
        torch_log_density(model)
