"""Hold variational fits of image classifiers against rivals that have the same steps, on digits and on clothes.

Every network has as many steps of the same batches; an ensemble has as many for each of its members. Settings are
chosen by the log score on validation images, with seed 0, and the chosen ones run on three seeds; the tempered fits of
digits have the settings of `mnist.py`. Beside the scores stand those after temperature scaling on validation images,
the scores of a perfectly calibrated forecaster that predicts the same, the test images that only a method or only the
plain network of the same seed reads rightly, and how well each tells strange images from its own kind. For single
networks that is measured by the logits, too. The clothes are Fashion-MNIST, its last 10,000 training images for
validation.

`python studies/league.py dense`, or convolutional, clothes or clothes-lenet5, writes
companion/shelf/files/league_<part>.npz. It may be stopped; see `runs`. ``--tiny`` does all of it with few images and
steps, and writes no file.
"""

import hashlib
import time
from functools import partial

import alternatives
import numpy as np
import runs
import torch
from judging import detected, first, measures, scores, unfamiliar
from mnist_methods import COMMON, TEMPERED, convolutional_network, dense_network
from scipy import special, stats
from torch.func import functional_call

from companion import book, datasets, inference, uncertainty
from companion.inference import Machine, Start, Structure
from companion.models import torch_classifier
from companion.networks import lenet5
from companion.prediction import predict, predicted_labels
from companion.priors import FanIn, Gaussian

MEMBERS, FORECASTS, RATE = 5, 20, 1e-3  # the rate is that of the points
DECAYS, DROPPED = (1.0, 10.0, 100.0), (0.1, 0.2, 0.35, 0.5)
RATES, TEMPERATURES = (0.003, 0.01), (0.3, 0.1, 0.03)
NARROW = {"start": Start(scale=0.03)}
PARTS = {
    "dense": {
        "network": dense_network,
        "prior": Gaussian(0.1),
        "common": {"steps": 5000, "batch_size": 500},
        "tempered": {"tempered": COMMON | {"temperature": 0.05}},
        "draws": 50,
    },
    "convolutional": {
        "network": convolutional_network,
        "prior": FanIn(1.5),
        "common": {"steps": 5000, "batch_size": 250},
        "tempered": {"tempered": TEMPERED},
        "draws": 30,
    },
    **{
        name: {
            "network": network,
            "prior": FanIn(1.5),
            "common": {"steps": 6000, "batch_size": 250},
            "mean-field": {f"mean-field, rate {rate:g}": NARROW | {"learning_rate": rate} for rate in RATES},
            "tempered": {
                f"tempered, T = {t:g}": NARROW | {"learning_rate": 0.003, "temperature": t} for t in TEMPERATURES
            },
            "draws": 30,
        }
        for name, network in (("clothes", convolutional_network), ("clothes-lenet5", lambda seed: lenet5(seed=seed)))
    },
}


def candidates(given):
    """Settings among which validation images choose, by kind: name to a fit and its number of draws."""
    part, draws = PARTS[given.part], PARTS[given.part]["draws"]
    made = {
        "plain": {f"plain, decay {d:g}": (partial(trained, given, decay=d), 1) for d in DECAYS},
        "Laplace": {f"last-layer Laplace, decay {d:g}": (partial(last_layer, given, decay=d), draws) for d in DECAYS},
        "dropout": {f"MC dropout, {100 * p:g} % dropped": (partial(dropout, given, p=p), draws) for p in DROPPED},
    }
    for kind in ("mean-field", "tempered"):
        made[kind] = {name: (partial(fitted, given, **own), draws) for name, own in part.get(kind, {}).items()}
    return made


def methods(given):
    """What runs on every seed, with the settings that were chosen: name to a fit and its number of draws."""
    best = {}
    for kind, made in candidates(given).items():
        if made:
            best[kind] = made[runs.lowest(given, made, "validation nll") if len(made) > 1 else next(iter(made))]
    plain, _ = best["plain"]
    return {
        "plain": best["plain"],
        "MAP, the full prior": (partial(trained, given), 1),
        f"ensemble of {MEMBERS}": (partial(trained, given, members=MEMBERS, **plain.keywords), MEMBERS),
        "MC dropout": best["dropout"],
        "last-layer Laplace, Kronecker": best["Laplace"],
        **{kind: best[kind] for kind in ("mean-field", "tempered") if kind in best},
    }


