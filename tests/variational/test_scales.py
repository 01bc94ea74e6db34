"""Learned scales: their closed form against numerical optima, what is recognised, and fits that use it."""

from functools import cache

import numpy as np
import pymc as pm
import pytest
import torch
from scipy import integrate, optimize, stats

from companion.bridge import torch_log_density
from companion.errors import ModelError
from companion.inference import Checkpoint, Machine, fit
from companion.variational import FullRank, MeanField, Objective, OptimalScales, best_scale

DOUBLE = torch.float64
SLOW_FREE = Machine("cpu", "float64", compile=False)


def tensor(*numbers):
    return torch.tensor(numbers, dtype=DOUBLE)


# --- the closed form --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "size", "width"),
    [(1, 1e-3, 1.0), (1, 30.0, 0.1), (2, 0.1, 1.0), (10, 1e-3, 0.1), (10, 30.0, 1.0), (600_000, 0.1, 1.0)],
)
def test_the_closed_form_is_the_numerical_optimum_of_the_elbo_in_the_scale(count, size, width):
    """The ELBO in the scale's factor, by quadrature over the scale: nothing of the derivation is used."""
    squares = count * size**2
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)

    def negative_elbo(at):
        mean, log_sd = at
        log_s = mean + np.exp(log_sd) * nodes
        terms = -count * log_s - squares / 2 * np.exp(-2 * log_s)
        terms += stats.halfnorm(scale=width).logpdf(np.exp(log_s)) + log_s
        return -(weights @ terms / weights.sum() + log_sd)

    found, variance = (t.item() for t in best_scale(tensor(squares), tensor(count), tensor(width)))
    start = np.array([np.log(size), -1.0 - 0.5 * np.log(count)])
    best = optimize.minimize(
        negative_elbo, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 2000}
    )
    assert negative_elbo([found, 0.5 * np.log(variance)]) <= best.fun + 1e-9 * abs(best.fun)
    np.testing.assert_allclose([found, 0.5 * np.log(variance)], best.x, atol=2e-3)


def test_many_weights_know_their_scale_to_one_over_the_root_of_twice_their_number():
    mean, variance = best_scale(tensor(1e6 * 0.3**2), tensor(1e6), tensor(1.0))
    assert mean.exp().item() == pytest.approx(0.3, rel=1e-5)
    assert variance.sqrt().item() == pytest.approx(1 / np.sqrt(2e6), rel=1e-5)
    in_single = best_scale(torch.tensor([1e-20, 9e4]), torch.tensor([1.0, 1e6]), torch.ones(2))
    assert torch.isfinite(torch.stack(in_single)).all()


def products():
    """Rows times columns, a scale that is indexed and shared, a centre that isn't 0, a factor that isn't 1."""
    with pm.Model() as model:
        rows, columns = pm.HalfNormal("rows", 0.5, shape=40), pm.HalfNormal("columns", 2.0, shape=30)
        pm.Normal("product", 0, rows[:, None] * columns, shape=(40, 30))
        groups = pm.HalfNormal("groups", 1.0, shape=2)
        pm.Normal("grouped", 0.7, 0.1 * groups[np.array([0, 1, 1, 0, 1])], shape=5)
        pm.Normal("also", 0, groups[None, :], shape=(2, 2))
    return model


def exact_elbo(means, scales):
    """All of the ELBO that depends on the scales of `products`, from the log-normal's moments."""
    square = {name: means[name] ** 2 + (2 * scales[name]).exp() for name in means}
    variance = {name: (2 * s).exp() for name, s in scales.items()}

    def normals(squares, *factors):
        log_s = sum(means[name][at] for name, at in factors)
        precision = torch.exp(sum(2 * variance[name][at] - 2 * means[name][at] for name, at in factors))
        return (-log_s - 0.5 * squares * precision).sum()

    found = normals(square["product"], ("rows_log__", (slice(None), None)), ("columns_log__", None))
    centred = ((means["grouped"] - 0.7) ** 2 + variance["grouped"]) / 0.1**2
    found = found + normals(centred, ("groups_log__", torch.tensor([0, 1, 1, 0, 1])))
    found = found + normals(square["also"], ("groups_log__", None))
    for name, width in (("rows_log__", 0.5), ("columns_log__", 2.0), ("groups_log__", 1.0)):
        at = means[name] + scales[name]
        found = found + (at - (2 * means[name] + 2 * variance[name]).exp() / (2 * width**2)).sum()
    return found


