"""Bayes by Backprop runs on the engine's loop: restarts, checkpoints, streams, plates and whole numbers."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, TraceMeanField_ELBO
from pyro.nn import PyroModule

from companion import datasets, priors
from companion.bayes_by_backprop import Classifier, MeanFieldGuide, Regression, fit, to_bayesian
from companion.errors import InferenceError, ModelError
from companion.inference import Checkpoint, Rates, Schedule, Start, Stream
from companion.networks import dense

QUICK = {"elbo_draws": 2, "progressbar": False}
CURVE = datasets.sinusoid(20)


def regression(noise=0.5, seed=0):
    torch.manual_seed(seed)
    return Regression(to_bayesian(dense(1, 4, 1), priors.Gaussian(1.0)), noise=noise)


def test_restarts_differ_and_the_best_by_its_bound_is_kept():
    posterior = fit(regression(), CURVE, 60, restarts=3, learning_rate=0.05, **QUICK)
    table = posterior.record.restarts
    assert len(table) == 3
    assert table["elbo"].nunique() == 3
    assert posterior.record.elbo == table["elbo"].max()
    assert table["weight"].idxmax() == table["elbo"].idxmax()
    means = [posterior.restart(r).means()["0.weight"] for r in range(3)]
    assert not np.allclose(means[0], means[1])
    with pytest.raises(ModelError, match="restart 3 asked for; there are 3"):
        posterior.restart(3)


def test_the_first_restart_is_the_fit_without_restarts():
    alone = fit(regression(), CURVE, 1, learning_rate=1e-9, **QUICK)
    several = fit(regression(), CURVE, 1, restarts=2, learning_rate=1e-9, **QUICK)
    np.testing.assert_allclose(alone.means()["0.weight"], several.restart(0).means()["0.weight"])
    np.testing.assert_allclose(
        np.sort(several.restart(1).means()["0.weight"].ravel()), np.sort(alone.means()["0.weight"].ravel()), atol=1e-6
    )


class Killed(BaseException):
    """What no code catches, as a kill."""


@pytest.mark.parametrize("settings", [{}, {"batch_size": 7, "estimator": "flipout", "restarts": 2}])
def test_a_killed_fit_goes_on_bit_for_bit(tmp_path, settings):
    def kill(step, _):
        if step == 35:
            raise Killed

    given = {"learning_rate": 0.05, **settings, **QUICK}
    whole = fit(regression(noise="learned"), CURVE, 60, **given)
    with pytest.raises(Killed):
        fit(regression(noise="learned"), CURVE, 60, checkpoint=Checkpoint(tmp_path, 10), callback=kill, **given)
    resumed = fit(regression(noise="learned"), CURVE, 60, checkpoint=Checkpoint(tmp_path, 10), **given)
    np.testing.assert_array_equal(resumed.record.losses, whole.record.losses)
    for name, mean in whole.means().items():
        np.testing.assert_array_equal(resumed.means()[name], mean)
    assert resumed.record.elbo == whole.record.elbo


def test_a_checkpoint_of_another_fit_is_refused(tmp_path):
    fit(regression(), CURVE, 10, checkpoint=tmp_path, **QUICK)
    with pytest.raises(InferenceError, match="of another fit: free energy"):
        fit(regression(noise=0.7), CURVE, 10, checkpoint=tmp_path, **QUICK)
    other = datasets.sinusoid(20, seed=1)
    with pytest.raises(InferenceError, match="of another fit: data: "):
        fit(regression(), other, 10, checkpoint=tmp_path, **QUICK)


class Table(torch.utils.data.Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return {"x": self.x[i], "y": self.y[i]}


def test_streamed_rows_give_the_fit_of_resident_ones():
    resident = fit(regression(), CURVE, 12, batch_size=6, **QUICK)
    few = SimpleNamespace(x=CURVE.x[:5], y=CURVE.y[:5])
    streamed = fit(regression(), few, 12, batch_size=Stream(Table(CURVE.x, CURVE.y), 6), **QUICK)
    np.testing.assert_array_equal(streamed.record.history, resident.record.history)
    assert streamed.record.elbo == pytest.approx(resident.record.elbo, rel=1e-5)


def test_a_callback_ends_the_fit_by_stop_iteration():
    def enough(step, state):
        if state.losses.min() < 1e9 and step >= 4:
            raise StopIteration

    posterior = fit(regression(), CURVE, 50, callback=enough, **QUICK)
    assert posterior.record.stopped == "stopped by the callback after step 4 of 50"
    assert np.isfinite(posterior.record.elbo)


@pytest.mark.parametrize("start", ["prior", "values"])
def test_starts(start):
    values = {"0.weight": np.full((4, 1), 2.0), "0.bias": np.zeros(4), "2.weight": np.ones((1, 4)), "2.bias": [0.0]}
    values["noise"] = np.array(0.7)
    model = regression(noise="learned")
    at = values if start == "values" else "prior"
    still = fit(model, CURVE, 1, start=Start(at=at, scale=1e-4), learning_rate=1e-9, restarts=2, **QUICK)
    draws = [still.restart(r).draw(1, 0) for r in (0, 1)]
    if start == "values":
        for name, value in values.items():
            np.testing.assert_allclose(draws[0][name][0], value, atol=1e-3)
        assert np.abs(draws[0]["noise"] - draws[1]["noise"]) < 1e-3
    else:
        assert not np.allclose(draws[0]["0.weight"], draws[1]["0.weight"], atol=0.01)


def test_rates_and_a_warm_up_are_the_loops():
    still = fit(regression(), CURVE, 30, learning_rate=Rates(0.05, 1e-9), **QUICK)
    np.testing.assert_allclose(still.moments()["0.weight"].scale, 0.1, rtol=1e-4)
    first, without = (
        fit(regression(), CURVE, 1, schedule=Schedule(kl_warmup=share), **QUICK).record.history for share in (0.5, 0.0)
    )
    assert first == without  # recorded at full weight all the same
    warmed = fit(regression(), CURVE, 200, schedule=Schedule(kl_warmup=0.9), learning_rate=0.05, **QUICK)
    plain = fit(regression(), CURVE, 200, learning_rate=0.05, **QUICK)
    assert warmed.record.temperature == 1
    assert not np.allclose(warmed.means()["0.weight"], plain.means()["0.weight"])


# --- issue 18: plates that scale themselves, and whole numbers --------------------------------------------------------

RNG = np.random.default_rng(0)
LINE = SimpleNamespace(x=RNG.normal(size=(80, 3)).astype("float32"), y=np.zeros(80, dtype="float32"))
LINE.y[:] = LINE.x @ [1, -2, 0.5] + 0.3 * RNG.normal(size=80)


class Linear(torch.nn.Module):
    """A line whose plate may count the rows of a batch for all of them."""

    def __init__(self, **plate):
        super().__init__()
        self.net, self.plate = to_bayesian(torch.nn.Linear(3, 1, bias=False), priors.Gaussian(10.0)), plate

    def forward(self, x, y=None):
        line = dist.Normal(self.net(x)[:, 0], 0.3)
        with pyro.plate("data", self.plate.get("size", len(x)), subsample_size=len(x)):
            pyro.sample("obs", line, obs=y)
        return line


@pytest.mark.parametrize("plate", [{}, {"size": 80}])
def test_a_plate_with_a_size_counts_rows_once(plate):
    given = {"estimator": "local", "start": Start(scale=0.03), "elbo_draws": 50, "progressbar": False}
    posterior = fit(Linear(**plate), LINE, 3000, batch_size=20, **given)
    exact = 0.3 / np.sqrt((LINE.x**2).sum(axis=0))  # rows that are counted twice, four times each, halve it
    np.testing.assert_allclose(posterior.moments()["weight"].scale.ravel(), exact, rtol=0.25)
    assert posterior.predict(LINE.x[:5], posterior.draw(3, 0)).shape == (3, 5)
    plain = fit(Linear(), LINE, 3000, **given)
    assert posterior.record.elbo == pytest.approx(plain.record.elbo, abs=1.5)


@pytest.mark.parametrize("temperature", [0.3, 4.0])
def test_the_temperature_weighs_the_divergence(temperature):
    begin = Start(scale=0.03)
    posterior = fit(Linear(), LINE, 3000, temperature=temperature, estimator="local", start=begin, **QUICK)
    exact = 1 / np.sqrt((LINE.x**2).sum(axis=0) / 0.3**2 / temperature + 1 / 10**2)
    np.testing.assert_allclose(posterior.moments()["weight"].scale.ravel(), exact, rtol=0.15)
    assert posterior.record.temperature == temperature
    assert f"T = {temperature:g}" in posterior.record.history_label


def test_a_plate_of_another_size_is_refused():
    with pytest.raises(ModelError, match="plate has size 800, and there are 80 rows"):
        fit(Linear(size=800), LINE, 3, **QUICK)


class Words(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = torch.nn.Embedding(20, 4), torch.nn.Linear(4, 2)

    def forward(self, words):
        return self.head(self.embedding(words).mean(1))


def test_whole_numbers_reach_the_network_whole():
    x = RNG.integers(0, 20, (60, 6))
    data = SimpleNamespace(x=x, y=(x == 3).any(1).astype(int))
    posterior = fit(Classifier(to_bayesian(Words(), priors.Gaussian(1.0))), data, 50, **QUICK)
    assert np.isfinite(posterior.record.elbo)
    assert posterior.predict(x[:4], posterior.draw(2, 0)).shape == (2, 4, 2)
    with pytest.raises(ModelError, match="fractions"):
        posterior.predict(x[:4] + 0.5, posterior.draw(2, 0))


def test_whole_numbers_become_floating_ones_for_a_network_that_takes_only_those():
    data = SimpleNamespace(x=RNG.integers(0, 255, (30, 3)), y=RNG.normal(size=30).astype("float32"))
    posterior = fit(Linear(), data, 3, **QUICK)
    assert posterior.predict(data.x[:4], posterior.draw(2, 0)).shape == (2, 4)


class Transposed(torch.nn.Module):
    """A layer whose gradient lies in memory the other way round than its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(-1, 1, 6).reshape(3, 2))

    def forward(self, x):
        return (x[:, :, None] * self.weight.T).sum(1)


