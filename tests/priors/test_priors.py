"""Priors: the same distribution in PyMC, in Pyro and in the formula, started at the network's own weights."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pymc as pm
import pyro
import pytensor
import pytest
import torch
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoDiagonalNormal, AutoNormal
from scipy import stats

from companion.bayes_by_backprop import TrainedLocation, TrainedScaleMixture, to_bayesian
from companion.bridge import bayesian, torch_log_density
from companion.datasets import Observations
from companion.errors import ModelError
from companion.inference import fit
from companion.models import torch_classifier
from companion.priors import (
    FanIn,
    Gaussian,
    GroupHorseshoe,
    Informed,
    Laplace,
    LearnedScale,
    Parameter,
    Prior,
    RegularisedHorseshoe,
    RelevanceDetermination,
    ScaleMixture,
    SpikeAndSlab,
    UnitScale,
    parameters,
)

QUICK = "FAST_COMPILE"  # graphs this small run as fast as they compile
SHAPES = {"0.weight": (4, 3), "0.bias": (4,), "2.weight": (2, 4), "2.bias": (2,)}
MEANS = {name: np.full(shape, 0.7) for name, shape in SHAPES.items()}
# Two directions in which all weights move, beside their own deviations of 0.2: together 0.3.
FACTOR = {name: np.full((*shape, 2), [0.2, -0.1]) for name, shape in SHAPES.items()}
SCALES = {name: np.full(shape, 0.2) if name == "0.weight" else 0.2 for name, shape in SHAPES.items()}


# What the formulas say of one weight, drawn with NumPy alone: generator, draws and fan-in to draws.


def normal(scale, mean=0.0):
    return lambda rng, n, fan_in: rng.normal(mean, scale, n)


def fan_in_normal(scale):
    return lambda rng, n, fan_in: rng.normal(0, scale * fan_in**-0.5, n)


def laplace(scale):
    return lambda rng, n, fan_in: rng.laplace(0, scale / np.sqrt(2), n)


def learned_scale(scale):
    return lambda rng, n, fan_in: abs(rng.normal(0, scale, n)) * rng.normal(size=n)


def product_of_learned_scales(scale):
    """Two scales for a weight of the first layer, of three inputs; one for the bias of the second."""

    def draw(rng, n, fan_in):
        width = abs(rng.normal(0, scale, n)) * (abs(rng.normal(0, scale, n)) if fan_in == 3 else 1.0)
        return width * rng.normal(size=n)

    return draw


def scale_mixture(weight, wide, narrow):
    return lambda rng, n, fan_in: rng.normal(size=n) * np.where(rng.random(n) < weight, wide, narrow)


def spike_and_slab(inclusion, scale, temperature):
    def draw(rng, n, fan_in):
        logit, u = np.log(inclusion / (1 - inclusion)), rng.random(n)
        gate = 1 / (1 + np.exp(-(logit + np.log(u) - np.log1p(-u)) / temperature))
        return gate * rng.normal(0, scale, n)

    return draw


def regularised_horseshoe(global_scale, slab_scale, slab_df):
    def draw(rng, n, fan_in):
        tau, local = global_scale * abs(rng.standard_cauchy(n)), abs(rng.standard_cauchy(n))
        c2 = slab_scale**2 * slab_df / rng.chisquare(slab_df, n)  # the scaled inverse chi-square, written the other way
        return tau * np.sqrt(c2 * local**2 / (c2 + tau**2 * local**2)) * rng.normal(size=n)

    return draw


CASES = {
    "gaussian": (Gaussian(0.3), normal(0.3)),
    "gaussian-of-whole-number": (Gaussian(2), normal(2)),
    "fan-in": (FanIn(1.5), fan_in_normal(1.5)),
    "laplace": (Laplace(0.3), laplace(0.3)),
    "learned-scale": (LearnedScale(0.5), learned_scale(0.5)),
    "learned-scale-non-centred": (LearnedScale(0.5, centred=False), learned_scale(0.5)),
    "learned-scale-of-each": (LearnedScale(0.5, each="parameter"), learned_scale(0.5)),
    "learned-scale-of-each-non-centred": (LearnedScale(0.5, centred=False, each="parameter"), learned_scale(0.5)),
    "relevance-determination": (RelevanceDetermination(0.5), learned_scale(0.5)),
    "unit-scale": (UnitScale(0.5), product_of_learned_scales(0.5)),
    "scale-of-each-unit": (UnitScale(0.5, "incoming"), learned_scale(0.5)),
    "scale-mixture": (ScaleMixture(0.25, 1.5, 0.1), scale_mixture(0.25, 1.5, 0.1)),
    "scale-mixture-of-blundell": (ScaleMixture(), scale_mixture(0.5, 1.0, np.exp(-6))),
    "spike-and-slab": (SpikeAndSlab(0.2, 1.5, 0.7), spike_and_slab(0.2, 1.5, 0.7)),
    "horseshoe": (RegularisedHorseshoe(0.3, 2.0, 5.0), regularised_horseshoe(0.3, 2.0, 5.0)),
    "group-horseshoe": (GroupHorseshoe(0.3, 2.0, 5.0), regularised_horseshoe(0.3, 2.0, 5.0)),
    "informed": (Informed(MEANS, 0.2), normal(0.2, 0.7)),
    "informed-low-rank": (Informed(MEANS, 0.2, FACTOR), normal(0.3, 0.7)),
    "informed-weight-by-weight": (Informed(MEANS, SCALES), normal(0.2, 0.7)),
}
PRIORS = [pytest.param(prior, id=name) for name, (prior, _) in CASES.items()]


@pytest.fixture(autouse=True)
def double_precision():
    torch.set_default_dtype(torch.float64)
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def net():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))


def pymc_model(prior, net):
    with pm.Model() as model:
        weights = prior.pymc(parameters(net))
    return model, weights


def pymc_values(model, weights, point):
    """The weights at a point of the model's value variables."""
    graphs = model.replace_rvs_by_values(list(weights.values()))
    values = model.compile_fn(graphs, inputs=model.value_vars, on_unused_input="ignore", mode=QUICK)(point)
    return dict(zip(weights, values, strict=True))


