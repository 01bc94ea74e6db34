"""The bridge out: a PyMC model as a torch function has PyMC's own density, gradient and variables."""

import doctest
from functools import cache, partial

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
import torch
from pymc.distributions.transforms import ordered

from companion.bridge import Observed, bayesian, density, torch_log_density, wrap
from companion.errors import ModelError
from companion.priors import Gaussian, LearnedScale, RegularisedHorseshoe

QUICK = "FAST_COMPILE"  # graphs this small run as fast as they compile
RNG = np.random.default_rng(0)
X, Y, IMAGES = RNG.normal(size=(12, 3)), RNG.normal(size=12), RNG.normal(size=(12, 1, 6, 6))
TIMES, COUNTS, CLASSES = abs(Y) + 0.1, RNG.integers(1, 8, size=12), RNG.integers(0, 3, size=12).astype("int32")
NUMPYS_SORT = pytensor.compile.ops.wrap_py([pt.dvector], [pt.dvector])(np.sort)


class Zoo:  # varied models: each function fills the one whose context it runs in
    def half_normal_and_bernoulli():
        w = pm.Normal("w", 0, pm.HalfNormal("scale"), shape=3)
        pm.Bernoulli("y", logit_p=pm.Data("x", X) @ w, observed=Y > 0)

    def gamma_inverse_gamma_and_weibull():
        rate = pm.InverseGamma("rate", 3, 2)
        pm.Gamma("y", pm.Gamma("shape", 2, 1), rate, observed=pm.Data("times", TIMES))
        pm.Weibull("z", rate, 1 + rate**6, observed=TIMES)

    def beta_uniform_and_counts():
        pm.Binomial("y", 8, pm.Beta("p", 2, 3, shape=12), observed=COUNTS)
        pm.NegativeBinomial("z", pm.Uniform("mu", 1, 9), pm.Exponential("alpha", 1), observed=COUNTS)

    def dirichlet_and_categorical():
        pm.Categorical("y", pm.Dirichlet("p", np.ones((2, 3)))[0], observed=CLASSES)

    def softmax_and_logarithms_of_sums_of_exponentials():
        w = pm.Normal("w", shape=(3, 3))
        pm.Categorical("y", logit_p=X @ w, observed=CLASSES)
        pm.Potential("far", pt.log(pt.exp(100 * X @ w).sum(axis=1)).sum())  # beyond what float32 can exponentiate

    def student_t_and_heavy_tails():
        nu, mu, sigma = pm.Exponential("nu", 0.1), pm.Cauchy("mu", 0, 1), pm.HalfCauchy("sigma", 1)
        pm.StudentT("y", nu=nu, mu=mu, sigma=sigma, observed=Y)

    def normal_mixture():
        p, mu = pm.Dirichlet("p", np.ones(3)), pm.Normal("mu", 0, 2, shape=3)
        pm.NormalMixture("y", p, mu, pm.HalfNormal("sigma", shape=3), observed=Y)

    def hierarchy_with_a_potential():
        groups = pm.Normal("groups", pm.Normal("mu", 1, 2), pm.HalfNormal("tau"), dims="group")
        pm.Potential("soft_sum_to_zero", -(groups.sum() ** 2))
        pm.Deterministic("spread", groups.max() - groups.min())
        pm.Normal("y", groups[CLASSES], pm.LogNormal("sigma"), observed=pm.Data("measured", Y))

    def ordered_and_truncated():
        mu = pm.Normal("mu", shape=3, transform=ordered, initval=[-1.0, 0.0, 1.0])
        sigma = pm.TruncatedNormal("sigma", 1, 0.5, lower=0.2)
        pm.TruncatedNormal("y", mu[CLASSES], sigma, lower=-4, upper=4, observed=Y)

    def multivariate_normal():
        mu = pm.MvNormal("mu", np.zeros(3), cov=np.eye(3) + 0.3)
        chol, *_ = pm.LKJCholeskyCov("chol", n=3, eta=2, sd_dist=pm.Exponential.dist(1, shape=3))
        pm.MvNormal("y", pt.linalg.solve(2 * np.eye(3) + 0.1, mu), chol=chol, observed=X)

    def imputed_and_censored():
        mu = pm.Normal("mu")
        with pytest.warns(UserWarning, match="missing values"):
            pm.Normal("y", mu, 1, observed=np.where(Y > 1, np.nan, Y))
        pm.Censored("z", pm.Normal.dist(mu, 1), lower=-1, upper=1, observed=np.clip(Y, -1, 1))

    def sums_to_zero_sticks_and_correlations():
        groups, shares = pm.ZeroSumNormal("groups", 1, shape=4), pm.StickBreakingWeights("shares", 1.0, K=4)
        correlation = pm.LKJCorr("correlation", n=3, eta=2)
        pm.Normal("y", groups[CLASSES] + (shares * np.arange(5)).sum(), 1 + correlation.sum() ** 2, observed=Y)

    def skewed_and_cut_off():
        shape, slope = pm.HalfNormal("shape", 2), pm.Normal("slope")
        pm.SkewNormal("y", mu=slope, sigma=shape, alpha=pm.Normal("alpha"), observed=Y)
        cut = np.where(Y > 0, TIMES, np.inf)
        pm.Censored("z", pm.Weibull.dist(shape, pt.exp(slope * Y)), lower=None, upper=cut, observed=TIMES)

    def truncated_distributions_of_others():
        mu, sigma = pm.Normal("mu"), pm.HalfNormal("sigma")
        pm.Truncated("y", pm.StudentT.dist(4, mu, sigma=sigma), lower=-5, upper=5, observed=pm.Data("measured", Y))
        pm.Truncated("z", pm.LogNormal.dist(mu, sigma), upper=5, observed=TIMES)

    def wrapped_cnn_with_total_size():
        images, labels = pm.Data("images", IMAGES), pm.Data("labels", CLASSES)
        pm.Categorical("y", logit_p=bayesian(cnn(), LearnedScale(), images), observed=labels, total_size=60)

    def wrapped_layer_of_horseshoes():
        layer = torch.nn.Linear(3, 1).double()
        layer.bias.requires_grad_(False)
        pm.Normal("y", bayesian(layer, RegularisedHorseshoe(), X)[:, 0], pm.HalfNormal("noise"), observed=Y)


