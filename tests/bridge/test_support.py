"""Observations that no weights can explain are refused before the first step, with their rows."""

import numpy as np
import pymc as pm
import pytest
import torch

from companion.bridge import bayesian, refuse_impossible, torch_log_density
from companion.errors import ModelError
from companion.inference import fit
from companion.networks import dense
from companion.priors import Gaussian

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))
GOOD = {
    "Bernoulli": (RNG.integers(0, 2, 60), lambda o, y: pm.Bernoulli("y", logit_p=o[:, 0], observed=y)),
    "Categorical": (RNG.integers(0, 3, 60), lambda o, y: pm.Categorical("y", logit_p=o, observed=y)),
    "Poisson": (RNG.integers(0, 9, 60), lambda o, y: pm.Poisson("y", pm.math.exp(o[:, 0]), observed=y)),
    "NegativeBinomial": (
        RNG.integers(0, 9, 60),
        lambda o, y: pm.NegativeBinomial("y", 1 + o[:, 0] ** 2, 1, observed=y),
    ),
    "Binomial": (RNG.integers(0, 9, 60), lambda o, y: pm.Binomial("y", 8, logit_p=o[:, 0], observed=y)),
    "Exponential": (abs(X[:, 0]), lambda o, y: pm.Exponential("y", pm.math.exp(o[:, 0]), observed=y)),
    "Gamma": (abs(X[:, 0]), lambda o, y: pm.Gamma("y", 2, pm.math.exp(o[:, 0]), observed=y)),
    "LogNormal": (abs(X[:, 0]), lambda o, y: pm.LogNormal("y", o[:, 0], 1, observed=y)),
    "Beta": (RNG.random(60), lambda o, y: pm.Beta("y", pm.math.exp(o[:, 0]), 2, observed=y)),
}  # fmt: skip
BAD = {
    "Bernoulli": (-1, "a Bernoulli takes 0 and 1"),
    "Categorical": (3, "a Categorical takes the numbers of the classes, from 0"),
    "Poisson": (-2, "a Poisson takes whole numbers, 0 or more"),
    "NegativeBinomial": (-2, "a NegativeBinomial takes whole numbers, 0 or more"),
    "Binomial": (9, "a Binomial takes whole numbers from 0 to n"),
    "Exponential": (-0.5, "an Exponential takes numbers, 0 or more"),
    "Gamma": (-0.5, "a Gamma takes positive numbers"),
    "LogNormal": (-0.5, "a LogNormal takes positive numbers"),
    "Beta": (1.5, "a Beta takes numbers between 0 and 1"),
}
names = pytest.mark.parametrize("name", GOOD)


def model(name, y, x=X):
    with pm.Model() as made:
        GOOD[name][1](bayesian(dense(2, 4, 3), Gaussian(1.0), pm.Data("x", x)), pm.Data("obs", y))
    return made


def spoilt(name, *rows):
    y = GOOD[name][0].copy()
    y[list(rows)] = BAD[name][0]
    return y


@names
def test_the_rows_outside_a_support_are_counted_and_the_first_is_named(name):
    refuse_impossible(torch_log_density(model(name, GOOD[name][0])))
    value, takes = BAD[name]
    words = f"2 of 60 entries of 'y' have no density under any weights, the first is {value:g} in row 41: {takes}"
    with pytest.raises(ModelError, match=words):
        refuse_impossible(torch_log_density(model(name, spoilt(name, 57, 41)), dtype=torch.float32))


@pytest.mark.parametrize("batch_size", [None, 10])
def test_a_fit_refuses_them_before_its_first_step(batch_size):
    with pytest.raises(ModelError, match=r"1 of 60 entries of 'y'.*in row 59"):
        fit(model("Bernoulli", spoilt("Bernoulli", 59)), 10, batch_size=batch_size, progressbar=False)


def test_rows_are_counted_over_the_parts_of_the_data():
    density = torch_log_density(model("Gamma", spoilt("Gamma", 5, 41, 59)))
    parts = [{name: a[i : i + 20] for name, a in density.data.items()} for i in (0, 20, 40)]
    with pytest.raises(ModelError, match=r"3 of 60 entries of 'y'.*in row 5:"):
        refuse_impossible(density, parts)


def test_one_hot_labels_are_told_what_to_give():
    with pytest.raises(ModelError, match=r"values of shape \(60, 3\).*argmax\(axis=1\)"):
        fit(model("Categorical", np.eye(3)[GOOD["Categorical"][0]]), 10, progressbar=False)


def test_infinite_numbers_are_named():
    y = X[:, 0].copy()
    y[7] = np.inf
    with pm.Model() as made:
        pm.Normal("y", bayesian(dense(2, 4, 1), Gaussian(1.0), pm.Data("x", X))[:, 0], 1, observed=pm.Data("obs", y))
    with pytest.raises(ModelError, match=r"1 of 60 entries of 'y'.*the first is inf in row 7"):
        fit(made, 10, progressbar=False)


def test_a_start_without_density_is_not_the_datas_fault():
    with pm.Model() as made:
        low = pm.Normal("low", 0, 1, initval=5.0)
        pm.Uniform("y", low, 10, observed=np.array([1.0, 2.0, 3.0]))
    density = torch_log_density(made)
    assert not np.isfinite(float(sum(density.likelihoods(density.tensors(density.start)).values())))
    refuse_impossible(density)


def test_what_float32_alone_rounds_away_is_not_the_datas_fault():
    with pm.Model() as made:
        scale = pm.Normal("scale", 0, 1e-3)
        pm.Normal("y", 0, 1 + scale, observed=np.array([1.0, 1e20]))
    density = torch_log_density(made, dtype=torch.float32)
    assert not np.isfinite(float(density.likelihoods(density.tensors(density.start))["y"]))
    refuse_impossible(density)