def common(given, seed):
    """What the methods share: steps, batches, threads, and a start that follows from the seed."""
    own = {"machine": Machine("cpu", "bfloat16")} | PARTS[given.part]["common"]
    own |= {"steps": 20, "batch_size": 50, "machine": Machine("cpu", compile=False)} if given.tiny else {}
    return own | {"seed": seed, "progressbar": False}


def model(given, data, seed, decay=None):
    """Classify with the part's prior, or with a normal one that is a decay of this strength."""
    part = PARTS[given.part]
    return torch_classifier(data, part["network"](seed), part["prior"] if decay is None else Gaussian(decay**-0.5))


def trained(given, data, seed, decay=None, members=1):
    """Train one network, or several from other starts."""
    return inference.ensemble(
        model(given, data, seed, decay), members=members, learning_rate=RATE, **common(given, seed)
    )


def dropout(given, data, seed, p):
    return inference.dropout(
        alternatives.model_of(PARTS[given.part]["network"], data, seed), p=p, learning_rate=RATE,
        **common(given, seed), elbo_draws=2,
    )  # fmt: skip


def last_layer(given, data, seed, decay):
    """Kronecker factors of the last layer's curvature, at the mode. The network is linear in these weights as it is."""
    return inference.laplace(
        model(given, data, seed, decay), structure=Structure.KRONECKER, subset="last-layer", predictive="sampled",
        polish=0, tolerance=100.0, learning_rate=RATE, **common(given, seed), elbo_draws=2,
    )  # fmt: skip


def fitted(given, data, seed, **own):
    return inference.fit(model(given, data, seed), **own | common(given, seed), elbo_draws=20)


# --- judging --------------------------------------------------------------------------------------------


def images(given):
    """Give training, validation and test images."""
    of_clothes = given.part.startswith("clothes")
    data = datasets.fashion_mnist_dataset() if of_clothes else datasets.mnist()
    if not given.tiny:
        return data.train, data.validation, data.test
    return first(data.train, 500), first(data.validation, 200), first(data.test, 200)


def strangers(given):
    """Images of other kinds than the network learned: name to (points, 28, 28)."""
    digits = datasets.mnist()
    found = {"digits": digits.test.x} if given.part.startswith("clothes") else unfamiliar(digits)
    return {kind: x[:200] if given.tiny else x for kind, x in found.items()}


def run(given, fit, draws, seed):
    """Fit once; scores, times and measures of what is strange, and what each test image cost in each way.

    A fit that was among the candidates is not done again.
    """
    told = f"{fit.func.__name__} {sorted(fit.keywords.items())}"
    place = given.work / f"{hashlib.sha256(told.encode()).hexdigest()[:16]}-{seed}.npz"
    if not place.exists():
        row, by_image = scored(given, fit(images(given)[0], seed), draws, seed)
        kept = {f"row {name}": value for name, value in row.items()} | {f"image {k}": v for k, v in by_image.items()}
        np.savez(place, **kept)
    with np.load(place) as kept:
        return tuple({n.removeprefix(head): kept[n] for n in kept if n.startswith(head)} for head in ("row ", "image "))


def scored(given, posterior, draws, seed):
    train, validation, test = images(given)
    row = {"fit seconds": posterior.record.seconds, "negative elbo": -posterior.record.elbo / len(train)}
    predictor = partial(predict, posterior, draws=draws, seed=seed)
    held_out = predictor(validation.x)
    begun = time.perf_counter()
    p = predictor(test.x)
    row["prediction seconds"] = time.perf_counter() - begun
    row |= {f"validation {k}": v for k, v in scores(held_out, validation.y).items()}
    row |= {f"test {k}": v for k, v in scores(p, test.y).items()}
    scaling = uncertainty.temperature_scaling(held_out, validation.y)
    row |= {"scaling": scaling.temperature}
    row |= {f"scaled {k}": v for k, v in scores(scaling.apply(p), test.y).items()}
    row |= {f"calibrated {k}": v for k, v in calibrated(p, seed).items()}
    row |= detection(given, posterior, predictor, p, test.x, single=draws == 1)
    by_image = {"right": predicted_labels(p) == test.y}
    for name, told in (("nll", p), ("scaled nll", scaling.apply(p))):
        mean = told.mean(axis=0)[np.arange(len(test)), test.y]
        by_image[name] = -np.log(mean.clip(np.finfo(mean.dtype).eps))  # as the mean log score has it
    return row, by_image