models = pytest.mark.parametrize("build", [f for name, f in vars(Zoo).items() if not name.startswith("_")])


def cnn():
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten()
    return torch.nn.Sequential(*layers, torch.nn.Linear(8, 3)).double()


@cache
def lowered(build):
    with pm.Model(coords={"group": range(3)}) as model:
        build()
    return model, torch_log_density(model)


def points(model, n, seed=1):
    rng, start = np.random.default_rng(seed), model.initial_point()
    return [{name: a + rng.normal(0, 0.5, size=a.shape) for name, a in start.items()} for _ in range(n)]


def tensors(point, dtype=torch.float64, device="cpu"):
    return {name: torch.tensor(a, dtype=dtype, device=device) for name, a in point.items()}


@models
def test_density_and_gradient_are_pymcs_and_so_are_prior_and_likelihoods(build):
    model, density = lowered(build)
    whole, slope = model.compile_logp(mode=QUICK), model.compile_dlogp(mode=QUICK)
    prior = model.compile_logp(vars=[*model.free_RVs, *model.potentials], mode=QUICK)
    parts = {rv.name: model.compile_logp(vars=[rv], mode=QUICK) for rv in model.observed_RVs}
    for point in points(model, 3):
        gradients, value = torch.func.grad_and_value(density)(tensors(point))
        assert float(value) == pytest.approx(whole(point), rel=1e-9)
        gradient = np.concatenate([gradients[v.name].ravel() for v in model.value_vars])
        np.testing.assert_allclose(gradient, slope(point), rtol=1e-7, atol=1e-9)
        assert float(density.prior(tensors(point))) == pytest.approx(prior(point), rel=1e-9)
        likelihoods = {name: float(v) for name, v in density.likelihoods(tensors(point)).items()}
        assert likelihoods == pytest.approx({name: float(part(point)) for name, part in parts.items()}, rel=1e-9)


@models
def test_vmap_equals_a_loop_for_value_and_gradient(build):
    model, density = lowered(build)
    each = [tensors(p) for p in points(model, 3)]
    together = {name: torch.stack([p[name] for p in each]) for name in each[0]}
    gradients, values = torch.vmap(torch.func.grad_and_value(density))(together)
    for i, point in enumerate(each):
        slope, value = torch.func.grad_and_value(density)(point)
        torch.testing.assert_close(values[i], value)
        torch.testing.assert_close({name: g[i] for name, g in gradients.items()}, slope)


@models
def test_in_single_precision_every_number_is_and_none_is_left_on_another_device(build):
    model, density = lowered(build)
    [point] = points(model, 1)
    value = torch_log_density(model, dtype=torch.float32)(tensors(point, torch.float32))
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(float(density(tensors(point))), rel=2e-5)
    elsewhere = torch_log_density(model, dtype=torch.float32, device="meta")
    values = tensors(point, torch.float32, "meta")
    for number in (elsewhere(values), *elsewhere.constrained(values).values()):
        assert (number.dtype, number.device.type) == (torch.float32, "meta")


