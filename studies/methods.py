"""Every way to a posterior, on one small model: the table of the reference page "Which method?".

`python studies/methods.py` takes some minutes on one core and writes companion/shelf/files/methods.npz. The reference
is a long run of Hamiltonian Monte Carlo, whose chains agree; NUTS of PyMC stands beside it as another program's answer.
"""

import time

import numpy as np
import pymc as pm
import runs
import torch
from scipy.spatial.distance import cdist

from companion import book, datasets, uncertainty
from companion.inference import Rates, Start, dropout, ensemble, fit, fit_advi, laplace, sample, swag
from companion.models import torch_classifier
from companion.networks import dense
from companion.posterior import SampledPosterior
from companion.prediction import predict
from companion.priors import Gaussian
from companion.sampling import SGHMC, SGLD, SGNHT

HIDDEN, WIDTH, STEPS, DRAWS = 10, 2.0, 4000, 400
NEAR, FAR = 0.3, 1.0
QUIET = {"progressbar": False}
FIT = {"steps": STEPS, "learning_rate": 0.02, "machine": "cpu", **QUIET}
BATCH = 100


def model_of(data, seed):
    return torch_classifier(data, dense(2, HIDDEN, 1, activation=torch.nn.Tanh, seed=seed), Gaussian(WIDTH))


def by_nuts(model, seed):
    with model:
        found = pm.sample(1000, tune=1000, chains=4, cores=1, random_seed=seed, progressbar=False)
    return SampledPosterior(found, model)


METHODS = {
    "HMC (ChEES)": lambda m, s: sample(m, 1000, warmup=1000, chains=16, seed=s, **QUIET),
    "NUTS of PyMC": by_nuts,
    "MCLMC": lambda m, s: sample(m, 1000, sampler="mclmc", seed=s, **QUIET),
    "MCLMC, adjusted": lambda m, s: sample(m, 1000, sampler="adjusted-mclmc", seed=s, **QUIET),
    "SGHMC": lambda m, s: sample(
        m, 500, warmup=5000, thin=20, sampler=SGHMC(step_size=0.05), batch_size=BATCH, seed=s, **QUIET
    ),
    "SGLD": lambda m, s: sample(
        m, 500, warmup=5000, thin=20, sampler=SGLD(step_size=0.1), batch_size=BATCH, seed=s, **QUIET
    ),
    "SGNHT": lambda m, s: sample(
        m, 500, warmup=5000, thin=20, sampler=SGNHT(step_size=0.05), batch_size=BATCH, seed=s, **QUIET
    ),
    "mean-field": lambda m, s: fit(m, restarts=8, seed=s, **FIT),
    "mean-field, mixture of 8": lambda m, s: fit(m, restarts=8, keep="mixture", seed=s, **FIT),
    "mean-field by IVON": lambda m, s: fit(m, restarts=8, seed=s, **FIT | {"learning_rate": Rates(0.1, 0.01, "ivon")}),
    "mean-field by ADVI of PyMC": lambda m, s: fit_advi(m, seed=s),
    "low-rank": lambda m, s: fit(m, family="low-rank", restarts=8, seed=s, **FIT),
    "full-rank": lambda m, s: fit(m, family="full-rank", restarts=8, seed=s, **FIT),
    "Laplace": lambda m, s: laplace(m, seed=s, **FIT),
    "Laplace, last layer": lambda m, s: laplace(m, subset="last-layer", seed=s, **FIT),
    "SWAG": lambda m, s: swag(m, batch_size=BATCH, seed=s, **FIT),
    "MultiSWAG of 8": lambda m, s: swag(m, restarts=8, batch_size=BATCH, seed=s, **FIT),
    "MC dropout": lambda m, s: dropout(m, p=0.1, seed=s, **FIT),
    "ensemble of 8": lambda m, s: ensemble(m, members=8, start=Start("prior"), seed=s, **FIT),
}
REFERENCE = "HMC (ChEES)"
BOUNDED = (
    "mean-field", "mean-field, mixture of 8", "mean-field by IVON", "mean-field by ADVI of PyMC", "low-rank",
    "full-rank", "Laplace",
)  # fmt: skip


def places(data):
    """Points of a grid near the training data, and far from them."""
    axis = np.linspace(-3, 3, 41, dtype=np.float32)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    distance = cdist(grid, data.train.x).min(axis=1)
    return grid[distance < NEAR], grid[distance > FAR]


def probability(posterior, x, seed):
    return predict(posterior, x, draws=DRAWS, seed=seed)[..., 1]


def run(name, seed):
    """Find the posterior once; scores, what it costs, and how far its predictions are from the reference's."""
    data = datasets.moons(seed=0)
    began = time.process_time()
    posterior = METHODS[name](model_of(data.train, seed), seed)
    row = {"cpu seconds": time.process_time() - began}
    p = predict(posterior, data.test.x, draws=DRAWS, seed=seed)
    row |= {"accuracy": uncertainty.accuracy(p, data.test.y), "log score": uncertainty.log_score(p, data.test.y)}
    reference = _reference(data, seed)
    for where, x in zip(("near", "far"), places(data), strict=True):
        own, theirs = probability(posterior, x, seed), reference[where]
        row[f"distance, {where}"] = np.abs(own.mean(axis=0) - theirs.mean(axis=0)).mean()
        row[f"spread, {where}"] = own.std(axis=0).mean()
    if name in BOUNDED:
        row["negative elbo"] = -posterior.record.elbo
    return row


_KEPT: dict[str, dict[str, np.ndarray]] = {}


def _reference(data, seed):
    """Predictions of a long run from another seed, made once."""
    if not _KEPT:
        found = sample(model_of(data.train, 100), 2000, warmup=1000, chains=16, seed=100, **QUIET)
        near, far = places(data)
        worst = found.diagnose(np.concatenate([near, far]))
        print(f"the reference: {worst}", flush=True)
        _KEPT.update({"near": probability(found, near, 100), "far": probability(found, far, 100)})
    return _KEPT


def main():
    given = runs.parser(__doc__, "methods").parse_args()
    book.setup()
    torch.set_num_threads(1)
    runs.restore(given, "methods")
    runs.complete(given, METHODS, run)
    rows = len(datasets.moons(seed=0).train)
    settings = {"rows": rows, "hidden": HIDDEN, "prior": WIDTH, "steps": STEPS, "draws": DRAWS, "batch": BATCH}
    runs.collect(given, METHODS, "methods", {"script": "studies/methods.py", "settings": settings})


if __name__ == "__main__":
    main()
