"""Every kind of posterior there is, on models of every kind: what the contract is tested with."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pymc as pm
import torch

from companion import bayes_by_backprop
from companion.bayes_by_backprop import Classifier, PyroPosterior, Regression, to_bayesian
from companion.datasets import Observations, moons
from companion.inference import Machine, Rates, dropout, ensemble, fit, fit_advi, laplace, sample, swag
from companion.models import binary_classifier, torch_classifier
from companion.networks import dense
from companion.posterior import ApproximationPosterior, SampledPosterior, load_posterior, prune
from companion.priors import Gaussian, LearnedScale, TrainedLocation

QUICK = {"progressbar": False, "elbo_draws": 20}

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X @ [1.0, -0.5, 2.0] + 0.5 * RNG.normal(size=40)
MOONS = moons(n_samples=80).train


def regression(rows=40):
    """Normal observations, with dims, variables of several supports, and what is computed from them."""
    with pm.Model(coords={"feature": ["a", "b", "c"], "row": range(10, 10 + rows)}) as model:
        x, tilt = pm.Data("x", X[:rows], dims=("row", "feature")), pm.Data("tilt", np.eye(3))  # the second has no rows
        scale = pm.HalfNormal("scale", 1)
        pm.Deterministic("variance", scale**2)
        w = pm.Normal("w", 0, 2, dims="feature")
        mix = pm.Dirichlet("mix", np.ones(3), dims="feature")
        mean = pm.Deterministic("mean", x @ tilt @ w + (x**2) @ mix, dims="row")
        pm.Normal("y", mean, scale, observed=pm.Data("labels", Y[:rows], dims="row"), dims="row")
    return model


def classes(rows=40):
    return torch_classifier(Observations(X[:rows], np.arange(rows) % 3), dense(3, 4, 3), LearnedScale(centred=False))


def scales(rows=40):
    """Learned scales that a fit may set to their optimum, which takes a centred prior."""
    return torch_classifier(Observations(X[:rows], np.arange(rows) % 3), torch.nn.Linear(3, 3), LearnedScale())


def binary(rows=40):
    return binary_classifier(Observations(MOONS.x[:rows], MOONS.y[:rows]))


def counts_of_rows(rows):
    return np.random.default_rng(1).poisson(np.exp(0.3 * X[:rows, 0]))


def counts(rows=40):
    with pm.Model(coords={"feature": ["a", "b", "c"]}) as model:
        w = pm.Normal("w", 0, 1, dims="feature")
        pm.Poisson("y", pm.math.exp(0.1 * (pm.Data("x", X[:rows]) @ w)), observed=counts_of_rows(rows))
    return model


MODELS: dict[str, Callable[..., pm.Model]] = {
    "regression": regression, "classes": classes, "scales": scales, "binary": binary, "counts": counts,
}  # fmt: skip


def pyro_regression(width=4, prior=None, **which):
    """Measurements, with a learned scale of the weights and one of the noise."""
    network = to_bayesian(dense(3, width, 1), LearnedScale(1.0) if prior is None else prior, **which)
    return Regression(network, noise="learned")


def pyro_last_layer():
    """Weights of which some are trained and have no distribution, under a prior with a trained mean."""
    return pyro_regression(prior=TrainedLocation(1.0), layers=["2"])


def pyro_classes():
    normed = torch.nn.Sequential(dense(3, 4, 3), torch.nn.BatchNorm1d(3)).eval()
    return Classifier(to_bayesian(normed, Gaussian(1.0)))


def pyro_binary():
    return Classifier(to_bayesian(dense(3, 4, 1), Gaussian(1.0)))


PYRO_MODELS: dict[str, Callable[[], Callable]] = {
    "pyro regression": pyro_regression, "pyro last layer": pyro_last_layer,
    "pyro classes": pyro_classes, "pyro binary": pyro_binary,
}  # fmt: skip


@cache
def model_of(kind):
    return MODELS[kind]()


def model_anew(kind):
    """Make the model of a kind again, with other rows where it has some."""
    return MODELS[kind](rows=10) if kind in MODELS else PYRO_MODELS[kind]()


def shapes_of(posterior):
    """Give each variable's shape, in the model's order."""
    if isinstance(posterior, PyroPosterior):
        return {site.name: tuple(site.transform(site.mean).shape) for site in posterior.guide.sites()}
    shapes = posterior.model.eval_rv_shapes()
    return {rv.name: shapes[rv.name] for rv in posterior.model.free_RVs}


def value_shapes_of(posterior):
    """Give the shape of each value of the fit's space."""
    if isinstance(posterior, PyroPosterior):
        return {site.name: tuple(site.mean.shape) for site in posterior.guide.sites()}
    return {name: array.shape for name, array in posterior.model.initial_point().items()}


