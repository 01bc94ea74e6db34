"""Bayes by Backprop in Pyro: against closed forms, against the engine, and as a user meets it."""

import copy
import signal
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from scipy import stats

from companion import datasets, inference, priors
from companion.bayes_by_backprop import (
    Classifier,
    MeanFieldGuide,
    Regression,
    estimate_elbo,
    fit,
    free_energy,
    gradient_noise,
    layer_noise,
    to_bayesian,
    weights_of_layers,
)
from companion.errors import DataError, InferenceError, ModelError
from companion.inference import Machine, Start
from companion.models import torch_classifier
from companion.networks import dense
from companion.posterior import Measuring, Posterior
from companion.prediction import predict
from companion.priors import TrainedLocation, TrainedScaleMixture
from companion.uncertainty import conformal_band, predictive_distribution

CURVE = datasets.sinusoid(20, noise=0.5)
X, Y = torch.tensor(CURVE.x), torch.tensor(CURVE.y)
QUICK = {"progressbar": False, "elbo_draws": 2}


def regression(prior=None, noise=0.5, hidden=4):
    return Regression(to_bayesian(dense(1, hidden, 1), prior or priors.Gaussian(1.0)), noise=noise)


def quick(model=None, steps=20, data=CURVE, **settings):
    return fit(model or regression(), data, steps, **QUICK | settings)


# --- from a torch module to a Bayesian one ----------------------------------------------------------------------------


def test_every_parameter_is_drawn_from_the_prior_under_its_own_name():
    module = dense(1, 4, 1)
    before = {name: p.clone() for name, p in module.named_parameters()}
    network = to_bayesian(module, priors.Gaussian(3.0))
    trace = poutine.trace(network).get_trace(X)
    sites = {n: s for n, s in trace.nodes.items() if s["type"] == "sample"}
    assert list(sites) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert sites["0.weight"]["fn"].base_dist.scale.unique().tolist() == [3.0]
    drawn = {n: s["value"] for n, s in sites.items()}
    expected = torch.func.functional_call(module, drawn, (X,))
    torch.testing.assert_close(trace.nodes["_RETURN"]["value"], expected)
    assert all(torch.equal(before[name], p) and p.requires_grad for name, p in module.named_parameters())
    assert not any(p.requires_grad for p in network.parameters())


def test_part_of_a_network_can_stay_deterministic():
    network = to_bayesian(dense(1, 4, 4, 1), priors.Gaussian(1.0), layers=["4"])
    assert [p.name for p in network.weights] == ["4.weight", "4.bias"]
    trained = [n for n, p in network.module.named_parameters() if p.requires_grad]
    assert trained == ["0.weight", "0.bias", "2.weight", "2.bias"]
    posterior = quick(Regression(network, noise=0.5), 30, learning_rate=0.05)
    assert posterior.guide.names == ("4.weight", "4.bias")
    moved = posterior.model.network.module[0].weight - network.module[0].weight
    assert moved.abs().min() > 0
    assert np.std(posterior.predict(CURVE.x, posterior.draw(5, seed=0)), axis=0).min() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: to_bayesian(dense(1, 1), 1.0), "prior is a float; expected one of companion.priors"),
        (lambda: to_bayesian("net", priors.Gaussian(1.0)), "str is not a torch.nn.Module"),
        (lambda: to_bayesian(torch.nn.Dropout(), priors.Gaussian()), "Dropout"),
        (
            lambda: to_bayesian(dense(1, 2, 1), priors.Gaussian(), layers=["1"]),
            r"\['1'\]; expected some of \['0', '2'\]",
        ),
        (lambda: to_bayesian(dense(1, 2, 1), priors.Gaussian(), layers=[]), r"layers=\[\]"),
        (lambda: to_bayesian(dense(1, 2, 1), priors.Gaussian(), layers="0"), r"a list of names, such as \['0'\]"),
        (lambda: Regression(dense(1, 1), noise=0), "noise=0 in Regression; expected a positive"),
        (lambda: Regression(dense(1, 1), noise="none"), "'learned' or 'input'"),
        (lambda: Regression(dense(1, 1), noise_scale=-1), "noise_scale=-1 in Regression; expected a positive"),
        (lambda: Regression(dense(1, 2), noise=1.0)(X), r"shape \(20, 2\); expected \(rows, 1\)"),
        (lambda: Classifier(torch.nn.Flatten(0))(X), r"expected logits \(rows, classes\)"),
        (lambda: TrainedLocation(0), "scale=0 in TrainedLocation"),
        (lambda: TrainedScaleMixture(narrow=2.0), "narrow=2.0 in ScaleMixture is above wide=1.0"),
    ],
)  # fmt: skip
def test_what_is_not_a_model_is_refused(call, message):
    with pytest.raises(ModelError, match=message):
        call()


# --- the guide --------------------------------------------------------------------------------------------------------