def pyro_at(prior, net, data):
    """The trace of the Pyro model at given values, and its weights."""
    conditioned = pyro.condition(prior.pyro, {name: torch.as_tensor(value) for name, value in data.items()})
    trace = pyro.poutine.trace(conditioned).get_trace(parameters(net))
    return trace, {name: value.numpy() for name, value in trace.nodes["_RETURN"]["value"].items()}


def pyro_draws(prior, net, n):
    with pyro.plate("draws", n):
        return {name: value.numpy() for name, value in prior.pyro(parameters(net)).items()}


def agree(draws, others):
    return stats.ks_2samp(draws, others).pvalue > 1e-3


# One prior, two libraries.


@pytest.mark.parametrize("prior", PRIORS)
def test_pymc_and_pyro_have_the_same_variables_density_and_weights(prior, net):
    model, weights = pymc_model(prior, net)
    drawn = dict(
        zip([rv.name for rv in model.free_RVs], pm.draw(model.free_RVs, random_seed=3, mode=QUICK), strict=True)
    )
    point = {
        value.name: np.log(drawn[rv.name]) if value.name.endswith("_log__") else drawn[rv.name]
        for rv, value in model.rvs_to_values.items()
    }
    trace, pyro_weights = pyro_at(prior, net, drawn)
    assert set(drawn) == set(trace.observation_nodes) - {d.name for d in model.deterministics}
    assert model.compile_logp(jacobian=False, mode=QUICK)(point) == pytest.approx(trace.log_prob_sum().item(), rel=1e-6)
    for name, value in pymc_values(model, weights, point).items():
        assert value.shape == SHAPES[name]
        np.testing.assert_allclose(pyro_weights[name], value, rtol=1e-10)


@pytest.mark.parametrize("prior", PRIORS)
def test_sites_carry_the_names_of_pymc_and_are_continuous(prior, net):
    model, weights = pymc_model(prior, net)
    trace = pyro.poutine.trace(prior.pyro).get_trace(parameters(net))
    assert set(trace.stochastic_nodes) == {rv.name for rv in model.free_RVs}
    assert set(trace.observation_nodes) == {d.name for d in model.deterministics}
    assert list(weights) == list(trace.nodes["_RETURN"]["value"]) == list(SHAPES)
    assert model.discrete_value_vars == []
    trace.compute_log_prob()
    assert all(trace.nodes[name]["log_prob"].shape == () for name in trace.stochastic_nodes)


@pytest.mark.parametrize(("prior", "formula"), CASES.values(), ids=CASES)
def test_draws_of_both_follow_the_formula(prior, formula, net):
    _, weights = pymc_model(prior, net)
    chosen = {("0.weight", (0, 0)): 3, ("2.bias", (1,)): 4}  # one entry of each: those of a layer may share a scale
    from_pymc = pm.draw([weights[name][entry] for name, entry in chosen], draws=4000, random_seed=5, mode=QUICK)
    from_pyro = pyro_draws(prior, net, 20_000)
    for index, ((name, entry), fan_in) in enumerate(chosen.items()):
        reference = formula(np.random.default_rng(7), 200_000, fan_in)
        for draws in (from_pymc[index], from_pyro[name][(slice(None), *entry)]):
            assert agree(draws, reference)
            assert not agree(1.5 * draws, reference)