def test_an_ordinary_parameter_follows_its_gradient_however_that_lies_in_memory():
    rng = np.random.default_rng(0)
    data = SimpleNamespace(x=rng.normal(size=(40, 2)).astype(np.float32), y=rng.normal(size=40).astype(np.float32))
    network = torch.nn.Sequential(Transposed(), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    model = Regression(to_bayesian(network, priors.Gaussian(1.0), ["2"]), noise=1.0)
    found = fit(model, data, 1, learning_rate=0.01, start=Start(scale=1e-6), elbo_draws=2, progressbar=False)
    residual = network(torch.from_numpy(data.x))[:, 0] - torch.from_numpy(data.y)
    [gradient] = torch.autograd.grad(residual.square().sum(), [network[0].weight])
    moved = dict(found.model.named_parameters())["network.module.0.weight"] - network[0].weight
    torch.testing.assert_close(moved, -0.01 * gradient.sign(), rtol=0, atol=1e-5)


# --- issue 22: a size, so that Pyro's own SVI gets the right bound from mini-batches ---------------------------------


@pytest.mark.parametrize("make", [Classifier, partial(Regression, noise=0.5)], ids=["labels", "measurements"])
def test_pyros_own_bound_on_mini_batches_is_that_of_all_rows(make):
    data = datasets.sinusoid(20, noise=0.5)
    x, y = torch.tensor(data.x), torch.tensor(data.y)
    if make is Classifier:
        y = (y > 0).long()
    network = to_bayesian(dense(1, 4, 2 if make is Classifier else 1), priors.Gaussian(1.0))
    guide = MeanFieldGuide(make(network), x, y, start_scale=1e-6)  # so that draws are all alike
    whole = TraceMeanField_ELBO().loss(make(network), guide, x, y)
    halves = [(x[::2], y[::2]), (x[1::2], y[1::2])]

    def of_halves(model):
        return np.mean([TraceMeanField_ELBO().loss(model, guide, *half) for half in halves])

    assert of_halves(make(network, size=20)) == pytest.approx(whole, rel=1e-4)
    assert of_halves(make(network)) < whole - 3  # half of the likelihood: the divergence weighs twice as much


def test_plain_svi_on_mini_batches_finds_the_posterior_of_all_rows():
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(100, 1)), dtype=torch.float32)
    y = x[:, 0] + torch.tensor(rng.normal(size=100), dtype=torch.float32)
    exact = 1 / np.sqrt(1 + float(x.square().sum()))  # standard deviation under a N(0, 1) prior and a noise of 1
    found = {}
    for size in (None, 100):
        model = Regression(to_bayesian(torch.nn.Linear(1, 1, bias=False), priors.Gaussian(1.0)), noise=1.0, size=size)
        guide = PyroModule[MeanFieldGuide](model, x, y)  # whose parameters SVI finds
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), TraceMeanField_ELBO())
        scales = []
        for step in range(300):
            at = slice(10 * (step % 10), 10 * (step % 10) + 10)
            svi.step(x[at], y[at])
            scales.append(next(guide.sites()).scale.item())
        found[size] = np.mean(scales[150:])
    assert found[100] == pytest.approx(exact, rel=0.3)
    assert found[None] > 2 * exact  # as if there were ten rows


