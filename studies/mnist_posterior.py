"""Ask what the posterior of the dense MNIST network says at temperature 1, where its mean field prunes.

Three chains of stochastic gradient Hamiltonian Monte Carlo move on the post's own model, 784-800-800-10 with N(0, 0.1²)
on every weight and bias, from draws of the prior, for four relaxation times and then ten more, at each of two step
sizes. Beside them stands the limit of infinite width of the same prior, by regression on the labels. On a few images,
where it can be done, the limit is sampled under the model's own likelihood, too, beside chains of the network and its
mean field: that tells what the width does from what the likelihood does. A network of 50 hidden units is small enough
for a sampler of all rows: microcanonical chains from the members of an ensemble, beside the mean field of the same
model, and Langevin chains of all rows from the prior. The convolutional network has chains like the dense one's.
Mini-batches heat its first layer, though, so it has others whose steps are evened out by a preconditioner that is
learned in the warm-up. So have all chains under other priors: one scale for all weights that is two and four times
the post's, learned scales of rows and columns (`unit_scales.py`) as they were fitted to the same images, and for the
convolutional network scales that follow the number of inputs.

`python studies/mnist_posterior.py` writes companion/shelf/files/mnist_posterior.npz. It takes a working day on one core
with bfloat16: half an hour to an hour and a half for most runs of chains; and 10 GB of memory for the limit on all
images. It may be stopped, see `runs`. ``--tiny`` does all of it in a minute or two with few images, and writes no file.
"""

import time
from functools import partial

import arviz as az
import numpy as np
import runs
import torch
import unit_scales
import xarray as xr
from judging import detected, first, measures, scores, unfamiliar
from mnist_methods import convolutional_network, dense_network
from safetensors.torch import load_file
from scipy import special

from companion import book, datasets, uncertainty
from companion.inference import Checkpoint, Machine, Start, ensemble, fit, sample
from companion.infinite_width import regress, sample_limit
from companion.models import torch_classifier
from companion.posterior import diagnose
from companion.prediction import predict
from companion.priors import FanIn, Gaussian, Informed, parameters
from companion.sampling import SGHMC
from companion.variational import Layout

SCALE, WIDTHS = 0.1, (800, 800)  # the post's
CHAINS, DRAWS, BATCH, FRICTION = 3, 50, 500, 0.1
SMALL = 250  # the batch of the convolutional chains, of which a step costs more
TIMES, WARMUP = 10, 4  # relaxation times of the draws, and before them
STEP_SIZES, WIDER = (0.08, 0.04), (0.2, 0.4)
POSTS, EVENED = Gaussian(SCALE), {"preconditioner": "warm-up", "size": 0.04}
WIDE = EVENED | {"size": 0.16}  # for priors whose variance is several times the post's, and once for that one
LEARNED = (
    unit_scales.CANDIDATES["rate 0.005, warm-up 0.4"] | unit_scales.METHODS["rows times columns"]
)  # as validation images chose
COMPARED = 1000  # test images at which the chains are compared
ROWS = (2000, 5000, 10_000, 20_000, 50_000)
NOISES = (1e-3, 1e-2, 1e-1)
MANY = 10_000  # images; with more, float32 leaves nothing of a noise of 1e-3, and a decomposition takes minutes

FEW = {2000: 0.02, 5000: 0.04}  # images, and the step size of the chains: a relaxation time of 100 and of 125 steps
LATENT = {"draws": 50, "warmup": 150, "chains": 4}  # of the limit under the model's own likelihood
COOLED, TEMPERATURES = 2000, (0.3, 0.1, 0.03, 0.01)
OTHER_SCALES = (0.05, 0.2, 0.4, 0.8)  # of the prior, for the limit on as many images
NARROW = {"draws": 250, "warmup": 1500, "thin": 16, "chains": 4}  # of 50 hidden units: 11,000 gradients of all rows
LANGEVIN = {"draws": 250, "warmup": 2000, "thin": 32, "chains": 4}  # of the same network: 10,000 gradients
FIT = {"steps": 2500, "batch_size": 500, "estimator": "local", "learning_rate": 0.005, "start": Start(scale=0.01)}


def data(tiny, rows=None):
    """Training images, or the first of them, validation images and test images."""
    digits = datasets.mnist()
    train, validation, test = digits.train, digits.validation, digits.test
    if tiny:
        train, validation, test = first(train, 1000), first(test, 200), first(test, 200)
    return train if rows is None else first(train, rows), validation, test


def dense_of(given, seed, widths=WIDTHS):
    return dense_network(seed, (20,) * len(widths) if given.tiny else widths)


def convolutional_of(given, seed):
    return convolutional_network(seed, **{"hidden": 8} if given.tiny else {})


