"""Sample the posterior of the sinusoid's network by NUTS, in PyMC and in Pyro: the reference for the regression's band.

`python studies/regression_nuts.py` takes a quarter of an hour and writes companion/shelf/files/regression_nuts.npz, on
which the chapter `book/bayes_by_backprop/regression` draws. Parts can be run one by one: "PyMC" and "Pyro" sample the
same model, 481 weights and biases with standard normal priors and half-normal noise; "sets" counts how often each
method's band holds on several sets of 32 points.
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

from companion import book, datasets, shelf, uncertainty
from companion.bayes_by_backprop import Regression, fit, to_bayesian
from companion.inference import Start
from companion.networks import dense
from companion.posterior import diagnose
from companion.priors import Gaussian, TrainedLocation

CHAINS, ACCEPT, SEED = 2, 0.9, 0
SAMPLERS = {"PyMC": {"warmup": 1000, "draws": 2000, "depth": 8}, "Pyro": {"warmup": 600, "draws": 1000, "depth": 7}}
SETS = {"warmup": 250, "draws": 250, "depth": 8}
DATA_SEEDS = (1, 2, 3)
FIT = {
    "steps": 1500,
    "learning_rate": 0.03,
    "schedule": "cosine",
    "estimator": "local",
    "start": Start(scale=0.02),
    "elbo_draws": 20,
    "machine": "cpu",
}
VARIATIONAL = {"all layers": (TrainedLocation(), None), "last layer": (Gaussian(1.0), ["4"])}
GRID = np.linspace(-1.5, 1.5, 151, dtype=np.float32)[:, None]
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


def by_pymc(data, warmup, draws, depth):
    start = {name: p.detach().numpy() for name, p in dense(1, 20, 20, 1, seed=SEED).named_parameters()}
    with pm.Model():
        w = {name: pm.Normal(name, 0, 1, shape=shape, initval=start[name]) for name, shape in SHAPES.items()}
        noise = pm.HalfNormal("noise", 1.0)
        mean = network(pm.math.constant(data.x.astype(float)), w, lambda a: pm.math.maximum(a, 0))
        pm.Normal("y", mean, noise, observed=data.y.astype(float))
        step = {"max_treedepth": depth, "target_accept": ACCEPT}
        found = pm.sample(draws, tune=warmup, chains=CHAINS, cores=1, random_seed=SEED, nuts=step, progressbar=False)
    values = {name: found["posterior"][name].values for name in (*SHAPES, "noise")}
    diverging = int(found["sample_stats"]["diverging"].sum())
    return {name: a.reshape(-1, *a.shape[2:]) for name, a in values.items()}, diverging


def by_pyro(data, warmup, draws, depth):
    def model(x, y):  # written out, and not by to_bayesian, so that torch's tracer can compile it
        zeros = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
        w = {name: pyro.sample(name, dist.Normal(zero, 1).to_event(zero.dim())) for name, zero in zeros.items()}
        noise = pyro.sample("noise", dist.HalfNormal(1.0))
        with pyro.plate("rows", len(y)):
            pyro.sample("y", dist.Normal(network(x, w, torch.relu), noise), obs=y)

    pyro.set_rng_seed(SEED)
    kernel = NUTS(model, target_accept_prob=ACCEPT, max_tree_depth=depth, jit_compile=True, ignore_jit_warnings=True)
    sampler = MCMC(kernel, num_samples=draws, warmup_steps=warmup, num_chains=CHAINS, disable_progbar=True)
    with pyro.validation_enabled(False):
        sampler.run(torch.tensor(data.x, dtype=torch.float64), torch.tensor(data.y, dtype=torch.float64))
    diverging = sum(map(len, sampler.diagnostics()["divergences"].values()))
    return {name: a.numpy() for name, a in sampler.get_samples().items()}, diverging


def curves(draws, x):
    """Means (draws, points) at inputs (points, 1)."""
    each = range(len(draws["noise"]))
    return np.stack([network(x, {n: draws[n][i] for n in SHAPES}, lambda a: np.maximum(a, 0)) for i in each])


def band(means, noise):
    return uncertainty.interval(uncertainty.sample_measurements(means, noise, SEED))


def reference(name, data, fresh):
    begun = time.process_time()
    draws, diverging = {"PyMC": by_pymc, "Pyro": by_pyro}[name](data, **SAMPLERS[name])
    seconds = time.process_time() - begun
    on_grid, noise = curves(draws, GRID), draws["noise"][:, None]
    likely, on_fresh = band(on_grid, noise), band(curves(draws, fresh.x), noise)
    inside = np.abs(GRID[:, 0]) <= 0.5
    checks = diagnose({"inside": on_grid[:, inside], "outside": on_grid[:, ~inside], "noise": noise}, CHAINS)
    arrays = {
        f"mean, {name}": on_grid.mean(axis=0).astype(np.float32),  # of the curve on the grid, (points,)
        f"epistemic, {name}": on_grid.std(axis=0).astype(np.float32),  # its standard deviation, (points,)
        f"low, {name}": likely.low.astype(np.float32),  # where 95 % of measurements fall, (points,)
        f"high, {name}": likely.high.astype(np.float32),
        f"noise, {name}": draws["noise"].astype(np.float32),  # its draws, (draws,)
    }
    said = {
        **SAMPLERS[name],
        "CPU seconds": round(seconds),
        "divergences": diverging,
        "coverage": round(on_fresh.coverage(fresh.y), 4),
        "width": round(float(on_fresh.width.mean()), 3),
        **{f"R-hat, {part}": round(found.r_hat, 3) for part, found in checks.items()},
        **{f"ESS, {part}": round(found.ess) for part, found in checks.items()},
    }
    return arrays, said


def compared(fresh):
    """Coverage, noise and epistemic spreads, (data sets, 4), of every method."""
    begun, rows = time.process_time(), {name: [] for name in ("NUTS", *VARIATIONAL)}
    inside, ends = np.abs(GRID[:, 0]) <= 0.5, [0, -1]
    realised = []
    for seed in DATA_SEEDS:
        data = datasets.sinusoid(seed=seed)
        realised.append(np.std(data.y - datasets.sinusoid_truth(data.x[:, 0])))
        found = {}
        for name, (prior, layers) in VARIATIONAL.items():
            torch.set_default_dtype(torch.float32)
            net = to_bayesian(dense(1, 20, 20, 1, seed=seed), prior, layers)
            posterior = fit(Regression(net, noise="learned"), data, **FIT, seed=seed, progressbar=False)
            draws = posterior.draw(500, seed)
            found[name] = [posterior.predict(x, draws) for x in (GRID, fresh.x)], draws["noise"][:, None]
        torch.set_default_dtype(torch.float64)
        draws, _ = by_pymc(data, **SETS)
        found["NUTS"] = [curves(draws, x) for x in (GRID, fresh.x)], draws["noise"][:, None]
        for name, ((on_grid, on_fresh), noise) in found.items():
            spread = on_grid.std(axis=0)
            row = [band(on_fresh, noise).coverage(fresh.y), noise.mean(), spread[inside].mean(), spread[ends].mean()]
            rows[name].append(row)
            print(f"data set {seed}, {name}: {np.round(row, 3)}", flush=True)
    arrays = {f"sets, {name}": np.array(values, dtype=np.float32) for name, values in rows.items()}
    said = {**SETS, "data seeds": list(DATA_SEEDS), "fit": runs.described(FIT)}
    said["CPU seconds"] = round(time.process_time() - begun)
    return arrays | {"sets, realised noise": np.array(realised, dtype=np.float32)}, said


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=["PyMC", "Pyro", "sets"])
    book.setup()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    data, fresh = datasets.sinusoid(), datasets.sinusoid(2000, spaced=False, seed=9)
    path = shelf.FILES / "regression_nuts.npz"
    arrays, about = {"grid": GRID[:, 0]}, {"script": "studies/regression_nuts.py", "parts": {}}
    if path.exists():  # parts that are not run again stay as they were
        stored = shelf.load_result(path.stem)
        arrays, about["parts"] = stored.arrays, stored.about["parts"]
    for part in parser.parse_args().parts:
        added, said = compared(fresh) if part == "sets" else reference(part, data, fresh)
        print(part, said, flush=True)
        arrays, about["parts"] = arrays | added, about["parts"] | {part: said}
        shelf.write_result(path, arrays, about | {"chains": CHAINS, "accept": ACCEPT, "seeds": [SEED]})


if __name__ == "__main__":
    main()
