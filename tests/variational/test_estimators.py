"""Families, objective and gradient estimators: each against a formula, or against plain reparameterisation."""

from functools import cache, partial

import numpy as np
import pymc as pm
import pytest
import torch
from scipy import stats
from torch import nn

from companion.bridge import bayesian, torch_log_density, wrap_torch
from companion.errors import ModelError
from companion.inference import fit
from companion.priors import Gaussian, LearnedScale
from companion.training import schedule_named, warm_up
from companion.variational import Estimator, FullRank, LowRank, MeanField, Objective, family_named
from companion.variational.layer_noise import _signs

DOUBLE = torch.float64
FAMILIES = [MeanField(), FullRank(), LowRank(2)]
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def parameters(family, mean, seed=0):
    """Parameters in general position around a mean."""
    generator = torch.Generator().manual_seed(seed)
    started = family.start(torch.as_tensor(mean, dtype=DOUBLE), 0.3)
    return {n: p + 0.2 * torch.randn(p.shape, generator=generator, dtype=DOUBLE) for n, p in started.items()}


# --- families ---------------------------------------------------------------------------------------------------------


@EVERY_FAMILY
def test_a_family_is_the_normal_that_its_draws_have(family):
    own = parameters(family, np.arange(5.0))
    noises = torch.eye(family.noise(5), dtype=DOUBLE)
    factor = torch.stack([family.draw(own, e) - own["mean"] for e in noises], dim=1)
    normal = stats.multivariate_normal(own["mean"].numpy(), (factor @ factor.T).numpy())
    points = own["mean"] + torch.randn(4, 5, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    np.testing.assert_allclose([float(family.log_prob(own, p)) for p in points], normal.logpdf(points))
    assert float(family.entropy(own)) == pytest.approx(normal.entropy())
    np.testing.assert_allclose(family.variance(own), np.diag(normal.cov))


@EVERY_FAMILY
def test_a_family_starts_where_it_is_told(family):
    started = family.start(torch.arange(5.0, dtype=DOUBLE), 0.3)
    assert family.draw(started, torch.zeros(family.noise(5), dtype=DOUBLE)).tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(family.variance(started).sqrt(), 0.3, rtol=0.02)
    assert family_named(family.name) == family


def test_families_have_limits():
    assert LowRank(50).noise(4) == 8  # a rank above the size adds nothing
    assert family_named("low-rank") == LowRank(10)
    with pytest.raises(ModelError, match=r"full-rank' with 5,001 values.*low-rank"):
        FullRank().start(torch.zeros(5001), 0.1)


# --- the objective ----------------------------------------------------------------------------------------------------


def hierarchy():
    with pm.Model() as model:
        centre, scale = pm.Normal("centre", 1, 2), pm.HalfNormal("scale", 1)
        pm.Normal("w", centre, scale, shape=4)
        pm.Normal("alone", [0.3, -1], 0.7, shape=2)
        pm.Gamma("rate", 2, 1)
        pm.Potential("penalty", -(model["alone"].sum() ** 2))
    return model


def kls(objective, own, n=20_000):
    """KL estimates of n draws."""
    noise = torch.randn(
        n, objective.family.noise(objective.layout.size), generator=torch.Generator().manual_seed(2), dtype=DOUBLE
    )

    def one(e):
        draw = objective.family.draw(own, e)
        return objective.kl(own, draw, objective.layout.split(draw))

    return torch.vmap(one)(noise).numpy()


@EVERY_FAMILY
def test_the_closed_form_of_the_kl_divergence_is_its_monte_carlo_mean(family):
    density = torch_log_density(hierarchy())
    own = parameters(family, np.zeros(9))
    closed, drawn = (
        kls(Objective(density, family, e), own) for e in ("reparameterisation", Estimator.STICKING_THE_LANDING)
    )
    assert len(density.gaussian) == 3
    assert density.independent == ("centre", "alone")
    difference = closed - drawn
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(len(difference))
    assert difference.std() > 0.5  # two estimates indeed
    if family.factorised:
        assert closed.var() < 0.5 * drawn.var()


def test_the_kl_divergence_between_normals_has_no_noise():
    with pm.Model() as model:
        pm.Normal("a", 1, 2, shape=3)
        pm.Normal("b", -1, [0.5, 3], shape=2)
    own = parameters(MeanField(), np.zeros(5))
    found = kls(Objective(torch_log_density(model), MeanField()), own, n=10)
    mean, sd = own["mean"].numpy(), own["log_scale"].exp().numpy()
    m, s = np.array([1, 1, 1, -1, -1]), np.array([2, 2, 2, 0.5, 3])
    np.testing.assert_allclose(found, (np.log(s / sd) + (sd**2 + (mean - m) ** 2) / (2 * s**2) - 0.5).sum())


def test_the_gradient_weighs_the_kl_divergence_and_the_loss_does_not():
    objective = Objective(torch_log_density(net(flat, **layers(16, 4, 3))()), MeanField(), rows=40, draws=3)
    own = {n: p.expand(2, -1) for n, p in parameters(MeanField(), np.zeros(objective.layout.size)).items()}
    noise = torch.randn(2, 3, objective.layout.size, dtype=DOUBLE)
    gradient = objective.gradient(own, noise, objective.density.data)
    found = {}
    for weight in (0.0, 0.3, 1.0):
        given = (torch.tensor(weight, dtype=DOUBLE), noise, *own.values(), *objective.density.data.values())
        found[weight] = gradient(*given)
    for weight in (0.0, 0.3):
        torch.testing.assert_close(found[weight][0], found[1.0][0])
    for none, some, full in zip(*(found[w][1] for w in (0.0, 0.3, 1.0)), strict=True):
        torch.testing.assert_close(some, 0.7 * none + 0.3 * full)
        assert not torch.allclose(none, full)


# --- estimators -------------------------------------------------------------------------------------------------------
# Networks of two layers or more, on a mini-batch (rows, 1, 4, 4) of five times as many rows.


class Net(nn.Module):
    """A forward pass with the layers that it names."""

    def __init__(self, forward, **layers):
        super().__init__()
        self._forward, self.layers = forward, nn.ModuleDict(layers)

    def forward(self, x):
        return self._forward(x, **self.layers)


def classifier(logits, rows):
    rng = np.random.default_rng(0)
    with pm.Model() as model:
        x = pm.Data("x", rng.normal(size=(rows, 1, 4, 4)))
        pm.Categorical("y", logit_p=logits(x), observed=pm.Data("labels", rng.integers(0, 3, rows)))
    return model


def net(forward, prior=None, **layers):
    return lambda rows=8: classifier(lambda x: bayesian(Net(forward, **layers), prior or Gaussian(0.7), x), rows)


def computed(weight):
    """Weights (3, 16) of the first layer that the model computes from its variables."""

    def logits(x):
        first = wrap_torch(nn.Linear(16, 3, bias=False))(x.reshape((-1, 16)), {"weight": weight()})
        return bayesian(Net(lambda h, last: last(torch.tanh(h)), last=nn.Linear(3, 3)), Gaussian(0.7), first)

    return lambda rows=8: classifier(logits, rows)


def layers(*sizes):
    return {name: nn.Linear(n, m) for name, n, m in zip("ab", sizes[:-1], sizes[1:], strict=True)}


def flat(x, a, b):
    return b(torch.tanh(a(x.flatten(1))))


HELPED = {
    "dense": net(flat, **layers(16, 4, 3)),
    "conv2d": net(
        lambda x, a, b: b(torch.tanh(a(x)).flatten(1)), a=nn.Conv2d(1, 2, 3, padding="same"), b=nn.Linear(32, 3)
    ),
    "conv1d in groups": net(
        lambda x, a, b: b(torch.tanh(a(x[:, 0])).flatten(1)), a=nn.Conv1d(4, 4, 3, groups=2), b=nn.Linear(8, 3)
    ),
    "positions after rows": net(lambda x, a, b: b(torch.tanh(a(x[:, 0])).sum(1)), **layers(4, 4, 3)),
    "non-centred prior": net(flat, LearnedScale(0.7, centred=False), **layers(16, 4, 3)),
    "affine function of a weight": computed(lambda: 0.5 + 2 * pm.Normal("w", shape=(16, 3)).T / 3 - 0.1),
}
# In each of these there is a weight that noise row by row would give another model's ELBO.
SPARED = {
    "used twice": net(
        lambda x, a, m, b: b(torch.tanh(m(torch.tanh(m(a(x.flatten(1))))))), m=nn.Linear(4, 4), **layers(16, 4, 3)
    ),
    "used outside": net(
        lambda x, a, b: b(torch.tanh(a(x.flatten(1)) - x.flatten(1) @ torch.cat([a.weight]).T)), **layers(16, 4, 3)
    ),
    "rows folded with positions": net(
        lambda x, a, b: b(torch.tanh(a(x.reshape(-1, 4))).reshape(8, 4, 4).sum(1)), **layers(4, 4, 3)
    ),
    "positions before rows": net(lambda x, a, b: b(torch.tanh(a(x[:, 0].transpose(0, 1))).sum(0)), **layers(4, 4, 3)),
    "broadcast": computed(lambda: pm.Normal("w", shape=(1, 16)) * np.array([[0.5], [1.0], [2.0]])),
    "product of two": computed(lambda: pm.Normal("w", shape=(3, 16)) * pm.Normal("v", shape=(3, 16))),
}
CASES = HELPED | SPARED | {"centred prior": net(flat, LearnedScale(0.7), **layers(16, 4, 3))}


@cache
def lowered(case, rows):
    """The model of a case, which all estimators share."""
    return torch_log_density(CASES[case](rows))


@cache
def gradients(case, estimator, family=MeanField(), rounds=4, copies=2000):  # noqa: B008  (frozen)
    """Losses and gradients of many draws, (draws, 1 + parameters), of 32 rows where noise by row is to help, or 8."""
    rows = 32 if case in HELPED else 8
    density = lowered(case, rows)
    objective = Objective(density, family, Estimator.of(estimator), rows=5 * rows)
    size = objective.layout.size
    own = parameters(family, np.random.default_rng(1).normal(0, 0.5, size))
    own = {name: p.expand(copies, *p.shape).clone() for name, p in own.items()}
    torch.manual_seed(list(Estimator).index(objective.estimator))
    noise = partial(torch.randn, copies, 1, family.noise(size), dtype=DOUBLE)
    gradient = objective.gradient(own, noise(), density.data)
    found = []
    for _ in range(rounds):
        loss, parts = gradient(torch.ones((), dtype=DOUBLE), noise(), *own.values(), *density.data.values())
        found.append(torch.cat([loss[:, None], *(g.flatten(1) for g in parts)], dim=1).numpy())
    return np.concatenate(found)


def z_scores(first, second):
    """How far two means are apart, in standard errors; nothing where neither varies."""
    error = np.sqrt(first.var(axis=0) / len(first) + second.var(axis=0) / len(second))
    return ((first.mean(axis=0) - second.mean(axis=0)) / np.where(error > 1e-12, error, np.inf))[error > 1e-12]


@pytest.mark.parametrize("estimator", ["local", "flipout"])
@pytest.mark.parametrize("case", CASES)
def test_noise_by_row_leaves_loss_and_gradient_unbiased(case, estimator):
    z = z_scores(gradients(case, estimator), gradients(case, "reparameterisation"))
    assert np.abs(z).max() < 4.5
    assert (z**2).mean() < 2


@pytest.mark.parametrize("estimator", ["local", "flipout"])
@pytest.mark.parametrize("case", HELPED)
def test_noise_by_row_lowers_the_gradients_variance(case, estimator):
    every = (gradients(case, e) for e in ("reparameterisation", estimator))
    plain, quiet = (found[:, 1:].var(axis=0).sum() for found in every)
    assert quiet < 0.8 * plain


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_flipouts_signs_are_fair_and_independent_of_each_other(dtype):
    torch.manual_seed(0)
    like = torch.zeros(2000, 37, 3, dtype=dtype)
    signs = _signs(like, 1)
    assert signs.shape == (2000, 37, 1)
    assert signs.dtype == dtype
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    flat = signs[..., 0].double()
    share = (flat.T @ flat / len(flat)).fill_diagonal_(0)  # of two channels, over the rows
    between_rows = (flat[:-1] * flat[1:]).mean()
    assert flat.mean().abs() < 4.5 / flat.numel() ** 0.5
    assert between_rows.abs() < 4.5 / flat.numel() ** 0.5
    assert share.abs().max() < 4.5 / len(flat) ** 0.5


@EVERY_FAMILY
def test_sticking_the_landing_is_unbiased(family):
    estimators = ("sticking-the-landing", "reparameterisation")
    z = z_scores(*(gradients("centred prior", e, family, copies=500, rounds=8) for e in estimators))
    assert np.abs(z).max() < 4.5
    assert (z**2).mean() < 2


def test_a_layer_estimator_without_a_layer_to_act_on_is_refused():
    with pm.Model() as plain:
        pm.Normal("y", pm.Data("x", np.ones((5, 3))) @ pm.Normal("w", shape=3), 1, observed=pm.Data("t", np.ones(5)))
    folded = net(lambda x, a: a(x.reshape(-1, 4)).reshape(8, 4, 3).sum(1), a=nn.Linear(4, 3))()
    for model in (plain, folded):
        with pytest.raises(ModelError, match="estimator='local' acts on linear and convolution layers"):
            fit(model, 1, estimator="local", progressbar=False)


# --- schedules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "start", "middle", "end"),
    [("constant", 1, 1, 1), ("cosine", 1, 0.5, 0), ("one-cycle", 0.04, (1 + np.cos(np.pi * 2 / 7)) / 2, 0)],
)
def test_schedules(name, start, middle, end):
    schedule = schedule_named(name)
    assert [schedule(at) for at in (0.0, 0.5, 1.0)] == pytest.approx([start, middle, end])
    rates = [schedule(at) for at in np.linspace(0, 1, 101)]
    assert max(rates) == pytest.approx(1)
    assert np.argmax(rates) == (30 if name == "one-cycle" else 0)
    assert np.abs(np.diff(rates)).max() < 0.06  # no jumps


def test_the_kl_divergence_warms_up_in_a_line():
    assert [warm_up(at, 0.5) for at in (0.0, 0.25, 0.5, 1.0)] == [0, 0.5, 1, 1]
    assert [warm_up(at, 0.0) for at in (0.0, 1.0)] == [1, 1]
