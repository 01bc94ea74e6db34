"""A prior and a likelihood that the package doesn't know: fitted, saved, loaded and predicted with like its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pymc as pm
import pyro
import pyro.distributions as dist
import pytensor.tensor as pt
import pytest
import torch

from companion import bayes_by_backprop
from companion.bayes_by_backprop import Regression, to_bayesian
from companion.bridge import bayesian
from companion.datasets import Measurements, Observations
from companion.errors import ModelError
from companion.inference import fit
from companion.models import torch_classifier
from companion.networks import dense
from companion.posterior import compile_forward, load_posterior
from companion.priors import LearnedScale, Parameter, Prior, parameters

QUICK = {"steps": 40, "restarts": 2, "learning_rate": 0.02, "elbo_draws": 5, "progressbar": False}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 2)).astype(np.float32)
LABELS = Observations(X, np.arange(40) % 2)
CURVE = Measurements(X, X[:, 0] ** 2 + 0.1 * RNG.normal(size=40))


@dataclass(frozen=True)
class HeavyTails(Prior):
    """Student's t on every weight, which the package does not bring."""

    scale: float = 0.5
    freedom: float = 3.0

    def pymc(self, parameters: Sequence[Parameter]):
        return {
            p.name: pm.StudentT(p.name, nu=self.freedom, mu=0.0, sigma=self.scale, shape=p.shape, initval=p.start)
            for p in parameters
        }

    def pyro(self, parameters: Sequence[Parameter]):
        law = dist.StudentT(self.freedom, 0.0, self.scale)
        return {p.name: pyro.sample(p.name, law.expand(p.shape).to_event(len(p.shape))) for p in parameters}


def in_pymc(prior):
    return torch_classifier(LABELS, dense(2, 3, 1, seed=0), prior)


def in_pyro(prior):
    return Regression(to_bayesian(dense(2, 3, 1, seed=0), prior), noise=0.2)


def fitted(kind, prior):
    if kind is in_pymc:
        return fit(in_pymc(prior), **QUICK)
    return bayes_by_backprop.fit(in_pyro(prior), CURVE, **QUICK)


@pytest.mark.parametrize("kind", [in_pymc, in_pyro])
def test_a_prior_of_a_reader_is_fitted_saved_and_loaded(kind, tmp_path):
    posterior = fitted(kind, HeavyTails())
    path = posterior.save(tmp_path / "own.safetensors", half=False)
    found = load_posterior(path, kind(HeavyTails()))
    np.testing.assert_allclose(found.predictive(X, 5, seed=1), posterior.predictive(X, 5, seed=1), rtol=1e-6)
    assert found.record.elbo == posterior.record.elbo
    with pytest.raises(ModelError, match="the file is a posterior of"):
        load_posterior(path, kind(LearnedScale()))


def test_both_ways_of_a_reader_s_prior_are_the_same_density():
    listed = parameters(dense(2, 3, 1, seed=0))
    with pm.Model() as model:
        HeavyTails().pymc(listed)
    point = model.initial_point()
    trace = pyro.poutine.trace(pyro.poutine.condition(
        lambda: HeavyTails().pyro(listed), data={name: torch.as_tensor(value) for name, value in point.items()}
    )).get_trace()  # fmt: skip
    assert float(trace.log_prob_sum()) == pytest.approx(float(model.compile_logp()(point)), rel=1e-6)


# --- likelihoods ---------------------------------------------------------------------------------------------------


def two_sided(value, mean, scale):
    """The log density of Laplace's distribution, written by hand."""
    return -pt.abs(value - mean) / scale - pt.log(2 * scale)


def draw_two_sided(mean, scale, rng=None, size=None):
    return rng.laplace(mean, scale, size=size)


def by_density(x=X, y=CURVE.y):
    with pm.Model() as model:
        mean = pm.Deterministic("mean", bayesian(dense(2, 3, 1, seed=0), HeavyTails(), pm.Data("x", x))[:, 0])
        pm.CustomDist("y", mean, pm.HalfNormal("scale", 1.0), logp=two_sided, random=draw_two_sided, observed=y)
    return model


def by_draws(x=X, y=CURVE.y):
    with pm.Model() as model:
        mean = bayesian(dense(2, 3, 1, seed=0), HeavyTails(), pm.Data("x", x))[:, 0]

        def law(mean, scale, size):
            return mean + scale * pm.StudentT.dist(nu=4.0, size=size)

        pm.CustomDist("y", mean, pm.HalfNormal("scale", 1.0), dist=law, observed=y)
    return model


@pytest.mark.parametrize("kind", [by_density, by_draws])
def test_a_likelihood_of_a_reader_is_fitted_saved_and_loaded(kind, tmp_path):
    posterior = fit(kind(), **QUICK)
    assert posterior.record.losses[-5:].mean() < posterior.record.losses[:5].mean()
    found = load_posterior(posterior.save(tmp_path / "own.safetensors", half=False), kind(X[:10], CURVE.y[:10]))
    draws = posterior.draw(4, seed=1)
    for name, array in found.draw(4, seed=1).items():
        np.testing.assert_array_equal(array, draws[name])
    with pytest.raises(ModelError, match="compile_forward"):
        found.predictive(X, 4, seed=1)


def test_what_a_reader_s_likelihood_predicts_is_named_in_the_model():
    posterior = fit(by_density(), **QUICK)
    draws = posterior.draw(4, seed=1)
    means = compile_forward(posterior.model, "mean")(draws, X[:7])
    assert means.shape == (4, 7)
    np.testing.assert_allclose(means[:, :5], compile_forward(by_density(X[:10], CURVE.y[:10]), "mean")(draws, X[:5]))


def plain(x, y=None):
    """A function of Pyro's own words, which returns the distribution of what it observes."""
    slope = pyro.sample("slope", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
    law = dist.StudentT(4.0, x @ slope, scale)
    with pyro.plate("rows", len(x)):
        pyro.sample("y", law, obs=y)
    return law


def test_a_plain_pyro_function_with_a_likelihood_of_its_own_is_fitted_saved_and_loaded(tmp_path):
    posterior = bayes_by_backprop.fit(plain, CURVE, **QUICK)
    found = load_posterior(posterior.save(tmp_path / "plain.safetensors", half=False), plain)
    np.testing.assert_allclose(found.predictive(X, 5, seed=1), posterior.predictive(X, 5, seed=1), rtol=1e-6)
    draws = posterior.draw(3, seed=2)
    np.testing.assert_allclose(posterior.predict(X, draws), draws["slope"] @ X.T, rtol=1e-5, atol=1e-6)