def test_the_guide_starts_at_the_modules_weights():
    module = dense(1, 4, 1, seed=3)
    model = Regression(to_bayesian(module, priors.LearnedScale(1.0)), noise="learned")
    guide = MeanFieldGuide(model, X, Y, start_scale=0.02)
    assert guide.names == ("0.scale", "0.weight", "0.bias", "2.scale", "2.weight", "2.bias", "noise")
    at = {name: (mean, scale) for name, _, mean, scale in guide.sites()}
    torch.testing.assert_close(at["0.weight"][0], module[0].weight)
    assert all(torch.allclose(scale, torch.tensor(0.02)) for _, scale in at.values())
    assert float(at["noise"][0].detach().exp()) == pytest.approx(stats.halfnorm.median(), rel=0.5)
    sites = poutine.trace(guide).get_trace(X, Y).nodes
    assert sites["noise"]["value"] > 0
    assert sites["2.weight"]["fn"].base_dist.loc is guide.means[4]


def test_a_copied_guide_still_samples_plain_normals():
    guide = copy.deepcopy(MeanFieldGuide(regression(), X, Y))
    sites = poutine.trace(guide).get_trace(X, Y).nodes
    assert isinstance(sites["0.weight"]["fn"].base_dist, dist.Normal)  # so that its divergence has a closed form


def test_the_guides_density_of_a_positive_site_is_log_normal():
    guide = MeanFieldGuide(regression(noise="learned"), X, Y, start_scale=0.3)
    site = poutine.trace(guide).get_trace().nodes["noise"]
    expected = stats.lognorm(0.3, scale=float(guide.means[-1].exp())).logpdf(float(site["value"]))
    assert float(site["fn"].log_prob(site["value"])) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("draws", "message"),
    [
        (lambda: None, "the model draws no value"),
        (lambda: pyro.sample("which", dist.Categorical(torch.ones(3))), "'which' has the support"),
        (lambda: pyro.sample("share", dist.Dirichlet(torch.ones(3))), "'share' has the support"),
    ],
)
def test_values_that_a_mean_field_guide_cannot_have_are_refused(draws, message):
    def model(x, y=None):
        draws()
        return dist.Normal(x[:, 0], 1.0)

    with pytest.raises(ModelError, match=message):
        MeanFieldGuide(model, X, Y)


@pytest.mark.parametrize("part", ["divergence", "bound"])
def test_the_closed_form_is_the_mean_of_the_sampled_one(part):
    model = regression(priors.LearnedScale(1.0), noise="learned")
    guide = MeanFieldGuide(model, X, Y, start_scale=0.3 if part == "divergence" else 0.02)
    given = poutine.block(model, hide=["y"]) if part == "divergence" else model
    torch.manual_seed(0)
    closed, sampled = (
        np.array([elbo.loss(given, guide, X, Y) for _ in range(800)]) for elbo in (TraceMeanField_ELBO(), Trace_ELBO())
    )
    error = np.hypot(stats.sem(closed), stats.sem(sampled))
    assert abs(closed.mean() - sampled.mean()) < 4 * error
    assert error < 0.03 * abs(closed.mean())
    if part == "divergence":
        assert closed.var() < 0.9 * sampled.var()


# --- estimators -------------------------------------------------------------------------------------------------------


def gradients(estimator, repeats=400):
    """Gradients of the bound in the first layer's means and scales, (repeats, numbers)."""
    model = regression(hidden=8)
    guide = MeanFieldGuide(model, X, Y, start_scale=0.3)
    bound = TraceMeanField_ELBO()(model, guide)
    names = weights_of_layers(estimator, model, guide, X, Y)
    torch.manual_seed(1)
    found = []
    for _ in range(repeats):
        with layer_noise(estimator, names):
            loss = bound(X, Y)
        found.append(torch.cat([g.ravel() for g in torch.autograd.grad(loss, [guide.means[0], guide.rhos[0]])]))
    return torch.stack(found).numpy()


def test_estimators_agree_in_mean_and_differ_in_variance():
    found = {name: gradients(name) for name in ("reparameterisation", "local", "flipout")}
    plain = found["reparameterisation"]
    for name in ("local", "flipout"):
        error = np.hypot(stats.sem(plain), stats.sem(found[name]))
        assert (abs(plain.mean(axis=0) - found[name].mean(axis=0)) < 4.5 * error).all(), name
        assert found[name].var(axis=0).sum() < 0.7 * plain.var(axis=0).sum(), name


def test_the_noise_of_a_gradient_is_that_of_its_estimates():
    posterior = quick(regression(hidden=8), 5)
    plain, flipout = (gradient_noise(posterior, CURVE, name, repeats=300) for name in ("reparameterisation", "flipout"))
    assert list(plain.means) == list(posterior.guide.names)
    assert plain.means["0.weight"].mean.shape == plain.scales["0.weight"].scale.shape == (8, 1)
    assert 0.5 < flipout.disagreement(plain) < 2
    assert flipout.disagreement(flipout) == 0
    assert flipout.variance() < plain.variance()
    assert plain.seconds > 0
    again = gradient_noise(posterior, CURVE, "reparameterisation", repeats=300)
    np.testing.assert_array_equal(again.means["0.weight"].mean, plain.means["0.weight"].mean)