@pytest.mark.parametrize("prior", PRIORS)
def test_inference_in_pymc_starts_at_the_modules_weights(prior, net):
    model, weights = pymc_model(prior, net)
    start = model.initial_point()
    for name, value in pymc_values(model, weights, start).items():
        np.testing.assert_allclose(value, net.get_parameter(name).detach().numpy(), rtol=1e-12)
    assert max(abs(value).max() for value in start.values()) < 20
    assert np.isfinite(model.compile_dlogp(mode=QUICK)(start)).all()


@pytest.mark.parametrize("prior", PRIORS)
def test_inference_can_start_without_the_modules_weights_and_in_float32(prior, net):
    bare = [Parameter(p.name, p.shape, p.fan_in, p.layer, start=None) for p in parameters(net)]
    for listed in (bare, parameters(net)):
        with pytensor.config.change_flags(floatX="float32"), pm.Model() as model:
            weights = prior.pymc(listed)
            variables = [*model.value_vars, *weights.values(), model.logp()]
            assert {v.dtype for v in variables} == {"float32"}
            assert np.isfinite(model.compile_logp(mode=QUICK)(model.initial_point()))


@pytest.mark.parametrize("prior", PRIORS)
def test_pyros_guides_and_vectorised_particles_take_every_site(prior, net):
    model = partial(prior.pyro, parameters(net))
    elbo = Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1)
    assert np.isfinite(elbo.loss(model, AutoDiagonalNormal(model)))
    assert np.isfinite(elbo.loss(model, AutoNormal(model)))


@pytest.mark.parametrize("centred", [True, False])
def test_learned_scales_can_start_elsewhere_than_their_priors_scale(centred, net):
    model, weights = pymc_model(LearnedScale(1.0, centred=centred, start=0.1), net)
    start = model.initial_point()
    np.testing.assert_allclose(np.exp(start["0.scale_log__"]), 0.1)
    np.testing.assert_allclose(pymc_values(model, weights, start)["0.weight"], net[0].weight.detach().numpy())
    usual = pymc_model(LearnedScale(1.0, centred=centred), net)[0]
    np.testing.assert_allclose(model.compile_logp(mode=QUICK)(start), usual.compile_logp(mode=QUICK)(start))
    with pytest.raises(ModelError, match=r"start=-1"):
        LearnedScale(start=-1)


def test_a_gate_that_is_almost_surely_shut_starts_open_enough(net):
    prior = SpikeAndSlab(inclusion=1e-4, temperature=0.1)
    model, weights = pymc_model(prior, net)
    start = model.initial_point()
    np.testing.assert_allclose(pymc_values(model, weights, start)["0.weight"], net[0].weight.detach().numpy())
    assert abs(start["0.weight.slab"]).max() < 2


# What the formulas promise.


@pytest.mark.parametrize("each", ["layer", "parameter"])
def test_centred_and_non_centred_scales_are_one_prior_on_the_weights(each, net):
    centred, raw = (pyro_draws(LearnedScale(0.5, c, each), net, 20_000) for c in (True, False))
    for a, b in ((centred, raw), (pyro_draws(LearnedScale(0.6, each=each), net, 20_000), raw)):
        same_entry = agree(a["0.weight"][:, 0, 0], b["0.weight"][:, 0, 0])
        same_product = agree(
            np.log(abs(a["0.weight"][:, 0, 0] * a["0.bias"][:, 0])),
            np.log(abs(b["0.weight"][:, 0, 0] * b["0.bias"][:, 0])),
        )
        assert same_entry == same_product == (a is centred)


def sharing(prior, net, *entries):
    """The correlation of two weights' logarithmic sizes: clearly above 0 where they share a scale, else 0."""
    draws = pyro_draws(prior, net, 20_000)
    sizes = [np.log(abs(draws[name][(slice(None), *entry)])) for name, entry in entries]
    correlation = np.corrcoef(sizes)[0, 1]
    assert correlation > 0.2 or abs(correlation) < 0.03
    return correlation > 0.2


IN_ONE_WEIGHT = ("0.weight", (0, 0)), ("0.weight", (3, 2))
WEIGHT_AND_BIAS = ("0.weight", (0, 0)), ("0.bias", (0,))
TWO_LAYERS = ("0.weight", (0, 0)), ("2.weight", (0, 0))


@pytest.mark.parametrize("centred", [True, False])
def test_a_layer_or_each_of_its_parameters_shares_a_scale_and_layers_do_not(centred, net):
    for each in ("layer", "parameter"):
        shares = partial(sharing, LearnedScale(centred=centred, each=each), net)
        assert shares(*IN_ONE_WEIGHT)
        assert shares(*WEIGHT_AND_BIAS) == (each == "layer")
        assert not shares(*TWO_LAYERS)


