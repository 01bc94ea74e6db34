"""Posteriors on disk: what was saved draws and predicts the same after it was loaded."""

import json
import os
import warnings
from functools import cache

import numpy as np
import pymc as pm
import pytest
import torch
from kinds import Pair, binary, frozen_features, made
from safetensors.torch import save_file

import companion
from companion.datasets import Measurements, Observations
from companion.errors import DataError, ModelError
from companion.inference import fit
from companion.models import torch_classifier, torch_regression
from companion.networks import dense
from companion.posterior import (
    ApproximationPosterior,
    Moments,
    Packed,
    Posterior,
    PosteriorBase,
    Predictive,
    Record,
    VariationalPosterior,
    load_posterior,
    moments,
    register,
    save_posterior,
    storage,
)
from companion.posterior.dependence import compare
from companion.prediction import predict
from companion.priors import Gaussian, LearnedScale

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype(np.float32)
Y = np.arange(60) % 3


def classifier(prior=None, rows=60, width=4):
    return torch_classifier(Observations(X[:rows], Y[:rows]), dense(3, width, 3), prior or LearnedScale())


@cache
def fitted():
    return fit(classifier(), 60, restarts=3, keep="mixture", temperature=0.5, progressbar=False, elbo_draws=20)


@pytest.fixture
def file(tmp_path):
    return save_posterior(fitted(), tmp_path / "posterior.safetensors")


def test_a_loaded_posterior_draws_and_predicts_like_the_saved_one(file):
    found = load_posterior(file, classifier())
    assert isinstance(found, Posterior)
    for name, draws in fitted().draw(5, seed=1).items():
        np.testing.assert_allclose(found.draw(5, seed=1)[name], draws, rtol=0.02, atol=2e-3)
    np.testing.assert_allclose(found.predictive(X, 30, 0), fitted().predictive(X, 30, 0), atol=5e-3)
    assert found.record.settings == fitted().record.settings
    assert found.record.temperature == 0.5
    np.testing.assert_array_equal(found.record.elbo, fitted().record.elbo)


def test_full_precision_loses_nothing(tmp_path):
    file = save_posterior(fitted(), tmp_path / "posterior.safetensors", half=False)
    np.testing.assert_array_equal(
        load_posterior(file, classifier()).predictive(X, 30, 0), fitted().predictive(X, 30, 0)
    )


@pytest.mark.skipif(not hasattr(os, "umask"), reason="Windows has no umask")
def test_others_may_read_the_file_where_the_user_lets_them(tmp_path):
    before = os.umask(0o022)
    try:
        path = save_posterior(fitted(), tmp_path / "posterior.safetensors")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_only_restarts_with_weight_are_stored(file, tmp_path):
    alone = save_posterior(fitted().best(), tmp_path / "best.safetensors")
    assert alone.stat().st_size < file.stat().st_size
    found = load_posterior(alone, classifier())
    assert found.weights.tolist() == [1.0]
    assert found.record.elbo == fitted().best().record.elbo


def test_the_models_data_may_be_others(file):
    found = load_posterior(file, classifier(rows=10))
    np.testing.assert_allclose(found.predictive(X, 30, 0), fitted().predictive(X, 30, 0), atol=5e-3)


def test_another_model_is_refused(file):
    with pytest.raises(ModelError, match=r"'0.weight': \[4, 3\].*the model has.*\[5, 3\]"):
        load_posterior(file, classifier(width=5))
    with pytest.raises(ModelError, match="scale_log__"):
        load_posterior(file, classifier(Gaussian(1.0)))


# --- what a prediction depends on beside the weights ------------------------------------------------------------------


@pytest.fixture
def frozen(tmp_path):
    """A fit on top of random features that aren't drawn, and the file of it."""
    posterior = fit(frozen_features(seed=0)[0], 30, progressbar=False, elbo_draws=20)
    return posterior, save_posterior(posterior, tmp_path / "frozen.safetensors", half=False)