def test_another_gradient_is_told_apart():
    one, other = (
        gradient_noise(quick(regression(hidden=8), 5), data, "local", repeats=100)
        for data in (CURVE, datasets.sinusoid(20, noise=0.5, seed=1))
    )
    assert one.disagreement(other) > 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"repeats": 1}, "repeats=1"),
        ({"estimator": "magic"}, "estimator='magic'"),
        ({"seed": -1}, "seed=-1"),
        ({"estimator": "sticking-the-landing"}, "is the engine's"),
    ],
)
def test_gradients_that_cannot_be_compared_are_refused(settings, message):
    given = {"estimator": "local"} | settings
    with pytest.raises(ModelError, match=message):
        gradient_noise(quick(steps=2), CURVE, **given)
    with pytest.raises(DataError, match="expected numbers x"):
        gradient_noise(quick(steps=2), None, "local")


def test_an_estimator_needs_layers_to_act_on():
    def model(x, y=None):
        slope = pyro.sample("slope", dist.Normal(0.0, 1.0))
        curve = dist.Normal(slope * x[:, 0], 1.0)
        if y is not None:
            pyro.sample("y", curve, obs=y)
        return curve

    with pytest.raises(ModelError, match="found none whose weights"):
        quick(model, estimator="local")
    assert quick(model).guide.names == ("slope",)
    with (
        pytest.raises(ModelError, match="sticking-the-landing' is the engine's"),
        layer_noise("sticking-the-landing", frozenset()),
    ):
        pass
    with pytest.raises(ModelError, match="expected one of"), layer_noise("magic", frozenset()):
        pass


# --- fits against what is known ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", [priors.Gaussian(1.0), priors.LearnedScale(1.0), priors.ScaleMixture()], ids=repr)
@pytest.mark.parametrize("rows", [1.0, 3.0])
def test_the_free_energy_is_what_pyro_computes(prior, rows):
    model = regression(prior, noise="learned")
    guide = MeanFieldGuide(model, X, Y)
    found = []
    for loss in (free_energy, TraceMeanField_ELBO().differentiable_loss):
        torch.manual_seed(3)
        guide.zero_grad()
        with poutine.scale(scale=rows):
            value = loss(model, guide, X, Y)
        value.backward()
        found.append([float(value.detach()), *(p.grad.norm().item() for p in guide.parameters())])
    np.testing.assert_allclose(*found, rtol=1e-4)


@pytest.mark.parametrize("estimator", ["reparameterisation", "local", "flipout"])
def test_a_linear_model_is_fitted_to_its_exact_posterior(estimator):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    data = datasets.Measurements(x, x @ (1.5, -0.7) + 0.3 + 0.5 * rng.normal(size=40))
    design = np.column_stack([data.x, np.ones(40)]).astype(float)
    precision = design.T @ design / 0.25 + np.eye(3)
    exact = np.linalg.solve(precision, design.T @ data.y / 0.25)
    model = Regression(to_bayesian(torch.nn.Linear(2, 1), priors.Gaussian(1.0)), noise=0.5)
    found = fit(
        model, data, 1500, learning_rate=0.05, schedule="cosine", estimator=estimator, elbo_draws=200, progressbar=False
    )
    moments = found.moments()
    means = np.append(moments["weight"].mean.ravel(), moments["bias"].mean)
    scales = np.append(moments["weight"].scale.ravel(), moments["bias"].scale)
    np.testing.assert_allclose(means, exact, atol=0.03)
    np.testing.assert_allclose(scales, np.diag(precision) ** -0.5, rtol=0.12)
    evidence = stats.multivariate_normal(np.zeros(40), design @ design.T + 0.25 * np.eye(40)).logpdf(data.y)
    gap = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])  # what a mean field must lose
    assert found.record.elbo == pytest.approx(evidence - gap, abs=4 * found.record.elbo_se + 0.1)


def test_the_engine_finds_the_same_bound():
    train = datasets.moons(200).train
    prior, module = priors.Gaussian(1.0), dense(2, 5, 1, activation=torch.nn.Tanh)
    ours = fit(
        Classifier(to_bayesian(module, prior)),
        train,
        3000,
        learning_rate=0.02,
        schedule="cosine",
        elbo_draws=200,
        progressbar=False,
    )
    engine = inference.fit(
        torch_classifier(train, module, prior),
        3000,
        learning_rate=0.02,
        elbo_draws=200,
        progressbar=False,
    )
    assert ours.record.elbo == pytest.approx(engine.record.elbo, abs=1.5)
    p = predict(ours, train.x, draws=50)
    assert p.shape == (50, 100, 2)
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-5)
    assert abs(p.mean(axis=0) - predict(engine, train.x, draws=50).mean(axis=0)).mean() < 0.05


