"""Laplace approximations: exact where the posterior is normal, and what is left of it elsewhere."""

import math
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pymc as pm
import pytest
import torch
from scipy.stats import multivariate_normal

from companion.bridge import bayesian, torch_log_density
from companion.datasets import Observations, moons
from companion.errors import InferenceError, ModelError
from companion.inference import Machine, Stream, fit, laplace
from companion.laplace import Block, BlockKind, NormalBlocks, Target, log_evidence_with_gradient, polished, scales_named
from companion.machine import Work, points_at_once
from companion.models import binary_classifier, torch_classifier
from companion.networks import dense
from companion.priors import Gaussian, LearnedScale, RelevanceDetermination
from companion.training import batches_for
from companion.variational import Layout, Objective, PointMass

QUICK = {"progressbar": False, "elbo_draws": 20}
RNG = np.random.default_rng(3)
X = RNG.normal(size=(30, 3))
Y = X @ [1.0, -0.5, 2.0] + 0.3 * RNG.normal(size=30)
NOISE, WIDTH = 0.3, 2.0
POINTS = RNG.normal(size=(5, 3))


def linear():
    with pm.Model() as model:
        w = pm.Normal("w", 0, WIDTH, shape=3)
        pm.Normal("y", pm.Data("x", X) @ w, NOISE, observed=pm.Data("labels", Y))
    return model


def layer(outputs=2, prior=None):
    """A torch layer with a bias, and normal noise."""
    module = torch.nn.Linear(3, outputs)
    with pm.Model() as model:
        out = bayesian(module, Gaussian(WIDTH) if prior is None else prior, pm.Data("x", X))
        pm.Normal("y", out, NOISE, observed=np.stack([Y] * outputs, axis=1))
    return model


def logistic():
    labels = (Y > 0).astype(int)
    with pm.Model() as model:
        w = pm.Normal("w", 0, WIDTH, shape=3)
        pm.Bernoulli("y", logit_p=pm.Data("x", X) @ w, observed=labels)
    return model


def tanh_network(prior, rows=40):
    data = moons(n_samples=100).train
    network = dense(2, 4, 1, activation=torch.nn.Tanh)
    return torch_classifier(Observations(data.x[:rows], data.y[:rows]), network, prior)


def target_of(model, free, mode):
    density = torch_log_density(model)
    objective = Objective(density, PointMass())
    batches, _ = batches_for(density, None, None, 0, 0, 1, 0)
    return Target(objective, batches, tuple(free), torch.as_tensor(mode, dtype=torch.float64))


MODELS = {
    "linear": linear,
    "layer": layer,
    "logistic": logistic,
    "hierarchical": lambda: hierarchical(),
    "network": lambda: tanh_network(Gaussian(1.0)),
}


@cache
def point(kind):
    """A few steps towards the mode of one of the models; what is left is polished."""
    return fit(MODELS[kind](), 3, family="map", machine=Machine(precision="float64"), **QUICK)


@pytest.fixture(scope="module")
def exact():
    return laplace(point("linear"), **QUICK)


@pytest.fixture(scope="module")
def network():
    return laplace(point("network"), polish=500, **QUICK)


# --- where the posterior is normal ------------------------------------------------------------------------------------


def covariance():
    return np.linalg.inv(X.T @ X / NOISE**2 + np.eye(3) / WIDTH**2)


def draws_of(posterior, name="w", n=4000):
    return posterior.draw(n, seed=1)[name].reshape(n, -1)


@pytest.mark.parametrize("curvature", ["ggn", "hessian"])
def test_linear_regression_has_its_exact_posterior_and_evidence(curvature):
    posterior = laplace(point("linear"), curvature=curvature, **QUICK)
    own = posterior.own_parameters("a test")
    root = own["0.root"].numpy()
    np.testing.assert_allclose(root @ root.T, covariance(), rtol=1e-8)
    np.testing.assert_allclose(own["mean"].numpy(), covariance() @ X.T @ Y / NOISE**2, rtol=1e-5)
    evidence = multivariate_normal(cov=NOISE**2 * np.eye(30) + WIDTH**2 * X @ X.T).logpdf(Y)
    assert posterior.record.log_evidence == pytest.approx(evidence, abs=1e-6)
    # the bound of the posterior itself is the evidence, at every draw
    assert posterior.record.elbo == pytest.approx(evidence, abs=1e-6)
    assert "log evidence" in str(posterior.record)


