"""The divergence of a fitted approximation from its prior."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from companion.datasets import moons
from companion.errors import ModelError
from companion.inference import fit
from companion.models import torch_classifier
from companion.networks import dense
from companion.posterior import moments
from companion.priors import Gaussian, LearnedScale

QUICK = {"progressbar": False, "elbo_draws": 20}


def fitted(prior, **given):
    return fit(torch_classifier(moons(n_samples=80).train, dense(2, 4, 2), prior), 40, **QUICK | given)


def test_under_a_fixed_prior_it_is_the_closed_form_whatever_the_temperature():
    posterior = fitted(Gaussian(0.5), temperature=0.1)
    prior = Normal(0.0, 0.5)
    own = sum(kl_divergence(Normal(*map(torch.tensor, m)), prior).sum().item() for m in moments(posterior).values())
    found, error = posterior.divergence()
    assert found == pytest.approx(own, rel=1e-5)
    assert error < 1e-6 * found


def test_with_learned_scales_it_is_what_the_bound_lacks_of_the_likelihood():
    posterior = fitted(LearnedScale(1.0), elbo_draws=400)
    found, error = posterior.divergence(400)
    assert error > 0
    held = posterior.to_arviz(400, seed=3, log_likelihood=True)
    assert posterior.record.elbo == pytest.approx(total(held) - found, abs=6 * (error + posterior.record.elbo_se))


def total(held):
    """Log likelihood of all rows, on average over the draws."""
    (name,) = held["log_likelihood"].data_vars
    rows = held["log_likelihood"][name]
    return float(rows.sum([d for d in rows.dims if d not in ("chain", "draw")]).mean())


def test_what_has_none_says_so():
    with pytest.raises(ModelError, match="density"):
        fitted(Gaussian(0.5), family="map").divergence()
    with pytest.raises(ModelError, match="mixture"):
        fitted(Gaussian(0.5), restarts=2, keep="mixture").divergence()
    with pytest.raises(ModelError, match="draws"):
        fitted(Gaussian(0.5)).divergence(1)