def test_mini_batches_stand_for_all_rows_and_records_are_at_full_weight():
    model = regression()
    bound = {}
    for name, settings in {"all": {}, "batch": {"batch_size": 5}, "cold": {"temperature": 0.01}}.items():
        found = quick(model, 300, learning_rate=1e-9, **settings)  # the first state again and again
        bound[name] = found.record.history.mean(), stats.sem(found.record.history), found.record.elbo
    assert abs(bound["all"][0] - bound["batch"][0]) < 4 * np.hypot(bound["all"][1], bound["batch"][1])
    assert bound["cold"] == bound["all"]  # whatever was minimised, history and ELBO are at full weight


@pytest.mark.parametrize(
    "prior",
    [
        priors.FanIn(1.0),
        priors.LearnedScale(1.0, centred=False),
        priors.ScaleMixture(),
        priors.SpikeAndSlab(),
        priors.RegularisedHorseshoe(),
        priors.RelevanceDetermination(),
        TrainedLocation(),
        TrainedScaleMixture(),
    ],
    ids=lambda prior: type(prior).__name__,
)
def test_every_prior_can_be_fitted_and_predicted_with(prior):
    posterior = quick(regression(prior), 150, learning_rate=0.02)
    assert posterior.record.history[-30:].mean() < posterior.record.history[:30].mean()
    draws = posterior.draw(20, seed=1)
    means = posterior.predict(CURVE.x, draws)
    assert means.shape == (20, 20)
    assert np.isfinite(means).all()
    one = posterior.predict(CURVE.x, {name: a[3:4] for name, a in draws.items()})
    np.testing.assert_allclose(one[0], means[3], rtol=1e-3, atol=1e-4)  # vectorised or one by one


def test_a_trained_location_follows_the_posterior_and_charges_nothing_for_it():
    posterior = quick(regression(TrainedLocation()), 2000, learning_rate=0.03, schedule="cosine")
    prior = posterior.model.network.prior
    for location, found in zip(prior.locations, posterior.moments().values(), strict=True):
        np.testing.assert_allclose(location.detach(), found.mean, atol=0.1)


def test_the_mixtures_numbers_are_trained_and_stay_valid():
    model = regression(TrainedScaleMixture(0.2, 1.0, 0.1))
    start = model.network.prior
    assert float(start.weight) == pytest.approx(0.2)
    np.testing.assert_allclose(start.scales.detach(), [1.0, 0.1], rtol=1e-5)
    prior = quick(model, 300, learning_rate=0.03).model.network.prior
    assert (prior.scales > 0).all()
    assert 0 < prior.weight < 1
    assert abs(prior.scales.detach() - start.scales.detach()).max() > 0.05
    assert float(start.weight) == pytest.approx(0.2)  # the reader's own model is not changed


@pytest.mark.parametrize("estimator", ["reparameterisation", "local", "flipout"])
def test_in_bfloat16_the_steps_go_where_those_in_float32_go(estimator):
    """Autocast remembers casts of parameters until it ends; inside one such memory the means would stand still."""
    rows = datasets.Observations(*(a[:200] for a in (datasets.digits().train.x, datasets.digits().train.y)))
    model = Classifier(to_bayesian(torch.nn.Sequential(torch.nn.Flatten(), dense(784, 10, 10)), priors.Gaussian(0.1)))
    plain, short = (
        quick(model, 60, rows, estimator=estimator, learning_rate=0.02, machine=Machine(precision=p)).record.history
        for p in ("float32", "bfloat16")
    )
    assert plain[-1] < plain[0] - 100
    np.testing.assert_allclose(short[-5:].mean() - short[0], plain[-5:].mean() - plain[0], rtol=0.1)


# --- the posterior ----------------------------------------------------------------------------------------------------


def test_a_posterior_keeps_the_protocol():
    posterior = quick(regression(noise="learned"))
    assert isinstance(posterior, Posterior)
    draws = posterior.draw(4, seed=2)
    assert {name: a.shape for name, a in draws.items()} == {
        "0.weight": (4, 4, 1), "0.bias": (4, 4), "2.weight": (4, 1, 4), "2.bias": (4, 1), "noise": (4,),
    }  # fmt: skip
    assert (draws["noise"] > 0).all()
    np.testing.assert_array_equal(posterior.draw(4, seed=2, names=["noise"])["noise"], draws["noise"])
    assert (posterior.draw(4, seed=3)["0.bias"] != draws["0.bias"]).all()
    np.testing.assert_allclose(predict(posterior, CURVE.x, 4, seed=2), posterior.predict(CURVE.x, draws), rtol=1e-5)
    scale = posterior.predict_scale(CURVE.x, draws)
    np.testing.assert_allclose(scale, np.broadcast_to(draws["noise"][:, None], (4, 20)), rtol=1e-6)
    group = posterior.to_arviz(n=5)["posterior"]
    assert group["0.weight"].shape == (1, 5, 4, 1)
    assert posterior.means()["0.weight"].shape == (1, 4, 1)