def test_draws_have_the_covariance(exact):
    np.testing.assert_allclose(np.cov(draws_of(exact).T), covariance(), rtol=0.15, atol=3e-4)
    assert exact.k_hat() < 0.5


def test_batches_add_up_to_all_rows(exact):
    parts = laplace(point("linear"), batch_size=7, **QUICK)
    np.testing.assert_allclose(parts.own_parameters("")["0.root"], exact.own_parameters("")["0.root"], rtol=1e-8)
    assert parts.record.log_evidence == pytest.approx(exact.record.log_evidence, abs=1e-6)


def test_the_diagonal_is_that_of_the_precision():
    found = laplace(point("linear"), structure="diagonal", **QUICK).moments()["w"].scale
    np.testing.assert_allclose(found, np.diag(np.linalg.inv(covariance())) ** -0.5, rtol=1e-8)


@pytest.mark.parametrize("prior", [Gaussian(WIDTH), RelevanceDetermination()], ids=["one scale", "a scale per input"])
def test_kronecker_factors_of_a_linear_layer_are_exact(prior):
    """With normal noise every row has the same gradient, and the prior is diagonal, of two sides."""
    start = fit(layer(prior=prior), 3, family="map", machine=Machine(precision="float64"), **QUICK)
    settings = {"subset": ["weight", "bias"], "scales": "joint", "polish": 0, "tolerance": 1e9, **QUICK}
    whole, product = (laplace(start, structure=structure, **settings) for structure in ("full", "kronecker"))
    assert {b.kind for b in product.objective.family.blocks} == {BlockKind.KRONECKER}
    for name, moments in whole.moments().items():
        np.testing.assert_allclose(product.moments()[name].scale, moments.scale, rtol=1e-7)
    assert product.record.log_evidence == pytest.approx(whole.record.log_evidence, abs=1e-6)
    root = draws_of(product, "weight"), draws_of(whole, "weight")
    np.testing.assert_allclose(np.cov(root[0].T), np.cov(root[1].T), rtol=0.3, atol=0.15 * np.cov(root[1].T).max())


def test_kronecker_factors_are_second_moments_of_inputs_and_gradients():
    """In a softmax layer, whose gradients differ from row to row."""
    with pm.Model() as model:
        w = pm.Normal("w", 0, 1, shape=(3, 4))
        pm.Categorical("y", logit_p=pm.Data("x", X) @ w, observed=np.arange(30) % 4)
    posterior = laplace(model, 5, structure="kronecker", **QUICK)
    own = posterior.own_parameters("a test")
    p = posterior.predict(X, {"w": own["mean"].reshape(1, 3, 4).numpy()})[0]
    fisher = np.stack([np.diag(q) - np.outer(q, q) for q in p]).mean(axis=0)
    variances = np.diag(np.linalg.inv(np.kron(X.T @ X, fisher) + np.eye(12))).reshape(3, 4)
    np.testing.assert_allclose(posterior.moments()["w"].scale, np.sqrt(variances), rtol=1e-6)