def test_under_relevance_determination_the_weights_of_one_input_share_a_scale(net):
    shares = partial(sharing, RelevanceDetermination(), net)
    assert shares(("0.weight", (0, 1)), ("0.weight", (3, 1)))
    assert not shares(("0.weight", (0, 1)), ("0.weight", (0, 2)))
    assert not shares(*WEIGHT_AND_BIAS)
    assert shares(("2.weight", (0, 0)), ("2.weight", (1, 3))), "behind the first layer nothing is an input"


@pytest.mark.parametrize(
    ("of", "row", "column"), [("incoming", True, False), ("outgoing", False, True), ("both", True, True)]
)
def test_under_unit_scales_the_weights_of_a_row_of_a_column_or_of_both_share_one(of, row, column, net):
    shares = partial(sharing, UnitScale(of=of), net)
    for layer in ("0.weight", "2.weight"):
        assert shares((layer, (1, 0)), (layer, (1, 2))) == row
        assert shares((layer, (0, 2)), (layer, (1, 2))) == column
        assert not shares((layer, (0, 0)), (layer, (1, 2)))
    assert not shares(*WEIGHT_AND_BIAS)


@pytest.mark.parametrize("module", [torch.nn.Linear(3, 4), torch.nn.Conv2d(3, 4, 2)], ids=["dense", "convolution"])
def test_unit_scales_have_the_density_of_the_model_written_by_hand(module):
    shape = tuple(module.weight.shape)
    one = (1,) * (len(shape) - 2)
    with pm.Model() as written:
        r, c = pm.HalfNormal("weight_in_scale", 0.7, shape=4), pm.HalfNormal("weight_out_scale", 0.7, shape=3)
        pm.Normal("weight", 0, r.reshape((4, 1, *one)) * c.reshape((1, 3, *one)), shape=shape)
        pm.Normal("bias", 0, pm.HalfNormal("bias_scale", 0.7), shape=4)
    model, _ = pymc_model(UnitScale(0.7), module)
    rng = np.random.default_rng(0)
    point = {name: rng.normal(size=value.shape) for name, value in model.initial_point().items()}
    assert set(point) == set(written.initial_point())
    found, expected = (
        torch_log_density(m)({n: torch.as_tensor(a) for n, a in point.items()}) for m in (model, written)
    )
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)


def test_under_the_group_horseshoe_a_units_weights_and_bias_escape_together(net):
    # The layer's own scale is common to all: fixed here, so that only the units' count.
    one = {name: torch.tensor(0.1) for name in ("0.global_scale", "2.global_scale")}
    fixed = lambda listed: pyro.condition(GroupHorseshoe(slab_scale=1e6).pyro, one)(listed)  # noqa: E731
    shares = partial(sharing, SimpleNamespace(pyro=fixed), net)
    assert shares(("0.weight", (1, 0)), ("0.weight", (1, 2)))
    assert shares(("0.weight", (1, 0)), ("0.bias", (1,)))
    assert not shares(("0.weight", (0, 2)), ("0.weight", (1, 2)))
    model, _ = pymc_model(GroupHorseshoe(), net)
    shapes = {name: value.shape for name, value in model.initial_point().items() if "local" in name}
    assert shapes == {"0.weight.local_scale_log__": (4,), "2.weight.local_scale_log__": (2,)}


@pytest.mark.parametrize(
    ("module", "scales"),
    [
        (torch.nn.Linear(3, 3), {"weight_scale": (3,), "bias_scale": ()}),
        (torch.nn.Linear(3, 2, bias=False), {"weight_scale": (3,)}),
        (torch.nn.Conv2d(3, 4, 2), {"weight_scale": (3,), "bias_scale": ()}),
        (
            torch.nn.Sequential(torch.nn.LayerNorm(3), torch.nn.Linear(3, 4)),
            {"0.weight_scale": (), "0.bias_scale": (), "1.weight_scale": (3,), "1.bias_scale": ()},
        ),
    ],
)
def test_the_first_weight_has_a_scale_for_each_input_or_channel_and_the_rest_one_each(module, scales):
    model, weights = pymc_model(RelevanceDetermination(), module)
    trace = pyro.poutine.trace(RelevanceDetermination().pyro).get_trace(parameters(module))
    names = [p.name for p in parameters(module)]
    assert list(weights) == list(trace.nodes["_RETURN"]["value"]) == names
    expected = scales | {name: tuple(module.get_parameter(name).shape) for name in names}
    assert {rv.name: rv.eval().shape for rv in model.free_RVs} == expected
    assert {name: trace.nodes[name]["value"].shape for name in trace.stochastic_nodes} == expected


