"""Posteriors: whatever inference made, behind one small protocol.

A PyMC approximation and the draws of a sampler come in; draws by name, predictions and an ArviZ container come
out, so that everything to the right (prediction, uncertainty, plots) is written once. Explained in the chapter
`book/pymc/moons`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.pytensorf import find_rng_nodes, reseed_rngs

from companion.checks import whole
from companion.errors import ModelError
from companion.posterior.forward import Forward, compile_forward
from companion.posterior.protocol import Draws
from companion.posterior.record import Record

__all__ = ["ApproximationPosterior", "SampledPosterior"]


_OF_A_FIT = {
    "posterior": "the posterior alone, without .posterior",
    "history": ".record.history, which is for all rows; PyMC's own is .approximation.hist",
    "elbo": ".record.elbo",
    "elbo_se": ".record.elbo_se",
    "seconds": ".record.seconds",
    "seed": '.record.settings["seed"]',
}


class _ModelPosterior:
    """What posteriors of a PyMC classifier share: the compiled forward pass."""

    def __init__(self, model: pm.Model) -> None:
        self.model = model

    @cached_property
    def _forward(self) -> Forward:
        return compile_forward(self.model)

    def predict(self, x: np.ndarray, draws: Draws) -> np.ndarray:
        """Class probabilities of shape (draws, points, 2): the model's ``p`` is that of class 1.

        Raises
        ------
        ModelError
            If inputs or draws don't fit the model.
        """
        p = self._forward(draws, x)
        return np.stack([1 - p, p], axis=-1)


class ApproximationPosterior(_ModelPosterior):
    """A fitted PyMC approximation, such as that of ADVI.

    Parameters
    ----------
    approximation
        What `pymc.fit` returned.
    model
        The model to predict with: the one that was fitted or, after a fit on mini-batches, the same model with
        all rows.
    record
        How it was fitted, where `companion.inference.fit_advi` did; otherwise what PyMC's own history tells.
    """

    def __init__(self, approximation: Any, model: pm.Model, record: Record | None = None) -> None:
        super().__init__(model)
        self.approximation = approximation
        self.record = _record_of(approximation) if record is None else record

    def __getattr__(self, name: str) -> Any:
        """Say what became of the names of `Fit`, which carried the posterior before."""
        if name in _OF_A_FIT:
            raise AttributeError(f"fit_advi returns the posterior itself now: write {_OF_A_FIT[name]}.")
        raise AttributeError(f"an ApproximationPosterior has no {name!r}")

    def draw(self, n: int, seed: int) -> Draws:
        """Draw ``n`` sets of weights from the approximation; see `Posterior.draw`."""
        whole("n", n, 1)
        sample, generators = self._sampler
        reseed_rngs(generators, seed)
        return {rv.name: a for rv, a in zip(self.approximation.model.free_RVs, sample(n), strict=True)}

    @cached_property
    def _sampler(self) -> tuple[Callable[[int], list[np.ndarray]], list[Any]]:
        """All variables of ``n`` draws by one compiled function, and the generators that it draws from.

        `Approximation.sample` draws the same, and then takes each draw apart in Python, which takes many times as long.
        """
        size = pt.iscalar("size")
        drawn = self.approximation.sample_node(list(self.approximation.model.free_RVs), size=size)
        return pm.compile([size], drawn), find_rng_nodes(drawn)

    def to_arviz(self, n: int = 1000, seed: int = 0) -> Any:
        """``n`` draws as one chain in ArviZ's container."""
        whole("n", n, 1)
        return self.approximation.sample(n, random_seed=seed)


class SampledPosterior(_ModelPosterior):
    """The draws of a sampler, such as NUTS.

    Parameters
    ----------
    samples
        What `pymc.sample` returned.
    model
        The model that was sampled.
    """

    def __init__(self, samples: Any, model: pm.Model) -> None:
        super().__init__(model)
        self.samples = samples
        self.record = _record_of_chains(samples)

    @cached_property
    def draws(self) -> dict[str, np.ndarray]:
        r"""Every draw in the sampler's order, chain after chain: name to array (chains * draws, \*shape)."""
        posterior = self.samples["posterior"]
        arrays = {rv.name: np.asarray(posterior[rv.name].values) for rv in self.model.free_RVs}
        return {name: a.reshape(-1, *a.shape[2:]) for name, a in arrays.items()}

    def draw(self, n: int, seed: int) -> Draws:
        """Pick ``n`` of the sampler's draws without repetition; see `Posterior.draw`.

        Raises
        ------
        ModelError
            If the sampler made fewer than ``n``.
        """
        whole("n", n, 1)
        total = len(next(iter(self.draws.values())))
        if n > total:
            raise ModelError(f"{n} draws asked for; the sampler made {total}. Ask for fewer, or sample longer.")
        rows = np.random.default_rng(seed).choice(total, size=n, replace=False)
        return {name: a[rows] for name, a in self.draws.items()}

    def to_arviz(self) -> Any:
        """Return the sampler's own container."""
        return self.samples


def _record_of(approximation: Any) -> Record:
    """Tell what PyMC's own history tells: its losses, for all rows."""
    history = np.asarray(getattr(approximation, "hist", ()), dtype=float)
    rows = float(approximation.symbolic_normalizing_constant.eval())
    return Record(
        method=type(approximation).__name__,
        settings={"steps": len(history)},
        losses=rows * history[:, None],
        bounds=np.full((1, 2), np.nan),
        weights=np.ones(1),
        seconds=float("nan"),
    )


def _record_of_chains(samples: Any) -> Record:
    """Tell how long a sampler took and how many chains it made; it has no losses and no bound."""
    posterior = samples["posterior"]
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    attributes = dict(posterior.attrs)
    return Record(
        method="sampling",
        settings={"chains": chains, "draws": draws, "tune": attributes.get("tuning_steps")},
        losses=np.empty((0, chains)),
        bounds=np.full((chains, 2), np.nan),
        weights=np.full(chains, 1 / chains),
        seconds=float(attributes.get("sampling_time", "nan")),
    )