def test_another_prior_is_refused(file, tmp_path):
    with pytest.raises(ModelError, match=r"the prior of .* has a log density of .*with the prior of the fit"):
        load_posterior(file, classifier(LearnedScale(3.0)))
    chains = companion.sample(classifier(Gaussian(1.0)), 8, warmup=4, chains=2, sampler="mclmc", progressbar=False)
    kept = chains.save(tmp_path / "chains.safetensors")
    with pytest.raises(ModelError, match="prior"):
        load_posterior(kept, classifier(Gaussian(0.5)))
    assert len(load_posterior(kept, classifier(Gaussian(1.0), rows=30))) == 16


def held(rows=4, width=1.0, most=2.0):
    """A potential and a prior that read the data, and a prior with an edge."""
    with pm.Model() as model:
        x = pm.Data("x", np.linspace(0, 1, rows))
        w = pm.Normal("w", 0, width)
        near = pm.Normal("near", x.mean(), 1)
        below = pm.Uniform("below", 0, most, default_transform=None)
        pm.Potential("weak", -((x * w).sum() ** 2))
        pm.Normal("y", w * x + near + below, 1, observed=pm.Data("labels", np.ones(rows)))
    return model


def test_priors_that_read_the_data_may_change_with_the_rows_and_others_may_not(tmp_path):
    start = {"w": 0.5, "near": 0.1, "below": 1.5}
    found = companion.sample(held(), 8, warmup=4, chains=2, sampler="mclmc", start=start, progressbar=False)
    kept = found.save(tmp_path / "held.safetensors")
    assert len(load_posterior(kept, held(rows=9))) == 16
    with pytest.raises(ModelError, match=r"the prior of 'w' has a log density of .* nats, where"):
        load_posterior(kept, held(width=1.5))
    with pytest.raises(ModelError, match="the prior of 'below' has a log density of"):
        load_posterior(kept, held(most=1.0))
    told = {"fixed": {}, "data": {}, "prediction": None, "prior": {"below": [-0.7, 1]}}
    with pytest.raises(ModelError, match="a log density of no finite number, where that of the fitted one had"):
        compare(told, told | {"prior": {"below": None}})


def test_the_same_frozen_weights_load(frozen):
    posterior, path = frozen
    found = load_posterior(path, frozen_features(seed=0, rows=10)[0])
    np.testing.assert_allclose(found.predictive(X, 5, 0), posterior.predictive(X, 5, 0), rtol=1e-6)


def test_other_frozen_weights_are_named(frozen):
    with pytest.raises(
        ModelError, match=r"frozen parameters and buffers, and '0.bias', '0.weight' differ from what was fitted"
    ):
        load_posterior(frozen[1], frozen_features(seed=1)[0])


def test_another_buffer_is_named(frozen):
    _, module = frozen_features(seed=0)
    module[1].running_mean += 1
    model = torch_classifier(Observations(X, np.arange(60) % 2), module, Gaussian(1.0))
    with pytest.raises(ModelError, match=r"frozen parameters and buffers, and '1.running_mean' differs"):
        load_posterior(frozen[1], model)


def test_frozen_weights_that_are_drawn_now_are_another_model(frozen):
    _, module = frozen_features(seed=0)
    model = torch_classifier(Observations(X, np.arange(60) % 2), module.requires_grad_(), Gaussian(1.0))
    with pytest.raises(ModelError, match="the file is a posterior of"):
        load_posterior(frozen[1], model)


def test_another_activation_is_noticed(tmp_path):
    path = save_posterior(fitted(), tmp_path / "posterior.safetensors")
    network = dense(3, 4, 3, activation=torch.nn.Softplus)
    other = torch_classifier(Observations(X, Y), network, LearnedScale())
    with pytest.raises(ModelError, match=r"at the same weights and inputs it predicts .*look for another activation"):
        load_posterior(path, other)


