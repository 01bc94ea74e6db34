"""Test the causes that the chapters on the moons name, and sample the posterior that they are held against.

`python studies/moons.py` takes half an hour on one quiet core. First it writes companion/shelf/files/moons_nuts.npz,
the draws of four long chains by NUTS. Then `moons.npz`: what each family of approximations says near the data and far
from them (three seeds), alone and mixed, with each part of a mixture, and the loss after every 1,000 steps of each
optimiser, rate and batch size (ten starts).
"""

import time
from dataclasses import dataclass
from functools import cache

import numpy as np
import pymc as pm
import runs
import torch
from scipy.spatial import cKDTree

from companion import book, datasets, shelf, uncertainty
from companion.inference import fit, fit_advi, sample
from companion.models import binary_classifier, torch_classifier
from companion.networks import dense
from companion.prediction import grid, predict
from companion.priors import Gaussian
from companion.variational import FullRank

NUTS = {"draws": 1000, "tune": 1000, "chains": 4, "target_accept": 0.95}
WEIGHTS = ("w_in_1", "w_1_2", "w_2_out")

FIT = {"steps": 3000, "restarts": 8, "learning_rate": 0.03, "schedule": "one-cycle", "keep": "mixture"}
# Full rank starts where a mean-field fit ended: with that fit's settings it ends a hundred nats above what it contains
FULL_RANK = {"steps": 1500, "learning_rate": 0.01, "schedule": "one-cycle", "draws": 8}
CHAINS = {"draws": 400, "warmup": 800, "chains": 16}
ONE, MIXED = ", one unit", ", mixture"
CAUSES = [*(family + how for family in ("mean-field", "full-rank") for how in ("", ONE, MIXED)), "chains" + ONE, "NUTS"]
DRAWS, SEEDS_OF_CAUSES = 800, 3

EVERY = 1000
TRIED = {
    f"{name} {rate}, {size or 500} rows": (make, rate, size, steps)
    for name, make, rate, size, steps in (
        ("AdaGrad", pm.adagrad_window, 0.001, None, 30_000),
        ("AdaGrad", pm.adagrad_window, 0.001, 50, 30_000),
        ("AdaGrad", pm.adagrad_window, 0.01, None, 10_000),
        ("AdaGrad", pm.adagrad_window, 0.01, 50, 10_000),
        ("Adam", pm.adam, 0.001, None, 30_000),
        ("Adam", pm.adam, 0.01, None, 10_000),
    )
}
AS_PRINTED = "AdaGrad 0.001, 500 rows"  # the original's settings
STARTS = 10
METHODS = [*CAUSES, *TRIED]
LIMITS = dict.fromkeys(CAUSES, SEEDS_OF_CAUSES) | {"chains" + ONE: 1, "NUTS": 1}
OFF_THE_PLATEAU = 150  # nats: a fit that ends with a lower loss has left the plateau near 180


@cache
def data():
    return datasets.moons(n_samples=1000, noise=0.2, seed=0)


@cache
def plane():
    """Points of the grid (10000, 2), and their distance to the nearest training point (10000,)."""
    points = grid(-3, 3, 100).points
    return points, cKDTree(data().train.x).query(points)[0]


def zones():
    distance = plane()[1]
    return {"amid": distance <= 0.25, "around": (distance > 0.25) & (distance <= 1), "far": distance > 1}


def sampled():
    """Sample by NUTS, each chain from the start of another seed."""
    model = binary_classifier(data().train)
    starts = [binary_classifier(data().train, seed=s).initial_point() for s in range(NUTS["chains"])]
    with model:
        return pm.sample(
            **NUTS, cores=1, initvals=starts, random_seed=0, progressbar=False, compute_convergence_checks=False
        )


def timed(run, *given):
    """Run something, and count the seconds of the processor that it takes, compilation included."""
    begun = time.process_time()
    return run(*given), time.process_time() - begun