def test_the_scales_of_a_convolution_are_those_of_its_channels():
    layer = torch.nn.Conv2d(3, 50, 5)
    model, weights = pymc_model(RelevanceDetermination(), layer)
    from_pymc = pm.draw([model["weight_scale"], weights["weight"]], random_seed=1, mode=QUICK)
    nodes = pyro.poutine.trace(RelevanceDetermination().pyro).get_trace(parameters(layer)).nodes
    from_pyro = [nodes[name]["value"].numpy() for name in ("weight_scale", "weight")]
    for scales, weight in (from_pymc, from_pyro):
        found = weight.std(axis=(0, 2, 3))
        np.testing.assert_allclose(found, scales, rtol=0.1)
        assert not np.allclose(found, np.roll(scales, 1), rtol=0.1)


def horseshoe_weights(net, *, tau, local, slab_variance, **settings):
    ones = {f"{name}.{what}": np.ones(s) for name, s in SHAPES.items() for what in ("raw", "local_scale")}
    shared = {"0.global_scale": tau, "2.global_scale": tau, "0.slab_variance": slab_variance}
    data = ones | {"0.weight.local_scale": np.full((4, 3), local), "2.slab_variance": slab_variance} | shared
    return pyro_at(RegularisedHorseshoe(**settings), net, data)[1]["0.weight"]


def test_the_horseshoe_shrinks_small_scales_freely_and_bounds_large_ones_by_the_slab(net):
    horseshoe = partial(horseshoe_weights, net, tau=0.1, slab_variance=4.0)
    np.testing.assert_allclose(horseshoe(local=0.01), 0.1 * 0.01, rtol=1e-6)
    np.testing.assert_allclose(horseshoe(local=1e6), 2.0, rtol=1e-6)
    np.testing.assert_allclose(horseshoe(local=30.0), np.sqrt(4 * 9 / (4 + 9)), rtol=1e-12)


def test_without_a_slab_the_horseshoe_has_its_plain_heavy_tail(net):
    rng, n = np.random.default_rng(11), 200_000
    plain = 0.1 * rng.standard_cauchy(n) * rng.standard_cauchy(n) * rng.normal(size=n)
    for slab_scale, same in ((1e6, True), (1.0, False)):
        draws = pyro_draws(RegularisedHorseshoe(0.1, slab_scale), net, 20_000)["0.weight"][:, 0, 0]
        assert agree(abs(draws), abs(plain)) == same
        assert (np.mean(abs(draws) > 20) > 0.5 * np.mean(abs(plain) > 20)) == same


def test_a_weight_that_always_escapes_follows_the_student_t_slab(net):
    draws = pyro_draws(RegularisedHorseshoe(1e6, slab_scale=2.0, slab_df=5.0), net, 20_000)["0.weight"][:, 0, 0]
    for scale, same in ((2.0, True), (2.2, False)):
        assert (stats.kstest(draws, stats.t(5.0, scale=scale).cdf).pvalue > 1e-3) == same


@pytest.mark.parametrize("temperature", [0.1, 2.0])
def test_gates_are_open_with_the_inclusion_probability_at_every_temperature(temperature, net):
    trace = pyro.poutine.trace(pyro.plate("draws", 20_000)(SpikeAndSlab(0.3, temperature=temperature).pyro))
    gates = trace.get_trace(parameters(net)).nodes["0.weight.gate_logit"]["value"].sigmoid().numpy()
    assert np.mean(gates > 0.5) == pytest.approx(0.3, abs=0.01)
    assert (np.mean((gates > 0.01) & (gates < 0.99)) < 0.25) == (temperature == 0.1)


def test_an_informed_prior_keeps_the_means_it_was_given(net):
    prior = Informed(net, 0.1)
    before = net[0].weight.detach().clone().numpy()
    with torch.no_grad():
        net[0].weight.zero_()
    draws = pyro_draws(prior, net, 2000)["0.weight"]
    np.testing.assert_allclose(draws.mean(axis=0), before, atol=0.01)
    np.testing.assert_allclose(draws.std(axis=0), 0.1, rtol=0.1)


def test_an_informed_prior_of_low_rank_is_a_multivariate_normal(net):
    rng = np.random.default_rng(0)
    factor = {name: rng.normal(size=(*shape, 2)) for name, shape in SHAPES.items()}
    scale = {name: rng.uniform(0.5, 1.0, shape) for name, shape in SHAPES.items()}
    density = torch_log_density(pymc_model(Informed(MEANS, scale, factor), net)[0])
    point = {name: rng.normal(size=np.shape(start)) for name, start in density.start.items()}
    w, m, s = (np.concatenate([np.ravel(a[name]) for name in SHAPES]) for a in (point, MEANS, scale))
    f = np.concatenate([factor[name].reshape(-1, 2) for name in SHAPES])
    # The directions given the weights are normal, too: what is left of the joint density is that of the weights.
    precision = np.eye(2) + f.T @ (f / s[:, None] ** 2)
    given = stats.multivariate_normal(np.linalg.solve(precision, f.T @ ((w - m) / s**2)), np.linalg.inv(precision))
    found = density({n: torch.as_tensor(a) for n, a in point.items()}).item() - given.logpdf(point["directions"])
    assert found == pytest.approx(stats.multivariate_normal(m, np.diag(s**2) + f @ f.T).logpdf(w), rel=1e-9)


