"""ADVI and posteriors: against a closed form, and as a user meets them."""

import numpy as np
import pymc as pm
import pytest

from companion.datasets import moons
from companion.errors import ModelError
from companion.inference import best_fit, fit_advi
from companion.models import binary_classifier
from companion.posterior import Posterior, SampledPosterior, compile_forward, diagnose
from companion.prediction import predict


@pytest.fixture(scope="module")
def data():
    return moons(n_samples=200).train


@pytest.fixture(scope="module")
def fit(data):
    return fit_advi(binary_classifier(data), 300, optimizer=pm.adam(learning_rate=0.02), elbo_draws=200)


def test_elbo_equals_the_log_evidence_where_the_family_holds_the_posterior():
    """y ~ N(w, 1), w ~ N(0, 1): the posterior is Gaussian, so the best ELBO is the log evidence itself."""
    y = np.array([0.3, -1.2, 2.0])
    with pm.Model() as model:
        w = pm.Normal("w", 0, 1, shape=2)
        pm.Normal("y", w[0], 1, observed=y)
    fit = fit_advi(model, 8000, optimizer=pm.adam(learning_rate=0.01), elbo_draws=4000)
    cov = np.eye(3) + 1
    evidence = -0.5 * (y @ np.linalg.solve(cov, y) + np.log(np.linalg.det(cov)) + 3 * np.log(2 * np.pi))
    assert fit.record.elbo == pytest.approx(evidence, abs=0.02 + 4 * fit.record.elbo_se)
    assert fit.record.elbo_se < 0.05
    assert len(fit.record.history) == 8000
    draws = fit.approximation.sample(20_000, random_seed=1, return_inferencedata=False)
    assert draws["w"][:, 0].mean() == pytest.approx(y.sum() / 4, abs=0.05)
    assert draws["w"][:, 0].std() == pytest.approx(0.5, abs=0.05)


def test_same_seed_same_fit(data):
    first, again, other = (fit_advi(binary_classifier(data), 50, seed=s, elbo_draws=10) for s in (3, 3, 4))
    np.testing.assert_array_equal(first.record.history, again.record.history)
    assert first.record.elbo == again.record.elbo
    assert not np.array_equal(first.record.history, other.record.history)


def test_best_fit_is_the_one_with_the_highest_elbo(data, fit):
    short = fit_advi(binary_classifier(data), 5, elbo_draws=200)
    assert best_fit([short, fit, short]) is fit
    with pytest.raises(ModelError, match="no fits"):
        best_fit([])


def test_minibatch_fit_reports_the_elbo_of_all_rows(data):
    whole = binary_classifier(data)
    fit = fit_advi(binary_classifier(data, batch_size=20), 300, optimizer=pm.adam(learning_rate=0.02), full_model=whole)
    assert fit.record.elbo == pytest.approx(-fit.record.history[-100:].mean(), rel=0.25)  # which is for all rows
    of_a_batch = fit.approximation.hist[-100:].mean()
    assert fit.record.history[-100:].mean() == pytest.approx(of_a_batch * len(data) / 20)
    assert predict(fit, data.x, draws=5).shape == (5, len(data), 2)


def test_a_fit_that_diverges_says_so_and_what_to_do(data):
    with pytest.raises(ModelError, match=r"NaN within 200 steps.*learning rate"):
        fit_advi(binary_classifier(data), 200, optimizer=pm.adam(learning_rate=1e200))


def test_deviations_start_where_they_are_told_to(data):
    with pm.Model() as model:
        pm.HalfNormal("positive")
        pm.Normal("free", shape=3)
    fit = fit_advi(model, 1, optimizer=pm.adam(learning_rate=1e-9), start_scale=0.03, elbo_draws=2)
    np.testing.assert_allclose(fit.approximation.std.eval(), 0.03, rtol=1e-5)
    with pytest.raises(ModelError, match="start_scale=0; expected a positive"):
        fit_advi(model, 1, start_scale=0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steps": 0}, "steps=0; expected a whole number, 1 or more"),
        ({"steps": 1, "elbo_draws": 1}, "elbo_draws=1; expected a whole number, 2 or more"),
    ],
)
def test_useless_settings_are_refused(data, settings, said):
    with pytest.raises(ModelError, match=said):
        fit_advi(binary_classifier(data), **settings)


def test_what_is_not_a_model_is_refused():
    with pytest.raises(ModelError, match=r"NoneType; expected a pymc.Model"):
        fit_advi(None, 10)


def test_predictions_are_the_forward_pass_of_each_draw(data, fit):
    draws = fit.draw(7, seed=1)
    probabilities = fit.predict(data.x[:11], draws)
    assert probabilities.shape == (7, 11, 2)
    for k in range(7):
        hidden = np.tanh(np.tanh(data.x[:11] @ draws["w_in_1"][k]) @ draws["w_1_2"][k])
        p = 1 / (1 + np.exp(-hidden @ draws["w_2_out"][k]))
        np.testing.assert_allclose(probabilities[k], np.column_stack([1 - p, p]), rtol=1e-10, atol=1e-12)


