"""Fit and score every method of the MNIST chapters on several seeds, with the settings that validation chose.

`python benchmarks/mnist.py dense` (or hierarchical, convolutional) takes hours on two cores. Every run that is done is
kept in the folder of ``--work``, so that a stopped script goes on where it was; at the end it writes
companion/results/mnist_<part>.npz, from which the chapter makes its tables. With ``--release`` it also stores the
headline fit of seed 0 among the companion's releases.
"""

import argparse
import json
import logging
import time
from pathlib import Path

import numpy as np
import torch
from mnist_methods import ONCE, PARTS, RELEASED, SAME

from companion import datasets, results, uncertainty
from companion.datasets.unfamiliar import KINDS
from companion.inference import save_posterior
from companion.prediction import predicted_labels
from companion.released import RELEASES

SEEDS = 3
BINS = 15


def scores(p, y):
    return {
        "accuracy": uncertainty.accuracy(p, y),
        "nll": uncertainty.log_score(p, y),
        "ece": uncertainty.reliability(p, y, bins=BINS).ece,
        "brier": uncertainty.brier_score(p, y),
    }


def measures(p):
    """Every measure of uncertainty, so that more means less sure: name to (points,)."""
    parts = uncertainty.decompose_entropy(p)
    found = {"entropy": parts.total, "probability": 1 - p.mean(axis=0).max(axis=1)}
    if len(p) > 1:
        found |= {"mutual information": parts.epistemic, "variation ratio": uncertainty.variation_ratio(p)}
    return found


def unfamiliar(digits):
    """Images that are no digits: name to (points, 28, 28)."""
    noise = {kind: datasets.noise_images(kind, 1000, images=digits.test.x, seed=0) for kind in KINDS}
    return {"Fashion-MNIST": datasets.fashion_mnist().x, "letters": datasets.omniglot().x, **noise}


def detection(predictor, p, digits):
    """AUROC and FPR at 95 % TPR of every measure, for spotting errors and images that are no digits."""
    right = predicted_labels(p) == digits.test.y
    own, found = measures(p), {}
    for name, measure in own.items():
        found[f"errors, {name}"] = uncertainty.detect(measure[right], measure[~right])
    for kind, images in unfamiliar(digits).items():
        for name, measure in measures(predictor(images)).items():
            found[f"{kind}, {name}"] = uncertainty.detect(own[name], measure)
    return {f"auroc, {k}": d.auroc for k, d in found.items()} | {f"fpr95, {k}": d.fpr95 for k, d in found.items()}


def run(part, method, seed):
    """Fit once; scores on validation and on test images, as plain numbers."""
    digits = datasets.mnist()
    begun = time.perf_counter()
    predictor, posterior = PARTS[part][method](digits.train, seed)
    row = {"seconds": time.perf_counter() - begun}
    if posterior is not None:
        row |= {
            "negative elbo": float(-posterior.record.elbo.max() / len(digits.train)),
            "temperature": posterior.record.temperature,
            "fit seconds": posterior.record.seconds,
        }
    p = predictor(digits.validation.x)
    row |= {f"validation {k}": v for k, v in scores(p, digits.validation.y).items()}
    begun = time.perf_counter()
    p = predictor(digits.test.x)
    row["prediction seconds"] = time.perf_counter() - begun
    row |= {f"test {k}": v for k, v in scores(p, digits.test.y).items()}
    if part == "convolutional":
        row |= detection(predictor, p, digits)
    if posterior is not None:
        sample = predictor(digits.train.x[:2000])
        row["training accuracy"] = uncertainty.accuracy(sample, digits.train.y[:2000])
        row |= scales(posterior)
    return {k: float(v) for k, v in row.items()}, posterior


def scales(posterior):
    """Posterior mean of every learned scale that is one number."""
    names = [rv.name for rv in posterior.model.free_RVs if rv.name.endswith("_scale") and rv.ndim == 0]
    return {f"posterior {n}": a.mean() for n, a in posterior.draw(200, seed=0, names=names).items()} if names else {}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--work", type=Path, default=Path("_build/mnist"))
    parser.add_argument("--only", nargs="*", help="methods; all by default")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--release", action="store_true")
    parser.add_argument("--collect", action="store_true", help="write the file from the runs that are done")
    given = parser.parse_args()
    logging.getLogger("pytensor.tensor.blas").setLevel(logging.ERROR)
    torch.set_flush_denormal(True)
    given.work.mkdir(parents=True, exist_ok=True)
    for seed in range(given.seeds):
        for method in [] if given.collect else given.only or PARTS[given.part]:
            kept = place(given.work, given.part, method, seed)
            if kept.exists() or (seed and method in ONCE[given.part]):
                continue
            row, posterior = run(given.part, method, seed)
            released = RELEASED.get(same_run(given.part, method))
            if given.release and seed == 0 and released:
                save_posterior(posterior, Path(results.__file__).parents[1] / "released" / RELEASES[released].file)
            kept.write_text(json.dumps(row, indent=1))
            print(
                f"{given.part}, {method}, seed {seed}: validation {row['validation accuracy']:.4f}, "
                f"NLL {row['validation nll']:.4f}, ECE {row['validation ece']:.4f}, "
                f"-ELBO {row.get('negative elbo', np.nan):.3f}, {row['seconds']:.0f} s",
                flush=True,
            )
    if not given.only:
        collect(given.part, given.work, given.seeds)


def same_run(part, method):
    """Part and name under which a run is kept."""
    return SAME.get((part, method), (part, method))


def place(work, part, method, seed):
    part, method = same_run(part, method)
    return work / f"{part}-{method.replace(' ', '_')}-{seed}.json"


def read(kept):
    return json.loads(kept.read_text()) if kept.exists() else {}


def collect(part, work, seeds):
    """Write one array (methods, seeds) for each score; NaN where a method has none, or was not run on that seed."""
    rows = {m: [read(place(work, part, m, s)) for s in range(seeds)] for m in PARTS[part]}
    rows = {m: of_method for m, of_method in rows.items() if of_method[0]}
    methods = list(rows)
    keys = sorted({key for of_method in rows.values() for row in of_method for key in row})
    arrays = {
        key: np.array([[row.get(key, np.nan) for row in rows[m]] for m in methods], dtype=np.float32) for key in keys
    }
    about = {"script": f"benchmarks/mnist.py {part}", "methods": methods, "seeds": list(range(seeds))}
    results.write(Path(results.__file__).parent / f"mnist_{part}.npz", arrays, about)


if __name__ == "__main__":
    main()