def test_an_informed_prior_of_draws_has_their_covariance():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(9, 2)) @ rng.normal(size=(2, 6)) + 0.01 * rng.normal(size=(9, 6))
    draws = {"weight": flat[:, :4].reshape(9, 2, 2), "bias": torch.as_tensor(flat[:, 4:])}
    exact = np.cov(flat.T)
    for rank, inflate in ((6, 1.0), (2, 3.0)):
        prior = Informed.from_draws(draws, rank, inflate=inflate, least=1e-6)
        f = np.concatenate([prior.factor[name].reshape(-1, rank) for name in draws])
        s = np.concatenate([prior.scale[name].ravel() for name in draws])
        found = (np.diag(s**2) + f @ f.T) / inflate**2
        np.testing.assert_allclose(np.diag(found), np.diag(exact), rtol=1e-6)
        np.testing.assert_allclose(found, exact, atol=1e-9 if rank == 6 else 1e-3)
        np.testing.assert_allclose(prior.mean["weight"], flat[:, :4].mean(axis=0).reshape(2, 2))
    narrow = Informed.from_draws({"bias": np.ones((5, 2)) + 1e-9 * rng.normal(size=(5, 2))}, 1, least=0.02)
    np.testing.assert_allclose(narrow.scale["bias"], 0.02)


# What the engine makes of learned scales.


HIERARCHICAL = {name: prior for name, (prior, _) in CASES.items() if name.startswith(("learned", "relevance", "unit-"))}


@pytest.mark.parametrize("prior", HIERARCHICAL.values(), ids=HIERARCHICAL)
def test_the_engine_knows_the_expected_prior_of_weights_with_a_learned_scale(prior, net):
    density = torch_log_density(pymc_model(prior, net)[0])
    suffix = "" if getattr(prior, "centred", True) else ".raw"
    assert set(density.gaussian) == {name + suffix for name in SHAPES}
    torch.manual_seed(2)
    values = {name: 0.3 * torch.randn(start.shape) for name, start in density.start.items()}
    means = {name: values[name] for name in density.gaussian}
    deviations = {name: 0.1 + torch.rand(values[name].shape) for name in means}
    draws = {name: means[name] + deviations[name] * torch.randn(20_000, *means[name].shape) for name in means}
    priors = torch.vmap(lambda weights: density.prior(values | weights))(draws)
    expected = density.expected_prior(values, means, {name: d**2 for name, d in deviations.items()})
    assert expected.item() == pytest.approx(priors.mean().item(), abs=4 * priors.std().item() / 20_000**0.5)


@pytest.mark.parametrize("prior", HIERARCHICAL.values(), ids=HIERARCHICAL)
def test_a_classifier_with_learned_scales_can_be_fitted(prior, net):
    rng = np.random.default_rng(0)
    model = torch_classifier(Observations(rng.normal(size=(40, 3)), np.arange(40) % 2), net, prior)
    posterior = fit(model, 30, batch_size=20, compile=False, progressbar=False, elbo_draws=5, device="cpu")
    assert np.isfinite(posterior.record.elbo).all()


def test_relevance_determination_finds_the_input_that_matters():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    model = torch_classifier(Observations(x, x[:, 1] > 0), torch.nn.Linear(3, 1), RelevanceDetermination())
    posterior = fit(model, 1500, compile=False, progressbar=False, elbo_draws=5, device="cpu")
    first, second, third = posterior.draw(500, seed=0)["weight_scale"].mean(axis=0)
    assert second > 2 * max(first, third)


# What a module's parameters are.


def test_fan_in_counts_the_inputs_of_a_unit_and_a_bias_follows_its_weight():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 2))
    net[2].register_parameter("temperature", torch.nn.Parameter(torch.tensor(1.0)))
    found = {p.name: (p.layer, p.shape, p.fan_in) for p in parameters(net)}
    assert found == {
        "0.weight": ("0", (8, 3, 5, 5), 75),
        "0.bias": ("0", (8,), 75),
        "1.weight": ("1", (8,), 1),
        "1.bias": ("1", (8,), 1),
        "2.weight": ("2", (2, 8), 8),
        "2.bias": ("2", (2,), 8),
        "2.temperature": ("2", (), 1),
    }