def learned_prior(given, seed):
    """Normal prior with the scales of rows and columns that a fit to the same images learned; the fit is kept."""
    kept = given.work / f"learned-scales-{seed}.npz"
    if not kept.is_file():
        moments = unit_scales.fitted(given.tiny, LEARNED, seed).moments()
        scales = {name: unit_scales.width_of(moments, name) for name in moments if not name.endswith("_log__")}
        np.savez(kept.with_suffix(".part.npz"), **scales)
        kept.with_suffix(".part.npz").rename(kept)
    with np.load(kept) as stored:
        return Informed({name: np.zeros_like(stored[name]) for name in stored}, dict(stored))


def variances(prior, network):
    """Variance of each weight under an independent normal prior, by parameter."""
    return {p.name: np.broadcast_to(np.square(prior.moments(p)[1]), p.shape) for p in parameters(network)}


def run_chains(given, seed, size, rows=None, network=dense_of, batch=BATCH, prior=POSTS, preconditioner="identity"):
    """Sample at one step size; scores of the mixture, of single draws and of single chains, and what the chains say.

    ``prior`` is a prior, or a function that learns one. The chains run for so many relaxation times of a weight that
    the data leave to a prior of the mean variance, with the step size as it is.
    """
    train, validation, test = data(given.tiny, rows)
    module, own = network(given, seed), prior(given, seed) if callable(prior) else prior
    of_prior = variances(own, module)
    mean = np.mean(np.concatenate([v.ravel() for v in of_prior.values()]))
    step_size = min(size, 0.04) if given.tiny else size  # with few rows a step has a larger effect
    sampler = SGHMC(step_size=step_size, friction=FRICTION, preconditioner=preconditioner)
    time_steps = 5 if given.tiny else FRICTION * len(train) * mean / size  # where a step's factor is 1; see `SGHMC`
    place = [network.__name__, f"{mean:.6g}", preconditioner, f"{size:g}", str(rows), str(batch), str(seed)]
    thin, folder = round(TIMES * time_steps / DRAWS), given.work / "-".join(["chain", *place])
    posterior = sample(
        torch_classifier(train, module, own),
        DRAWS,
        warmup=round(WARMUP * time_steps),
        thin=thin,
        chains=CHAINS,
        sampler=sampler,
        batch_size=batch,
        start="prior",
        machine=Machine("cpu", "bfloat16", compile=False if given.tiny else "auto", threads=1),
        checkpoint=Checkpoint(folder, 1000),
        seed=seed,
        progressbar=False,
    )
    row = {"seconds": posterior.record.seconds, "relaxation": time_steps, "steps": DRAWS * thin}
    row |= heat(posterior, folder, len(train)) | judged(posterior, validation, test, seed, of_prior)
    return row if rows else row | detection(given, posterior, test, seed)


def run_langevin(given, seed, widths, size=1.0):
    """Sample a small network with all rows in every step, from the prior, by Langevin dynamics with momentum.

    That is what `SGHMC` does without mini-batches. Their noise would not allow steps as long as these, of which 40 are
    a relaxation time of a weight that the data leave to its prior.
    """
    train, validation, test = data(given.tiny)
    model = torch_classifier(train, dense_of(given, seed, widths), POSTS)
    own = LANGEVIN | ({"draws": 40, "warmup": 20, "thin": 1} if given.tiny else {})
    folder = given.work / f"langevin-{'-'.join(map(str, widths))}-{size:g}-{seed}"
    sampler = SGHMC(step_size=size, friction=FRICTION)
    posterior = sample(
        model, **own, sampler=sampler, start="prior", seed=seed, progressbar=False,
        machine=Machine("cpu", "bfloat16", compile=False if given.tiny else "auto", threads=1),
        checkpoint=Checkpoint(folder, 100),
    )  # fmt: skip
    row = {"seconds": posterior.record.seconds, "steps": own["draws"] * own["thin"]}
    row |= {"relaxation": sampler.relaxation(1 / (len(train) * SCALE**2))} | heat(posterior, folder, len(train))
    return row | judged(posterior, validation, test, seed, variances(POSTS, dense_of(given, seed, widths)))


def run_all_rows(given, seed, widths):
    """Sample a small network with all rows in every step, from the members of an ensemble."""
    train, validation, test = data(given.tiny)
    model, begun = torch_classifier(train, dense_of(given, seed, widths), POSTS), time.perf_counter()
    own = NARROW | ({"draws": 40, "warmup": 20, "thin": 1} if given.tiny else {})
    quiet = {"machine": Machine("cpu", "float32"), "seed": seed, "progressbar": False}
    steps = 20 if given.tiny else FIT["steps"]
    members = ensemble(model, steps, members=own["chains"], batch_size=BATCH, learning_rate=1e-3, **quiet)
    posterior = sample(
        model, **own, sampler="mclmc", start=members, **quiet,
        checkpoint=Checkpoint(given.work / f"all-rows-{'-'.join(map(str, widths))}-{seed}", 100),
    )  # fmt: skip
    row = {"seconds": time.perf_counter() - begun, "steps": own["draws"] * own["thin"]}
    return row | judged(posterior, validation, test, seed, variances(POSTS, dense_of(given, seed, widths)))


