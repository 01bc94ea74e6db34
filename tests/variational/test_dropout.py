"""MC dropout as a family: which units there are, and what their masks do to predictions and to the loss."""

import numpy as np
import pymc as pm
import pytest
import torch

from companion.bridge import bayesian, torch_log_density, wrap_torch
from companion.datasets import Observations
from companion.errors import ModelError
from companion.inference import Machine, dropout, fit
from companion.models import binary_classifier, torch_classifier
from companion.posterior import load_posterior
from companion.priors import Gaussian
from companion.variational import Dropout, Estimator, Objective, family_named, for_units, register_family

QUICK = {"progressbar": False, "elbo_draws": 20, "machine": Machine("cpu", "float64", compile=False)}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 2))
Y = X[:, 0] + 0.1 * RNG.normal(size=30)
P = 0.3


def network(*layers):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(*(layer() for layer in layers)).double()


def regression(module=None):
    """Normal observations of a network with one output; linear where no module is given."""
    module = module or network(lambda: torch.nn.Linear(2, 4, bias=False), lambda: torch.nn.Linear(4, 1))
    with pm.Model() as model:
        out = bayesian(module, Gaussian(1.0), pm.Data("x", X))
        pm.Normal("y", out[:, 0], 0.5, observed=pm.Data("labels", Y))
    return model


def units(model, few=8):
    """The family of a model, and the unit of each entry by name."""
    density = torch_log_density(model)
    family = for_units(Dropout(P), density, {n: a[:few] for n, a in density.data.items()})
    objective = Objective(density, family)
    return family, {name: u.numpy() for name, u in objective.layout.split(family.units).items()}


@pytest.fixture(scope="module")
def fitted():
    return dropout(regression(), 40, p=P, **QUICK)


def test_the_predictive_variance_of_a_linear_network_is_in_closed_form(fitted):
    r"""f(x) = b + sum_j v_j h_j(x) z_j / (1 - p), so its variance is p / (1 - p) sum_j (v_j h_j(x))^2."""
    means = fitted.moments()
    hidden = X[:5] @ means["0.weight"].mean.T * means["1.weight"].mean
    found = fitted.predictive(X[:5], 8000, seed=0)
    variance = P / (1 - P) * (hidden**2).sum(axis=1)
    np.testing.assert_allclose(found.var(axis=0), variance, rtol=0.1)
    expected = hidden.sum(axis=1) + means["1.bias"].mean
    np.testing.assert_allclose(found.mean(axis=0), expected, atol=5 * np.sqrt(variance.max() / 8000))


def test_a_draw_drops_whole_columns_with_the_probability_and_nothing_else(fitted):
    draws, means = fitted.draw(4000, seed=1), fitted.moments()
    ratio = draws["1.weight"] / means["1.weight"].mean
    assert np.isclose(ratio, 0).mean() == pytest.approx(P, abs=0.02)
    assert np.allclose(ratio[~np.isclose(ratio, 0)], 1 / (1 - P))
    for name in ("0.weight", "1.bias"):
        np.testing.assert_array_equal(draws[name][0], draws[name][-1])
        assert (means[name].scale == 0).all()


def test_masks_of_each_row_have_the_expected_loss_of_a_mask_for_all(fitted):
    """Both against the closed form of a linear network: half the squared error plus half the variance, per row."""
    objective, own = fitted.objective, fitted.own_parameters("the test")
    shared = Objective(objective.density, objective.family, Estimator.REPARAMETERISATION, objective.rows)
    data = objective.density.data
    layers = objective._layers(own, torch.zeros(objective.noise_size, dtype=torch.float64), data)
    assert layers == {"1.weight"}
    means = fitted.moments()
    hidden = X @ means["0.weight"].mean.T * means["1.weight"].mean
    squares = (Y - hidden.sum(axis=1) - means["1.bias"].mean) ** 2 + P / (1 - P) * (hidden**2).sum(axis=1)
    expected = -0.5 * (squares / 0.25).sum() - 30 * np.log(0.5 * np.sqrt(2 * np.pi))
    generator = torch.Generator().manual_seed(0)
    spread = {}
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for name, one, names in (("row", objective, layers), ("shared", shared, frozenset())):
            noises = torch.randn(500, objective.noise_size, generator=generator, dtype=torch.float64)
            found = [float(one.terms(own, noise, data, names).log_likelihood) for noise in noises]
            assert np.mean(found) == pytest.approx(expected, abs=5 * np.std(found) / np.sqrt(500))
            spread[name] = np.std(found)
    assert spread["row"] < spread["shared"]  # which is why the masks are drawn for each row