def test_a_regression_with_other_rows_is_told_that_its_target_is_standardised_by_them(tmp_path):
    def regression(rows):
        return torch_regression(Measurements(X[:rows], X[:rows, 0] ** 2), dense(3, 4, 1), Gaussian(1.0))

    path = fit(regression(60), 20, progressbar=False, elbo_draws=2).save(tmp_path / "posterior.safetensors")
    assert predict(load_posterior(path, regression(60)), X[:5], draws=2).shape == (2, 5)
    with pytest.raises(ModelError, match=r"standardises its target by its own rows.*the rows that were fitted"):
        load_posterior(path, regression(30))


def with_constants(offset=1.0, high=2.0, name="Normal"):
    with pm.Model() as model:
        x, c = pm.Data("x", X[:, 0]), pm.Data("c", offset)
        mean = pm.Uniform("w", 0, high) * x + c
        if name == "Normal":
            pm.Normal("y", mean, 1, observed=Y.astype(float))
        else:
            pm.Bernoulli("y", logit_p=mean, observed=Y % 2)
    return model


def test_data_without_rows_are_named(tmp_path):
    path = fit(with_constants(), 30, progressbar=False, elbo_draws=20).save(tmp_path / "posterior.safetensors")
    assert load_posterior(path, with_constants()).record.method == "mean-field"
    with pytest.raises(ModelError, match=r"data without rows, and 'c' differs .* by pm.set_data"):
        load_posterior(path, with_constants(offset=1.5))


@pytest.mark.parametrize("other", [{"high": 3.0}, {"name": "Bernoulli"}])
def test_another_support_or_likelihood_is_noticed(other, tmp_path):
    path = fit(with_constants(), 30, progressbar=False, elbo_draws=20).save(tmp_path / "posterior.safetensors")
    with pytest.raises(ModelError, match="at the same weights and inputs it predicts"):
        load_posterior(path, with_constants(**other))