def judged(posterior, validation, test, seed, of_prior):
    """Scores of both parts, those of single draws, diagnostics and norms."""
    row = {}
    for name, part in (("validation", validation), ("test", test)):
        p = predict(posterior, part.x, draws=CHAINS * DRAWS, seed=seed)
        row |= {f"{name} {k}": v for k, v in scores(p, part.y).items()}
    singles = p.argmax(axis=2) == test.y
    row |= {"one draw": singles.mean(), "worst draw": singles.mean(1).min()}
    return row | diagnosed(posterior, test) | norms(posterior, of_prior)


def detection(given, posterior, test, seed):
    """AUROC of every measure for images that are not digits, by as many networks as other studies draw."""
    measured = lambda images: measures(predict(posterior, images, draws=DRAWS, seed=seed))  # noqa: E731
    strangers = unfamiliar(datasets.mnist(), noise=200 if given.tiny else 1000, fashion=200 if given.tiny else None)
    found = detected(measured, measured(test.x), strangers)
    return {f"auroc, {name}": own.auroc for name, own in found.items()}


def heat(posterior, folder, rows):
    """Temperature as the sampler told it, over chains and draws, and that of each parameter's last momentum."""
    newest = max(folder.glob("step-*.safetensors"))
    momentum = torch.as_tensor(load_file(newest)["state/momentum"]).square().mean(dim=0) * rows
    parts = Layout.of(posterior.model.initial_point()).split(momentum)
    return {"temperature": float(np.mean(posterior.stats["temperature"]))} | {
        f"heat {name}": float(part.mean()) for name, part in parts.items()
    }


def diagnosed(posterior, test):
    """R-hat and effective draws of the predicted probabilities: the worst of all that are compared, and the middle."""
    p = posterior.predict(test.x[:COMPARED], posterior.draws)
    by_chain = xr.Dataset({"p": (("chain", "draw", "entry"), p.reshape(-1, posterior.draws_per_chain, p[0].size))})
    r_hat, ess = az.rhat(by_chain)["p"].values, az.ess(by_chain)["p"].values
    row = {"r_hat": r_hat.max(), "median r_hat": np.median(r_hat), "r_hat above 1.05": np.mean(r_hat > 1.05)}
    return row | {"ess": ess.min(), "median ess": np.median(ess)}


def norms(posterior, of_prior):
    """Mean over the weights of a parameter of their squares over the prior's variance, and its spread over draws."""
    found = {}
    for name, draws in posterior.draw(CHAINS * DRAWS, seed=0).items():
        squares = (np.square(draws) / of_prior[name]).reshape(len(draws), -1).mean(1)
        found |= {f"norm {name}": squares.mean(), f"norm spread {name}": squares.std()}
    return found


def run_limit(given, seed, rows):
    """Regress on the limit; the noise and the sharpness of the probabilities are chosen on validation images."""
    train, validation, test = data(given.tiny, rows)
    x, targets = flat(train.x), np.eye(10, dtype=np.float32)[train.y] - np.float32(0.1)
    begun, best = time.perf_counter(), None
    new = np.concatenate([flat(validation.x), flat(test.x)])
    noises = NOISES if rows <= MANY else NOISES[1:2]
    for noise, mean, evidence in regress(x, targets, new, noises, scale=SCALE, widths=WIDTHS):
        both = special.softmax(mean, axis=1)[None]
        scaling = uncertainty.temperature_scaling(both[:, : len(validation)], validation.y)
        p, q = np.split(scaling.apply(both), [len(validation)], axis=1)
        loss = uncertainty.log_score(p, validation.y)
        if best is None or loss < best[0]:
            best = loss, noise, evidence, 1 / scaling.temperature, p, q
    _, noise, evidence, sharp, p, q = best
    row = {"seconds": time.perf_counter() - begun, "noise": noise, "evidence": evidence, "sharpness": sharp}
    row |= {f"validation {k}": v for k, v in scores(p, validation.y).items()}
    return row | {f"test {k}": v for k, v in scores(q, test.y).items()}


def flat(images):
    return images.reshape(len(images), -1).astype(np.float32)


