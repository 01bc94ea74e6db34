"""The contract of posteriors: what holds for every one of them, however it was found."""

import copy
import pickle

import arviz as az
import numpy as np
import pymc as pm
import pytest
from kinds import (
    MODELS,
    PAIRS,
    PYRO,
    Pair,
    counts_of_rows,
    made,
    model_anew,
    model_of,
    points,
    pyro_regression,
    sampled,
    shapes_of,
    value_shapes_of,
    values_of,
)
from scipy.stats import poisson

from companion.compat import ARVIZ_1
from companion.errors import ModelError
from companion.posterior import Posterior, PosteriorBase, Record, load_posterior, moments, storage
from companion.prediction import predict
from companion.sampling import SamplerName
from companion.variational import FamilyName

EVERY = pytest.mark.parametrize("pair", PAIRS + PYRO, ids=str)
PYMC = pytest.mark.parametrize("pair", PAIRS, ids=str)
FOUND = pytest.mark.parametrize(
    "pair",
    [p for p in PAIRS if "disk" not in p.posterior and p.posterior in ("mixture", "advi", "nuts", "chains")],
    ids=str,
)
SHAPES = {"regression": (), "counts": (), "layer": (), "binary": (2,), "classes": (3,), "scales": (3,)}


def shape_of(pair):
    """Give the shape of one prediction."""
    return SHAPES[pair.model.split()[-1]]


def nearly(pair):
    """Give the tolerance of a prediction: Pyro computes in float32."""
    return {"rtol": 1e-4, "atol": 1e-6} if pair in PYRO else {"rtol": 1e-6}


def same(first, second, rtol=1e-12):
    assert list(first) == list(second)
    for name, array in first.items():
        np.testing.assert_allclose(array, second[name], rtol=rtol, err_msg=name)


# --- the protocol and the record --------------------------------------------------------------------------------------


def test_no_kind_family_or_sampler_is_left_out():
    """A new one has to be added to `kinds`."""
    once = [p for p in {p.posterior: p for p in PAIRS + PYRO}.values() if "disk" not in p.posterior]
    posteriors = [made(p) for p in once]
    assert {type(posterior) for posterior in posteriors} >= set(storage._kinds.values())
    families = {p.record.settings["family"].partition(":")[0] for p in posteriors if "family" in p.record.settings}
    assert families >= set(FamilyName)
    assert {p.record.settings.get("sampler") for p in posteriors} >= set(SamplerName)


@EVERY
def test_it_follows_the_protocol(pair):
    posterior = made(pair)
    assert isinstance(posterior, Posterior)
    assert isinstance(posterior, PosteriorBase)


@EVERY
def test_its_record_says_how_it_was_found(pair):
    record = made(pair).record
    assert isinstance(record, Record)
    assert record.method
    restarts = len(record.weights)
    assert record.weights.sum() == pytest.approx(1)
    assert record.bounds.shape == (restarts, 2)
    assert record.losses.shape == (len(record.losses), restarts)
    assert isinstance(record.elbo, float)
    assert record.elbo.round(1) == pytest.approx(record.elbo, abs=0.06, nan_ok=True)  # NumPy's methods work on it
    assert len(record.restarts) == restarts
    assert "\n" not in str(record)
    assert str(record) in repr(made(pair))


# --- draws ------------------------------------------------------------------------------------------------------------


@EVERY
def test_draws_have_the_models_shapes_and_follow_their_seed(pair):
    posterior = made(pair)
    shapes = shapes_of(posterior)
    draws, again, other = posterior.draw(6, seed=0), posterior.draw(6, seed=0), posterior.draw(6, seed=1)
    assert {n: a.shape for n, a in draws.items()} == {n: (6, *shape) for n, shape in shapes.items()}
    assert list(posterior.variables) == list(shapes)
    assert all(np.isfinite(a).all() for a in draws.values())
    same(draws, again, rtol=0)
    assert any((draws[name] != other[name]).any() for name in draws)


@EVERY
def test_some_variables_can_be_drawn_alone(pair):
    posterior = made(pair)
    name = posterior.variables[-1]
    alone = posterior.draw(4, seed=3, names=[name])
    assert list(alone) == [name]
    np.testing.assert_array_equal(alone[name], posterior.draw(4, seed=3)[name])


