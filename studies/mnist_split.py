"""Learn a prior on half of the MNIST images, spend the other half on the posterior at T = 1, and certify its error.

Half of the training images, chosen at random once for all seeds, teach the prior: a tempered fit to them gives its
means, and a rehearsal within that half its standard deviations. In the rehearsal one part of the half teaches the
means, a second part the posterior, and a third one, which neither saw, scores it: the log score there chooses. The
other half is not looked at before the prior is settled, so that a PAC-Bayes certificate on that half holds. Beside it
stand the prior alone, which is certified as any fixed network would be by images that were held out, and the released
posterior, which has the post's prior and all of the images.

`python studies/mnist_split.py dense convolutional` writes companion/shelf/files/mnist_split.npz. It takes some twenty
minutes for each network on one core, and may be stopped; see `runs`. ``--tiny`` does all of it with small networks on
600 images in a minute or two, to see that it runs; it writes no file.
"""

from functools import partial

import numpy as np
import runs
import torch
from judging import scores
from mnist_methods import COMMON, LOCAL, TEMPERED, convolutional_network, dense_network
from torch.func import functional_call
from torch.nn.functional import conv2d

import companion
from companion import book, datasets, uncertainty
from companion.datasets import Observations
from companion.inference import Machine, Rates, Start, fit
from companion.models import torch_classifier
from companion.posterior import Moments
from companion.prediction import predict
from companion.priors import FanIn, Gaussian, Informed

HALVES, JUDGES = 0, 0.1  # seed of the halves; share of the first half that judges the rehearsal
DELTA = 0.05  # a certificate may fail so often
PASSES = 2  # networks that are drawn for each image that a certificate counts errors on
CHOICES = np.log(1000)  # nats, for settings of the fits that came from earlier fits to all images: paid in each row

NETWORKS = {
    "dense": {
        "network": dense_network,
        "tiny": {"hidden": (20, 20)},
        "prior": Gaussian(0.1),
        "first": COMMON | {"steps": 3000, "temperature": 0.05},
        "second": LOCAL | {"steps": 1500, "learning_rate": Rates(0.002, 0.01)},
        "draws": 30,
    },
    "convolutional": {
        "network": convolutional_network,
        "tiny": {"hidden": 8},
        "prior": FanIn(1.5),
        "first": TEMPERED | {"steps": 4000},
        "second": {"batch_size": 250, "steps": 2000, "learning_rate": Rates(0.002, 0.01)},
        "draws": 30,
    },
}
WIDTHS = {  # of the prior for the second half: what the first half left, or one width for all weights
    "as the first half left them": lambda scale: scale,
    "doubled": lambda scale: 2 * scale,
    "all 0.02": lambda scale: np.full_like(scale, 0.02),
    "all 0.04": lambda scale: np.full_like(scale, 0.04),
}
REHEARSED = 0.5  # share of the steps that a rehearsal takes
ROWS = ("split prior", "the prior alone", "the released posterior")


# --- data -----------------------------------------------------------------------------------------------


def halves(given):
    """Give the two halves of the training images: the same ones for every seed, because the choice is made once."""
    train = datasets.mnist().train
    at = np.random.default_rng(HALVES).permutation(len(train))[: 600 if given.tiny else None]
    return tuple(Observations(train.x[rows], train.y[rows]) for rows in np.split(at, 2))


def rehearsal(half):
    """Cut the first half into images for the prior, images for the posterior, and images that judge."""
    ends = (np.array([0.5 * (1 - JUDGES), 1 - JUDGES]) * len(half)).astype(int)
    return tuple(Observations(x, y) for x, y in zip(np.split(half.x, ends), np.split(half.y, ends), strict=True))


# --- fits -----------------------------------------------------------------------------------------------


def network_of(given, part, seed):
    own = NETWORKS[part]
    return own["network"](seed, **own["tiny"] if given.tiny else {})