def somewhere(objective, seed):
    """Parameters of two restarts: the same weights for every seed, and scales of their own."""
    layout = objective.layout
    weights, scales = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    found = {name: torch.randn(2, layout.size, generator=weights, dtype=DOUBLE) for name in ("mean", "log_scale")}
    for name, at in zip(layout.names, torch.arange(layout.size).split(layout.sizes), strict=True):
        if name.endswith("_log__"):
            for p in found.values():
                p[:, at] = 2 * torch.randn(2, len(at), generator=scales, dtype=DOUBLE)
    return found


def test_an_update_raises_the_elbo_and_leads_to_one_optimum_from_anywhere():
    density = torch_log_density(products())
    objective = Objective(density, OptimalScales())
    assert set(density.centred_scales.widths) == {"rows_log__", "columns_log__", "groups_log__"}
    ends = []
    for seed in (1, 2):
        own = somewhere(objective, seed)
        elbo = -np.inf
        for _ in range(60):
            objective.settle(own)
            now = exact_elbo(*(objective.layout.split(own[name][1]) for name in ("mean", "log_scale"))).item()
            assert now >= elbo - 1e-9
            elbo = now
        ends.append(torch.cat([own["mean"], own["log_scale"]]))
        leaves = [p[1].clone().requires_grad_() for p in own.values()]
        exact_elbo(*(objective.layout.split(p) for p in leaves)).backward()
        for p in leaves:
            slopes = objective.layout.split(p.grad)
            for name in density.centred_scales.widths:
                np.testing.assert_allclose(slopes[name], 0, atol=1e-6)
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-7)


# --- what is recognised -----------------------------------------------------------------------------------------------


def learned(sigma, *, prior=None, mean=0.0, more=lambda s: None):
    with pm.Model() as model:
        s = (prior or (lambda: pm.HalfNormal("s", 1.0)))()
        pm.Normal("w", mean() if callable(mean) else mean, sigma(s), shape=3)
        more(s)
        pm.Normal("y", model["w"], 1.0, observed=np.zeros(3))
    return model


SCALES = {
    "the scale itself": (learned(lambda s: s), True),
    "times a constant": (learned(lambda s: s / 3.0), True),
    "around a constant": (learned(lambda s: s, mean=np.arange(3.0)), True),
    "another prior": (learned(lambda s: s, prior=lambda: pm.HalfCauchy("s", 1.0)), False),
    "a prior that depends on a value": (
        learned(lambda s: s, prior=lambda: pm.HalfNormal("s", pm.HalfNormal("t", 1.0))), False,
    ),
    "in a prior as well": (
        learned(lambda s: s, more=lambda s: pm.Normal("v", 0, pm.HalfNormal("t", s), shape=2)), False,
    ),
    "squared": (learned(lambda s: s**2), False),
    "plus a constant": (learned(lambda s: s + 0.1), False),
    "of only a part": (learned(lambda s: pm.math.concatenate([s[None], [1.0, 1.0]])), False),
    "around a value": (learned(lambda s: s, mean=lambda: pm.Normal("centre")), False),
    "around itself": (learned(lambda s: s, mean=lambda: pm.modelcontext(None)["s"]), False),
    "also of the noise": (learned(lambda s: s, more=lambda s: pm.Normal("z", 0.0, s, observed=[1.0, 2.0])), False),
    "in a potential": (learned(lambda s: s, more=lambda s: pm.Potential("p", -s)), False),
    "of data": (learned(lambda s: s * pm.Data("d", np.ones(3))), False),
    "beside a value": (learned(lambda s: s * pm.LogNormal("t")), False),
    "unused": (learned(lambda s: 1.0), False),
}  # fmt: skip


@pytest.mark.parametrize(("model", "found"), SCALES.values(), ids=SCALES)
def test_a_scale_is_recognised_by_what_it_does(model, found):
    assert set(torch_log_density(model).centred_scales.widths) == ({"s_log__"} if found else set())


def test_the_entries_of_a_scale_may_belong_to_several_values_but_each_must_to_one():
    def shared(*entries):
        with pm.Model() as model:
            s = pm.HalfNormal("s", 1.0, shape=3)
            for entry in entries:
                pm.Normal(f"w{entry}", 0, s[entry], shape=2)
        return torch_log_density(model).centred_scales.widths

    assert set(shared(0, 1, 2)) == {"s_log__"}
    assert not shared(0, 2)


