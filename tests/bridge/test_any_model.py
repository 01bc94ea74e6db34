"""Models of other shapes than the book's own, and inputs that a fit must not take in silence."""

import numpy as np
import pymc as pm
import pytest
import torch

from companion.bridge import torch_log_density, wrap_torch
from companion.errors import DataError, ModelError
from companion.inference import fit
from companion.prediction import predict
from companion.training import checkpoints

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 2)), RNG.normal(size=40)
QUICK = {"steps": 30, "compile": False, "progressbar": False, "elbo_draws": 5, "device": "cpu"}


def latent_per_row():
    with pm.Model() as model:
        z = pm.Normal("z", 0, 1, shape=40)
        pm.Normal("y", z, 1, observed=pm.Data("y_obs", Y))
    return model


def inputs_as_plain_array():
    with pm.Model() as model:
        w = pm.Normal("w", 0, 1, shape=2)
        pm.Normal("y", X @ w, 1, observed=pm.Data("y_obs", Y))
    return model


def one_observation():
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 1)
        pm.Normal("y", mean, 1, observed=pm.Data("y_obs", 3.0))
    return model


def observations_in_units_of_a_datum():
    with pm.Model() as model:
        unit = pm.Data("unit", 2.0)
        w = pm.Normal("w", 0, 1, shape=2)
        pm.Normal("y", pm.Data("x", X) @ w, 1, observed=pm.Data("y_obs", Y) / unit)
    return model


@pytest.mark.parametrize(
    "make", [latent_per_row, inputs_as_plain_array, one_observation, observations_in_units_of_a_datum]
)
def test_a_fit_on_all_rows_takes_any_shape_of_model(make, tmp_path):
    posterior = fit(make(), checkpoint=tmp_path, **QUICK)
    assert np.isfinite(posterior.record.elbo).all()


def test_mini_batches_of_a_model_with_a_value_for_each_row_are_refused():
    with pytest.raises(ModelError, match=r"some of the rows alone.*Leave batch_size out"):
        fit(latent_per_row(), batch_size=10, **QUICK)


@pytest.mark.parametrize("p", [[0.5, 0.7], [1.5, -0.5]])
def test_impossible_parameters_have_no_density_as_in_pymc(p):
    with pm.Model() as model:
        w = pm.Normal("w", 0, 1)
        pm.Categorical("y", p=np.array(p) + 0 * w, observed=pm.Data("labels", np.array([0, 1])))
    assert model.compile_logp()(model.initial_point()) == -np.inf
    density = torch_log_density(model)
    assert density({"w": torch.zeros(())}) == -np.inf


def test_an_ensemble_of_points_from_one_start_is_refused():
    with pytest.raises(ModelError, match="all of them would be the same"):
        fit(inputs_as_plain_array(), family="map", restarts=3, start={"w": np.zeros(2)}, **QUICK)


def whole_numbers():
    with pm.Model() as model:
        slope = pm.Normal("slope", 0, 1)
        pm.Normal("y", slope * pm.Data("x", np.arange(10)), 1, observed=pm.Data("y_obs", np.arange(10.0)))
    return model


def test_fractions_are_not_cut_off_where_the_model_holds_whole_numbers():
    posterior = fit(whole_numbers(), **QUICK)
    assert predict(posterior, np.array([1.0, 2.0]), draws=3).shape == (3, 2)
    with pytest.raises(ModelError, match="x holds numbers with fractions"):
        predict(posterior, np.array([1.0, 2.5]), draws=3)
    rows = torch.utils.data.TensorDataset(torch.linspace(0, 1, 10), torch.zeros(10))
    with pytest.raises(DataError, match="'x' of a row of the dataset has fractions"):
        fit(whole_numbers(), dataset=rows, batch_size=5, **QUICK)


class Augmented(torch.utils.data.Dataset):
    """Each reading of a row gives another one."""

    def __len__(self):
        return 40

    def __getitem__(self, i):
        return {"x": X[i] + torch.randn(2).numpy(), "y_obs": Y[i]}


