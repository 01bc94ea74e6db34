"""What torch can't batch is computed in a loop, with the same result and one notice that says why."""

import warnings

import numpy as np
import pymc as pm
import pytest
import torch
from torch import nn

from companion.bridge import bayesian, looped, torch_log_density, vectorised
from companion.errors import CompanionWarning, ModelError
from companion.inference import fit
from companion.priors import Gaussian

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3)).astype("float32")
LABELS = (X[:, 0] > 0).astype(int)
FIT = {"steps": 60, "compile": False, "progressbar": False, "elbo_draws": 20, "device": "cpu", "restarts": 2}


class Tanh(torch.autograd.Function):
    """A function without a rule for batches, nor for torch.func."""

    @staticmethod
    def forward(ctx, x):
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, slope):
        (y,) = ctx.saved_tensors
        return slope * (1 - y**2)


class Net(nn.Module):
    def __init__(self, act):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.act = nn.Linear(3, 4), nn.Linear(4, 1), act

    def forward(self, x):
        return self.b(self.act(self.a(x)))


def classifier(act):
    with pm.Model() as model:
        logits = bayesian(Net(act), Gaussian(1.0), pm.Data("x", X))
        pm.Bernoulli("y", logit_p=logits[:, 0], observed=pm.Data("labels", LABELS))
    return model


def ours(caught):
    return [str(w.message) for w in caught if issubclass(w.category, CompanionWarning)]


@pytest.mark.parametrize("settings", [{}, {"draws": 3}, {"estimator": "sticking-the-landing"}, {"restarts": 1}])
def test_a_loop_finds_what_one_graph_finds(settings):
    graph = fit(classifier(torch.tanh), **FIT | settings)
    with pytest.warns(CompanionWarning, match="in a loop over restarts and draws"):
        loop = fit(classifier(Tanh.apply), **FIT | settings)
    np.testing.assert_allclose(loop.record.history, graph.record.history, rtol=1e-4)
    draws = graph.draw(30, seed=1)
    np.testing.assert_allclose(loop.predict(X, draws), graph.predict(X, draws), rtol=1e-4, atol=1e-6)


def test_one_notice_names_the_reason_and_the_line_for_a_fit_and_its_predictions():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        posterior = fit(classifier(Tanh.apply), **FIT)
        for seed in (0, 1):
            posterior.predict(X, posterior.draw(30, seed))
    [notice] = ours(caught)
    assert "Net:" in notice
    assert "line " in notice
    assert "test_vectorising.py (`return self.b(self.act(self.a(x)))`)" in notice
    [where] = [w.filename for w in caught if issubclass(w.category, CompanionWarning)]
    assert where == __file__


def test_what_torch_can_batch_gives_no_notice():
    with warnings.catch_warnings():
        warnings.simplefilter("error", CompanionWarning)
        posterior = fit(classifier(torch.tanh), **FIT)
        posterior.predict(X, posterior.draw(30, 0))


def test_a_batch_of_matrices_is_one_graph():
    """PyTensor reshapes a batch by the sizes of its data, which no trace can ask a tensor for."""
    series = RNG.normal(size=(20, 5, 3)).astype("float32")
    with pm.Model() as model:
        w, v = pm.Normal("w", 0, 1, shape=(3, 4)), pm.Normal("v", 0, 1, shape=(4, 1))
        hidden = pm.math.tanh(pm.Data("x", series) @ w)
        pm.Normal("y", (hidden @ v)[:, :, 0], 0.5, observed=pm.Data("measured", series.sum(axis=2)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model, **FIT | {"steps": 5})
    assert not [text for text in ours(caught) if "one graph" in text]
    at = {"w": RNG.normal(size=(3, 4)), "v": RNG.normal(size=(4, 1))}
    values = {name: torch.as_tensor(value) for name, value in at.items()}
    found = torch_log_density(model, dtype=torch.float64)(values)
    assert float(found) == pytest.approx(float(model.compile_logp()(at)), rel=1e-6)


def test_vectorised_and_looped_go_over_the_arguments_that_have_the_dimension():
    a, b = torch.randn(5, 3), torch.randn(3)

    def one(a, b):
        return {"sum": (a["x"] * b).sum(), "both": (a["x"], b)}

    truth = torch.vmap(one, (0, None))({"x": a}, b)
    for way in (vectorised, looped):
        found = way(one, (0, None))({"x": a}, b)
        assert torch.equal(found["sum"], truth["sum"])
        assert all(torch.equal(f, t) for f, t in zip(found["both"], truth["both"], strict=True))
    with pytest.warns(CompanionWarning, match="one draw at a time"):
        found = vectorised(lambda x: torch.tensor(float(x.numpy().sum())))(a)
    assert torch.allclose(found, a.sum(1))


def test_an_error_of_the_function_itself_is_raised_as_it_is():
    def fails(x):
        raise ZeroDivisionError("mine")

    def refuses(x):
        raise ModelError("ours")

    with pytest.raises(ZeroDivisionError, match="mine"):
        vectorised(fails)(torch.ones(3))
    with pytest.raises(ModelError, match="ours"):
        vectorised(refuses)(torch.ones(3))