def paired(given, own, seed):
    """Compare what images cost with what they cost the plain network of the same seed.

    Images that only one of the two reads rightly, and the mean difference of log scores, less being better for this
    method, with its standard error over images; the same of scaled probabilities.
    """
    plain = run(given, *methods(given)["plain"], seed)[1]
    right = own["right"], plain["right"]
    row = {"only this one": np.sum(right[0] & ~right[1]), "only the plain one": np.sum(right[1] & ~right[0])}
    for name in ("nll", "scaled nll"):
        apart = own[name] - plain[name]
        row |= {f"{name} over plain": apart.mean(), f"{name} over plain, error": stats.sem(apart)}
    return row


def calibrated(p, seed):
    """Mean scores of a forecaster whose labels are drawn from what it predicts."""
    mean, rng = p.mean(axis=0), np.random.default_rng(seed)
    told = [
        scores(mean[None], (mean.cumsum(axis=1) < rng.random((len(mean), 1))).sum(axis=1).clip(max=mean.shape[1] - 1))
        for _ in range(FORECASTS)
    ]
    return {name: np.mean([own[name] for own in told]) for name in told[0]}


def detection(given, posterior, predictor, p, test, *, single):
    """AUROC of every measure for images of other kinds; from the logits, too, of a single network."""
    of_logits = lambda x: logit_measures(given, posterior, x) if single else {}  # noqa: E731
    found = detected(lambda x: measures(predictor(x)) | of_logits(x), measures(p) | of_logits(test), strangers(given))
    return {f"auroc, {name}": own.auroc for name, own in found.items()}


def logit_measures(given, posterior, x, at_once=1000):
    """Minus the largest logit, and minus the logarithm of the sum of exponentials, the energy (Liu et al. 2020)."""
    drawn = posterior.draw(1, seed=0)
    weights = {name: torch.as_tensor(draws[0], dtype=torch.float32) for name, draws in drawn.items()}
    network = PARTS[given.part]["network"](0)
    with torch.no_grad():
        parts = torch.as_tensor(x, dtype=torch.float32).split(at_once)
        logits = torch.cat([functional_call(network, weights, part) for part in parts]).numpy()
    return {"largest logit": -logits.max(axis=1), "energy": -special.logsumexp(logits, axis=1)}


def main():
    parser = runs.parser(__doc__, "league", tiny="few images and steps, to see that it runs")
    parser.add_argument("part", choices=PARTS)
    given = parser.parse_args()
    given.work, file = given.work / given.part, f"league_{given.part.replace('-', '_')}"
    book.setup()
    runs.begin(given, file)
    kinds = [made for made in candidates(given).values() if len(made) > 1]
    tried = {name: one for made in kinds for name, one in made.items()}
    runs.complete(given, tried, lambda m, seed: run(given, *tried[m], seed)[0], limits=dict.fromkeys(tried, 1))
    chosen = methods(given)

    def one(method, seed):
        row, by_image = run(given, *chosen[method], seed)
        return row | ({} if method == "plain" else paired(given, by_image, seed))

    runs.complete(given, chosen, one)
    if not given.tiny:
        settings = {m: runs.described(fit.keywords) for m, (fit, _) in {**tried, **chosen}.items()}
        about = {"script": f"studies/league.py {given.part}", "settings": settings}
        about |= {"common": runs.described(PARTS[given.part]["common"])}
        runs.collect(given, {**chosen, **tried}, file, about)


if __name__ == "__main__":
    main()