@EVERY
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"n": 0, "seed": 0}, "n=0; expected a whole number, 1 or more"),
        ({"n": 2.5, "seed": 0}, "n=2.5; expected a whole number"),
        ({"n": 1, "seed": -1}, "seed=-1; expected a whole number, 0 or more"),
        ({"n": 1, "seed": None}, "seed=None; expected a whole number"),
        (
            {"n": 1, "seed": 0, "names": ["strange"]},
            r"names=\['strange'\]; expected names of (free variables|sites), some of",
        ),
        ({"n": 1, "seed": 0, "names": "w"}, r"names='w'; expected names of (free variables|sites).*: \['w'\]"),
        ({"n": 1, "seed": 0, "names": 3}, "names=3; expected names of (free variables|sites)"),
        ({"n": 1, "seed": 0, "names": [["w"]]}, r"names=\[\['w'\]\]; expected names of (free variables|sites)"),
    ],
)
def test_draws_that_cant_be_made_are_refused(pair, asked, message):
    with pytest.raises(ModelError, match=message):
        made(pair).draw(**asked)
    if "names" not in asked:
        with pytest.raises(ModelError, match=message):
            made(pair).predictive(points(pair.model), asked["n"], asked["seed"])


@EVERY
def test_moments_are_those_of_the_draws(pair):
    posterior = made(pair)
    if pair.posterior in ("mixture", "ensemble", "multi-swag", "mixture from disk"):
        with pytest.raises(ModelError, match="mixture of 2 restarts"):
            posterior.moments()
        posterior = posterior.best()
    found = moments(posterior)
    assert {name: m.mean.shape for name, m in found.items()} == value_shapes_of(posterior)
    count = {"nuts": 40, "chains": 240}.get(pair.posterior.split()[0], 3000)
    draws = posterior.draw(count, seed=0)
    for name, values in values_of(posterior, draws).items():
        wide = found[name].scale.max() + 1e-12
        np.testing.assert_allclose(values.mean(axis=0), found[name].mean, atol=6 * wide / np.sqrt(count))
        np.testing.assert_allclose(values.std(axis=0), found[name].scale, rtol=0.15, atol=1e-9)
    if pair.model == "regression":  # the logarithm of a scale, not the scale
        logs = np.log(draws["scale"])
        assert logs.mean() == pytest.approx(
            float(found["scale_log__"].mean), abs=6 * logs.std() / np.sqrt(count) + 1e-9
        )


# --- predictions ------------------------------------------------------------------------------------------------------


@EVERY
def test_predictions_are_those_of_each_draw(pair):
    posterior, x = made(pair), points(pair.model)
    draws = posterior.draw(5, seed=2)
    found = posterior.predict(x, draws)
    assert found.shape == (5, 7, *shape_of(pair))
    each = [posterior.predict(x, {n: a[k : k + 1] for n, a in draws.items()})[0] for k in range(5)]
    np.testing.assert_allclose(found, each, **nearly(pair))
    np.testing.assert_allclose(posterior.predict(x[::-1], draws), found[:, ::-1], **nearly(pair))
    assert posterior.predict(x[:1].tolist(), draws).shape == (5, 1, *shape_of(pair))
    if shape_of(pair):
        np.testing.assert_allclose(found.sum(axis=-1), 1, rtol=1e-6)


@EVERY
def test_predicting_with_new_draws_is_predicting_with_the_seeds_draws(pair):
    posterior, x = made(pair), points(pair.model)
    expected = posterior.predict(x, posterior.draw(5, seed=2))
    np.testing.assert_allclose(posterior.predictive(x, 5, seed=2), expected, **nearly(pair))
    np.testing.assert_allclose(predict(posterior, x, draws=5, seed=2), expected, **nearly(pair))


@pytest.mark.parametrize("pair", [p for p in PAIRS if p.model == "regression"], ids=str)
def test_predictions_are_the_models_formula(pair):
    x, draws = points("regression"), made(pair).draw(4, seed=0)
    np.testing.assert_allclose(
        made(pair).predict(x, draws), draws["w"] @ x.T + draws["mix"] @ (x**2).T, rtol=1e-9, atol=1e-9
    )


@EVERY
def test_draws_that_do_not_fit_are_named(pair):
    posterior, x = made(pair), points(pair.model)
    draws = dict(posterior.draw(4, seed=0))
    name = posterior.variables[-1]
    shape = draws[name].shape
    for change, message in (
        (None, f"no draws of '{name}'; the draws have"),
        (np.zeros((4, 9, *shape[1:])), f"draws of '{name}' have shape"),
        (draws[name][:0], f"draws of '{name}' have shape"),
        (draws[name].astype(str), f"draws of '{name}' have shape .* expected numbers"),
        *([(draws[name][:3], "differ in their number of draws")] if len(draws) > 1 else []),
    ):
        given = {n: a for n, a in {**draws, name: change}.items() if a is not None}
        with pytest.raises(ModelError, match=message):
            posterior.predict(x, given)
    with pytest.raises(ModelError, match="draws is a list; expected a mapping of names to arrays"):
        posterior.predict(x, [1, 2])