def test_predicting_at_read_only_inputs_warns_of_nothing(recwarn):
    posterior, x = quick(steps=2), CURVE.x.copy()
    x.flags.writeable = False
    torch.set_warn_always(True)  # torch says it once in a process, and another test may have heard it
    try:
        posterior.predict(x, posterior.draw(2, seed=0))
    finally:
        torch.set_warn_always(False)
    assert not [str(w.message) for w in recwarn if "writable" in str(w.message)]


def test_noise_can_depend_on_the_input():
    data = datasets.sinusoid(200, noise=lambda x: 0.1 + 4 * (x > 0))
    network = to_bayesian(dense(1, 20, 2), priors.Gaussian(2.0))
    posterior = quick(Regression(network, noise="input"), 1500, data=data, learning_rate=0.02, temperature=0.1)
    left, right = posterior.predict_scale(np.array([[-0.25], [0.25]]), posterior.draw(50, 0)).mean(axis=0)
    assert right > 1.5 * left


def test_a_callback_sees_the_fit_on_its_way():
    kept = {}

    def look(step, state):
        if step in (10, 40):
            kept[step] = state.posterior().best(), state

    posterior = quick(steps=40, callback=look, learning_rate=0.05)
    (early, state), (late, _) = kept[10], kept[40]
    assert len(early.record.history) == state.step == 10
    assert state.losses == early.record.history[-1:]
    bounds = [estimate_elbo(p, CURVE, draws=50) for p in (early, late, posterior)]
    assert bounds[0][0] < bounds[1][0] == bounds[2][0]
    assert np.isnan(early.record.elbo)
    assert posterior.record.elbo == estimate_elbo(posterior, CURVE, draws=2)[0]
    with pytest.raises(ModelError, match="draws=1"):
        estimate_elbo(posterior, CURVE, draws=1)
    np.testing.assert_array_equal(late.means()["0.weight"], posterior.means()["0.weight"])
    assert (early.means()["0.weight"] != late.means()["0.weight"]).any()


def test_the_same_seed_gives_the_same_fit():
    first, again, other = (quick(seed=s, batch_size=7).means()["0.weight"] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_global_random_numbers_stay_as_they_were():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    quick()
    assert torch.rand(1) == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.draw(0, seed=0), "n=0; expected a whole number, 1 or more"),
        (lambda p: p.draw(1, seed=0, names=["x"]), r"names=\['x'\]; expected names of sites"),
        (
            lambda p: p.predict(np.zeros((3, 2)), p.draw(1, 0)),
            r"x has shape \(3, 2\).*expected numbers \('points', 1\)",
        ),
        (lambda p: p.predict(np.zeros((0, 1)), p.draw(1, 0)), r"x has shape \(0, 1\)"),
        (lambda p: p.predict(CURVE.x, {}), r"no draws of '0.weight'"),
        (
            lambda p: p.predict(CURVE.x, p.draw(2, 0) | {"0.bias": np.zeros((3, 4))}),
            r"differ in their number of draws: .*'0.bias': 3",
        ),
    ],
)
def test_predictions_that_cannot_be_made_are_refused(call, message):
    with pytest.raises(ModelError, match=message):
        call(quick(steps=1))


def test_a_classifier_has_no_scale_to_predict_and_a_model_returns_a_distribution():
    train = datasets.moons(20).train
    posterior = fit(Classifier(to_bayesian(dense(2, 2), priors.Gaussian(1.0))), train, 2, **QUICK)
    with pytest.raises(ModelError, match="Categorical has no scale"):
        posterior.predict_scale(train.x, posterior.draw(1, 0))

    def model(x, y=None):
        slope = pyro.sample("slope", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(slope * x[:, 0], 1.0), obs=y)
        return slope

    with pytest.raises(ModelError, match="returned a Tensor; expected the distribution"):
        quick(model).predict(CURVE.x, {"slope": np.zeros(2)})


