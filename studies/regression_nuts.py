"""Sample the posterior of the sinusoid's network by NUTS, on several data sets: the reference for its band.

`python studies/regression_nuts.py` takes some minutes for each data set and writes
companion/shelf/files/regression_nuts.npz, on which the chapter `book/bayes_by_backprop/band` draws. Parts can be run
one by one: "0" to "4" are seeds of data sets, sampled in PyMC by four chains; "companion" samples the first of them by
the companion's own sampler, and "Pyro" in Pyro, to see whether three programs agree. The model is the same in all: 481
weights and biases with standard normal priors, and half-normal noise.
"""

import argparse
import time

import numpy as np
import pymc as pm
import pyro
import pyro.distributions as dist
import runs
import torch
from pyro.infer import MCMC, NUTS

from companion import book, datasets, inference, shelf, uncertainty
from companion.networks import dense
from companion.posterior import diagnose

CHAINS, SEED = 4, 0
SETTINGS = {"warmup": 700, "draws": 1200, "depth": 10, "accept": 0.9}
PYRO = {"warmup": 600, "draws": 1000, "depth": 7, "accept": 0.9}  # in two chains
OWN = {"warmup": 1000, "draws": 1500}  # in sixteen chains
CHAINS_OF = {"Pyro": 2, "companion": 16}
DATA_SEEDS = tuple(range(5))
KEPT = 2000  # draws of the noise that are stored
GRID = np.linspace(-1.5, 1.5, 151, dtype=np.float32)[:, None]
POINTS = {"x = -1.5": 0, "x = 0": 75, "x = 1.5": 150}  # where the chains are compared
SHAPES = {
    "0.weight": (20, 1),
    "0.bias": (20,),
    "2.weight": (20, 20),
    "2.bias": (20,),
    "4.weight": (1, 20),
    "4.bias": (1,),
}


def network(x, w, relu):
    hidden = relu(x @ w["0.weight"].T + w["0.bias"])
    hidden = relu(hidden @ w["2.weight"].T + w["2.bias"])
    return (hidden @ w["4.weight"].T + w["4.bias"])[:, 0]


def model_of(data):
    """Write the model in PyMC."""
    start = {name: p.detach().numpy() for name, p in dense(1, 20, 20, 1, seed=SEED).named_parameters()}
    with pm.Model() as model:
        w = {name: pm.Normal(name, 0, 1, shape=shape, initval=start[name]) for name, shape in SHAPES.items()}
        noise = pm.HalfNormal("noise", 1.0)
        mean = network(pm.math.constant(data.x.astype(float)), w, lambda a: pm.math.maximum(a, 0))
        pm.Normal("y", mean, noise, observed=data.y.astype(float))
    return model


def by_pymc(data, warmup, draws, depth, accept):
    """Draws (chains * draws, ...) by name, and what the sampler says of itself."""
    with model_of(data):
        step = {"max_treedepth": depth, "target_accept": accept}
        found = pm.sample(draws, tune=warmup, chains=CHAINS, cores=1, random_seed=SEED, nuts=step, progressbar=False)
    values = {name: found["posterior"][name].values for name in (*SHAPES, "noise")}
    stats = found["sample_stats"]
    said = {
        "divergences": int(stats["diverging"].sum()),
        "paths at the cap": round(float(stats["reached_max_treedepth"].mean()), 4),
    }
    return {name: a.reshape(-1, *a.shape[2:]) for name, a in values.items()}, said


def by_companion(data, warmup, draws):
    """Draws by the companion's chains side by side, which learn a common path length."""
    found = inference.sample(
        model_of(data), draws, warmup=warmup, chains=CHAINS_OF["companion"], seed=SEED, progressbar=False
    )
    said = {"divergences": int(found.health().divergences.sum()), "chains": len(found.chains), "sampler": "chees-hmc"}
    return {name: found.draws[name] for name in (*SHAPES, "noise")}, said | OWN