class Summed(torch.nn.Module):
    """One layer at every position, and the sum over the positions."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1, bias=False)

    def forward(self, x):
        return self.layer(x).sum(dim=1)[:, 0]


def test_positions_count_as_rows_in_kronecker_factors():
    """That is what "expand" says: the gradients are averaged over the positions, and the inputs summed."""
    x = RNG.normal(size=(30, 4, 3))
    with pm.Model() as model:
        pm.Normal("y", bayesian(Summed(), Gaussian(1.0), pm.Data("x", x)), NOISE, observed=Y)
    found = laplace(model, 5, structure="kronecker", tolerance=10.0, **QUICK).moments()["layer.weight"].scale[0]
    expected = np.linalg.inv(np.einsum("nti,ntj->ij", x, x) / NOISE**2 + np.eye(3))
    np.testing.assert_allclose(found, np.sqrt(np.diag(expected)), rtol=1e-6)


def test_a_prior_without_two_sides_is_refused_by_name():
    width = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    with pm.Model() as model:
        w = pm.Normal("w", 0, width, shape=(2, 3))
        pm.Normal("y", pm.Data("x", X) @ w.T, NOISE, observed=np.stack([Y, Y], axis=1))
    with pytest.raises(ModelError, match=r"prior's curvature in 'w' differs from weight to weight.*'full' or 'diag"):
        laplace(model, 5, structure="kronecker", **QUICK)


# --- logistic regression ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curvature", ["ggn", "hessian"])
def test_logistic_regression_has_the_hessian_of_the_books(curvature):
    posterior = laplace(point("logistic"), curvature=curvature, **QUICK)
    own = posterior.own_parameters("a test")
    w, root = own["mean"].numpy(), own["0.root"].numpy()
    p = 1 / (1 + np.exp(-X @ w))
    np.testing.assert_allclose(X.T @ ((Y > 0) - p) - w / WIDTH**2, 0, atol=1e-4)  # the mode
    precision = X.T @ (X * (p * (1 - p))[:, None]) + np.eye(3) / WIDTH**2
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(precision), rtol=1e-6)
    log_p = np.log(np.where(Y > 0, p, 1 - p)).sum() - 0.5 * w @ w / WIDTH**2 - 3 * np.log(WIDTH)
    assert posterior.record.log_evidence == pytest.approx(log_p - 0.5 * np.linalg.slogdet(precision)[1], abs=1e-6)
    assert posterior.record.elbo < posterior.record.log_evidence + 1


def test_both_curvatures_agree_where_the_predictor_is_linear_and_not_in_a_network(network):
    parameters = network.own_parameters("a test")
    target = target_of(network.model, network.objective.layout.names, parameters["mean"])
    flat = target.start
    with torch.no_grad():
        ggn, hessian = (target.likelihood_curvature(flat, kind) for kind in ("ggn", "hessian"))
    assert torch.linalg.eigvalsh(ggn).min() > -1e-9
    assert (ggn - hessian).abs().max() > 1e-2


@pytest.mark.parametrize(
    "make",
    [
        lambda w, y: pm.Poisson("y", pm.math.exp(w), observed=y),
        lambda w, y: pm.Exponential("y", scale=pm.math.exp(w), observed=y),
        lambda w, y: pm.Binomial("y", 5, logit_p=w, observed=y),
        lambda w, y: pm.Normal("y", 1.0, pm.math.exp(w), observed=y),
        lambda w, y: pm.LogNormal("y", w, 0.5, observed=y),
        lambda w, y: pm.StudentT("y", 4.0, mu=w, sigma=0.5, observed=y),
        lambda w, y: pm.Categorical("y", logit_p=pm.math.stack([w, 2 * w, 0.0]), observed=y),
    ],
    ids=["Poisson", "Exponential", "Binomial", "Normal", "LogNormal", "StudentT", "Categorical"],
)
def test_the_gauss_newton_matrix_is_the_expected_hessian(make):
    """Over data that the model itself makes, minus the second derivative of the log likelihood has it as its mean."""
    count = 20_000
    with pm.Model():
        y = pm.draw(make(np.float64(0.3), None), count, random_seed=1)
    with pm.Model() as model:
        make(pm.Normal("w", 0, 1), y)
    target = target_of(model, ["w"], [0.3])
    with torch.no_grad():
        ggn, hessian = (float(target.likelihood_curvature(target.start, kind)) for kind in ("ggn", "hessian"))
    assert ggn == pytest.approx(hessian, rel=0.04)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda w: pm.Gamma("y", 2.0, w, observed=[1.0, 2.0]), "Gamma"),
        (lambda w: pm.ZeroInflatedPoisson("y", 0.5, w, observed=[0, 2, 3]), "Mixture"),
        (lambda w: pm.Censored("y", pm.Normal.dist(w, 1.0), lower=None, upper=2.0, observed=[1.0, 2.0]), "Censored"),
        (lambda w: pm.Truncated("y", pm.Logistic.dist(w, 1.0), lower=0.0, observed=[1.0, 2.0]), "Truncated"),
    ],
    ids=["one", "made of several", "made of another", "without a signature"],
)
def test_a_likelihood_without_a_known_gauss_newton_matrix_names_the_hessian(make, kind):
    with pm.Model() as model:
        make(pm.math.exp(pm.Normal("w")))
    refused = rf"'y' is .*{kind}.*, whose Gauss-Newton matrix isn't known.*curvature='hessian'"
    with pytest.raises(ModelError, match=refused):
        laplace(model, 5, **QUICK)
    assert laplace(model, 5, curvature="hessian", **QUICK).moments()["w"].scale > 0


# --- subsets and layers -----------------------------------------------------------------------------------------------


def test_the_last_layer_of_one_layer_is_everything():
    whole, last = (laplace(point("layer"), subset=subset, **QUICK) for subset in ("all", "last-layer"))
    for name, moments in whole.moments().items():
        np.testing.assert_allclose(last.moments()[name].scale, moments.scale, rtol=1e-9)
    assert whole.record.method == "Laplace, full ggn"
    assert last.record.method == "Laplace, full ggn, last-layer"


def test_the_last_layer_is_conditional_on_the_rest(network):
    last = laplace(point("network"), subset="last-layer", polish=500, **QUICK)
    names = network.objective.layout.names
    assert last.objective.family.blocks == (Block(BlockKind.FULL, ("2.weight", "2.bias")),)
    assert all((last.moments()[name].scale > 0).all() == name.startswith("2") for name in names)
    assert np.ptp(last.draw(5, seed=0)["0.weight"], axis=0).max() == 0
    root = network.own_parameters("")["0.root"]
    precision = torch.linalg.inv(root @ root.T)
    at = [i for i in range(len(precision)) if network.objective.layout.name_at(i).startswith("2")]
    conditional = torch.linalg.inv(precision[at][:, at]).diagonal().sqrt().numpy()
    found = np.concatenate([last.moments()[n].scale.ravel() for n in ("2.weight", "2.bias")])
    np.testing.assert_allclose(found, conditional, rtol=1e-3)


def test_layers_written_in_pymc_are_found():
    data = moons(n_samples=60).train
    posterior = laplace(
        binary_classifier(data, hidden=3), 20, structure="kronecker", polish=300, tolerance=1.0, **QUICK
    )
    blocks = posterior.objective.family.blocks
    assert [b.names for b in blocks] == [("w_in_1",), ("w_1_2",), ("w_2_out",)]
    assert all(b.transposed and b.kind is BlockKind.KRONECKER for b in blocks)


def test_the_diagonal_of_layers_is_that_of_the_whole_matrix(monkeypatch):
    """Convolutions with several positions among them."""
    images = RNG.normal(size=(6, 1, 5, 5))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = torch.nn.Sequential(
            torch.nn.Conv2d(1, 2, 3, padding=1, stride=2), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(18, 3)
        )
    model = torch_classifier(Observations(images, np.arange(6) % 3), module, Gaussian(1.0))
    start = fit(model, 5, family="map", machine=Machine(precision="float64"), **QUICK)
    whole = laplace(start, structure="diagonal", polish=0, tolerance=1e9, **QUICK)
    monkeypatch.setattr("companion.laplace.precision.MOST_VALUES", 1)
    layers = laplace(start, structure="diagonal", polish=0, tolerance=1e9, **QUICK)
    for name, moments in whole.moments().items():
        np.testing.assert_allclose(layers.moments()[name].scale, moments.scale, rtol=1e-6)
    product = laplace(start, structure="kronecker", polish=0, tolerance=1e9, **QUICK)
    assert [b.names for b in product.objective.family.blocks] == [("0.weight", "0.bias"), ("3.weight", "3.bias")]


# --- predictions ------------------------------------------------------------------------------------------------------


def test_the_linearised_predictor_has_the_closed_variance(exact):
    found = exact.linear_predictor(POINTS)
    np.testing.assert_allclose(found.scale, np.sqrt(np.einsum("pi,ij,pj->p", POINTS, covariance(), POINTS)), rtol=1e-8)
    drawn = exact.predictive(POINTS, 4000, seed=0)
    np.testing.assert_allclose(drawn.std(axis=0), found.scale, rtol=0.06)
    np.testing.assert_allclose(drawn.mean(axis=0), found.mean, atol=5 * found.scale.max() / np.sqrt(4000))


def test_linearised_draws_have_the_closed_moments_in_a_network(network):
    x = RNG.normal(size=(4, 2))
    found = network.linear_predictor(x)
    p = network.predictive(x, 4000, seed=0)[..., 1]
    logits = np.log(p) - np.log1p(-p)
    np.testing.assert_allclose(logits.std(axis=0), found.scale, rtol=0.06)
    np.testing.assert_allclose(logits.mean(axis=0), found.mean, atol=5 * found.scale.max() / np.sqrt(4000))


@pytest.mark.parametrize("how", ["linearised", "sampled"])
def test_a_last_layer_predicts_as_its_draws_do(network, how):
    """Its own draws share what the other layers compute; draws that were given may be anybody's."""
    x, last = RNG.normal(size=(4, 2)), laplace(point("network"), subset="last-layer", polish=500, **QUICK)
    last = last.predicting(how)
    np.testing.assert_allclose(last.predictive(x, 6, seed=0), last.predict(x, last.draw(6, seed=0)), rtol=1e-9)
    elsewhere = network.draw(6, seed=0)
    np.testing.assert_allclose(
        last.predicting("sampled").predict(x, elsewhere), network.predicting("sampled").predict(x, elsewhere), rtol=1e-9
    )
    found = last.linear_predictor(x)
    p = last.predicting("linearised").predictive(x, 4000, seed=0)[..., 1]
    np.testing.assert_allclose((np.log(p) - np.log1p(-p)).std(axis=0), found.scale, rtol=0.06)