# --- what can go wrong in a fit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps=0"),
        ({"learning_rate": 0}, "learning_rate=0; expected a positive"),
        ({"learning_rate": (1, 2)}, r"learning_rate=\(1, 2\)"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"start": "nowhere"}, "start='nowhere'; expected one of .'model', 'prior'."),
        ({"start": Start(map_steps=3)}, r"start=Start\(map_steps=3\); a Pyro model starts without a walk"),
        ({"start": {"0.weight": np.zeros((4, 1))}}, "start has no value of '0.bias'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"estimator": "best"}, "estimator='best'"),
        ({"schedule": "steep"}, "schedule='steep'"),
        ({"machine": Machine(precision="float64")}, r"precision='float64'\); expected 'float32' or 'bfloat16'"),
        ({"machine": "tpu9"}, "device='tpu9'"),
        ({"restarts": 0}, "restarts=0"),
        ({"elbo_draws": 1}, "elbo_draws=1"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ModelError, match=message):
        quick(**settings)


@pytest.mark.parametrize(
    "data", [None, np.zeros(3), datasets.Observations, datasets.moons], ids=["None", "array", "a class", "a function"]
)
def test_what_are_not_rows_is_refused(data):
    with pytest.raises(DataError, match="expected numbers x"):
        quick(data=data)


def test_a_fit_that_diverges_keeps_its_last_good_state():
    with pytest.raises(InferenceError, match="Lower learning_rate") as caught:
        quick(steps=300, learning_rate=1e25)
    assert np.isfinite(caught.value.posterior.means()["0.weight"]).all()
    assert "start=Start(scale=...)" in str(caught.value)
    assert "precision=" not in str(caught.value)  # float64 would be refused


@pytest.mark.parametrize("at", [5, 120])
def test_a_model_that_fails_in_the_middle_loses_nothing(at):
    inner, calls = regression(), iter(range(1000))

    def model(x, y=None):
        if y is not None and next(calls) == at + 6:  # it was run six times before the first step
            raise RuntimeError("out of memory\nand more")
        return inner(x, y)

    with pytest.raises(InferenceError, match=f"step {at + 1} failed: RuntimeError: out of memory. The post") as caught:
        quick(model, 200)
    posterior = caught.value.posterior
    assert len(posterior.record.history) == at // 100 * 100
    assert posterior.record.stopped.startswith(f"step {at + 1} failed")
    assert np.isfinite(posterior.means()["0.weight"]).all()


def ctrl_c_after(steps):
    return lambda step, _: signal.raise_signal(signal.SIGINT) if step == steps else None


def test_ctrl_c_after_the_steps_costs_the_bound_alone():
    inner, calls = regression(), iter(range(1000))

    def model(x, y=None):
        if y is not None and next(calls) == 6 + 20 + 1:
            raise KeyboardInterrupt
        return inner(x, y)

    posterior = quick(model)
    assert posterior.record.stopped == "interrupted before its ELBO was estimated"
    assert np.isnan(posterior.record.elbo)
    assert len(posterior.record.history) == 20


def test_ctrl_c_in_a_fit_that_has_diverged_is_not_a_success():
    with pytest.raises(InferenceError, match="became NaN or"):
        quick(steps=90, learning_rate=1e25, callback=ctrl_c_after(30))


POINTS, THIRDS = np.random.default_rng(0).normal(size=(12, 2)), np.arange(12) % 3


@pytest.mark.parametrize(("outputs", "labels"), [(3, THIRDS + 1), (3, THIRDS - 1), (1, THIRDS), (1, THIRDS - 1)])
def test_labels_outside_the_classes_are_refused_before_the_first_step(outputs, labels):
    model = Classifier(to_bayesian(dense(2, 3, outputs), priors.Gaussian(1.0)))
    data = SimpleNamespace(x=np.tile(POINTS, (3, 1)), y=np.concatenate([np.zeros(24, dtype=int), labels]))
    with pytest.raises(DataError, match="labels outside 0 "):
        quick(model, 3, data)


def too_many_columns(x, y=None):
    weight = pyro.sample("w", dist.Normal(0.0, 1.0))
    return pyro.sample("y", dist.Normal(weight * x, 1.0), obs=y)


def a_loose_parameter(x, y=None):
    scale = pyro.param("scale", torch.tensor(5.0))
    return pyro.sample("y", dist.Normal(pyro.sample("w", dist.Normal(0.0, 1.0)) * x[:, 0], scale), obs=y)


def wordless(x, y=None):
    raise NotImplementedError


def nothing_observed(x, y=None):
    return dist.Normal(pyro.sample("w", dist.Normal(0.0, 1.0)) * x[:, 0], 1.0)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (too_many_columns, r"predicts shape \(16, 1\) and observes \(16,\)"),
        (a_loose_parameter, r"pyro.param \['scale'\] would not be trained"),
        (nothing_observed, "the model observes nothing"),
        (dense(1, 3, 1), r"a Sequential, can't be run on x \(16, 1\) and y \(16,\): .*Regression\(network\)"),
        (None, "a NoneType, can't be run"),
        (wordless, r"can't be run on x .*: NotImplementedError\. Expected a model"),
        (Regression(to_bayesian(dense(2, 1), priors.Gaussian(1.0)), 1.0), "a Regression, can't be run on x"),
    ],
)
def test_models_that_cannot_be_meant_are_refused(model, message):
    with pytest.raises(ModelError, match=message) as caught:
        fit(model, CURVE, 3, **QUICK)
    assert "Trace Shapes" not in str(caught.value)


def test_an_error_of_ours_inside_a_model_keeps_what_it_carries():
    lost = InferenceError("a fit inside the model was lost", posterior="what there was")

    def model(x, y=None):
        pyro.sample("w", dist.Normal(0.0, 1.0))
        raise lost

    with pytest.raises(InferenceError, match=r"^a fit inside the model was lost$") as caught:
        fit(model, CURVE, 3, **QUICK)
    assert caught.value.posterior == "what there was"


def test_the_bound_of_other_inputs_is_refused():
    with pytest.raises(DataError, match=r"data has x \(12, 2\); expected \('points', 1\)"):
        estimate_elbo(quick(steps=2), SimpleNamespace(x=POINTS, y=np.zeros(12)))


