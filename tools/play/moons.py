"""What "start ADVI again" shows: three fits of the moons chapter's model, step by step, with their surfaces."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.play.files import pack
from tools.play.noise import normals

__all__ = ["make"]

STARTS = (0, 2, 3)
"""Seeds of the chapter's first fit, which rests on a plateau, of a middling start and of its best one."""

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
    axis = np.linspace(-REACH, REACH, SIDE)
    plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    at = set(np.linspace(1, STEPS, FRAMES).astype(int).tolist())
    seen: list[tuple[NDArray[np.uint8], float]] = []

    def look(approximation: Any, losses: Any, step: int) -> None:
        if step in at:
            draws = _draws(approximation)
            surface = forward(draws, plane.astype(np.float32)).mean(axis=0)
            on_test = forward(draws, moons.test.x).mean(axis=0)
            seen.append((np.rint(255 * surface).astype(np.uint8), float(np.mean((on_test > 0.5) == moons.test.y))))

    fitted = fit_advi(model, STEPS, seed=seed, callbacks=[look], elbo_draws=200)
    history = np.asarray(fitted.approximation.hist)
    losses = history[: len(history) // WINDOW * WINDOW].reshape(-1, WINDOW).mean(axis=1)
    early, late = history[29_000:30_000].mean(), history[-1000:].mean()
    print(f"start {seed}: loss {early:.1f} at 30,000 steps, {late:.1f} at the end")
    return {
        "seed": seed,
        "losses": [round(float(loss), 1) for loss in losses],
        "accuracy": [round(accuracy, 3) for _, accuracy in seen],
        "surfaces": pack(np.stack([surface for surface, _ in seen]).reshape(len(seen), SIDE, SIDE)),
    }


def _draws(approximation: Any) -> dict[str, NDArray[Any]]:
    """Draw networks from PyMC's approximation with the same noise at every step, so that only the fit moves."""
    mean, std = approximation.mean.eval(), approximation.std.eval()
    flat = mean + std * normals(0, DRAWS * len(mean)).reshape(DRAWS, -1)
    layout = approximation.groups[0].ordering.values()
    return {name: flat[:, at].reshape(DRAWS, *shape) for name, at, shape, _ in layout}


def _points(x: NDArray[Any], y: NDArray[Any]) -> list[list[float]]:
    return [[round(float(a), 2), round(float(b), 2), int(label)] for (a, b), label in zip(x, y, strict=True)]