@pytest.mark.parametrize("how", ["linearised", "sampled"])
def test_the_layers_below_the_last_one_are_computed_once(how):
    data = Observations(RNG.normal(size=(40, 5)), np.arange(40) % 2)
    wide = torch_classifier(data, dense(5, 100, 100, 1, activation=torch.nn.Tanh), Gaussian(1.0))
    last = laplace(wide, 5, subset="last-layer", polish=0, tolerance=1e9, **QUICK).predicting(how)
    draws, x = last.draw(30, seed=0), RNG.normal(size=(500, 5))
    computed = []
    for predicted in (lambda: last.predictive(x, 30, seed=0), lambda: last.predict(x, draws)):
        predicted()  # whatever is prepared at the first call
        with Work() as work:
            predicted()
        computed.append(work.computed_bytes)
    assert computed[0] < computed[1] / 2


def positive_noise():
    """Values that vary and are transformed: a weight and the noise."""
    with pm.Model() as model:
        w, s = pm.HalfNormal("w", 2, shape=3), pm.HalfNormal("s", 1)
        pm.Normal("y", pm.Data("x", X) @ w, s, observed=pm.Data("labels", np.abs(X) @ [1.0, 0.5, 2.0]))
    return model


def bounds_that_move():
    """A value that is held, of a variable that varies as its bounds do."""
    with pm.Model() as model:
        b = pm.Normal("b", 0, 2)
        u = pm.Uniform("u", b - 3, b + 3)
        pm.Normal("y", pm.Data("x", X)[:, 0] * u, 1.0, observed=pm.Data("labels", Y))
    return model