def test_the_fit_takes_a_size_and_refuses_a_wrong_one():
    data = datasets.sinusoid(20, noise=0.5)
    network = to_bayesian(dense(1, 4, 1), priors.Gaussian(1.0))
    given = {"steps": 30, "batch_size": 5, **QUICK}
    without, sized = (fit(Regression(network, noise=0.5, size=size), data, **given) for size in (None, 20))
    np.testing.assert_allclose(without.means()["0.weight"], sized.means()["0.weight"], rtol=1e-5)
    with pytest.raises(ModelError, match="plate has size 40, and there are 20 rows"):
        fit(Regression(network, noise=0.5, size=40), data, **given)
    with pytest.raises(ModelError, match=r"size=10, and 20 rows were given"):
        Regression(network, noise=0.5, size=10)(torch.tensor(data.x), torch.tensor(data.y))
    with pytest.raises(ModelError, match="size"):
        Classifier(network, size=0)


def test_a_guide_of_a_horseshoe_starts_at_the_network():
    network = dense(1, 20, 1)
    guide = MeanFieldGuide(
        Regression(to_bayesian(network, priors.RegularisedHorseshoe()), noise=1.0),
        torch.tensor(CURVE.x), torch.tensor(CURVE.y), start_scale=1e-6,
    )  # fmt: skip
    trace = pyro.poutine.trace(guide).get_trace()
    weights = pyro.poutine.condition(to_bayesian(network, priors.RegularisedHorseshoe()), trace)
    drawn = pyro.poutine.trace(weights).get_trace(torch.tensor(CURVE.x)).nodes
    for name, own in network.named_parameters():
        apart = (drawn[name]["value"] - own).abs().mean()
        assert apart <= 0.5 * own.abs().mean() + 1e-3  # the local scales start near 1