def test_the_prior_is_in_closed_form(fitted):
    objective, own = fitted.objective, fitted.own_parameters("the test")
    noises = torch.randn(3000, objective.noise_size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draws = [objective.family.draw(own, noise) for noise in noises]
    each = [-float(objective.density.prior(objective.layout.split(d))) for d in draws]
    exact = {float(objective.kl(own, d, objective.layout.split(d))) for d in draws[:5]}
    assert max(exact) - min(exact) < 1e-9  # without noise
    assert np.mean(each) == pytest.approx(exact.pop(), abs=5 * np.std(each) / np.sqrt(3000))


def test_the_units_of_a_network_are_what_its_hidden_layers_read():
    family, found = units(regression(network(
        lambda: torch.nn.Linear(2, 3), torch.nn.Tanh, lambda: torch.nn.Linear(3, 4), torch.nn.Tanh,
        lambda: torch.nn.Linear(4, 1),
    )))  # fmt: skip
    assert family.count == 7
    assert family.names == {"2.weight", "4.weight"}
    np.testing.assert_array_equal(found["2.weight"], np.tile([1, 2, 3], (4, 1)))
    np.testing.assert_array_equal(found["4.weight"], [[4, 5, 6, 7]])
    assert all((found[name] == 0).all() for name in ("0.weight", "0.bias", "2.bias", "4.bias"))


def test_the_units_of_a_convolution_are_its_input_channels():
    module = network(
        lambda: torch.nn.Conv2d(1, 4, 3), torch.nn.Tanh, lambda: torch.nn.Conv2d(4, 6, 3, groups=2), torch.nn.Flatten,
        lambda: torch.nn.Linear(6 * 4, 2),
    )  # fmt: skip
    images = Observations(RNG.normal(size=(6, 1, 6, 6)), np.arange(6) % 2)
    model = torch_classifier(images, module, Gaussian(1.0))
    family, found = units(model)
    assert family.count == 4 + 24
    channels = found["2.weight"][:, :, 0, 0]
    np.testing.assert_array_equal(channels, [[1, 2]] * 3 + [[3, 4]] * 3)
    assert (found["2.weight"] == channels[:, :, None, None]).all()
    posterior = dropout(model, 3, **QUICK)  # with masks for each row, where the weight is used at every position
    assert posterior.predictive(images.x[:2], 3, seed=0).shape == (3, 2, 2)


def test_a_network_that_is_written_in_pymc_has_units_too():
    model = binary_classifier(Observations(X, (Y > 0).astype(int)), hidden=3)
    family, found = units(model)
    assert family.count == 6
    np.testing.assert_array_equal(found["w_1_2"], [[1] * 3, [2] * 3, [3] * 3])  # of x @ W, rows
    np.testing.assert_array_equal(found["w_2_out"], [4, 5, 6])


class Recurrent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.out = torch.nn.GRU(1, 3, batch_first=True), torch.nn.Linear(3, 1)

    def forward(self, x):
        return self.out(self.rnn(x[..., None])[0][:, -1])


def test_recurrent_weights_are_not_dropped():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        family, _ = units(regression(Recurrent().double()))
    assert family.names == {"out.weight"}


def test_a_shared_layer_has_one_mask_and_a_moved_or_scaled_weight_keeps_its_units():
    layer = network(lambda: torch.nn.Linear(2, 2, bias=False))[0]
    with pm.Model() as model:
        w, scale = pm.Normal("w", shape=(2, 2)), pm.HalfNormal("scale")
        call = wrap_torch(layer)
        hidden = pm.math.tanh(call(pm.math.tanh(call(pm.Data("x", X), {"weight": w})), {"weight": w}))
        v = pm.Normal("v", shape=(1, 2))
        pm.Normal("y", (hidden @ (scale * v).T)[:, 0], 0.5, observed=pm.Data("labels", Y))
    _, found = units(model)
    np.testing.assert_array_equal(found["w"], [[1, 2], [1, 2]])
    np.testing.assert_array_equal(found["v"], [[3, 4]])
    assert found["scale_log__"] == 0


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("dropout:1.5", "probability=1.5 in Dropout; expected a share between 0 and 1"),
        ("dropout:x", "probability='x' in Dropout; expected a share between 0 and 1"),
        ("dropout", "family='dropout' found no hidden units"),
    ],
)
def test_what_cant_be_dropped_is_refused(family, message):
    model = regression(network(lambda: torch.nn.Linear(2, 1)))
    with pytest.raises(ModelError, match=message):
        fit(model, 3, family=family, **QUICK)


def test_a_family_that_was_not_made_for_a_model_says_so():
    with pytest.raises(ModelError, match=r"doesn't know the model's units yet; expected one that .*for_units made"):
        Dropout(0.2).noise(3)
    with pytest.raises(ModelError, match="p=0; expected a share between 0 and 1"):
        dropout(regression(), 3, p=0, **QUICK)


def test_k_hat_is_refused_where_there_is_no_density(fitted):
    with pytest.raises(ModelError, match=r"family 'dropout:0.3'; expected .*a family with a density"):
        fitted.k_hat()


def test_the_name_brings_the_family_back(fitted, tmp_path):
    assert family_named("dropout") == Dropout(0.2)
    assert family_named(Dropout(0.25).name) == Dropout(0.25)
    with pytest.raises(ModelError, match="is known already"):
        register_family(Dropout(0.25))
    loaded = load_posterior(fitted.save(tmp_path / "dropout.safetensors", half=False), regression())
    assert loaded.objective.family == Dropout(P)
    np.testing.assert_array_equal(loaded.draw(5, seed=2)["1.weight"], fitted.draw(5, seed=2)["1.weight"])