def values_of(posterior, draws):
    """Take draws to the fit's space: all of Pyro's, and those of a PyMC model that are their own values."""
    if isinstance(posterior, PyroPosterior):
        sites = posterior.guide.sites()
        return {s.name: s.transform.inv(torch.as_tensor(draws[s.name])).detach().numpy() for s in sites}
    return {name: draws[name] for name in posterior.model.initial_point() if name in draws}


@cache
def sampled(kind):
    """What PyMC's own sampler gives for a model."""
    with model_of(kind):
        return pm.sample(
            20, tune=20, chains=2, cores=1, random_seed=1, progressbar=False, compute_convergence_checks=False
        )


@cache
def engine(kind, family="mean-field", restarts=2, keep="mixture", learning_rate=0.02):
    return fit(
        model_of(kind),
        60,
        family=family,
        restarts=restarts,
        keep=keep,
        machine=Machine(precision="float64"),
        learning_rate=learning_rate,
        **QUICK,
    )


@cache
def chains(kind, sampler="chees-hmc", **settings):
    return sample(model_of(kind), 60, warmup=60, chains=4, sampler=sampler, seed=1, progressbar=False, **settings)


@cache
def trajectories(kind, restarts=2):
    """SWAG of mini-batches; MultiSWAG with restarts."""
    machine = Machine(precision="float64")
    return swag(model_of(kind), 60, batch_size=20, restarts=restarts, trajectory=0.002, machine=machine, **QUICK)


@cache
def masked(kind):
    """MC dropout."""
    return dropout(model_of(kind), 40, machine=Machine(precision="float64"), **QUICK)


@cache
def around_a_mode(kind, structure="full", **settings):
    return laplace(engine(kind, "map", 1), structure=structure, tolerance=1.0, **settings, **QUICK)


def by_pymc(kind, method):
    with model_of(kind):
        return ApproximationPosterior(pm.fit(60, method=method, random_seed=1, progressbar=False), model_of(kind))


@cache
def by_backprop(kind):
    """Bayes by Backprop, of which the better of two restarts is kept."""
    data = {
        "pyro classes": Observations(X, np.arange(40) % 3),
        "pyro binary": Observations(X, np.arange(40) % 2),
    }.get(kind, SimpleNamespace(x=X, y=Y))
    return bayes_by_backprop.fit(PYRO_MODELS[kind](), data, 30, restarts=2, learning_rate=0.02, **QUICK)


def from_disk(posterior, model):
    with TemporaryDirectory() as folder:
        return load_posterior(posterior.save(Path(folder) / "posterior.safetensors", half=False), model)


@dataclass(frozen=True)
class Pair:
    """A kind of posterior and a kind of model."""

    posterior: str
    model: str

    def __str__(self):
        return f"{self.posterior}-{self.model}"


