"""What "draw a digit" computes with: the convolutional chapter's posterior, a plain network, and images to load."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.play.files import numbers, pack, quantised, rounded

__all__ = ["LAYERS", "draws_of", "make"]

LAYERS = ("1", "5", "10", "12")
"""Names of the layers with weights, in `companion.networks.convolutional`."""

DRAWS = 30
SEED = 0
STEPS, BATCH, RATE = 800, 64, 2e-3
"""How the plain network is trained: once through the images, after which it is about as accurate as the posterior."""

FEW = 4000
"""Number of weights up to which a layer's means are stored number by number."""

SEARCHED = 2000
"""Number of test images among which a misread one is looked for."""


def make() -> dict[str, Any]:
    """Store the released posterior's means and scales, a plain network's weights, and the images."""
    import companion
    from companion import datasets
    from companion.posterior import moments

    posterior = companion.load_posterior("mnist-convolutional", device="cpu")
    found = moments(posterior)
    digits = datasets.mnist()
    network = plain(digits)
    layers = [
        {
            "mean": _means(found[f"{layer}.weight"].mean),
            "scale": quantised(found[f"{layer}.weight"].scale, signed=False),
            "biasMean": rounded(found[f"{layer}.bias"].mean),
            "biasScale": rounded(found[f"{layer}.bias"].scale),
        }
        for layer in LAYERS
    ]
    alone = [
        {"mean": _means(network[f"{layer}.weight"]), "biasMean": rounded(network[f"{layer}.bias"])} for layer in LAYERS
    ]
    return {"draws": DRAWS, "layers": layers, "plain": alone, "images": images(posterior, digits)}


def draws_of(moments: Mapping[str, Any], noise: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
    r"""Draw networks from a posterior as the page does: mean plus scale times noise, layer after layer.

    Parameters
    ----------
    moments
        Mean and scale of each value, as `companion.posterior.moments` gives them.
    noise
        Standard normal numbers (draws, weights), each row for one network: the weights of a layer, then its biases.

    Returns
    -------
    dict
        Name to array (draws, \*shape), as `predict` of a posterior takes them.
    """
    found, start = {}, 0
    for name in (f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")):
        mean, scale = moments[name].mean, moments[name].scale
        part = noise[:, start : start + mean.size].reshape(-1, *mean.shape)
        found[name] = (mean + scale * part).astype(np.float32)
        start += mean.size
    return found


def plain(digits: Any) -> dict[str, NDArray[Any]]:
    """Train a plain network of the same shape, by Adam with a rate that falls to 0, and no prior but early stopping."""
    import torch

    from companion.networks import convolutional

    network = convolutional(seed=SEED)
    adam = torch.optim.Adam(network.parameters(), lr=RATE)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, STEPS)
    x, y = torch.tensor(digits.train.x), torch.tensor(digits.train.y, dtype=torch.long)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(SEED))
    for step in range(STEPS):
        at = order[torch.arange(step * BATCH, (step + 1) * BATCH) % len(y)]
        adam.zero_grad()
        torch.nn.functional.cross_entropy(network(x[at]), y[at]).backward()
        adam.step()
        falling.step()
    with torch.no_grad():
        right = network(torch.tensor(digits.test.x[:SEARCHED])).argmax(dim=1).numpy() == digits.test.y[:SEARCHED]
    print(f"the plain network reads {right.mean():.1%} of {SEARCHED} test images")
    return {name: values.detach().numpy() for name, values in network.named_parameters()}


def images(posterior: Any, digits: Any) -> dict[str, Any]:
    """Choose what the buttons load: kind to images (n, 28, 28) of bytes and what each of them is."""
    from companion import datasets
    from companion.prediction import predict

    test = digits.test
    p = predict(posterior, test.x[:SEARCHED], draws=DRAWS, seed=SEED).mean(axis=0)
    print(f"the posterior reads {np.mean(p.argmax(axis=1) == test.y[:SEARCHED]):.1%} of them")
    wrong = np.flatnonzero(p.argmax(axis=1) != test.y[:SEARCHED])
    misread = wrong[np.argsort(-p.max(axis=1)[wrong], kind="stable")][:6]
    first = [int(np.flatnonzero(test.y == label)[0]) for label in (7, 2, 1, 0, 4, 9, 5, 6, 3, 8)]
    letters, clothes = datasets.omniglot(), datasets.fashion_mnist()
    written = [int(np.flatnonzero(letters.y == label)[3]) for label in (0, 4, 7, 10, 17, 22)]
    shoes = np.flatnonzero(clothes.y == datasets.FASHION_CLASSES.index("ankle boot"))[:2]
    trainers = np.flatnonzero(clothes.y == datasets.FASHION_CLASSES.index("sneaker"))[:2]
    seven = test.x[np.flatnonzero(test.y == 7)[:1]]
    turned = np.concatenate([datasets.rotated(seven, float(angle)) for angle in (30, 60, 90, 135, 180)])
    kinds = ("gaussian", "shuffled")
    noise = np.concatenate([datasets.noise_images(kind, 2, images=test.x, seed=SEED) for kind in kinds])
    return {
        "digit": _shown(test.x[first], [f"a test image of a {test.y[i]}" for i in first]),
        "letter": _shown(letters.x[written], [f"the letter {datasets.LATIN_LETTERS[letters.y[i]]}" for i in written]),
        "shoe": _shown(clothes.x[[*shoes, *trainers]], ["an ankle boot"] * 2 + ["a sneaker"] * 2),
        "noise": _shown(noise, ["Gaussian noise"] * 2 + ["a digit's pixels, shuffled"] * 2),
        "turned": _shown(turned, [f"a 7, turned by {angle} degrees" for angle in (30, 60, 90, 135, 180)]),
        "misread": _shown(test.x[misread], [f"a test image of a {test.y[i]}, misread" for i in misread]),
    }


def _shown(x: NDArray[Any], names: list[str]) -> dict[str, Any]:
    """Store images in [0, 1) by their bytes, of which they are 256ths."""
    return {**pack(np.clip(np.rint(np.asarray(x) * 256), 0, 255).astype(np.uint8)), "names": names}


def _means(weights: NDArray[Any]) -> dict[str, Any]:
    """Store the means of a layer: in eight bits, but for small layers, where most of what eight bits lose is lost."""
    return numbers(weights) if weights.size <= FEW else quantised(weights, signed=True)
