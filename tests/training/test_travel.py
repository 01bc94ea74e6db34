"""A fit that ended before it arrived says so, although its loss is flat."""

import warnings
from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytest
import torch

from companion import bayes_by_backprop, priors
from companion.errors import CompanionWarning
from companion.inference import Checkpoint, fit
from companion.posterior import load_posterior, save_posterior

X = np.array([1.17, 2.97, 3.26, 4.69, 5.83, 6.0, 6.41])
Y = np.array([78.93, 58.2, 67.47, 37.47, 45.65, 32.92, 29.97])


class Killed(BaseException):
    """What no code catches, as a kill."""


def line() -> pm.Model:
    """Build a regression in raw units: the intercept, 89, is far from its start, 0."""
    with pm.Model() as model:
        a, b, s = pm.Normal("a", 0, 100), pm.Normal("b", 0, 100), pm.HalfCauchy("s", 5)
        pm.Normal("y", a + b * X, s, observed=Y)
    return model


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_a_fit_that_is_still_on_its_way_warns_and_has_not_converged(schedule, tmp_path):
    with pytest.warns(CompanionWarning, match="'a' still went .* Standardise the data"):
        posterior = fit(line(), steps=4000, schedule=schedule, elbo_draws=10, progressbar=False)
    assert posterior.record.drifting[0]
    assert not posterior.record.trend().converged
    save_posterior(posterior, tmp_path / "line")
    assert not load_posterior(tmp_path / "line", line()).record.trend().converged


def test_a_fit_that_arrived_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error", CompanionWarning)
        posterior = fit(line(), steps=4000, learning_rate=1.0, elbo_draws=10, progressbar=False)
    assert not posterior.record.drifting[0]
    assert abs(posterior.draw(500, 0)["b"].mean() + 9) < 0.5
    assert posterior.record.trend().converged


def test_the_way_is_known_after_going_on_from_a_checkpoint(tmp_path):
    def kill(step: int, state: object) -> None:
        if step == 3900:
            raise Killed

    how = {"steps": 4000, "elbo_draws": 10, "progressbar": False}
    with pytest.warns(CompanionWarning, match="'a' still went"):
        whole = fit(line(), **how)
    at = Checkpoint(tmp_path / "c", 500)
    with pytest.raises(Killed):
        fit(line(), checkpoint=at, callback=kill, **how)
    with pytest.warns(CompanionWarning, match="'a' still went"):
        rest = fit(line(), checkpoint=at, **how)
    assert rest.record.drifting[0]
    assert whole.record.drifting[0]


def test_where_nothing_can_be_said_nothing_is(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", CompanionWarning)
        short = fit(line(), steps=50, elbo_draws=10, progressbar=False)
        early = fit(line(), steps=2000, elbo_draws=10, progressbar=False, callback=_stop_at_1900)
    assert short.record.drifting is None
    assert early.record.drifting is None
    short.record.trend(share=1.0)  # judged by the loss alone


def _stop_at_1900(step: int, state: object) -> None:
    if step == 1900:
        raise StopIteration


def test_bayes_by_backprop_says_so_as_well():
    net = bayes_by_backprop.to_bayesian(torch.nn.Linear(1, 1), priors.Gaussian(100.0))
    model = bayes_by_backprop.Regression(net, noise=5.0)
    data = SimpleNamespace(x=X[:, None], y=Y)
    with pytest.warns(CompanionWarning, match="bias.* still went"):
        found = bayes_by_backprop.fit(model, data, 1000, elbo_draws=2, progressbar=False)
    assert not found.record.trend().converged