def test_a_file_of_the_first_format_says_nothing_of_it_and_loads(monkeypatch, tmp_path):
    """Files of version 0.1, such as the fitted posteriors that come with the companion, hold no checksums."""
    path = save_posterior(fitted(), tmp_path / "posterior.safetensors", half=False)
    about, tensors = storage._read(path)
    record = about["record"]
    old = {"format": 1, "layout": about["layout"], "weights": record.pop("weights"), "record": record}
    del record["method"]
    save_file(tensors, path, {"about": json.dumps(old), "sha256": storage._seal(old, tensors)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load_posterior(path, classifier())
    np.testing.assert_array_equal(found.predictive(X, 30, 0), fitted().predictive(X, 30, 0))
    assert str(found.record) == str(load_posterior(save_posterior(fitted(), path), classifier()).record)


# --- kinds ------------------------------------------------------------------------------------------------------------


class Line(PosteriorBase):
    """A posterior that a reader might write: the slope of a line through the origin, in closed form."""

    def __init__(self, mean, scale):
        self.mean, self.scale = mean, scale
        self.record = Record("line", {}, np.empty((0, 1)), np.full((1, 2), np.nan), np.ones(1), 0.0)

    @property
    def variables(self):
        return ("slope",)

    def _drawn(self, n, seed, names):
        return {"slope": np.random.default_rng(seed).normal(self.mean, self.scale, n)}

    @property
    def _predictive(self):
        inputs = {"x": torch.zeros(1, dtype=torch.float64)}
        cpu = torch.device("cpu")
        return Predictive(lambda d, p: d["slope"] * p["x"], {"slope": ()}, inputs, torch.float64, cpu, {})

    def moments(self):
        return {"slope": Moments(np.array(self.mean), np.array(self.scale))}

    def _parts(self):
        return self.mean, self.scale

    def packed(self, half):
        return Packed({"mean": self.mean}, {"scale": torch.tensor(self.scale)}, self.record)

    @classmethod
    def unpacked(cls, packed, model, device):
        return cls(packed.about["mean"], packed.tensors["scale"].item())


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setattr(storage, "_kinds", dict(storage._kinds))
    return storage._kinds


def test_a_posterior_of_ones_own_keeps_the_contract_and_is_stored(known, tmp_path):
    line = Line(2.0, 0.1)
    with pytest.raises(ModelError, match=r"Line can't be saved.*companion.posterior.register"):
        line.save(tmp_path / "line.safetensors")
    assert register("line")(Line) is Line
    assert isinstance(line, Posterior)
    found = load_posterior(line.save(tmp_path / "line.safetensors"), None)
    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(predict(found, x, draws=5), line.draw(5, seed=0)["slope"][:, None] * x)
    assert moments(found)["slope"].scale == pytest.approx(0.1)
    assert found.to_arviz(7)["posterior"]["slope"].shape == (1, 7)
    with pytest.raises(ModelError, match="a Line doesn't keep the observations"):
        found.to_arviz(7, log_likelihood=True)
    with pytest.raises(ModelError, match="x holds NaN"):
        line.predictive([np.nan], 3, 0)


def test_a_kind_that_nobody_has_registered_names_what_to_import(known, tmp_path):
    register("line")(Line)
    path = Line(2.0, 0.1).save(tmp_path / "line.safetensors")
    del known["line"]
    with pytest.raises(DataError, match=r"of kind 'line', and nobody has registered that kind yet.*import "):
        load_posterior(path, None)


def test_two_classes_cant_share_a_kind(known):
    with pytest.raises(ModelError, match="named 'variational' is known already"):
        register("variational")(Line)
    with pytest.raises(ModelError, match=r"int lacks \['packed', 'unpacked'\]"):
        register("whole number")(int)
    assert register("variational")(VariationalPosterior) is VariationalPosterior  # a notebook's cell runs again


def test_settings_that_json_does_not_hold_are_stored_in_words(tmp_path):
    posterior = made(Pair("advi", "binary"))
    found = load_posterior(posterior.save(tmp_path / "posterior.safetensors"), binary())
    assert found.record.settings["optimizer"].startswith("adam(learning_rate=0.01")
    assert found.record.settings["start_scale"] == 0.1


def test_approximations_of_several_groups_or_flows_cant_be_saved(tmp_path):
    with pm.Model() as model:
        a, b = pm.Normal("a"), pm.Normal("b")
        pm.Normal("y", a + b, 1, observed=0.5)
        mixed = pm.Approximation([pm.Group([a], vfam="mf"), pm.Group([b], vfam="fr")])
    with pytest.raises(ModelError, match="an approximation Approximation of 2 groups can't be saved"):
        ApproximationPosterior(mixed, model).save(tmp_path / "x.safetensors")


# --- files that can't be read -----------------------------------------------------------------------------------------


def test_damage_is_noticed(file):
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        load_posterior(file, classifier())
    file.write_bytes(content[:1000])
    with pytest.raises(DataError, match="can't be read"):
        load_posterior(file, classifier())


def test_files_that_are_not_ours_are_refused(tmp_path):
    with pytest.raises(DataError, match="can't be read"):
        load_posterior(tmp_path / "absent.safetensors", classifier())
    save_file({"mean": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="no posterior of ours"):
        load_posterior(tmp_path / "other.safetensors", classifier())


def test_what_cant_be_saved_is_refused(tmp_path):
    with pytest.raises(ModelError, match="dict can't be saved"):
        save_posterior({}, tmp_path / "x.safetensors")
    with pytest.raises(DataError, match="can't be written"):
        save_posterior(fitted(), tmp_path / "no folder" / "x.safetensors")
    large = fit(classifier(), 1, restarts=1, progressbar=False, elbo_draws=2)
    large.parameters["mean"][0, 0] = 1e5
    with pytest.raises(ModelError, match="half=False"):
        save_posterior(large, tmp_path / "x.safetensors")


def test_the_front_door_takes_a_file_too(file):
    found = companion.load_posterior(file, classifier())
    np.testing.assert_allclose(found.predictive(X, 30, 0), fitted().predictive(X, 30, 0), atol=5e-3)
