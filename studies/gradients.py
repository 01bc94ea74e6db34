"""Measure how noisy the gradient of Bayes by Backprop is: three estimators and a sampled divergence, by batch size.

`python studies/gradients.py` takes some twenty minutes on one core. It writes
companion/shelf/files/gradients.npz, for a figure in the chapter `book/bayes_by_backprop/design_choices`. The
posterior is that chapter's, LeNet-5 after 1,000 steps. It stands still; for each size ten batches of images are drawn,
and the gradient of each is estimated again and again.
"""

import argparse
import copy
import time

import numpy as np
import torch
from bayes_by_backprop import HEADLINE, METHODS
from pyro.infer import Trace_ELBO

from companion import book, datasets, shelf
from companion.bayes_by_backprop import Classifier, computing, gradient_noise
from companion.datasets import Observations

REPEATS = {8: 600, 32: 300, 128: 100, 512: 100}  # of each batch, by its size
BATCHES = 10
ESTIMATORS = {"one draw": "reparameterisation", "local": "local", "flipout": "flipout"}
SAMPLED = "one draw, sampled divergence"
SEED = 0


def sampled_variance(posterior, rows, total, repeats):
    """Sum over all entries of the variance of one draw's gradient with the divergence from that draw, for all rows."""
    guide = copy.deepcopy(posterior.guide)
    model = Classifier(copy.deepcopy(posterior.model.network), size=total)
    x, y = torch.tensor(rows.x), torch.tensor(rows.y, dtype=torch.int64)
    wanted = [*guide.means, *guide.rhos]
    bound, sums = Trace_ELBO(), [torch.zeros(2, *p.shape, dtype=torch.float64) for p in wanted]
    with computing(torch.device("cpu"), "float32"):
        for _ in range(repeats):
            found = torch.autograd.grad(bound.differentiable_loss(model, guide, x, y), wanted)
            for s, g in zip(sums, found, strict=True):
                s[0] += g
                s[1] += g.double().square()
    variances = [(squares - first.square() / repeats) / (repeats - 1) for first, squares in sums]
    return float(sum(v.sum() for v in variances))


def measured(posterior, digits, size):
    """Variance of the mean gradient (estimators, batches), and the median seconds of one gradient."""
    rng = np.random.default_rng(size)
    found, seconds = np.zeros((len(ESTIMATORS) + 1, BATCHES)), np.zeros((len(ESTIMATORS), BATCHES))
    for b in range(BATCHES):
        at = rng.choice(len(digits.train), size, replace=False)
        rows = Observations(digits.train.x[at], digits.train.y[at])
        for k, estimator in enumerate(ESTIMATORS.values()):
            noise = gradient_noise(posterior, rows, estimator, repeats=REPEATS[size], seed=b)
            found[k, b], seconds[k, b] = noise.variance() / size**2, noise.seconds
        torch.manual_seed(b)
        found[-1, b] = sampled_variance(posterior, rows, len(digits.train), REPEATS[size]) / len(digits.train) ** 2
    return found, np.median(seconds, axis=1)


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    book.setup()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    digits, begun = datasets.mnist(), time.process_time()
    _, posterior = METHODS[HEADLINE](digits.train, SEED)
    arrays = {"sizes": np.array(list(REPEATS)), "repeats": np.array(list(REPEATS.values()))}
    for size in REPEATS:
        found, seconds = measured(posterior, digits, size)
        arrays |= {f"{size}, variance": found.astype(np.float32), f"{size}, seconds": seconds.astype(np.float32)}
        print(size, found.mean(axis=1), found.std(axis=1, ddof=1) / np.sqrt(BATCHES), seconds, flush=True)
    about = {"script": "studies/gradients.py", "estimators": [*ESTIMATORS, SAMPLED], "batches": BATCHES}
    about |= {"seeds": [SEED], "threads": torch.get_num_threads(), "CPU seconds": round(time.process_time() - begun)}
    shelf.write_result(shelf.FILES / "gradients.npz", arrays, about)


if __name__ == "__main__":
    main()