def test_frozen_parameters_are_left_out_and_shared_ones_listed_once():
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    net[1].weight = net[0].weight
    net[2].weight.requires_grad_(False)
    found = {p.name: p.fan_in for p in parameters(net)}
    assert found == {"0.weight": 3, "0.bias": 3, "1.bias": 3, "2.bias": 3}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_starts_are_copies_in_double_precision_and_a_module_of_shapes_has_none(dtype):
    layer = torch.nn.Linear(3, 2, dtype=dtype)
    before = layer.weight.detach().clone()
    weight, bias = parameters(layer)
    with torch.no_grad():
        layer.weight.zero_()
    np.testing.assert_array_equal(weight.start, before.double())
    assert weight.start.dtype == np.float64
    assert (weight.layer, bias.layer) == ("", "")
    assert parameters(torch.nn.Linear(3, 2, device="meta"))[0].start is None


@pytest.mark.parametrize(
    ("prior", "names"),
    [
        (LearnedScale(), {"scale", "weight", "bias"}),
        (LearnedScale(each="parameter"), {"weight_scale", "weight", "bias_scale", "bias"}),
        (LearnedScale(centred=False, each="parameter"), {"weight_scale", "weight.raw", "bias_scale", "bias.raw"}),
    ],
)
def test_a_single_layer_names_its_scales_without_a_leading_dot(prior, names):
    model, _ = pymc_model(prior, torch.nn.Linear(3, 2))
    assert {rv.name for rv in model.free_RVs} == names


# What is refused.


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (partial(Gaussian, -1.0), r"scale=-1.0"),
        (partial(Gaussian, "wide"), r"scale='wide'"),
        (partial(Gaussian, True), r"scale=True"),
        (partial(FanIn, 0), r"scale=0"),
        (partial(Laplace, -0.1), r"scale=-0.1 in Laplace"),
        (partial(LearnedScale, np.inf), r"scale=inf"),
        (partial(LearnedScale, centred="no"), r"centred='no'"),
        (partial(LearnedScale, each="weight"), r"each='weight'.*'layer' or 'parameter'"),
        (partial(LearnedScale, each=None), r"each=None"),
        (partial(RelevanceDetermination, 0.0), r"scale=0.0 in RelevanceDetermination"),
        (partial(UnitScale, scale=-1), r"scale=-1 in UnitScale"),
        (partial(UnitScale, of="rows"), r"of='rows'; expected one of \['incoming', 'outgoing', 'both'\]"),
        (partial(GroupHorseshoe, slab_scale=0), r"slab_scale=0 in GroupHorseshoe"),
        (partial(ScaleMixture, weight=1.0), r"weight=1.0"),
        (partial(ScaleMixture, narrow=0.0), r"narrow=0.0"),
        (partial(ScaleMixture, wide=0.1, narrow=0.2), r"narrow=0.2 .* wide=0.1"),
        (partial(SpikeAndSlab, inclusion=0.0), r"inclusion=0.0"),
        (partial(SpikeAndSlab, temperature=np.nan), r"temperature=nan"),
        (partial(RegularisedHorseshoe, global_scale=-0.1), r"global_scale=-0.1"),
        (partial(RegularisedHorseshoe, slab_df=0), r"slab_df=0"),
        (partial(Informed, MEANS, -0.2), r"scale=-0.2"),
        (partial(Informed, MEANS, {"0.weight": np.zeros((4, 3))}), r"scale\['0.weight'\]"),
        (partial(Informed, {"0.weight": [np.nan]}), r"mean\['0.weight'\] holds NaN"),
        (partial(Informed, {"0.weight": "trained"}), r"mean\['0.weight'\]"),
        (partial(Informed, np.zeros(3)), r"mean is a ndarray"),
        (partial(Informed, MEANS, 0.2, np.zeros(3)), r"factor is a ndarray.*from_draws"),
        (partial(Informed, MEANS, 0.2, FACTOR | {"2.bias": np.zeros((2, 3))}), r"last dimensions.*the rank"),
        (partial(Informed, {"0.weight": [1j]}), r"mean\['0.weight'\] in Informed has the dtype complex128"),
        (partial(Informed, {"0.weight": [[1.0], [1.0, 2.0]]}), r"mean\['0.weight'\] in Informed can't become an array"),
        (
            partial(Informed.from_draws, np.zeros((10, 3))),
            r"draws is a ndarray; expected a mapping of param",
        ),
        (partial(Informed.from_draws, {}), r"draws are of no parameter in Informed.from_draws"),
        (partial(Informed.from_draws, {"weight": np.zeros((10, 3))}, 10), r"rank=10; expected.*more than 10"),
        (partial(Informed.from_draws, {"a": np.zeros((9, 3)), "b": np.zeros(8)}, 2), r"the same number of draws"),
        (partial(Informed.from_draws, {"a": np.zeros((9, 3))}, 0), r"rank=0; expected a whole number"),
    ],
)
def test_bad_settings_are_refused_by_name(make, setting):
    with pytest.raises(ModelError, match=setting):
        make()