POSTERIORS = {
    "mixture": engine,
    "best": lambda kind: engine(kind).best(),
    "full-rank": lambda kind: engine(kind, "full-rank", 1, "best"),
    "low-rank": lambda kind: engine(kind, "low-rank:2", 1, "best"),
    "ivon": lambda kind: engine(kind, "mean-field", 1, "best", Rates(0.02, 0.02, "ivon")),
    "ensemble": lambda kind: ensemble(
        model_of(kind), 60, members=2, machine=Machine(precision="float64"), learning_rate=0.02, progressbar=False
    ),
    "multi-swag": trajectories,
    "swag": lambda kind: trajectories(kind, restarts=1),
    "pruned": lambda kind: prune(engine(kind).best(), 0.3, ["w"]),
    "advi": lambda kind: fit_advi(
        model_of(kind), 60, optimizer=pm.adam(learning_rate=0.01), start_scale=0.1, elbo_draws=20
    ),
    "full-rank advi": lambda kind: by_pymc(kind, "fullrank_advi"),
    "svgd": lambda kind: by_pymc(kind, "svgd"),
    "laplace": lambda kind: around_a_mode(kind),
    "laplace of layers": lambda kind: around_a_mode(kind, "kronecker"),
    "last layer": lambda kind: around_a_mode(kind, "diagonal", subset="last-layer").predicting("sampled"),
    "nuts": lambda kind: SampledPosterior(sampled(kind), model_of(kind)),
    "chains": chains,
    "chains by mclmc": lambda kind: chains(kind, "mclmc"),
    "chains by adjusted-mclmc": lambda kind: chains(kind, "adjusted-mclmc"),
    "mixture from disk": lambda kind: from_disk(engine(kind), MODELS[kind]()),
    "laplace from disk": lambda kind: from_disk(around_a_mode(kind), MODELS[kind]()),
    "advi from disk": lambda kind: from_disk(made(Pair("advi", kind)), MODELS[kind]()),
    "full-rank advi from disk": lambda kind: from_disk(made(Pair("full-rank advi", kind)), MODELS[kind]()),
    "svgd from disk": lambda kind: from_disk(made(Pair("svgd", kind)), MODELS[kind]()),
    "nuts from disk": lambda kind: from_disk(made(Pair("nuts", kind)), MODELS[kind]()),
    "chains from disk": lambda kind: from_disk(chains(kind), MODELS[kind]()),
}

PYRO = [Pair("bayes by backprop", model) for model in PYRO_MODELS] + [
    Pair("bayes by backprop from disk", "pyro regression")
]

# Each kind of posterior on the richest model that it is for, and three of them on every model. Dropout needs a network,
# and families that set scales to their optimum need centred ones.
PAIRS = [
    *(Pair(posterior, "regression") for posterior in POSTERIORS if "layer" not in posterior),
    *(Pair(posterior, model) for model in ("classes", "binary", "counts") for posterior in ("mixture", "advi", "nuts")),
    *(Pair(posterior, "classes") for posterior in POSTERIORS if "layer" in posterior),
    Pair("laplace", "counts"),
    Pair("chains", "classes"),
    *(Pair(posterior, "classes") for posterior in ("chains by sgld", "chains by sghmc", "chains by sgnht", "dropout")),
    *(Pair(posterior, "scales") for posterior in ("optimal-scales", "empirical-bayes")),
]
POSTERIORS |= {
    "bayes by backprop": by_backprop,
    "bayes by backprop from disk": lambda kind: from_disk(by_backprop(kind), PYRO_MODELS[kind]()),
    "chains by sgld": lambda kind: chains(kind, "sgld", batch_size=20),
    "chains by sghmc": lambda kind: chains(kind, "sghmc", batch_size=20),
    "chains by sgnht": lambda kind: chains(kind, "sgnht", batch_size=20),
    "dropout": masked,
    "optimal-scales": lambda kind: engine(kind, "optimal-scales", 1, "best"),
    "empirical-bayes": lambda kind: engine(kind, "empirical-bayes", 1, "best"),
}


@cache
def made(pair):
    return POSTERIORS[pair.posterior](pair.model)


def points(kind, count=7):
    return np.random.default_rng(1).normal(size=(count, 2 if kind == "binary" else 3))


def frozen_features(seed, rows=40):
    """A model whose predictions depend on weights that are not drawn, and on a buffer."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = torch.nn.Sequential(
            torch.nn.Linear(3, 6), torch.nn.BatchNorm1d(6), torch.nn.Tanh(), torch.nn.Linear(6, 2)
        )
    module[0].requires_grad_(False)
    module[1].requires_grad_(False)
    return torch_classifier(Observations(X[:rows], np.arange(rows) % 2), module.eval(), Gaussian(1.0)), module