@pytest.mark.parametrize("how", ["linearised", "sampled"])
@pytest.mark.parametrize(
    ("make", "settings"),
    [(positive_noise, {"scales": "joint"}), (bounds_that_move, {"subset": ["b"], "scales": "joint"})],
)
def test_variables_that_vary_by_their_transform_vary_in_predictions(make, settings, how):
    posterior = laplace(make(), 200, polish=300, tolerance=1e9, **settings, **QUICK).predicting(how)
    found, draws = posterior.predictive(POINTS, 8, seed=0), posterior.draw(8, seed=0)
    np.testing.assert_allclose(found, posterior.predict(POINTS, draws), rtol=1e-9)
    assert found.std(axis=0).min() > 1e-4
    if "s" in draws:
        _, parameters = posterior.observed_parameters(POINTS, 8, seed=0)
        sigma = next(a for name, a in parameters.items() if name != "mu" and a.std(axis=0).max() > 0)
        assert (how == "linearised") or np.allclose(sigma[:, 0], draws["s"], rtol=1e-6)


def test_the_linear_predictor_of_a_last_layer_minds_the_layers_below(monkeypatch):
    images = Observations(RNG.normal(size=(20, 1, 12, 12)), np.arange(20) % 2)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(16 * 144, 1)
    )
    last = laplace(torch_classifier(images, module, Gaussian(1.0)), 5, subset="last-layer", structure="diagonal",
                   polish=0, tolerance=1e9, **QUICK)  # fmt: skip
    x = RNG.normal(size=(64, 1, 12, 12))
    whole, budget = last.linear_predictor(x), 4 * 2**20
    monkeypatch.setattr("companion.laplace.posterior.points_at_once", partial(points_at_once, budget=budget))
    with Work() as work:
        parts = last.linear_predictor(x)
    assert work.peak_bytes < 2 * budget
    np.testing.assert_allclose(parts.scale, whole.scale, rtol=1e-9)