@pytest.mark.parametrize("library", ["pymc", "pyro"])
@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (Informed({k: v for k, v in MEANS.items() if k != "2.bias"}), r"mean has no entry '2.bias'"),
        (Informed(MEANS | {"0.weight": np.zeros((3, 4))}), r"mean\['0.weight'\] has shape \(3, 4\).*\(4, 3\)"),
        (Informed(MEANS, {"0.weight": 1.0}), r"scale has no entry '0.bias'"),
        (Informed(MEANS, SCALES | {"2.bias": np.ones(3)}), r"scale\['2.bias'\] has shape \(3,\).*\(2,\)"),
        (Informed(torch.nn.Linear(3, 4)), r"no entry '0.weight'"),
        (
            Informed(MEANS, 0.2, FACTOR | {"0.bias": np.ones((3, 2))}),
            r"factor\['0.bias'\] has shape \(3, 2\).*\(4, 2\)",
        ),
        (Informed(MEANS, 0.2, {"0.weight": np.ones((4, 3, 2))}), r"factor has no entry '0.bias'"),
    ],
)
def test_a_network_that_an_informed_prior_does_not_fit_is_refused_by_parameter(prior, message, library, net):
    with pm.Model(), pytest.raises(ModelError, match=message):
        getattr(prior, library)(parameters(net))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (torch.zeros(3), r"module is a Tensor; expected a torch.nn.Module"),
        (torch.nn.Tanh(), r"Tanh has no parameter"),
        (torch.nn.Linear(3, 2).requires_grad_(False), r"requires_grad_\(True\)"),
        (torch.nn.LazyLinear(2), r"'weight' has no shape yet"),
    ],
)
def test_what_has_no_parameters_is_refused_with_the_way_out(module, message):
    with pytest.raises(ModelError, match=message):
        parameters(module)


@pytest.mark.parametrize("library", ["pymc", "pyro"])
@pytest.mark.parametrize("prior", PRIORS)
def test_a_prior_asks_for_parameters_and_says_where_they_come_from(prior, library, net):
    for wrong in (net, [], ["0.weight"]):
        with pm.Model(), pytest.raises(ModelError, match=r"companion.priors.parameters\(module\)"):
            getattr(prior, library)(wrong)


@pytest.mark.parametrize("library", ["pymc", "pyro"])
def test_relevance_determination_refuses_a_network_that_reads_no_inputs(library):
    with pm.Model(), pytest.raises(ModelError, match=r"two dimensions.*\['weight', 'bias'\].*torch.nn.Linear"):
        getattr(RelevanceDetermination(), library)(parameters(torch.nn.LayerNorm(3)))


@pytest.mark.parametrize("library", ["pymc", "pyro"])
def test_a_parameter_with_the_name_of_the_layers_scale_is_refused(library):
    layer = torch.nn.Linear(3, 2)
    layer.register_parameter("scale", torch.nn.Parameter(torch.tensor(1.0)))
    with pm.Model(), pytest.raises(ModelError, match="'scale'"):
        getattr(LearnedScale(), library)(parameters(layer))


@pytest.mark.parametrize("library", ["pymc", "pyro"])
@pytest.mark.parametrize("prior", [LearnedScale(each="parameter"), RelevanceDetermination(), UnitScale()])
def test_a_parameter_with_the_name_of_anothers_scale_is_refused(prior, library):
    layer = torch.nn.Linear(3, 2)
    name = "weight_in_scale" if isinstance(prior, UnitScale) else "weight_scale"
    layer.register_parameter(name, torch.nn.Parameter(torch.ones(2, 2)))
    with pm.Model(), pytest.raises(ModelError, match=f"'{name}'"):
        getattr(prior, library)(parameters(layer))


@pytest.mark.parametrize("prior", [TrainedLocation(), TrainedScaleMixture()], ids=lambda prior: type(prior).__name__)
def test_a_trained_prior_is_a_prior_that_pymc_is_refused(prior, net):
    assert isinstance(prior, Prior)
    with pm.Model(), pytest.raises(ModelError, match=rf"{type(prior).__name__} is trained.*LearnedScale.*to_bayesian"):
        bayesian(net, prior, np.zeros((2, 3)))


@pytest.mark.parametrize("prior", PRIORS)
def test_a_bayesian_module_holds_the_prior_it_was_given(prior, net):
    assert to_bayesian(net, prior).prior is prior


def test_two_bayesian_modules_train_settings_of_their_own(net):
    prior = TrainedLocation()
    first, second = to_bayesian(net, prior), to_bayesian(net, prior)
    assert [tuple(m.shape) for m in first.prior.locations] == list(SHAPES.values())
    assert set(first.prior.parameters()).isdisjoint(second.prior.parameters())
    assert not list(prior.parameters())