@models
def test_start_and_constrained_variables_are_pymcs(build):
    model, density = lowered(build)
    np.testing.assert_equal(density.start, model.initial_point())
    names = tuple(v.name for v in (*model.free_RVs, *model.deterministics))
    graphs = model.replace_rvs_by_values([model[name] for name in names])
    truth = model.compile_fn(graphs, inputs=model.value_vars, mode=QUICK, on_unused_input="ignore")
    [point] = points(model, 1)
    found = density.constrained(tensors(point), names)
    for name, value in zip(names, truth(point), strict=True):
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-12, err_msg=name)
    assert density.constrained(tensors(point)).keys() == {rv.name for rv in model.free_RVs}


def regression(x, y, **settings):
    pm.Normal("y", x @ pm.Normal("w", shape=3), pm.HalfNormal("noise"), observed=y, **settings)


def whole_data(select=lambda *data: data):
    x, y = pm.Data("inputs", X), pm.Data("targets", Y, shape=(12,))
    regression(*select(x, y), total_size=12)
    pm.Potential("spread", -(x**2).sum())


def cnn_on(x, y):
    pm.Categorical("y", logit_p=bayesian(cnn(), Gaussian(), x), observed=y, total_size=12)


def mixture_on(x, y, z):
    pm.NormalMixture("y", pm.Dirichlet("p", np.ones(3)), x * pm.Normal("w", shape=3), 1, observed=y, total_size=12)
    pm.Censored("z", pm.Normal.dist(x[:, 0], pm.HalfNormal("s")), lower=0.2, upper=9, observed=z, total_size=12)


batches = partial(pm.Minibatch, batch_size=4)
batched_cnn, batched_mixture = partial(cnn_on, *batches(IMAGES, CLASSES)), partial(mixture_on, *batches(X, Y, TIMES))
batched_arrays, batched_data = partial(regression, *batches(X, Y), total_size=12), partial(whole_data, batches)


@pytest.mark.parametrize("build", [batched_arrays, batched_data, batched_cnn, batched_mixture, whole_data])
def test_batches_of_equal_size_average_to_the_whole_likelihood(build):
    model, density = lowered(build)
    values = tensors(points(model, 1)[0])
    parts = [{name: a[rows : rows + 3] for name, a in density.data.items()} for rows in range(0, 12, 3)]
    whole, *estimates = (float(sum(density.likelihoods(values, part).values())) for part in (None, *parts))
    assert np.std(estimates) > 0.1
    assert np.mean(estimates) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("build", [batched_arrays, batched_data])
def test_mini_batches_and_nothing_else_stand_for_the_rows_that_they_are_drawn_from(build):
    names = ("inputs", "targets") if build is batched_data else ("minibatch_0", "minibatch_1")
    (model, density), (_, whole) = lowered(build), lowered(whole_data)
    values = tensors(points(model, 1)[0])
    assert float(density.likelihoods(values)["y"]) == pytest.approx(float(whole.likelihoods(values)["y"]), rel=1e-12)
    arrays = {name: a.numpy() for name, a in density.data.items()}
    np.testing.assert_equal(arrays, dict(zip(names, (X, Y), strict=True)))
    observed = (Observed("y", True, names[1], frozenset(names)),)
    assert (density.minibatch, whole.minibatch, density.observed) == (4, None, observed)
    assert density.prior(values, {names[0]: torch.zeros(4, 3)}) == density.prior(values)


def test_observed_variables_say_which_rows_are_theirs_and_whether_the_model_scales_them():
    with pm.Model() as model:
        regression(pm.Data("inputs", X), pm.Data("targets", Y))
        for name, array in (("u", Y), ("v", TIMES)):
            pm.Normal(name, 0, 1, observed=batches(array), total_size=12)
        pm.Normal("z", 0, 1, observed=TIMES)
    density = torch_log_density(model)
    y, u, v, z = density.observed
    assert [o.scaled for o in density.observed] == [False, True, True, False]
    assert (y.rows, y.data, z.rows, z.data) == ("targets", {"inputs", "targets"}, None, set())
    np.testing.assert_array_equal([density.data[u.rows], density.data[v.rows]], [Y, TIMES])