def by_pyro(data, warmup, draws, depth, accept):
    def model(x, y):  # written out, and not by to_bayesian, so that torch's tracer can compile it
        zeros = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
        w = {name: pyro.sample(name, dist.Normal(zero, 1).to_event(zero.dim())) for name, zero in zeros.items()}
        noise = pyro.sample("noise", dist.HalfNormal(1.0))
        with pyro.plate("rows", len(y)):
            pyro.sample("y", dist.Normal(network(x, w, torch.relu), noise), obs=y)

    pyro.set_rng_seed(SEED)
    kernel = NUTS(model, target_accept_prob=accept, max_tree_depth=depth, jit_compile=True, ignore_jit_warnings=True)
    sampler = MCMC(kernel, num_samples=draws, warmup_steps=warmup, num_chains=2, disable_progbar=True)
    with pyro.validation_enabled(False):
        sampler.run(torch.tensor(data.x, dtype=torch.float64), torch.tensor(data.y, dtype=torch.float64))
    diverging = sum(map(len, sampler.diagnostics()["divergences"].values()))
    return {name: a.numpy() for name, a in sampler.get_samples().items()}, {"divergences": diverging}


def curves(draws, x):
    """Means (draws, points) at inputs (points, 1)."""
    hidden = np.maximum(x[None] * draws["0.weight"][:, None, :, 0] + draws["0.bias"][:, None], 0)
    hidden = np.maximum(hidden @ draws["2.weight"].swapaxes(1, 2) + draws["2.bias"][:, None], 0)
    return (hidden @ draws["4.weight"].swapaxes(1, 2) + draws["4.bias"][:, None])[..., 0]


def reference(part, settings):
    """Sample one data set: summaries of its curves on the grid, and diagnostics."""
    begun, chains = time.process_time(), CHAINS_OF.get(part, CHAINS)
    if part == "Pyro":
        draws, said = by_pyro(datasets.sinusoid(), **PYRO)
    elif part == "companion":
        draws, said = by_companion(datasets.sinusoid(), **OWN)
    else:
        draws, said = by_pymc(datasets.sinusoid(seed=int(part)), **settings)
        said |= settings
    said["CPU seconds"] = round(time.process_time() - begun)
    on_grid, noise = curves(draws, GRID.astype(float)), draws["noise"][:, None]
    compared = {place: on_grid[:, at] for place, at in POINTS.items()} | {"noise": noise}
    for place, found in diagnose(compared, chains).items():
        said |= {
            f"R-hat, {place}": round(found.r_hat, 4),
            f"ESS, {place}": round(found.ess),
            f"tail ESS, {place}": round(found.ess_tail),
        }
    measured = uncertainty.interval(uncertainty.sample_measurements(on_grid, noise, SEED))
    of_curve = uncertainty.interval(on_grid)
    arrays = {
        "mean": on_grid.mean(axis=0),  # of the curve on the grid, (points,)
        "epistemic": on_grid.std(axis=0),  # its standard deviation, (points,)
        "low": measured.low,  # where 95 % of measurements fall, (points,)
        "high": measured.high,
        "curve low": of_curve.low,  # where 95 % of curves lie, (points,)
        "curve high": of_curve.high,
        "noise": noise[:: max(1, len(noise) // KEPT), 0][:KEPT],  # its draws, evenly spaced, (draws,)
    }
    return {f"{part}, {name}": a.astype(np.float32) for name, a in arrays.items()}, said


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=[*map(str, DATA_SEEDS), *CHAINS_OF])
    parser.add_argument(
        "--anew", action="store_true", help="run the parts named again, though the stored file holds them"
    )
    for name, value in SETTINGS.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    given = parser.parse_args()
    book.setup()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    path = shelf.FILES / "regression_nuts.npz"
    arrays, said = runs.parts(path.stem)
    arrays = {"grid": GRID[:, 0]} | arrays
    for part in given.parts:
        if part in said and not given.anew:
            continue
        found, of_part = reference(part, {name: getattr(given, name) for name in SETTINGS})
        print(part, of_part, flush=True)
        arrays, said = arrays | found, said | {part: of_part}
        about = {"script": "studies/regression_nuts.py", "chains": CHAINS, "seeds": [SEED]}
        about |= {"settings": SETTINGS, "settings, Pyro": PYRO, "settings, companion": OWN, "parts": said}
        shelf.write_result(path, arrays, about)


if __name__ == "__main__":
    main()