def reference():
    """Sample by NUTS and store every draw."""
    begun = time.perf_counter()
    found, used = timed(sampled)
    took = {"seconds": round(time.perf_counter() - begun, 1), "CPU seconds": round(used, 1)}
    arrays = {name: found["posterior"][name].values.astype(np.float16) for name in WEIGHTS}  # (chains, draws, *shape)
    stats = found["sample_stats"]
    arrays |= {name: stats[name].values.astype(kind) for name, kind in (("diverging", bool), ("n_steps", np.int16))}
    about = {"script": "studies/moons.py", **NUTS, **took}
    shelf.write_result(shelf.FILES / "moons_nuts.npz", arrays, about)
    print(about, "divergences:", arrays["diverging"].sum(axis=1), flush=True)


def outputs(weights, x):
    """Probabilities (draws, points) and contributions of the second layer's units to the logit (draws, units)."""
    w_1, w_2, w_3 = (np.asarray(w, dtype=np.float32) for w in weights)
    units = np.tanh(np.tanh(x.astype(np.float32) @ w_1) @ w_2)
    p = 1 / (1 + np.exp(-np.einsum("spu,su->sp", units, w_3)))
    return p, np.abs(units * w_3[:, None]).mean(axis=1)


@cache
def nuts():
    """Every fourth draw of NUTS, and the predictive mean on the plane (10000,)."""
    stored = shelf.load_result("moons_nuts").arrays
    draws = [stored[name].reshape(-1, *stored[name].shape[2:]).astype(float)[::4] for name in WEIGHTS]
    return draws, outputs(draws, plane()[0])[0].mean(axis=0)


def drawn(posterior, draws):
    """Draw the three weights, laid out as in the model of PyMC."""
    found = posterior.draw(draws, 0)
    return found["0.weight"].swapaxes(1, 2), found["2.weight"].swapaxes(1, 2), found["4.weight"][:, 0]


def judged(weights):
    """Say how sure networks are in each zone, how far their mean is from that of NUTS, and how many units they use."""
    p, _ = outputs(weights, plane()[0])
    _, carried = outputs(weights, data().train.x)
    share = carried / carried.sum(axis=1, keepdims=True)
    held_out, _ = outputs(weights, data().test.x)
    probabilities = np.stack([1 - held_out, held_out], axis=-1)
    row = {
        "units": (1 / (share**2).sum(axis=1)).mean(),
        "accuracy": uncertainty.accuracy(probabilities, data().test.y),
        "log score": uncertainty.log_score(probabilities, data().test.y),
    }
    for zone, inside in zones().items():
        row[f"sd, {zone}"] = p.std(axis=0)[inside].mean()
        row[f"gap, {zone}"] = np.abs(p.mean(axis=0) - nuts()[1])[inside].mean()
    return row


def network_with(second, seed):
    network = dense(2, 5, second, 1, activation=torch.nn.Tanh, bias=False, seed=seed)
    return torch_classifier(data().train, network, Gaussian(scale=1.0))


COMMON = {"machine": "cpu", "progressbar": False}


@cache
def mean_field(second, seed):
    """Fit from several starts at once; the fit, and its seconds of the processor."""
    return timed(lambda: fit(network_with(second, seed), **FIT, **COMMON, elbo_draws=1000, seed=seed))


@dataclass(frozen=True)
class FullRankFrom(FullRank):
    """Full rank whose scales start at given values instead of one for all."""

    name: str = "full-rank-from"
    scales: tuple[float, ...] = ()

    def start(self, mean, scale):
        return super().start(mean, scale) | {"log_scale": torch.tensor(self.scales).to(mean).log()}


@cache
def full_rank(second, seed, restart):
    begun = mean_field(second, seed)[0].restart(restart).draw(4000, seed)
    model = network_with(second, seed)
    scales = np.concatenate([begun[rv.name].std(axis=0).ravel() for rv in model.free_RVs])
    family = FullRankFrom(scales=tuple(map(float, scales)))
    centre = {name: draws.mean(axis=0) for name, draws in begun.items()}
    return timed(lambda: fit(model, family=family, **FULL_RANK, **COMMON, start=centre, elbo_draws=1000, seed=seed))