def fitted(given, part, which, data, prior, seed, share=1.0, **more):
    """Fit to one of the halves, or a part of it, with its settings and a share of its steps."""
    own = NETWORKS[part][which]
    own = own | {"steps": round(share * own["steps"])} | more
    if given.tiny:
        own |= {"steps": 40, "batch_size": 50}
    machine = Machine("cpu", compile=False) if given.tiny else Machine("cpu", "bfloat16", threads=1)
    model = torch_classifier(data, network_of(given, part, seed), prior)
    return fit(model, **own, machine=machine, elbo_draws=20, seed=seed, progressbar=False)


def taught(given, part, data, width, seed, share=1.0):
    """Learn the prior for the second half: means and standard deviations, of a tempered fit to the first."""
    kept = given.work / f"taught-{part}-{len(data)}-{seed}.npz"
    if not kept.is_file():
        found = fitted(given, part, "first", data, NETWORKS[part]["prior"], seed, share).moments()
        np.savez(kept, **{f"{name} {what}": a for name, own in found.items() for what, a in own._asdict().items()})
    with np.load(kept) as stored:
        names = dict.fromkeys(key.rsplit(" ", 1)[0] for key in stored.files)
        return {n: Moments(stored[f"{n} mean"], WIDTHS[width](stored[f"{n} scale"])) for n in names}


def spent(given, part, data, taught, seed, share=1.0):
    """Fit the posterior at T = 1, under the prior that was learned and from its means."""
    means, scales = ({name: own[k] for name, own in taught.items()} for k in (0, 1))
    start = Start(means, scale=float(np.median(np.concatenate([scale.ravel() for scale in scales.values()]))))
    return fitted(given, part, "second", data, Informed(means, scales), seed, share, start=start)


# --- runs -----------------------------------------------------------------------------------------------


def rehearse(given, part, width, seed):
    """Do within the first half what is to be done with both."""
    teaching, learning, judging = rehearsal(halves(given)[0])
    posterior = spent(given, part, learning, taught(given, part, teaching, width, seed, REHEARSED), seed, REHEARSED)
    p = predict(posterior, judging.x, draws=NETWORKS[part]["draws"], seed=seed)
    row = {"divergence": posterior.divergence()[0] / len(learning), "fit seconds": posterior.record.seconds}
    return row | {f"judged {name}": value for name, value in scores(p, judging.y).items()}


def run(given, part, row, width, seed):
    """Score one row of the table on test images, and certify it."""
    network, (first, second) = network_of(given, part, seed), halves(given)
    if row == "the released posterior":
        released = companion.load_posterior(f"mnist-{part}")
        network, train = NETWORKS[part]["network"](seed), datasets.mnist().train
        train = Observations(train.x[: len(second)], train.y[: len(second)]) if given.tiny else train
        return judged(given, part, network, released.moments(), released.divergence()[0], train)
    prior = taught(given, part, first, width, seed)
    if row == "the prior alone":  # it never saw the second half, so that nothing has to be paid
        return judged(given, part, network, prior, 0.0, second)
    posterior = spent(given, part, second, prior, seed)
    found = {"fit seconds": posterior.record.seconds, "negative elbo": -posterior.record.elbo / len(second)}
    return found | judged(given, part, network, posterior.moments(), posterior.divergence()[0], second)


def judged(given, part, network, weights, divergence, rows):
    """Score a normal law of the weights on test images, and certify it on the rows that the divergence was paid for."""
    test, draws = datasets.mnist().test, NETWORKS[part]["draws"]
    test = Observations(test.x[:300], test.y[:300]) if given.tiny else test
    p = np.stack([drawn_once(network, weights, test.x, seed=1000 + k) for k in range(draws)])
    errors = [
        drawn_for_each(network, weights, rows.x, seed=k).argmax(axis=1) != rows.y for k in range(PASSES)
    ]  # a network of its own for each image, PASSES times
    row = {f"test {name}": value for name, value in scores(p, test.y).items()}
    row |= {"test error of one draw": np.mean(p.argmax(axis=2) != test.y), "error of one draw": np.mean(errors)}
    row |= {"divergence": divergence / len(rows), "rows": len(rows)}
    bound = uncertainty.certificate(divergence + CHOICES, np.ravel(errors), len(rows), delta=DELTA)
    return row | {"certificate": bound}