def test_other_families_change_nothing():
    for model, family in ((learned(lambda s: s), MeanField()), (learned(lambda s: s), FullRank())):
        objective = Objective(torch_log_density(model), family)
        own = {name: p[None] for name, p in objective.family.start(torch.ones(4, dtype=DOUBLE), 0.3).items()}
        before = {name: p.clone() for name, p in own.items()}
        objective.settle(own)
        assert all(torch.equal(before[name], p) for name, p in own.items())


# --- fits -------------------------------------------------------------------------------------------------------------

NOISE = 0.3
Y = np.random.default_rng(0).normal(size=(2, 25)) * np.array([[0.5], [2.0]])


def groups(start=1.0):
    with pm.Model() as model:
        s = pm.HalfNormal("s", 2.0, shape=2, initval=np.full(2, start))
        w = pm.Normal("w", 0, s[:, None], shape=(2, 25))
        pm.Normal("y", w, NOISE, observed=Y)
    return model


def log_evidence(s):
    """The evidence of each group given its scale."""
    return stats.norm(0, np.hypot(s, NOISE)).logpdf(Y).sum(axis=1)


@cache
def fitted(family, start=1.0, **more):
    return fit(
        groups(start), 600, family=family, estimator="sticking-the-landing", learning_rate=0.1, machine=SLOW_FREE,
        elbo_draws=400, progressbar=False, **more,
    )  # fmt: skip


def test_fits_from_two_starts_of_the_scale_find_the_same_scales():
    ends = [fitted("optimal-scales", start).moments()["s_log__"] for start in (0.02, 20.0)]
    np.testing.assert_allclose(ends[0].mean, ends[1].mean, atol=1e-3)
    np.testing.assert_allclose(ends[0].scale, ends[1].scale, atol=1e-3)


def test_the_elbo_with_scales_at_their_optimum_is_a_bound_on_the_evidence_and_close_to_it():
    def of(group):
        joint = lambda s: np.exp(log_evidence(s)[group] + stats.halfnorm(scale=2.0).logpdf(s))  # noqa: E731
        return np.log(integrate.quad(joint, 0, 10, points=[0.3, 1.0, 3.0])[0])

    record, evidence = fitted("optimal-scales", 20.0).record, of(0) + of(1)
    assert evidence - 1.5 < record.elbo < evidence + 3 * record.elbo_se


def test_empirical_bayes_maximises_the_evidence_and_reports_that_of_the_scales_it_found():
    posterior = fitted("empirical-bayes", 20.0)
    found = np.exp(posterior.moments()["s_log__"].mean)
    best = [optimize.minimize_scalar(lambda s, g=g: -log_evidence(s)[g], bounds=(0.01, 5)).x for g in (0, 1)]
    np.testing.assert_allclose(found, best, rtol=0.02)
    # Given the scales the family holds the posterior, so that the bound is the evidence.
    assert posterior.record.elbo == pytest.approx(log_evidence(found[:, None]).sum(), abs=0.05)
    assert posterior.record.elbo > fitted("optimal-scales", 20.0).record.elbo
    assert posterior.k_hat() < 0.5
    np.testing.assert_allclose(posterior.draw(5, seed=0)["s"], np.tile(found, (5, 1)), rtol=1e-3)
    np.testing.assert_allclose(fitted("empirical-bayes", 0.02).moments()["s_log__"].mean, np.log(found), atol=1e-3)


def test_a_fit_with_learned_scales_goes_on_bit_for_bit(tmp_path):
    def stopped(step, state):
        if step == 7:
            raise StopIteration

    settings = {"machine": SLOW_FREE, "progressbar": False, "elbo_draws": 2, "restarts": 2, "keep": "mixture"}
    settings["family"] = "optimal-scales"
    whole = fit(groups(), 15, **settings)
    fit(groups(), 15, checkpoint=Checkpoint(tmp_path, every=5), callback=stopped, **settings)
    resumed = fit(groups(), 15, checkpoint=Checkpoint(tmp_path, every=5), **settings)
    for name, parameter in whole.parameters.items():
        assert torch.equal(parameter, resumed.parameters[name])


def test_empirical_bayes_without_a_scale_to_estimate_is_refused():
    for family, does in (("empirical-bayes", "estimates"), ("optimal-scales", "sets")):
        with pytest.raises(ModelError, match=rf"family='{family}' {does} half-normal scales.*\['s_log__', 'w'\]"):
            fit(learned(lambda s: s**2), 1, family=family, progressbar=False)
