"""Run the Bayes by Backprop post's LeNet with its `fake_data` switch on, and ask what it then refuses.

With the switch, the post's script trains on ten images of noise, each with a label of its own, and divides the KL
divergence by ten. `python studies/lenet_noise.py` takes a quarter of an hour on one core, and may be stopped; see
`runs`. It writes companion/shelf/files/lenet_noise.npz, and the bars of the chapter's pictures beside it.
"""

import numpy as np
import runs
import torch
from torch.func import functional_call

from companion import datasets, shelf
from companion.bayes_by_backprop import BayesianModule, Classifier, fit
from companion.datasets import Observations
from companion.inference import Start
from companion.networks import lenet
from companion.priors import Gaussian, parameters

DRAWS, EARLY, STEPS = 50, 400, 6000
CUT_OFF = 0.2
IMAGES = 10
POST = {
    "steps": STEPS,
    "learning_rate": 0.001,
    "schedule": "constant",
    "start": Start(scale=0.05),
    "estimator": "flipout",
    "elbo_draws": 2,
}
COPIES = 128
METHODS = {
    "flipout": {},
    "reparameterisation": {"estimator": "reparameterisation"},
    # The post's batches hold each image a dozen times. With 128 copies of each, T = 128 makes KL / 1280 KL / 10 again.
    "batches of 128": {"batch_size": 128, "temperature": COPIES},
    # The same ten images, and the divergence divided by 50,000, as if there were so many.
    "divided by 50,000": {"temperature": IMAGES / 50_000},
    "the prior": {"steps": 1},
}
HIDDEN = 10  # draws with which hidden units are looked at
LIMITS = {"reparameterisation": 1, "batches of 128": 1, "divided by 50,000": 1}


def noise(seed, n=IMAGES):
    """Draw images of standard normal pixels and a permutation of labels, as the post's `build_fake_data` does."""
    rng = np.random.default_rng(seed)
    return Observations(rng.normal(size=(n, 28, 28)).astype(np.float32), rng.permutation(n) % 10)


def model_of(seed):
    """Make the post's model: every weight and bias starts at a draw of N(0, 0.1^2), and biases stay plain numbers."""
    network = lenet(scale=0.1, seed=seed)
    return Classifier(
        BayesianModule(network, Gaussian(1.0), [p for p in parameters(network) if p.name.endswith("weight")])
    )


def shown(seed):
    """Images that every network is shown: its own, ten more like them, and a hundred each of noise and of digits."""
    return {
        "its own images": noise(seed).x,
        "held-out noise": noise(1000 + seed).x,
        "new noise": noise(2000 + seed, 100).x,
        "digits": datasets.mnist().test.x[:100],
    }


def largest(row, step, kind, p):
    """Note how sure the average of the draws is, and the share of images that the post's cut-off refuses."""
    confidence = p.mean(axis=0).max(axis=1)
    row[f"step {step}, {kind}, largest"] = np.median(confidence)
    row[f"step {step}, {kind}, below 0.2"] = np.mean(confidence < CUT_OFF)


def switched_on(posterior, x, seed):
    """Share of the last hidden layer's units that are above zero, over draws and images."""
    front = posterior.model.network.module[:-1]
    names = dict(front.named_parameters())
    drawn = {name: torch.as_tensor(a) for name, a in posterior.draw(HIDDEN, seed).items() if name in names}
    with torch.no_grad():
        found = [
            functional_call(front, {name: a[k] for name, a in drawn.items()}, (torch.as_tensor(x),)) > 0
            for k in range(HIDDEN)
        ]
    return float(torch.stack(found).double().mean())


def run(method, seed, kept):
    """Fit once; scores as plain numbers. The bars of the first seed are kept for the chapter's pictures."""
    own, images, row, bars = noise(seed), shown(seed), {}, {}

    def look(step, state):
        if step % EARLY:
            return
        posterior = state.posterior().best()
        moments = posterior.moments().values()
        row[f"step {step}, median scale"] = np.median(np.concatenate([m.scale.ravel() for m in moments]))
        row[f"step {step}, typical mean"] = np.median(np.concatenate([abs(m.mean).ravel() for m in moments]))
        for kind in images if step in (EARLY, STEPS) else ("its own images", "held-out noise"):
            p = posterior.predictive(images[kind], DRAWS, seed)
            largest(row, step, kind, p)
            if step in (EARLY, STEPS):
                row[f"step {step}, {kind}, units on"] = switched_on(posterior, images[kind][:IMAGES], seed)
                bars[f"step {step}, {kind}"] = p[:, :IMAGES].astype(np.float16)

    rows = own
    if method == "batches of 128":
        rows = Observations(np.tile(own.x, (COPIES, 1, 1)), np.tile(own.y, COPIES))
    posterior = fit(model_of(seed), rows, **POST | METHODS[method], callback=look, seed=seed, progressbar=False)
    if method == "the prior":
        rng = np.random.default_rng(seed)
        draws = {k: rng.normal(size=(DRAWS, *v.shape[1:])).astype(np.float32) for k, v in posterior.means().items()}
        for kind, x in images.items():
            largest(row, STEPS, kind, posterior.predict(x, draws))
    row["fit seconds"] = posterior.record.seconds
    if bars and not seed:
        np.savez_compressed(kept / f"{method.replace(' ', '_').replace(',', '')}-bars.npz", **bars)
    return row


def main():
    given = runs.parser(__doc__, "lenet_noise").parse_args()
    runs.restore(given, "lenet_noise")
    runs.complete(given, METHODS, lambda method, seed: run(method, seed, given.work), limits=LIMITS)
    settings = {method: runs.described(POST | own) for method, own in METHODS.items()}
    about = {"script": "studies/lenet_noise.py", "settings": settings, "draws": DRAWS, "prior": repr(Gaussian(1.0))}
    runs.collect(given, METHODS, "lenet_noise", about)
    kept = given.work / "flipout-bars.npz"
    if kept.exists() and not given.methods:
        with np.load(kept) as bars:
            shelf.write_result(shelf.FILES / "lenet_noise_bars.npz", dict(bars), about | {"seed": 0})


if __name__ == "__main__":
    main()
