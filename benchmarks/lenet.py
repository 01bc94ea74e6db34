"""Fit the LeNets of the Bayes by Backprop part on several seeds, with the settings that validation chose.

`python benchmarks/lenet.py` takes an hour or two on two cores. Every run that is done is kept in the folder of
``--work``, so that a stopped script goes on where it was; with all done it writes companion/results/lenet.npz, from
which the chapter makes its tables.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from mnist import measures, scores, unfamiliar

from companion import datasets, results, uncertainty
from companion.bayes_by_backprop import Classifier, fit, to_bayesian
from companion.networks import lenet, lenet5
from companion.priors import Gaussian

SEEDS = 3
DRAWS = 50
REFUSED = 0.01
POST = {"steps": 6000, "batch_size": 128, "learning_rate": 0.001, "start_scale": 0.05, "estimator": "flipout"}
TEMPERED = {"temperature": 0.3, "schedule": "cosine"}
COLD = {"temperature": 0.1, "schedule": "cosine", "learning_rate": 0.002, "start_scale": 0.02}
METHODS = {
    "the post's": (lenet, Gaussian(1.0), {}),
    "tempered": (lenet, Gaussian(1.0), TEMPERED),
    "cold": (lenet, Gaussian(0.1), COLD),
    "LeNet-5": (lenet5, Gaussian(1.0), {}),
    "LeNet-5, tempered": (lenet5, Gaussian(1.0), TEMPERED),
}


def refusals(predictor, held_out, p, digits):
    """Share of every kind of image that is refused where 1 in 100 validation digits is, by every measure."""
    thresholds = {n: uncertainty.choose_threshold(own, REFUSED) for n, own in measures(held_out).items()}
    seen = {"digits": p} | {kind: predictor(x[:1000]) for kind, x in unfamiliar(digits).items()}
    return {
        f"refused, {kind}, {name}": np.mean(measure > thresholds[name])
        for kind, probabilities in seen.items()
        for name, measure in measures(probabilities).items()
    } | {f"threshold, {name}": value for name, value in thresholds.items()}


def run(method, seed):
    """Fit once; scores as plain numbers."""
    digits = datasets.mnist()
    network, prior, settings = METHODS[method]
    model = Classifier(to_bayesian(network(seed=seed), prior))
    posterior = fit(model, digits.train, **POST | settings, precision="bfloat16", seed=seed, progressbar=False)
    begun = time.perf_counter()
    p = posterior.predictive(digits.test.x, DRAWS, seed)
    row = {"prediction seconds": time.perf_counter() - begun, "fit seconds": posterior.record.seconds}
    row |= {"temperature": posterior.record.temperature}
    row |= {"negative elbo": -posterior.record.elbo / len(digits.train)}
    row |= {f"test {k}": v for k, v in scores(p, digits.test.y).items()}
    row |= {"test accuracy of one draw": np.mean([uncertainty.accuracy(one[None], digits.test.y) for one in p])}
    at_means = posterior.predict(digits.test.x, posterior.means())
    row |= {f"test {k} at the means": v for k, v in scores(at_means, digits.test.y).items()}
    held_out = posterior.predictive(digits.validation.x, DRAWS, seed)
    row |= {f"validation {k}": v for k, v in scores(held_out, digits.validation.y).items()}
    row |= refusals(lambda x: posterior.predictive(x, DRAWS, seed), held_out, p, digits)
    return {k: float(v) for k, v in row.items()}


def place(work, method, seed):
    return work / f"{method.replace(' ', '_')}-{seed}.json"


def collect(work, seeds):
    """Write one array (methods, seeds) for each score; NaN where a method was not run on that seed."""
    kept = {m: [place(work, m, s) for s in range(seeds)] for m in METHODS}
    rows = {m: [json.loads(k.read_text()) if k.exists() else {} for k in files] for m, files in kept.items()}
    rows = {m: of_method for m, of_method in rows.items() if any(of_method)}
    keys = sorted({key for of_method in rows.values() for row in of_method for key in row})
    arrays = {k: np.array([[row.get(k, np.nan) for row in of] for of in rows.values()], np.float32) for k in keys}
    settings = {m: {"prior": repr(prior), **POST, **own} for m, (_, prior, own) in METHODS.items() if m in rows}
    about = {"script": "benchmarks/lenet.py", "methods": list(rows), "settings": settings, "draws": DRAWS}
    results.write(Path(results.__file__).parent / "lenet.npz", arrays, about)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("_build/lenet"))
    parser.add_argument("--only", nargs="*", help="methods; all by default")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--collect", action="store_true", help="write the file from the runs that are done")
    given = parser.parse_args()
    torch.set_flush_denormal(True)
    given.work.mkdir(parents=True, exist_ok=True)
    for seed in range(given.seeds):
        for method in [] if given.collect else given.only or METHODS:
            kept = place(given.work, method, seed)
            if kept.exists():
                continue
            row = run(method, seed)
            kept.write_text(json.dumps(row, indent=1))
            print(
                f"{method}, seed {seed}: test {row['test accuracy']:.4f}, NLL {row['test nll']:.4f}, "
                f"-ELBO {row['negative elbo']:.3f}, {row['fit seconds']:.0f} s",
                flush=True,
            )
    if not given.only:
        collect(given.work, given.seeds)


if __name__ == "__main__":
    main()