def test_predicting_wants_draws_and_finite_inputs():
    posterior = quick(steps=2)
    with pytest.raises(ModelError, match="draws is a int; expected a mapping"):
        posterior.predict(CURVE.x, 10)
    with pytest.raises(ModelError, match="x holds NaN or infinity"):
        posterior.predict(CURVE.x * np.nan, posterior.draw(2, seed=0))
    with pytest.raises(ModelError, match=r"n=2\.5; expected a whole number"):
        posterior.draw(2.5, seed=0)


@pytest.mark.parametrize("plate", ["rows", None])
def test_the_usual_pyro_model_that_draws_what_it_does_not_observe_can_be_predicted(plate):
    def model(x, y=None):
        weight = pyro.sample("weight", dist.Normal(0.0, 5.0))
        law = dist.Normal(weight * x[:, 0], 0.5)
        with pyro.plate(plate, len(x)) if plate else nullcontext():
            pyro.sample("obs", law, obs=y)
        return law

    data = SimpleNamespace(x=CURVE.x, y=3.0 * CURVE.x[:, 0])
    posterior = quick(model, 300, data, learning_rate=0.1)
    draws = posterior.draw(40, seed=0)
    np.testing.assert_allclose(posterior.predict(CURVE.x, draws), draws["weight"][:, None] * CURVE.x[:, 0], rtol=1e-5)
    assert draws["weight"].mean() == pytest.approx(3.0, abs=0.5)


@pytest.mark.parametrize("layer", [torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(1)])
def test_a_module_around_the_network_that_is_not_a_function_of_a_row_is_refused(layer):
    network = torch.nn.Sequential(to_bayesian(dense(1, 3, 1), priors.Gaussian(1.0)), layer)
    with pytest.raises(ModelError, match=r"eval\(\)|dropout|Dropout|BatchNorm"):
        quick(Regression(network, noise=1.0))


class Noisy(torch.nn.Module):
    """A network whose forward draws random numbers, as many tutorials write dropout."""

    def __init__(self, noise):
        super().__init__()
        self.a, self.b, self.noise = torch.nn.Linear(1, 8), torch.nn.Linear(8, 1), noise

    def forward(self, x):
        return self.b(self.noise(self.a(x).relu()))


