"""Ask what the posterior of the dense MNIST network says at temperature 1, where its mean field prunes.

Three chains of stochastic gradient Hamiltonian Monte Carlo move on the post's own model, 784-800-800-10 with N(0, 0.1²)
on every weight and bias, from draws of the prior, for four relaxation times and then ten more, at each of three step
sizes. Beside them stands the limit of infinite width of the same prior, by regression on the labels.

`python studies/mnist_posterior.py` writes companion/shelf/files/mnist_posterior.npz. It takes some two hours on one
core with bfloat16, and 10 GB of memory for the limit on all images; it may be stopped, see `runs`. ``--tiny`` does all
of it in a minute with few images, and writes no file.
"""

import time

import numpy as np
import runs
from judging import scores
from mnist_methods import dense_network
from scipy import optimize, special

from companion import book, datasets
from companion.datasets import Observations
from companion.inference import Checkpoint, Machine, sample
from companion.infinite_width import regress
from companion.models import torch_classifier
from companion.prediction import predict
from companion.priors import Gaussian
from companion.sampling import SGHMC

SCALE, WIDTHS = 0.1, (800, 800)  # the post's
CHAINS, DRAWS, BATCH, FRICTION = 3, 50, 500, 0.1
TIMES, WARMUP = 10, 4  # relaxation times of the draws, and before them
STEP_SIZES = (0.08, 0.04, 0.02)
COMPARED = 1000  # test images at which the chains are compared
ROWS = (2000, 5000, 10_000, 20_000, 50_000)
NOISES = (1e-3, 1e-2, 1e-1)
MANY = 10_000  # images; with more, float32 leaves nothing of a noise of 1e-3, and a decomposition takes minutes

CHAIN = "chains, step {:g}"
METHODS = {
    **{CHAIN.format(size): size for size in STEP_SIZES},
    **{f"infinite width, {rows:,} images": rows for rows in ROWS},
}


def data(tiny):
    digits = datasets.mnist()
    if not tiny:
        return digits.train, digits.validation, digits.test
    few = [Observations(part.x[:n], part.y[:n]) for part, n in ((digits.train, 1000), (digits.test, 200))]
    return few[0], few[1], few[1]


def relaxation(step_size, rows):
    """Number of steps in which a weight that the data leave to its prior relaxes; see `SGHMC`."""
    return FRICTION * rows * SCALE**2 / step_size


def run_chains(given, size, seed):
    """Sample at one step size; scores of the mixture, of single draws and of single chains, and what the chains say."""
    train, validation, test = data(given.tiny)
    model = torch_classifier(train, dense_network(seed, (20, 20) if given.tiny else WIDTHS), Gaussian(SCALE))
    time_steps = 5 if given.tiny else relaxation(size, len(train))
    thin = round(TIMES * time_steps / DRAWS)
    begun = time.perf_counter()
    posterior = sample(
        model,
        DRAWS,
        warmup=round(WARMUP * time_steps),
        thin=thin,
        chains=CHAINS,
        sampler=SGHMC(step_size=size, friction=FRICTION),
        batch_size=BATCH,
        start="prior",
        machine=Machine("cpu", "bfloat16", compile=False if given.tiny else "auto", threads=1),
        checkpoint=Checkpoint(given.work / f"chain-{size:g}-{seed}", 1000),
        seed=seed,
        progressbar=False,
    )
    row = {"seconds": time.perf_counter() - begun, "relaxation": time_steps, "steps": TIMES * time_steps}
    row |= heat(posterior)
    for name, part in (("validation", validation), ("test", test)):
        p = predict(posterior, part.x, draws=CHAINS * DRAWS, seed=seed)
        row |= {f"{name} {k}": v for k, v in scores(p, part.y).items()}
    singles = p.argmax(axis=2) == test.y
    row |= {"one draw": singles.mean(), "worst draw": singles.mean(1).min()}
    return row | diagnosed(posterior, test) | norms(posterior)


def heat(posterior):
    """Mean of what the sampler told of its temperature, over chains and draws."""
    told = posterior.stats.get("temperature")
    return {} if told is None else {"temperature": float(np.mean(told))}


def diagnosed(posterior, test):
    """R-hat and effective draws of the predicted probabilities, the worst of all that are compared."""
    found = posterior.diagnose(test.x[:COMPARED], names=[]).loc["predictions"]
    return {"r_hat": found["r_hat"], "ess": found["ess"]}


def norms(posterior):
    """Mean square of the weights of each parameter over the prior's variance, and its spread over draws."""
    found = {}
    for name, draws in posterior.draw(CHAINS * DRAWS, seed=0).items():
        squares = np.square(draws.reshape(len(draws), -1)).mean(1) / SCALE**2
        found |= {f"norm {name}": squares.mean(), f"norm spread {name}": squares.std()}
    return found


def run_limit(given, rows, seed):
    """Regress on the limit; the noise and the sharpness of the probabilities are chosen on validation images."""
    train, validation, test = data(given.tiny)
    rows = min(rows, len(train))
    flat = lambda a: a.reshape(len(a), -1).astype(np.float32)  # noqa: E731
    x, targets = flat(train.x[:rows]), np.eye(10, dtype=np.float32)[train.y[:rows]] - np.float32(0.1)
    begun, best = time.perf_counter(), None
    new = np.concatenate([flat(validation.x), flat(test.x)])
    for noise, mean, evidence in regress(
        x, targets, new, NOISES if rows <= MANY else NOISES[1:2], scale=SCALE, widths=WIDTHS
    ):
        inside, outside = mean[: len(validation)], mean[len(validation) :]
        loss = lambda t, m=inside: -special.log_softmax(np.exp(t) * m, 1)[np.arange(len(m)), validation.y].mean()  # noqa: E731
        found = optimize.minimize_scalar(loss, bounds=(-1, 5), method="bounded")
        if best is None or found.fun < best[0]:
            sharp = np.exp(found.x)
            best = (found.fun, noise, evidence, sharp, [special.softmax(sharp * m, 1)[None] for m in (inside, outside)])
    _, noise, evidence, sharp, (p, q) = best
    row = {"seconds": time.perf_counter() - begun, "noise": noise, "evidence": evidence, "sharpness": sharp}
    row |= {f"validation {k}": v for k, v in scores(p, validation.y).items()}
    return row | {f"test {k}": v for k, v in scores(q, test.y).items()}


def run(given, method, seed):
    own = METHODS[method]
    return run_chains(given, own, seed) if isinstance(own, float) else run_limit(given, own, seed)


def main():
    given = runs.parser(__doc__, "mnist_posterior", tiny="few images and steps, to see that it runs").parse_args()
    given.seeds = 1
    book.setup()
    runs.begin(given, "mnist_posterior")
    runs.complete(given, METHODS, lambda method, seed: run(given, method, seed))
    if not given.tiny:
        own = {"scale": SCALE, "batch": BATCH, "friction": FRICTION, "chains": CHAINS, "draws of each": DRAWS}
        about = {"script": "studies/mnist_posterior.py", "settings": own | {"times": TIMES, "warm-up times": WARMUP}}
        runs.collect(given, METHODS, "mnist_posterior", about)


if __name__ == "__main__":
    main()