@EVERY
def test_inputs_that_do_not_fit_are_named(pair):
    posterior = made(pair)
    x = points(pair.model)
    draws, hole = posterior.draw(2, seed=0), x.copy()
    hole[3, 1] = np.nan
    for given, message in (
        (np.zeros((5, 9)), r"x has shape \(5, 9\).*expected numbers \('points', "),
        (x[:0], r"x has shape \(0, "),
        (x.astype(str), "expected numbers"),
        (hole, "x holds NaN or infinity; expected finite numbers"),
        ({"x": x, "z": x}, r"lack or add \['z'\]"),
        ({}, r"lack or add \['x'\]"),
    ):
        for ask in (lambda: posterior.predict(given, draws), lambda: posterior.predictive(given, 2, seed=0)):  # noqa: B023
            with pytest.raises(ModelError, match=message):
                ask()


@pytest.mark.parametrize("pair", [p for p in PAIRS if p.model == "counts"], ids=str)
def test_predictions_of_counts_are_their_means(pair):
    x, draws = points("counts"), made(pair).draw(4, seed=0)
    np.testing.assert_allclose(made(pair).predict(x, draws), np.exp(0.1 * draws["w"] @ x.T), rtol=1e-6)


# --- copies and files -------------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("copied", [lambda p: pickle.loads(pickle.dumps(p)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_a_copy_draws_and_predicts_the_same(pair, copied):
    posterior = made(pair)
    found = copied(posterior)
    assert type(found) is type(posterior)
    assert found.model is not posterior.model
    same(found.draw(4, seed=1), posterior.draw(4, seed=1))
    x = points(pair.model)
    np.testing.assert_allclose(found.predictive(x, 4, 1), posterior.predictive(x, 4, 1), rtol=1e-12)
    assert found.record.elbo == pytest.approx(posterior.record.elbo, nan_ok=True)
    np.testing.assert_array_equal(found.record.losses, posterior.record.losses)


@EVERY
def test_what_was_saved_draws_and_predicts_the_same(pair, tmp_path):
    posterior = made(pair)
    path = posterior.save(tmp_path / "posterior.safetensors", half=False)
    found = load_posterior(path, model_anew(pair.model))  # the rows may be others
    assert type(found) is type(posterior)
    same(found.draw(4, seed=1), posterior.draw(4, seed=1))
    x = points(pair.model)
    np.testing.assert_allclose(found.predictive(x, 4, 1), posterior.predictive(x, 4, 1), rtol=1e-9)
    kept = posterior.record.only(np.flatnonzero(posterior.record.weights))
    assert found.record.method == kept.method
    assert found.record.elbo == pytest.approx(kept.elbo, nan_ok=True)
    np.testing.assert_allclose(found.record.losses, kept.losses, rtol=1e-3)
    assert set(found.record.settings) == set(kept.settings)


@EVERY
def test_another_model_is_refused_by_what_differs(pair, tmp_path):
    path = made(pair).save(tmp_path / "posterior.safetensors")
    with pm.Model() as other:
        pm.Normal("other", shape=2)
        pm.Normal("y", pm.Data("x", np.zeros(3)), 1, observed=np.zeros(3))
    with pytest.raises(ModelError, match=r"doesn't fit the model: the file is a posterior of .*; the model has "):
        load_posterior(path, pyro_regression(width=9) if pair in PYRO else other)
    with pytest.raises(ModelError, match=r"doesn't fit the model: it is a NoneType; expected "):
        load_posterior(path, None)


# --- ArviZ ------------------------------------------------------------------------------------------------------------


def groups(container):
    return set(container.children) if ARVIZ_1 else set(container.groups())


@PYMC
def test_arviz_gets_what_pymc_says_of_the_model(pair):
    posterior = made(pair)
    found, expected = posterior.to_arviz(15, seed=3), sampled(pair.model)
    assert type(found) is type(expected)
    assert groups(found) >= groups(expected) - {"sample_stats"}
    for group in groups(expected) - {"sample_stats"}:
        own, pymcs = found[group], expected[group]
        assert set(own.data_vars) == set(pymcs.data_vars)
        for name, variable in pymcs.data_vars.items():
            assert own[name].dims == variable.dims
            assert own[name].dtype == variable.dtype
            if group != "posterior":
                np.testing.assert_array_equal(own[name].values, variable.values)
            for dim in set(variable.dims) - {"chain", "draw"}:
                np.testing.assert_array_equal(own[name].coords[dim].values, variable.coords[dim].values)
    for name, array in posterior.draw(15, seed=3).items():
        np.testing.assert_allclose(found["posterior"][name].values, array[None], rtol=1e-6)
    if pair.posterior.startswith("nuts"):
        assert set(found["sample_stats"].data_vars) == set(expected["sample_stats"].data_vars)


