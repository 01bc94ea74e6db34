"""What "start ADVI again" shows: three fits of the moons chapter's model, step by step, with their surfaces."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.play.files import numbers, pack
from tools.play.noise import normals

__all__ = ["drawn", "make", "surface"]

STARTS = (0, 2, 3)
"""Seeds of the chapter's first fit, which rests on a plateau, and of two that are far below it after 30,000 steps."""

STEPS = 70_000
FRAMES = 41
SIDE = 32
REACH = 3.0
DRAWS = 100
WINDOW = 350


def make() -> dict[str, Any]:
    """Fit three starts of the chapter as the original did, for as long as its first fit needs to leave its plateau."""
    from companion import datasets

    moons = datasets.moons(n_samples=1000, noise=0.2, seed=0)
    return {
        "steps": STEPS,
        "frames": FRAMES,
        "side": SIDE,
        "reach": REACH,
        "window": WINDOW,
        "points": _points(moons.train.x[:250], moons.train.y[:250]),
        "starts": [watched(moons, seed) for seed in STARTS],
    }


def watched(moons: Any, seed: int) -> dict[str, Any]:
    """Fit one start, with PyMC's default optimiser, and look at it again and again."""
    from companion.inference import fit_advi
    from companion.models import binary_classifier
    from companion.posterior import compile_forward

    model = binary_classifier(moons.train, seed=seed)
    forward = compile_forward(model)
    at = set(np.linspace(1, STEPS, FRAMES).astype(int).tolist())
    seen: list[tuple[NDArray[np.uint8], float]] = []
    steps = itertools.count(1)  # PyMC counts anew where a fit goes on, as `fit_advi` lets it after the first step

    def look(approximation: Any, *_: Any) -> None:
        if next(steps) in at:
            draws = drawn(_weights(approximation))
            on_test = forward(draws, moons.test.x).mean(axis=0)
            seen.append((surface(forward, draws), float(np.mean((on_test > 0.5) == moons.test.y))))

    fitted = fit_advi(model, STEPS, seed=seed, callbacks=[look], elbo_draws=200)
    history = np.asarray(fitted.approximation.hist)
    losses = history[: len(history) // WINDOW * WINDOW].reshape(-1, WINDOW).mean(axis=1)
    early, late = history[29_000:30_000].mean(), history[-1000:].mean()
    print(f"start {seed}: loss {early:.1f} at 30,000 steps, {late:.1f} at the end")
    return {
        "seed": seed,
        "losses": [round(float(loss), 1) for loss in losses],
        "accuracy": [round(accuracy, 3) for _, accuracy in seen],
        "surfaces": pack(np.stack([bytes_ for bytes_, _ in seen])),
        "last": {name: [numbers(part) for part in pair] for name, pair in _weights(fitted.approximation).items()},
    }


def drawn(weights: Mapping[str, Sequence[NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    r"""Draw networks, name to array (draws, \*shape), from the mean and scale (\*shape) of each array of weights.

    The noise is the same at every step, so that only the fit moves.
    """
    noise = normals(0, DRAWS * sum(mean.size for mean, _ in weights.values())).reshape(DRAWS, -1)
    found, first = {}, 0
    for name, (mean, scale) in weights.items():
        found[name] = mean + scale * noise[:, first : first + mean.size].reshape(DRAWS, *mean.shape)
        first += mean.size
    return found


def surface(forward: Any, draws: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """Give the averaged probability of class 1 over the plane, (rows, columns), in 255ths."""
    axis = np.linspace(-REACH, REACH, SIDE)
    plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2).astype(np.float32)
    return np.rint(255 * forward(draws, plane).mean(axis=0)).astype(np.uint8).reshape(SIDE, SIDE)


def _weights(approximation: Any) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Give mean and scale of each array of weights, in the order in which PyMC has them."""
    mean, std = approximation.mean.eval(), approximation.std.eval()
    layout = approximation.groups[0].ordering.values()
    return {name: (mean[at].reshape(shape), std[at].reshape(shape)) for name, at, shape, _ in layout}


def _points(x: NDArray[Any], y: NDArray[Any]) -> list[list[float]]:
    return [[round(float(a), 2), round(float(b), 2), int(label)] for (a, b), label in zip(x, y, strict=True)]