def test_predictions_are_those_of_the_compiled_forward_pass(data, fit):
    draws = fit.draw(50, seed=1)
    p = compile_forward(fit.model)(draws, data.x)
    np.testing.assert_allclose(fit.predict(data.x, draws), np.stack([1 - p, p], axis=-1), rtol=0, atol=1e-12)


def test_a_fit_on_minibatches_predicts_with_the_whole_model_and_asks_for_it(data):
    alone = fit_advi(binary_classifier(data, batch_size=10), 2, elbo_draws=2)
    with pytest.raises(ModelError, match=r"draws mini-batches.*fit_advi takes it as full_model="):
        predict(alone, data.x, draws=2)
    with pytest.raises(ModelError, match="no log likelihood belongs to an observation"):
        alone.to_arviz(2, log_likelihood=True)


def test_draws_of_bounded_variables_keep_to_their_bounds():
    with pm.Model() as model:
        pm.HalfNormal("scale")
        pm.Beta("share", 2, 2, shape=3)
    draws = fit_advi(model, 50, elbo_draws=10).draw(500, seed=0)
    assert draws["scale"].shape == (500,)
    assert (draws["scale"] > 0).all()
    assert ((draws["share"] > 0) & (draws["share"] < 1)).all()


def test_posteriors_follow_the_protocol_and_their_seed(fit):
    assert isinstance(fit, Posterior)
    first, again, other = (fit.draw(4, seed)["w_1_2"] for seed in (1, 1, 2))
    assert first.shape == (4, 5, 5)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_sampled_posterior_returns_the_samplers_own_draws(data):
    model = binary_classifier(data)
    with model:
        samples = pm.sample(
            20, tune=20, chains=2, cores=1, random_seed=1, progressbar=False, compute_convergence_checks=False
        )
    posterior = SampledPosterior(samples, model)
    assert isinstance(posterior, Posterior)
    assert posterior.to_arviz() is samples
    drawn = posterior.draw(40, seed=0)
    made = np.asarray(samples["posterior"]["w_2_out"].values).reshape(40, 5)
    np.testing.assert_array_equal(np.sort(drawn["w_2_out"], axis=0), np.sort(made, axis=0))
    for k in range(40):  # the variables of one draw stay together
        row = np.flatnonzero((made == drawn["w_2_out"][k]).all(axis=1))[0]
        whole = np.asarray(samples["posterior"]["w_in_1"].values).reshape(40, 2, 5)
        np.testing.assert_array_equal(drawn["w_in_1"][k], whole[row])
    with pytest.raises(ModelError, match="41 draws asked for; the sampler made 40"):
        posterior.draw(41, seed=0)


def test_bad_draws_and_inputs_are_named(data, fit):
    draws = fit.draw(3, seed=0)
    with pytest.raises(ModelError, match=r"x has shape \(5, 3\)"):
        fit.predict(np.zeros((5, 3)), draws)
    with pytest.raises(ModelError, match="no draws of 'w_2_out'"):
        fit.predict(data.x, {k: v for k, v in draws.items() if k != "w_2_out"})
    with pytest.raises(ModelError, match=r"'w_1_2' have shape \(3, 25\)"):
        fit.predict(data.x, {**draws, "w_1_2": draws["w_1_2"].reshape(3, 25)})
    with pytest.raises(ModelError, match="differ in their number of draws"):
        fit.predict(data.x, {**draws, "w_1_2": draws["w_1_2"][:2]})
    with pytest.raises(ModelError, match="n=0; expected a whole number"):
        fit.draw(0, seed=0)


def test_a_minibatch_model_says_how_to_predict(data):
    with pytest.raises(ModelError, match="same model with all rows"):
        compile_forward(binary_classifier(data, batch_size=10))


def test_chains_that_agree_are_told_from_chains_that_do_not():
    independent = np.random.default_rng(0).normal(size=(4, 500, 3))
    apart = independent.copy()
    apart[0] += 3
    sticky = np.repeat(independent[:, :50], 10, axis=1)
    found = diagnose(
        {name: a.reshape(2000, 3) for name, a in {"agree": independent, "apart": apart, "sticky": sticky}.items()}, 4
    )
    assert found["agree"].r_hat < 1.01
    assert 1400 < found["agree"].ess < 2600
    assert found["apart"].r_hat > 1.3
    assert found["sticky"].ess < 400


def test_diagnose_refuses_what_does_not_divide_into_chains():
    with pytest.raises(ModelError, match="at least 2"):
        diagnose({"w": np.zeros(100)}, chains=1)
    with pytest.raises(ModelError, match="'w' has 99 draws"):
        diagnose({"w": np.zeros(99)}, chains=2)
    with pytest.raises(ModelError, match="draws is a list; expected a mapping of names to arrays"):
        diagnose([np.zeros(100)], chains=2)