def test_a_dataset_that_changes_its_rows_can_go_on_from_a_checkpoint(tmp_path):
    model = observations_of_both()
    settings = {**QUICK, "dataset": Augmented(), "batch_size": 10, "checkpoint": tmp_path, "checkpoint_every": 10}
    fit(model, **settings)
    assert checkpoints.read(tmp_path, {}).step == 30
    fit(model, **settings)


def observations_of_both():
    with pm.Model() as model:
        w = pm.Normal("w", 0, 1, shape=2)
        pm.Normal("y", pm.Data("x", X) @ w, 1, observed=pm.Data("y_obs", Y))
    return model


@pytest.mark.filterwarnings("ignore:Data in")
@pytest.mark.parametrize("observe", ["numbers", "two columns"])
def test_a_model_with_missing_observations_predicts_for_all_rows(observe):
    missing = X[:, 1] > 0.5
    with pm.Model() as model:
        out = pm.Data("x", X) @ pm.Normal("w", 0, 1, shape=(2, 2))
        if observe == "numbers":
            pm.Normal("y", out[:, 0], 1, observed=np.where(missing, np.nan, Y))
        else:
            pm.Normal("y", out, 1, observed=np.where(X > 0.5, np.nan, X))
    posterior = fit(model, **QUICK)
    shape = (4, 2) if observe == "two columns" else (4,)
    draws = posterior.draw(10, 0)
    predicted = predict(posterior, X[:4], 10)
    assert predicted.shape == (10, *shape)
    truth = np.einsum("nf,dfo->dno", X[:4], draws["w"])
    truth = truth if shape[1:] else truth[..., 0]
    np.testing.assert_allclose(posterior.predict(X[:4], draws), truth, rtol=1e-4, atol=1e-6)


def test_no_mixture_without_a_finite_elbo():
    posterior = fit(inputs_as_plain_array(), restarts=2, keep="mixture", **QUICK)
    posterior.record.bounds[:, 0] = -np.inf
    with pytest.raises(ModelError, match="no restart has a finite ELBO"):
        posterior.mixture()


def test_a_checkpoint_leaves_other_files_of_its_folder_alone(tmp_path):
    (tmp_path / "download.part").write_text("mine")
    fit(inputs_as_plain_array(), checkpoint=tmp_path, **QUICK)
    assert (tmp_path / "download.part").read_text() == "mine"


@pytest.mark.parametrize(
    "module",
    [
        torch.nn.MultiheadAttention(4, 2, dropout=0.1),
        torch.nn.RReLU(),
        torch.nn.LSTM(3, 3, num_layers=2, dropout=0.2),
        torch.nn.InstanceNorm2d(3, track_running_stats=True),
    ],
    ids=lambda module: type(module).__name__,
)
def test_layers_that_draw_or_count_in_training_are_refused_and_pass_in_evaluation(module):
    with pytest.raises(ModelError, match=r"in training mode.*eval\(\)"):
        wrap_torch(torch.nn.Sequential(module))
    wrap_torch(torch.nn.Sequential(module).eval())


class KeepsItsScale(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.register_buffer("scale", torch.ones(2))

    def forward(self, x):
        return x * self.weight, self.scale


def test_what_pytensor_does_in_place_does_not_reach_the_module():
    import pytensor
    import pytensor.tensor as pt

    module = KeepsItsScale()
    x = pt.vector("x", dtype="float32")
    _, scale = wrap_torch(module)(x, {"weight": np.ones(2, "float32")})
    function = pytensor.function([x], pt.exp(scale + 1) * 3)
    first = function(np.ones(2, "float32"))
    np.testing.assert_array_equal(function(np.ones(2, "float32")), first)
    assert module.scale.tolist() == [1, 1]


def test_a_model_is_fitted_after_pymcs_own_predictive_draws():
    with pm.Model() as model:
        w = pm.Normal("w", 0, 1)
        pm.Normal("y", w, 1, observed=np.ones(5))
    posterior = fit(model, **QUICK)
    pm.sample_posterior_predictive(posterior.to_arviz(5), model=model, progressbar=False)
    assert np.isfinite(fit(model, **QUICK).record.elbo)  # PyMC 5 leaves y in the model twice