class Drifting:
    """Noise of a generator of its own, which leaves the others' states as they are."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __call__(self, h):
        return h * float(self.rng.random())


RANDOM = {
    "functional": (lambda h: torch.nn.functional.dropout(h, 0.5, training=True), r"random numbers \(dropout\) in line"),
    "torch.rand": (lambda h: h * torch.rand(h.shape[1]), r"random numbers \(rand\) in line .*torch\.rand\(h\.shape"),
    "NumPy": (Drifting(), "gives another output for the same inputs and weights"),
}


@pytest.mark.parametrize("kind", RANDOM)
def test_a_network_whose_forward_is_random_is_refused_before_the_first_step(kind):
    noise, message = RANDOM[kind]
    network = to_bayesian(Noisy(noise), priors.Gaussian(1.0))
    with pytest.raises(ModelError, match=message):
        quick(Regression(network, noise=1.0), callback=ends_the_test)


def ends_the_test(step, state):
    raise AssertionError(f"step {step} was taken")


def test_a_model_that_draws_random_numbers_beside_its_sites_is_refused():
    def jittered(x, y=None):
        weight = pyro.sample("weight", dist.Normal(0.0, 5.0))
        law = dist.Normal(weight * (x[:, 0] + 0.1 * torch.randn(len(x))), 0.5)
        with pyro.plate("rows", len(x)):
            pyro.sample("obs", law, obs=y)
        return law

    with pytest.raises(ModelError, match=r"jittered draws random numbers \(randn\) in line"):
        quick(jittered, data=SimpleNamespace(x=CURVE.x, y=CURVE.y.ravel()))


@pytest.mark.parametrize(
    ("law", "expected"),
    [
        (lambda w, x: dist.StudentT(1.0, w * x, 1.0), lambda w, x: w * x),
        (lambda w, x: dist.Poisson(torch.exp(w * x)), lambda w, x: np.exp(w * x)),
        (lambda w, x: dist.Cauchy(w * x, 1.0), None),
    ],
    ids=["StudentT", "Poisson", "Cauchy"],
)
def test_what_is_predicted_is_the_centre_of_what_is_observed(law, expected):
    posterior = quick(weighed(law), 3, data=SimpleNamespace(x=CURVE.x, y=np.arange(len(CURVE.x), dtype="float32")))
    draws = posterior.draw(4, seed=0)
    if expected is None:
        with pytest.raises(ModelError, match="a Cauchy, which has no mean to predict"):
            posterior.predict(CURVE.x, draws)
    else:
        found = posterior.predict(CURVE.x, draws)
        np.testing.assert_allclose(found, expected(draws["weight"][:, None], CURVE.x[:, 0]), rtol=1e-5)


# --- the distribution of the next measurement -------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["learned", "input", 0.5])
def test_the_distribution_of_the_next_measurement_has_the_means_and_the_noise_of_the_draws(noise):
    network = to_bayesian(dense(1, 4, 2 if noise == "input" else 1), priors.Gaussian(1.0))
    posterior = quick(Regression(network, noise=noise), 5)
    assert isinstance(posterior, Measuring)
    found, draws = predictive_distribution(posterior, CURVE.x, 4, seed=3), posterior.draw(4, seed=3)
    assert found.kind == "NormalRV"
    np.testing.assert_allclose(found.parameters["mu"], posterior.predict(CURVE.x, draws), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.parameters["sigma"], posterior.predict_scale(CURVE.x, draws), rtol=1e-4)


LAWS = {
    "StudentT": lambda w, x: dist.StudentT(4.0, w * x, 1 + w**2),
    "LogNormal": lambda w, x: dist.LogNormal(w * x, 0.5),
    "Laplace": lambda w, x: dist.Laplace(w * x, 1 + w**2),
    "Poisson": lambda w, x: dist.Poisson(torch.exp(w * x)),
    "NegativeBinomial": lambda w, x: dist.NegativeBinomial(3.0, logits=w * x),
}


def weighed(law):
    """A model with one weight, whose observations follow a law."""

    def model(x, y=None):
        observed = law(pyro.sample("weight", dist.Normal(0.0, 0.5)), x[:, 0])
        with pyro.plate("rows", len(x)):
            pyro.sample("obs", observed, obs=y)
        return observed

    return model


@pytest.mark.parametrize("name", LAWS)
def test_the_next_measurement_has_the_density_that_the_model_gives_it(name):
    law = LAWS[name]
    y = np.arange(1, 21, dtype="float32")
    posterior = quick(weighed(law), 3, data=SimpleNamespace(x=CURVE.x, y=y))
    found, weights = predictive_distribution(posterior, CURVE.x, 4, seed=0), posterior.draw(4, seed=0)["weight"]
    each = torch.stack([law(torch.tensor(w), X[:, 0]).log_prob(torch.tensor(y)) for w in weights])
    np.testing.assert_allclose(found.log_density(y), torch.logsumexp(each, 0) - np.log(4), rtol=1e-4, atol=1e-5)


def test_what_has_no_distribution_of_measurements_says_which_have():
    posterior = quick(weighed(lambda w, x: dist.Cauchy(w * x, 1.0)), 2)
    with pytest.raises(ModelError, match=r"observes a Cauchy; .* known for Normal, StudentT, .*NegativeBinomial"):
        predictive_distribution(posterior, CURVE.x)
    labels = Classifier(to_bayesian(dense(2, 1), priors.Gaussian(1.0)))
    with pytest.raises(ModelError, match="observes a Bernoulli"):
        predictive_distribution(quick(labels, 2, data=datasets.moons(40).train), np.zeros((1, 2)))
    with pytest.raises(ModelError, match="n=0"):
        predictive_distribution(posterior, CURVE.x, 0)


def test_a_conformal_band_stands_around_bayes_by_backprop_too():
    """A network that believes in a fifth of the noise: its own band is far too narrow, the widened one is right."""
    posterior = quick(regression(noise=0.2, hidden=20), 600, data=datasets.sinusoid(200, noise=1.0), learning_rate=0.02)
    held, new = (datasets.sinusoid(rows, noise=1.0, spaced=False, seed=rows) for rows in (499, 2000))
    known, ahead = (predictive_distribution(posterior, rows.x, 100, seed=1) for rows in (held, new))
    assert ahead.interval(0.9).coverage(new.y) < 0.6
    band = conformal_band(known, held.y, 0.9)
    assert band.widening > 0.3
    assert band.around(ahead).coverage(new.y) == pytest.approx(0.9, abs=4 * np.hypot(0.0134, 0.0067))


@pytest.mark.parametrize("seed", [None, -1, 1.5, "a"])
def test_a_seed_is_a_whole_number(seed):
    posterior = quick(steps=2)
    for use in (lambda: posterior.draw(2, seed), lambda: estimate_elbo(posterior, CURVE, seed=seed)):
        with pytest.raises(ModelError, match=r"seed=.*; expected a whole number, 0 or more"):
            use()


def test_ctrl_c_returns_what_was_fitted():
    posterior = quick(steps=50, callback=ctrl_c_after(7))
    assert posterior.record.stopped == "interrupted after step 7 of 50"
    assert len(posterior.record.history) == 7
    assert posterior.predict(CURVE.x, posterior.draw(2, 0)).shape == (2, 20)


def test_a_label_column_of_one_output_is_bernoulli():
    train = datasets.moons(60).train
    posterior = fit(
        Classifier(to_bayesian(dense(2, 4, 1), priors.Gaussian(1.0))), train, 300, learning_rate=0.05, **QUICK
    )
    p = predict(posterior, train.x, draws=20).mean(axis=0)
    assert p.shape == (30, 2)
    assert (p.argmax(axis=1) == train.y).mean() > 0.75