def drawn_once(network, weights, x, seed, at_once=1000):
    """Draw one network for all images; its probabilities, (points, classes)."""
    generator = torch.Generator().manual_seed(seed)
    own = {
        name: torch.as_tensor(mean, dtype=torch.float32)
        + torch.as_tensor(scale, dtype=torch.float32) * torch.randn(mean.shape, generator=generator)
        for name, (mean, scale) in weights.items()
    }
    parts = torch.as_tensor(x, dtype=torch.float32).split(at_once)
    with torch.no_grad():
        return torch.cat([functional_call(network, own, part).softmax(dim=1) for part in parts]).numpy()


def drawn_for_each(network, weights, x, seed, at_once=1000):
    """Draw a network for each image, independent of all others; its probabilities, (points, classes).

    The sums that reach the units of a linear layer are drawn in place of its weights: given the layer's inputs they are
    normal and independent, so that their law is the same. Filters, which an image shares among its pixels, are drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {name: tuple(torch.as_tensor(a, dtype=torch.float32) for a in own) for name, own in weights.items()}
    parts = torch.as_tensor(x, dtype=torch.float32).split(at_once)
    with torch.no_grad():
        return torch.cat([_passed(network, weights, part, generator).softmax(dim=1) for part in parts]).numpy()


def _passed(network, weights, h, generator):
    """Pass images through the layers of a network in a row, each with weights of its own."""
    draw = lambda mean, scale: mean + scale * torch.randn(mean.shape, generator=generator)  # noqa: E731
    for at, layer in enumerate(network):
        if not isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            h = layer(h)
            continue
        (mean, scale), (bias, its_scale) = (weights[f"{at}.{what}"] for what in ("weight", "bias"))
        if isinstance(layer, torch.nn.Linear):
            h = draw(h @ mean.T + bias, (h**2 @ (scale**2).T + its_scale**2).sqrt())
            continue
        filters = draw(mean.expand(len(h), *mean.shape), scale).flatten(0, 1)
        biases = draw(bias.expand(len(h), *bias.shape), its_scale).flatten()
        out = conv2d(h.reshape(1, -1, *h.shape[2:]), filters, biases, groups=len(h))
        h = out.reshape(len(h), -1, *out.shape[2:])
    return h


def main():
    parser = runs.parser(__doc__, "mnist_split", tiny="small networks and few images, to see that it runs")
    parser.add_argument("networks", nargs="*", help="dense, convolutional, or both: the default")
    given = parser.parse_args()
    book.setup()
    runs.begin(given, "mnist_split")
    chosen, methods = {}, {}
    for part in NETWORKS:
        widths = {f"{part}, rehearsal, {width}": width for width in WIDTHS}
        rows = {f"{part}, {row}": row for row in ROWS}
        if part in (given.networks or NETWORKS):
            alone = {**dict.fromkeys(widths, 1), f"{part}, the released posterior": 1}  # one seed of these
            runs.complete(given, widths, partial(of_names, rehearse, given, part, widths), limits=alone)
            chosen[part] = widths[runs.lowest(given, widths, "judged nll")]
            runs.complete(given, rows, partial(of_names, run, given, part, rows, chosen[part]), limits=alone)
        elif all(runs.kept(given, method, 0) for method in widths):
            chosen[part] = widths[runs.lowest(given, widths, "judged nll")]
        methods |= rows | widths
    if not given.tiny:
        settings = {part: {k: runs.described(own[k]) for k in ("first", "second")} for part, own in NETWORKS.items()}
        about = {"script": "studies/mnist_split.py", "chosen": chosen, "settings": settings, "delta": DELTA}
        runs.collect(given, methods, "mnist_split", about)


def of_names(function, given, part, names, *more):
    """Call a function of a row, or of a width, by the name of its run; the last argument is the seed."""
    *between, method, seed = more
    return function(given, part, names[method], *between, seed)


if __name__ == "__main__":
    main()