def run_latent(given, seed, rows, temperature=1.0, scale=SCALE):
    """Sample the limit at the training images under the model's own likelihood, and carry it to the other images.

    The likelihood is raised to the power of one over the temperature: at 1 it is the posterior. ``scale`` is the
    standard deviation of the prior, of all layers alike.
    """
    train, validation, test = data(given.tiny, rows)
    own = {"draws": 8, "warmup": 8, "chains": 4} if given.tiny else LATENT
    begun = time.perf_counter()
    new = np.concatenate([flat(validation.x), flat(test.x)])
    found = sample_limit(
        flat(train.x), train.y, new, scale=scale, widths=WIDTHS, temperature=temperature, **own,
        machine=Machine("cpu", threads=1), seed=seed,
    )  # fmt: skip
    row = {"seconds": time.perf_counter() - begun}
    of_validation, p = np.split(found.probabilities(seed), [len(validation)], axis=1)
    row |= {f"validation {k}": v for k, v in scores(of_validation, validation.y).items()}
    quiet = special.softmax(found.means[:, len(validation) : len(validation) + COMPARED], axis=-1)
    agree = diagnose({"means": quiet.reshape(len(quiet), -1)}, own["chains"])["means"]
    row |= {"r_hat": agree.r_hat, "ess": agree.ess, "one draw": np.mean(p.argmax(2) == test.y)}
    return row | {f"test {k}": v for k, v in scores(p, test.y).items()}


def run_mean_field(given, seed, rows=None, widths=WIDTHS):
    """Fit the mean field as the dense chapter does, to a few images or to a small network."""
    train, _, test = data(given.tiny, rows)
    own = FIT | ({"steps": 20} if given.tiny else {})
    posterior = fit(
        torch_classifier(train, dense_of(given, seed, widths), POSTS), **own,
        machine=Machine("cpu", "bfloat16", threads=1), seed=seed, elbo_draws=20, progressbar=False,
    )  # fmt: skip
    p = predict(posterior, test.x, draws=DRAWS, seed=seed)
    row = {"seconds": posterior.record.seconds, "negative elbo": -posterior.record.elbo / len(train)}
    return row | {f"test {k}": v for k, v in scores(p, test.y).items()}


METHODS = {
    **{f"chains, step {size:g}": partial(run_chains, size=size) for size in STEP_SIZES},
    **{f"infinite width, {rows:,} images": partial(run_limit, rows=rows) for rows in ROWS},
    **{f"chains, {rows:,} images": partial(run_chains, size=size, rows=rows) for rows, size in FEW.items()},
    **{f"infinite width, {rows:,} images, own likelihood": partial(run_latent, rows=rows) for rows in FEW},
    **{
        f"infinite width, {COOLED:,} images, own likelihood, T = {t:g}": partial(run_latent, rows=COOLED, temperature=t)
        for t in TEMPERATURES
    },
    **{
        f"infinite width, {COOLED:,} images, own likelihood, scale {scale:g}": partial(
            run_latent, rows=COOLED, scale=scale
        )
        for scale in OTHER_SCALES
    },
    **{f"mean-field, {rows:,} images": partial(run_mean_field, rows=rows) for rows in FEW},
    "convolutional chains, step 0.08": partial(run_chains, size=0.08, network=convolutional_of, batch=SMALL),
    "chains, learned row and column scales": partial(run_chains, prior=learned_prior, **WIDE),
    **{f"chains, scale {scale:g}": partial(run_chains, prior=Gaussian(scale), **WIDE) for scale in (SCALE, *WIDER)},
    "chains, scale 0.2, half the step": partial(run_chains, prior=Gaussian(0.2), **WIDE | {"size": 0.08}),
    **{
        f"convolutional chains, {name}": partial(run_chains, network=convolutional_of, batch=SMALL, prior=own, **EVENED)
        for name, own in {"evened": POSTS, "fan-in prior": FanIn(1.5)}.items()
    },
    "chains of all rows, 50 units": partial(run_all_rows, widths=(50,)),
    "Langevin chains of all rows, 50 units": partial(run_langevin, widths=(50,)),
    "mean-field, 50 units": partial(run_mean_field, widths=(50,)),
}


def main():
    given = runs.parser(__doc__, "mnist_posterior", tiny="few images and steps, to see that it runs").parse_args()
    given.seeds = 1
    book.setup()
    runs.begin(given, "mnist_posterior")
    runs.complete(given, METHODS, lambda method, seed: METHODS[method](given, seed))
    if not given.tiny:
        own = {"scale": SCALE, "batch": BATCH, "friction": FRICTION, "chains": CHAINS, "draws of each": DRAWS}
        own |= {
            "times": TIMES,
            "warm-up times": WARMUP,
            "of all rows": NARROW,
            "Langevin": LANGEVIN,
            "learned": LEARNED,
        }
        own |= {method: runs.described(run.keywords) for method, run in METHODS.items()}
        about = {"script": "studies/mnist_posterior.py", "settings": own}
        runs.collect(given, METHODS, "mnist_posterior", about)


if __name__ == "__main__":
    main()
