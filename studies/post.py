"""Fit the Lasagne post's four networks as the post did, and its dense one from another start.

The post: ADVI with windowed AdaGrad (rate 0.01, epsilon 1), 50,000 steps of 500 images, one draw in each, weights that
start at draws from N(0, 1) with standard deviation 1, and a vote over 100 sampled labels. PyMC3 of 2016 took the
entropy in closed form and the log prior at the draw of the weights. That adds noise to the gradient, and AdaGrad
divides by its size, so other fits here have the prior in closed form, as the engine has it where it can. PyMC3 printed
the estimate of the last single step as "ELBO", and in its progress bar the mean over steps 40,000 to 45,000 as "Average
ELBO"; both are computed here, in nats for one image.

`python studies/post.py` writes companion/shelf/files/mnist_post.npz. It may be stopped, also within a fit; see `runs`.
``--precision float32`` computes in float32 also where the processor multiplies bfloat16. ``--tiny`` does
all of it in a minute with small networks, a hundredth of the images and a thousandth of the steps; it writes no file.
"""

import time

import numpy as np
import pymc as pm
import runs
from judging import first, scores
from mnist_methods import convolutional_network, dense_network, of_the_post
from scipy import stats

from companion import book, datasets, uncertainty
from companion.inference import Checkpoint, Machine, Precision, Rates, Start, fit
from companion.models import torch_classifier
from companion.prediction import predict
from companion.priors import Gaussian, LearnedScale, Prior

VOTES = 100
TRAINING = 10_000  # images of the training accuracy
STEPS = 50_000
AVERAGED = slice(40_000, 45_000)  # steps of PyMC3's "Average ELBO"
POST = {
    "steps": STEPS,
    "batch_size": 500,
    "learning_rate": Rates(0.01, 0.01, "windowed-adagrad", epsilon=1.0),
    "schedule": "constant",
    "start": of_the_post,
}
NETWORKS = {"dense": dense_network, "convolutional": convolutional_network}
TINY = {"dense": {"hidden": (20, 20)}, "convolutional": {"hidden": 8}}
FIXED, LEARNED = Gaussian(0.1), LearnedScale(1.0, each="parameter")
NARROW = {"start": Start(scale=0.01)}
BRIEF = {"steps": 5000}


class AtDraw(Prior):
    """The post's priors, written so that the engine has no closed form for them and takes them at each draw.

    Without ``learned`` the normal one with standard deviation 0.1, and with it a scale for each parameter, from
    HalfNormal(1).
    """

    def __init__(self, learned=False):
        self.learned = learned

    def __repr__(self):
        return f"{type(self).__name__}(learned={self.learned})"

    def pymc(self, parameters):
        weights = {p.name: pm.Flat(p.name, shape=p.shape, initval=p.start) for p in parameters}
        for name, weight in weights.items():
            pm.Potential(f"{name}_prior", pm.logp(pm.Normal.dist(0, self.scale(name)), weight).sum())
        return weights

    def scale(self, name):
        if not self.learned:
            return FIXED.scale
        scale = pm.HalfFlat(f"{name}_scale", initval=1.0)
        pm.Potential(f"{name}_scale_prior", pm.logp(pm.HalfNormal.dist(1.0), scale))
        return scale

    def pyro(self, parameters):
        raise NotImplementedError("the study's models are PyMC's")


METHODS = {
    "dense": {},
    "dense, prior in closed form": {"prior": FIXED},
    "hierarchical": {"prior": AtDraw(learned=True)},
    "hierarchical, prior in closed form": {"prior": LEARNED},
    "convolutional": {"network": "convolutional"},
    "hierarchical convolutional": {"network": "convolutional", "prior": AtDraw(learned=True)},
    # a tenth of the steps; with Adam both starts are in `mnist.py`, "the post's start" and "one draw for all rows"
    "dense, prior in closed form, 5,000 steps": BRIEF | {"prior": FIXED},
    "dense, prior in closed form, our start, 5,000 steps": BRIEF | NARROW | {"prior": FIXED},
    "dense, our start, 5,000 steps": BRIEF | NARROW,
    "dense, Adam, our start, 5,000 steps": BRIEF | NARROW | {"learning_rate": 0.003, "schedule": "cosine"},
}


def run(given, method, seed):
    """Fit once; the bounds as the post printed them and as they are, and the accuracies by vote and by mean."""
    digits, tiny = datasets.mnist(), given.tiny
    own = POST | {"network": "dense", "prior": AtDraw()} | METHODS[method]
    train = digits.train if not tiny else first(digits.train, 500)
    test = digits.test if not tiny else first(digits.test, 100)
    kind = own.pop("network")
    model = torch_classifier(train, NETWORKS[kind](seed, **TINY[kind] if tiny else {}), own.pop("prior"))
    own |= {"start": own["start"](model, seed) if callable(own["start"]) else own["start"]}
    own |= {"steps": own["steps"] // 1000, "batch_size": 50} if tiny else {}
    folder = given.work / f"fit-{method.replace(' ', '_').replace(',', '')}-{seed}"
    posterior = fit(
        model, **own, machine=Machine("cpu", given.precision, compile=False if tiny else "auto"),
        checkpoint=Checkpoint(folder, 2500), elbo_draws=20, seed=seed, progressbar=False,
    )  # fmt: skip
    record, images = posterior.record, len(train)
    row = {
        "negative elbo": -record.elbo / images,
        "last step": record.history[-1] / images,
        "last 5,000 steps": record.history[-5000:].mean() / images,
        "bfloat16": record.precision == "bfloat16",
    }
    if len(record.history) == STEPS:
        row["average of the progress bar"] = record.history[AVERAGED].mean() / images
        averages = record.history.reshape(-1, 5000).mean(axis=1) / images
        row |= {f"average before step {5000 * (k + 1)}": average for k, average in enumerate(averages)}
    begun = time.perf_counter()
    p = predict(posterior, test.x, draws=VOTES, seed=seed)
    row["prediction seconds"] = time.perf_counter() - begun
    seen = first(train, TRAINING)
    row["training accuracy"] = uncertainty.accuracy(predict(posterior, seen.x, draws=VOTES, seed=seed), seen.y)
    sampled = stats.mode(uncertainty.sample_labels(p, seed), axis=0).mode
    voted = stats.mode(p.argmax(axis=2), axis=0).mode
    row |= {f"test {name}": value for name, value in scores(p, test.y).items()}
    row |= {"vote of sampled labels": np.mean(sampled == test.y), "vote of draws": np.mean(voted == test.y)}
    for name, of_log in posterior.moments().items():  # of learned scales, log-normal as they are
        if name.endswith("_scale_log__"):
            scale = name.removesuffix("_log__")
            row |= {f"log of {scale}, mean": of_log.mean.item(), f"log of {scale}, sd": of_log.scale.item()}
    return row | {"one draw": np.mean(p.argmax(axis=2) == test.y)}


def main():
    parser = runs.parser(__doc__, "post", tiny="small networks, few images and steps, to see that it runs")
    parser.add_argument("--precision", default="auto", choices=list(map(str, Precision)), help="numbers of the fits")
    given = parser.parse_args()
    book.setup()
    runs.begin(given, "mnist_post")
    runs.complete(given, METHODS, lambda method, seed: run(given, method, seed), limits=dict.fromkeys(METHODS, 1))
    if not given.tiny:
        settings = {m: runs.described(POST | own | {"precision": given.precision}) for m, own in METHODS.items()}
        runs.collect(given, METHODS, "mnist_post", {"script": "studies/post.py", "settings": settings})


if __name__ == "__main__":
    main()