def mixture(fits, losses):
    """Judge the mixture of several fits, each of its parts alone, and the mixture of those that left the plateau."""
    parts = [drawn(found, DRAWS) for found in fits]

    def mixed(which):
        some = [[weights[: DRAWS // len(which)] for weights in parts[k]] for k in which]
        return judged([np.concatenate(same) for same in zip(*some, strict=True)])

    row = mixed(range(len(fits)))
    left = [k for k, loss in enumerate(losses) if loss < OFF_THE_PLATEAU]
    if left:
        row |= {f"{key}, off the plateau": value for key, value in mixed(left).items()}
    for k, (part, loss) in enumerate(zip(parts, losses, strict=True)):
        row |= {f"{key}, part {k}": value for key, value in (judged(part) | {"loss": loss}).items()}
    return row


def cause(method, seed):
    if method == "NUTS":  # its draws are stored; it is timed anew, beside one fit, on the machine of the other rows
        model = binary_classifier(data().train, seed=seed)
        _, one_fit = timed(lambda: fit_advi(model, 10_000, optimizer=pm.adam(learning_rate=0.01), seed=seed))
        return judged(nuts()[0]) | {"seconds": timed(sampled)[1], "seconds of one fit": one_fit}
    second = 1 if method.endswith(ONE) else 5
    if method.startswith("chains"):
        found, seconds = timed(lambda: sample(network_with(second, seed), **CHAINS, **COMMON, seed=seed))
        checked = found.diagnose(plane()[0][::37]).loc["predictions"]
        checks = {"r_hat": checked.r_hat, "ess": checked.ess, "divergences": found.health().divergences.sum()}
        return judged(drawn(found, DRAWS)) | checks | {"seconds": seconds}
    every, seconds = mean_field(second, seed)
    elbos = every.record.restarts["elbo"].to_numpy()
    if method.startswith("mean-field"):
        fits = [every.restart(r) for r in range(FIT["restarts"])]
        losses = -elbos
    else:
        starts = range(FIT["restarts"]) if method.endswith(MIXED) else [elbos.argmax()]
        fits, took = zip(*(full_rank(second, seed, int(r)) for r in starts), strict=True)
        losses = [-found.record.elbo for found in fits]
        seconds += sum(took)
    if method.endswith(MIXED):
        return mixture(fits, losses) | {"seconds": seconds}
    best = fits[int(np.argmin(losses))]
    row = {"loss": -best.record.elbo, "loss_se": best.record.elbo_se, "seconds": seconds}
    return judged(drawn(best, DRAWS)) | row | {"k_hat": best.k_hat(4000)}


def steps_of(method, seed):
    make, rate, size, steps = TRIED[method]
    model = binary_classifier(data().train, batch_size=size, seed=seed)
    whole = model if size is None else binary_classifier(data().train, seed=seed)
    found = fit_advi(model, steps, optimizer=make(learning_rate=rate), seed=seed, full_model=whole, elbo_draws=200)
    means = found.record.history.reshape(-1, EVERY).mean(axis=1)
    row = {f"loss, {EVERY * (k + 1)}": mean for k, mean in enumerate(means)}
    if method == AS_PRINTED:
        row["accuracy"] = uncertainty.accuracy(predict(found, data().test.x), data().test.y)
    return row | {"seconds": found.record.seconds, "loss": -found.record.elbo}


def run(method, seed):
    return cause(method, seed) if method in CAUSES else steps_of(method, seed)


def main():
    given = runs.parser(__doc__.splitlines()[0], "moons")
    given.set_defaults(seeds=STARTS)
    given = given.parse_args()
    book.setup()
    torch.set_num_threads(1)
    sampled_anew = given.anew and "NUTS" in (given.methods or METHODS)
    if sampled_anew or not (shelf.FILES / "moons_nuts.npz").is_file():
        reference()
    runs.restore(given, "moons")
    runs.complete(given, METHODS, run, limits=LIMITS)
    settings = {"mean-field": runs.described(FIT), "full-rank": FULL_RANK, "chains": CHAINS, "draws": DRAWS}
    runs.collect(given, METHODS, "moons", {"script": "studies/moons.py", **settings})


if __name__ == "__main__":
    main()