def test_near_the_mode_both_predictions_are_one(network):
    """The linearised network is the network's tangent: half as far away it is wrong by a quarter."""
    x, centre = RNG.normal(size=(4, 2)), {n: m.mean for n, m in network.moments().items()}
    away = {n: RNG.normal(size=a.shape) for n, a in centre.items()}
    sampled = network.predicting("sampled")
    errors = []
    for step in (1e-2, 5e-3):
        draw = {n: (a + step * away[n])[None] for n, a in centre.items()}
        errors.append(np.abs(network.predict(x, draw) - sampled.predict(x, draw)).max())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)
    at = {n: a[None] for n, a in centre.items()}
    np.testing.assert_allclose(network.predict(x, at), sampled.predict(x, at), rtol=1e-10)
    assert sampled.record.settings["predictive"] == "sampled"


class Cube(torch.autograd.Function):
    """In the old form, which torch.func can't differentiate."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        return 3 * ctx.saved_tensors[0] ** 2 * gradient


class Cubes(torch.nn.Module):
    def __init__(self, own):
        super().__init__()
        self.layer, self.own = torch.nn.Linear(2, 1), own

    def forward(self, x):
        y = self.layer(x)
        return Cube.apply(y) if self.own else y**3


@pytest.mark.filterwarnings("ignore::companion.errors.CompanionWarning")
def test_what_torch_func_can_not_differentiate_is_linearised_all_the_same():
    data, found = moons(n_samples=60).train, []
    for own in (True, False):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = torch_classifier(data, Cubes(own), Gaussian(1.0))
        start = fit(model, 3, family="map", machine=Machine(precision="float64"), **QUICK)
        found.append(laplace(start, polish=100, tolerance=1.0, **QUICK).predictive(POINTS[:, :2], 3, seed=0))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_softmax_and_probabilities_of_ones_own_are_linearised_before_the_link():
    labels, w = np.arange(30) % 3, RNG.normal(size=(3, 3))
    for how in ("softmax", "log"):
        with pm.Model() as model:
            weight = pm.Normal("w", 0, 1, shape=(3, 3), initval=w)
            p = pm.math.softmax(pm.Data("x", X) @ weight, axis=-1)
            pm.Categorical("y", p=p if how == "softmax" else 0.5 * p + 0.5 * p, observed=labels)
        posterior = laplace(model, 2, polish=50, tolerance=1.0, **QUICK)
        draws = posterior.draw(3, seed=0)
        # a softmax of what is linear in the weights anyway is as it was
        np.testing.assert_allclose(
            posterior.predict(POINTS, draws), posterior.predicting("sampled").predict(POINTS, draws), rtol=1e-6
        )


# --- scales -----------------------------------------------------------------------------------------------------------


def known_evidence(log_s):
    """The log density of data and of the logarithm of a half-normal scale, with the weights integrated out."""
    s = math.exp(log_s)
    prior = math.log(2) - 0.5 * math.log(2 * math.pi) - 0.5 * s**2 + log_s
    return multivariate_normal(cov=NOISE**2 * np.eye(30) + s**2 * X @ X.T).logpdf(Y) + prior


def hierarchical():
    with pm.Model() as model:
        s = pm.HalfNormal("s", 1.0)
        w = pm.Normal("w", 0, s, shape=3)
        pm.Normal("y", pm.Data("x", X) @ w, NOISE, observed=Y)
    return model


@pytest.mark.parametrize("structure", ["full", "kronecker"])
def test_a_scale_stands_at_the_maximum_of_its_known_marginal_density(structure):
    posterior = laplace(point("hierarchical"), structure=structure, **QUICK)
    assert posterior.record.settings["scales_found"] == ["s_log__"]
    found = float(posterior.moments()["s_log__"].mean)
    slope = (known_evidence(found + 1e-4) - known_evidence(found - 1e-4)) / 2e-4
    assert abs(slope) < (0.01 if structure == "full" else 0.1)
    assert posterior.record.log_evidence == pytest.approx(known_evidence(found), abs=1e-5)
    assert posterior.moments()["s_log__"].scale == 0


def test_scales_are_what_priors_depend_on_by_more_than_their_location():
    with pm.Model() as model:
        mu, tau = pm.Normal("mu"), pm.HalfNormal("tau")
        pm.Normal("theta", mu, tau, shape=3)
        raw = pm.Normal("raw", shape=3)
        pm.Normal("y", raw * pm.HalfNormal("width"), pm.HalfNormal("noise"), observed=np.zeros(3))
    assert scales_named(model, "marginal") == ("tau_log__",)
    assert scales_named(model, "joint") == ()
    assert scales_named(model, ["noise"]) == ("noise_log__",)


def test_noise_is_found_by_name_with_the_whole_matrix_alone():
    with pm.Model() as model:
        sigma = pm.HalfNormal("sigma", 1.0)
        w = pm.Normal("w", 0, WIDTH, shape=3)
        pm.Normal("y", pm.Data("x", X) @ w, sigma, observed=Y)

    def density(log_s):
        s = math.exp(log_s)
        prior = -0.5 * s**2 + log_s
        return multivariate_normal(cov=s**2 * np.eye(30) + WIDTH**2 * X @ X.T).logpdf(Y) + prior

    found = float(laplace(model, 20, scales=["sigma"], **QUICK).moments()["sigma_log__"].mean)
    assert abs(density(found + 1e-4) - density(found - 1e-4)) / 2e-4 < 0.01
    with pytest.raises(ModelError, match=r"the likelihood itself reads \['sigma_log__'\].*structure='full'"):
        laplace(model, 20, scales=["sigma"], structure="diagonal", **QUICK)


def test_the_gradient_of_the_evidence_is_its_finite_difference():
    """In a network, where the mode and the curvature there move with the scales: the mode is found anew at each."""
    model = tanh_network(LearnedScale(), rows=30)
    layout, start = Layout.of(model.initial_point()), model.initial_point()
    scales = tuple(n for n in layout.names if "scale" in n)
    free = tuple(n for n in layout.names if n not in scales)
    target = target_of(model, free, layout.join(start))
    centre = replace(target, mode=target.whole(polished(target, 2000)))
    value, gradient = log_evidence_with_gradient(centre, scales, "hessian")

    def evidence(shift):
        values = {**layout.split(centre.mode), scales[0]: layout.split(centre.mode)[scales[0]] + shift}
        moved = replace(centre, mode=torch.cat([values[n].reshape(-1) for n in layout.names]))
        moved = replace(moved, mode=moved.whole(polished(moved, 2000)))
        return log_evidence_with_gradient(moved, scales, "hessian")[0]

    step = 1e-3
    assert gradient[0] == pytest.approx((evidence(step) - evidence(-step)) / (2 * step), rel=1e-3)
    held = log_evidence_with_gradient(centre, scales, "ggn")
    assert held[0] != pytest.approx(value, abs=1e-3)


def test_a_joint_mode_that_does_not_exist_is_refused():
    """If the data say little, the density grows without end as scale and weights go to zero together."""
    with pm.Model() as model:
        w = pm.Normal("w", 0, pm.HalfNormal("s", 1.0), shape=8, initval=np.ones(8))
        pm.Normal("y", w, 5.0, observed=RNG.normal(size=8))
    for curvature in ("ggn", "hessian"):
        with pytest.raises(InferenceError, match=r"isn't a mode.*scales='marginal'"):
            laplace(model, 100, scales="joint", curvature=curvature, **QUICK)
    assert np.isfinite(laplace(model, 5, **QUICK).record.log_evidence)


# --- errors -----------------------------------------------------------------------------------------------------------


def test_a_point_that_is_not_a_mode_is_refused_by_its_gradient():
    with pytest.raises(
        InferenceError, match=r"would move the values by .* standard deviations.*'w'; expected"
    ) as error:
        laplace(point("linear"), polish=0, **QUICK)
    assert error.value.posterior is point("linear")


def test_a_saddle_is_refused_by_its_curvature():
    with pm.Model() as model:
        w = pm.Normal("w", 0, 1, shape=2, initval=np.zeros(2))
        pm.Normal("y", w[0] * w[1], 0.1, observed=[2.0])
    for structure, said in (("full", "1 of 2 directions"), ("diagonal", None)):
        settings = {"structure": structure, "curvature": "hessian", "polish": 0, **QUICK}
        if said is None:  # its diagonal is the prior's alone, which is positive
            assert laplace(model, 1, **settings).moments()["w"].scale == pytest.approx(1.0)
        else:
            with pytest.raises(InferenceError, match=f"isn't a mode: the curvature is negative or zero in {said}"):
                laplace(model, 1, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"structure": "banded"}, "structure='banded'; expected one of"),
        ({"curvature": "fisher"}, "curvature='fisher'; expected one of"),
        ({"subset": "first"}, "subset='first'; expected one of .*, or names of variables"),
        ({"subset": ["v"]}, r"subset=\['v'\]; the model has no variables \['v'\]"),
        ({"subset": []}, "expected the name of a variable"),
        ({"scales": ["v"]}, r"scales=\['v'\]; the model has no variables"),
        ({"predictive": "exact"}, "predictive='exact'; expected one of"),
        ({"polish": -1}, "polish=-1; expected a whole number"),
        ({"tolerance": 0.0}, "tolerance=0.0; expected a positive"),
        ({"structure": "kronecker", "curvature": "hessian"}, "Kronecker factors are those of the Gauss-Newton"),
    ],
)
def test_settings_are_refused_by_name(settings, message):
    with pytest.raises(ModelError, match=message):
        laplace(point("linear"), **settings, **QUICK)


def test_a_streamed_fit_is_refused(exact):
    rows = torch.utils.data.TensorDataset(torch.as_tensor(np.tile(X, (2, 1))), torch.as_tensor(np.tile(Y, 2)))
    streamed = fit(exact.model, 2, family="map", batch_size=Stream(rows, 10), **QUICK)
    with pytest.raises(ModelError, match="fitted to 60 rows, and the model holds 30"):
        laplace(streamed, **QUICK)


def test_what_is_not_a_mode_is_refused(exact):
    with pytest.raises(ModelError, match="family 'mean-field'; expected a mode"):
        laplace(fit(exact.model, 2, **QUICK), **QUICK)
    with pytest.raises(ModelError, match="mixture of 2 restarts"):
        laplace(fit(exact.model, 2, family="map", restarts=2, keep="mixture", **QUICK), **QUICK)
    with pytest.raises(ModelError, match=r"model is a list; expected a pymc.Model, or the posterior of fit"):
        laplace([], **QUICK)


# --- the family -------------------------------------------------------------------------------------------------------


def test_the_family_is_a_normal_distribution():
    """Its density, entropy, variances and draws are those of one multivariate normal with the same roots."""
    layout = Layout(("a", "w", "b", "held"), ((2,), (3, 2), (2,), ()))
    blocks = (Block(BlockKind.DIAGONAL, ("a",)), Block(BlockKind.KRONECKER, ("w", "b"), transposed=True))
    family = NormalBlocks(layout, blocks)
    generator = torch.Generator().manual_seed(0)
    parameters = family.start(torch.arange(11.0, dtype=torch.float64), 0.7)
    for name, p in parameters.items():
        if name != "mean":
            p += 0.3 * torch.rand(p.shape, generator=generator, dtype=torch.float64)
    noise = torch.eye(10, dtype=torch.float64)
    root = torch.stack([family.draw(parameters, e) - parameters["mean"] for e in noise], dim=1)[:10]
    normal = torch.distributions.MultivariateNormal(parameters["mean"][:10], root @ root.T)
    draw = family.draw(parameters, torch.randn(10, generator=generator, dtype=torch.float64))
    assert float(draw[10]) == 10.0
    assert float(family.log_prob(parameters, draw)) == pytest.approx(float(normal.log_prob(draw[:10])))
    assert float(family.entropy(parameters)) == pytest.approx(float(normal.entropy()))
    np.testing.assert_allclose(family.variance(parameters)[:10], normal.variance, rtol=1e-9)
    again = NormalBlocks.of_json(layout, family.as_json())
    assert again == family