def test_data_are_those_at_lowering_and_others_are_arguments():
    with pm.Model() as model:
        whole_data()
    density, logp = torch_log_density(model), model.compile_logp(mode=QUICK)
    [point], changed = points(model, 1), {"inputs": X[::-1] + 1, "targets": Y + 2}
    before = logp(point)
    pm.set_data(changed, model=model)
    assert float(density(tensors(point))) == pytest.approx(before, rel=1e-12)
    assert float(density(tensors(point), tensors(changed))) == pytest.approx(logp(point), rel=1e-12)
    assert logp(point) != pytest.approx(before, rel=1e-2)


@pytest.mark.parametrize(
    ("build", "gaussian", "independent"),
    [
        (lambda: (pm.Normal("a", 0.5, [1.0, 2.0, 3.0]), pm.Normal("b", -1, 0.3)), {"a", "b"}, {"a", "b"}),
        (Zoo.half_normal_and_bernoulli, {"w"}, set()),
        (Zoo.hierarchy_with_a_potential, {"mu", "groups"}, {"mu"}),
        (Zoo.imputed_and_censored, {"mu", "y_unobserved"}, {"mu"}),
        (Zoo.ordered_and_truncated, set(), set()),
    ],
)
def test_expected_prior_is_the_average_of_the_prior_over_draws_of_the_approximation(build, gaussian, independent):
    model, density = lowered(build)
    assert (set(density.gaussian), set(density.independent)) == (gaussian, independent)
    [means] = map(tensors, points(model, 1, seed=2))
    torch.manual_seed(0)
    scales = {name: 0.1 + 0.4 * torch.rand(mean.shape, dtype=torch.float64) for name, mean in means.items()}
    draws = {name: mean + scales[name] * torch.randn(20_000, *mean.shape).double() for name, mean in means.items()}
    variances = {name: scale**2 for name, scale in scales.items()}
    prior = torch.vmap(density.prior)(draws)
    expected = torch.vmap(lambda values: density.expected_prior(values, means, variances))(draws)
    error = float((prior - expected).std()) / len(prior) ** 0.5
    assert float((prior - expected).mean()) == pytest.approx(0, abs=4 * error)
    assert (error > 1e-6) == bool(gaussian)
    assert (float(expected.std()) < 1e-9) == (independent == set(means))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: pm.Potential("q", NUMPYS_SORT(pm.Normal("x", shape=3))),
            r"Op \S*sort.*variable 'q'.*wrap_torch.*pymc.fit",
        ),
        (lambda: pm.Normal("y", 0, 1, observed=Y), "no free variables"),
        (lambda: pm.Poisson("changes", 3), r"\['changes'\] are discrete.*pm.Mixture"),
        (lambda: regression(*batches(2 * pm.Data("x", X), Y), total_size=12), "computed.*pm.Data"),
        (lambda: regression(*pm.Minibatch(X, Y, batch_size=1), total_size=12), r"batch_size=1.*2 or more"),
    ],
)
def test_models_that_torch_cannot_have_are_refused_with_the_way_out(build, message):
    with pytest.raises(ModelError, match=message):
        lowered(build)


def test_values_and_data_that_are_missing_or_unknown_are_refused_by_name():
    model, density = lowered(Zoo.half_normal_and_bernoulli)
    values = tensors(model.initial_point())
    with pytest.raises(ModelError, match=r"\['inputs'\].*\['x'\]"):
        density(values, {"inputs": torch.tensor(X)})
    with pytest.raises(ModelError, match=r"\['scale_log__'\].*'w'"):
        density({"w": values["w"]})
    with pytest.raises(ModelError, match=r"no variable 'weights'.*'scale'"):
        density.constrained(values, ("weights",))
    with pytest.raises(ModelError, match=r"ndarray; expected a pymc.Model"):
        torch_log_density(X)


@pytest.mark.parametrize("module", [density, wrap])
def test_the_docstrings_example_runs(module):
    assert doctest.testmod(module).failed == 0


def test_a_matrix_that_is_not_positive_definite_stops_no_other_point():
    with pm.Model() as model:
        size = pm.Normal("size")
        pm.MvNormal("y", np.zeros(2), cov=pt.stack([[1.0, size], [size, 1.0]]), observed=np.array([0.3, -0.2]))
    lowered = torch_log_density(model, dtype=torch.float64)
    values = np.array([0.5, 2.0, -0.3])
    found = torch.vmap(lowered)({"size": torch.tensor(values)}).numpy()
    logp = model.compile_logp()
    expected = np.array([logp({"size": value}) for value in values])
    assert np.isfinite(expected).tolist() == np.isfinite(found).tolist() == [True, False, True]
    np.testing.assert_allclose(found[[0, 2]], expected[[0, 2]])