@FOUND
def test_the_log_likelihood_is_pymcs(pair):
    posterior = made(pair)
    found = posterior.to_arviz(40, seed=3, log_likelihood=True)
    values = posterior.draw(40, seed=3)
    logps = found["log_likelihood"]["y"].values[0]
    mean = posterior.predict(model_of(pair.model)["x"].get_value(), values)
    assert logps.shape == (40, 40)
    if pair.model == "regression":
        observed = model_of("regression")["labels"].get_value()
        each = -0.5 * ((observed - mean) / values["scale"][:, None]) ** 2
        np.testing.assert_allclose(logps, each - np.log(values["scale"])[:, None] - 0.5 * np.log(2 * np.pi), rtol=1e-9)
    elif pair.model == "counts":
        np.testing.assert_allclose(logps, poisson.logpmf(counts_of_rows(40), mean), rtol=1e-5)
    else:
        labels = model_of(pair.model)["labels"].get_value()
        np.testing.assert_allclose(np.exp(logps), mean[:, np.arange(40), labels], rtol=1e-5)
    assert found["sample_stats"]["lp"].shape == (1, 40)
    assert np.isfinite(float(az.loo(found).elpd if ARVIZ_1 else az.loo(found).elpd_loo))


def test_the_log_density_of_a_draw_is_pymcs():
    posterior = made(Pair("nuts", "regression"))
    own = made(Pair("advi", "regression"))
    recorded = posterior.samples["sample_stats"]["lp"].values.ravel()
    again = with_draws(own, posterior.draws).to_arviz(len(recorded), log_likelihood=True)
    np.testing.assert_allclose(again["sample_stats"]["lp"].values[0], recorded)


def with_draws(posterior, draws):
    """The same posterior, except that it draws these."""
    found = copy.copy(posterior)
    found._drawn = lambda n, seed, names: {name: draws[name][:n] for name in names}
    return found


@pytest.mark.parametrize(
    "pair", [Pair("mixture", m) for m in MODELS] + [Pair("advi", "regression"), Pair("nuts", "binary")], ids=str
)
def test_pymcs_predictive_takes_the_draws_and_nothing_from_the_prior(pair, caplog):
    posterior = made(pair)
    container = posterior.to_arviz(20, seed=0)
    with caplog.at_level("INFO", logger="pymc.sampling.forward"), posterior.model:
        found = pm.sample_posterior_predictive(container, progressbar=False, random_seed=1)
    assert "Sampling: [y]" in caplog.text
    y = found["posterior_predictive"]["y"].values[0]
    assert y.shape == (20, 40)
    if pair.model == "counts":
        mean = posterior.predict(model_of(pair.model)["x"].get_value(), posterior.draw(20, seed=0))
        np.testing.assert_allclose(y.mean(), mean.mean(), atol=5 * np.sqrt(mean.mean() / y.size))
    elif pair.model != "regression":
        p = posterior.predict(model_of(pair.model)["x"].get_value(), posterior.draw(20, seed=0))
        frequency = np.stack([y == c for c in range(p.shape[-1])], axis=-1).mean(axis=(0, 1))
        np.testing.assert_allclose(frequency, p.mean(axis=(0, 1)), atol=5 * np.sqrt(0.25 / y.size))


@FOUND
def test_netcdf_brings_the_container_back(pair, tmp_path):
    found = made(pair).to_arviz(40, seed=3, log_likelihood=True)
    found.to_netcdf(tmp_path / "draws.nc")
    again = az.from_netcdf(tmp_path / "draws.nc")
    assert groups(again) == groups(found)
    for name, variable in found["posterior"].data_vars.items():
        assert again["posterior"][name].dims == variable.dims
        np.testing.assert_array_equal(again["posterior"][name].values, variable.values)
    assert len(az.summary(again))


def test_arviz_is_refused_what_there_is_not():
    posterior = made(Pair("mixture", "regression"))
    with pytest.raises(ModelError, match="n=0; expected a whole number"):
        posterior.to_arviz(0)
    with pytest.raises(ModelError, match=r"names=\['v'\]; expected names of free variables and deterministics"):
        posterior.to_arviz(5, names=["v"])
    with pytest.raises(ModelError, match="the log likelihood needs all free variables"):
        posterior.to_arviz(5, names=["w"], log_likelihood=True)
