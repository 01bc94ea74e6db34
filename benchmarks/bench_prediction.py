"""Prediction: 10,000 images with 100 draws of the 784-800-800-10 network, in time and in memory.

All give probabilities (draws, points, classes) but PyMC's sampler, which gives labels. Memory is measured in a process
of its own for each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
import torch
from children import in_child, peak_of
from problem import Problem, forward, problem
from pytensor.graph.replace import vectorize_graph
from report import Report, Target

from companion.bridge import bayesian
from companion.compat import from_dict
from companion.inference import Machine, Start, fit
from companion.models import torch_classifier
from companion.posterior import VariationalPosterior
from companion.prediction import predict
from companion.priors import Gaussian

POINTS, DRAWS, AT_ONCE = 10_000, 100, 10
FEW, MORE = 2, 12  # draws of PyMC's sampler, from whose times that of all draws follows
Call = Callable[[], np.ndarray]


def posed(tiny: bool) -> tuple[Problem, int]:
    """Give the problem with the rows to predict at, and the number of draws."""
    return problem(tiny, rows=200 if tiny else POINTS), 20 if tiny else DRAWS


def fitted(p: Problem, precision: str = "float32") -> VariationalPosterior:
    """Fit for a few steps: what is predicted doesn't matter, only how long it takes."""
    model = torch_classifier(p.observations, p.network(), Gaussian(p.prior))
    machine = Machine("cpu", precision, compile=False)
    return fit(
        model, 5, batch_size=p.batch, start=Start(scale=p.scale), machine=machine, elbo_draws=2, progressbar=False
    )


def ours(tiny: bool, precision: str = "float32", at_hand: bool = False) -> Call:
    """Predict with the companion, which makes a few draws at a time, or with all draws at hand, made beforehand."""
    p, draws = posed(tiny)
    posterior = fitted(p, precision)
    if at_hand:
        drawn = posterior.draw(draws, seed=0)
        return lambda: posterior.predict(p.x, drawn)
    return lambda: predict(posterior, p.x, draws=draws)


def loop(tiny: bool, bfloat16: bool = False) -> Call:
    """Predict with one draw after another, in torch."""
    p, draws = posed(tiny)
    posterior = fitted(p)
    x = torch.from_numpy(p.x.copy())
    means, log_scales = (posterior.objective.layout.split(posterior.parameters[k][0]) for k in ("mean", "log_scale"))
    names = [name for name, _ in p.network().named_parameters()]

    def call() -> np.ndarray:
        generator = torch.Generator().manual_seed(0)
        found = []
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            for _ in range(draws):
                drawn = {
                    n: means[n] + log_scales[n].exp() * torch.randn(means[n].shape, generator=generator) for n in names
                }
                found.append(forward(drawn, x).float().softmax(dim=-1))
        return torch.stack(found).numpy()

    return call


def vectorised(tiny: bool) -> Call:
    """Predict through bridge 1: the graph vectorised over the draws, some at once, compiled before the clock runs."""
    p, draws = posed(tiny)
    drawn = fitted(p).draw(draws, seed=0)
    with pytensor.config.change_flags(floatX="float32"), pm.Model() as model:
        probabilities = pt.special.softmax(bayesian(p.network(), Gaussian(p.prior), p.x), axis=-1)
        batched = {rv: pt.tensor(rv.name, dtype=rv.dtype, shape=(None, *rv.type.shape)) for rv in model.free_RVs}
        function = pm.compile(list(batched.values()), vectorize_graph(probabilities, batched))
    names = [rv.name for rv in batched]

    def call() -> np.ndarray:
        parts = (slice(i, i + AT_ONCE) for i in range(0, draws, AT_ONCE))
        return np.concatenate([function(*(drawn[name][part] for name in names)) for part in parts])

    return call


def sampled(tiny: bool, draws: int) -> Call:
    """Draw labels with PyMC's sampler, through bridge 1; it compiles at every call."""
    p, _ = posed(tiny)
    posterior = fitted(p)
    drawn = from_dict({name: a[None] for name, a in posterior.draw(draws, seed=0).items()})

    def call() -> np.ndarray:
        found = pm.sample_posterior_predictive(drawn, model=posterior.model, progressbar=False, random_seed=0)
        return np.asarray(found["posterior_predictive"]["y"].values[0])

    return call


OURS, LOOP = "ours, float32", "a loop over draws, float32"
CONTESTANTS: dict[str, Callable[[bool], Call]] = {
    OURS: ours,
    "ours, bfloat16": partial(ours, precision="bfloat16"),
    "ours, float32, draws at hand": partial(ours, at_hand=True),
    "ours, bfloat16, draws at hand": partial(ours, precision="bfloat16", at_hand=True),
    LOOP: loop,
    "a loop over draws, bfloat16": partial(loop, bfloat16=True),
    f"PyTensor, vectorised, {AT_ONCE} draws at once": vectorised,
    f"pm.sample_posterior_predictive, {FEW} draws": partial(sampled, draws=FEW),
    f"pm.sample_posterior_predictive, {MORE} draws": partial(sampled, draws=MORE),
}


def test_all_predict_the_same() -> None:
    """Same draws, same probabilities: that of the engine, of the loop's network and of PyTensor."""
    p, _ = posed(True)
    posterior = fitted(p)
    drawn = posterior.draw(20, seed=0)
    found = posterior.predict(p.x, drawn)
    weights = {name: torch.from_numpy(drawn[name][0]) for name, _ in p.network().named_parameters()}
    np.testing.assert_allclose(found[0], forward(weights, torch.from_numpy(p.x)).softmax(-1), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found, vectorised(True)(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", CONTESTANTS)
def test_time(name: str, tiny: bool, report: Report, seconds: Callable[..., list[float]], benchmark: Any) -> None:
    p, draws = posed(tiny)
    report.settings |= {"data": p.data, "points": len(p.x), "draws": draws, "widths": p.widths}
    call = CONTESTANTS[name](tiny)
    benchmark.group = f"{draws} draws at {len(p.x):,} points"
    report.times(name, seconds(call, rounds=1 if tiny else 3, warmup_rounds=1))


@pytest.mark.parametrize("name", CONTESTANTS)
def test_memory(name: str, tiny: bool, report: Report) -> None:
    if tiny and name != OURS:
        pytest.skip("one new process is enough for a tiny run")
    found = in_child(peak_of, CONTESTANTS[name], tiny)
    report.rows.setdefault(name, {})["memory_mib"] = found


def test_ratios(report: Report) -> None:
    few, more = (report.median(f"pm.sample_posterior_predictive, {n} draws") for n in (FEW, MORE))
    draws = report.settings["draws"]
    per_draw = (more - few) / (MORE - FEW)
    scaled = few + per_draw * (draws - FEW)
    report.rows["pm.sample_posterior_predictive, scaled"] = {"seconds_for_all_draws": scaled, "per_draw_s": per_draw}
    report.notes.append(
        f"pm.sample_posterior_predictive drew {FEW} and {MORE} times; from the two, {draws} draws take {scaled:.1f} s"
    )
    for name in CONTESTANTS:
        report.targets.append(Target(f"s, {name}", report.median(name)))
        if memory := report.rows[name].get("memory_mib"):
            report.targets.append(Target("  MiB at its peak, over what it held before", memory["taken"]))
    report.ratio(LOOP, OURS, f"times as fast: {OURS} over {LOOP}")
    report.targets.append(Target(f"times as fast: {OURS} over PyMC's sampler, scaled", scaled / report.median(OURS)))
