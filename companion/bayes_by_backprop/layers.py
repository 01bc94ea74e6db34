"""Gradient estimators for Pyro models: the engine's own, as a context in which an ELBO is computed.

Explained in the chapter `book/bayes_by_backprop/design_choices`, section "Three gradients".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger

from companion.bayes_by_backprop.guide import normal_of
from companion.errors import ModelError
from companion.variational import Estimator, Gaussian, LayerNoise, layer_weights

__all__ = ["layer_noise", "weights_of_layers"]


@contextmanager
def layer_noise(estimator: str | Estimator, names: frozenset[str]) -> Iterator[None]:
    """Estimate gradients so in everything that Pyro computes inside.

    The first time that a normal site is sampled, by the guide, its draw is remembered; where the model then hands it to
    a linear or a convolution layer, local reparameterisation or flipout takes that layer's place.

    Parameters
    ----------
    estimator
        Estimator of the gradient: "reparameterisation", "local" or "flipout".
    names
        Names of the sites that are weights of one layer each; see `weights_of_layers`.

    Raises
    ------
    ModelError
        If there is no estimator of that name, or it is not one of the three.

    Notes
    -----
    Kingma, Salimans and Welling (2015); Wen et al. (2018).
    """
    kind = Estimator.of(estimator)
    if kind is Estimator.STICKING_THE_LANDING:
        raise ModelError(
            f"estimator={kind.value!r} is the engine's; expected 'reparameterisation', 'local', 'flipout'."
        )
    if not kind.acts_on_layers:
        yield
        return
    noise = LayerNoise((), kind, names)
    with _Remembers(noise), noise:
        yield


def weights_of_layers(
    estimator: str | Estimator, model: Callable[..., Any], guide: Callable[..., Any], x: torch.Tensor, y: torch.Tensor
) -> frozenset[str]:
    """Find the sites that are weights of exactly one layer, by a run that only counts.

    Raises
    ------
    ModelError
        If the estimator acts on layers, and there are none.
    """
    kind = Estimator.of(estimator)
    if not kind.acts_on_layers:
        return frozenset()
    with torch.no_grad():
        guided = poutine.trace(guide).get_trace(x, y)
        sites = {n: s for n, s in guided.nodes.items() if s["type"] == "sample"}
        known = {
            n: Gaussian(n, torch.as_tensor(s["value"]), normal.loc, normal.scale)
            for n, s in sites.items()
            if (normal := normal_of(s["fn"])) is not None
        }
        return layer_weights(kind, lambda: poutine.replay(model, guided)(x), known, frozenset({len(x)}))


class _Remembers(Messenger):
    """Tells the layers which tensors are draws from normals, when they are first drawn."""

    def __init__(self, noise: LayerNoise) -> None:
        super().__init__()
        self._noise = noise
        self._names: set[str] = set()

    def _pyro_post_sample(self, msg: Any) -> None:
        normal = normal_of(msg["fn"])
        if normal is not None and not msg["is_observed"] and msg["name"] not in self._names:
            self._noise.know(Gaussian(msg["name"], msg["value"], normal.loc, normal.scale))
        self._names.add(msg["name"])  # the model's turn comes with the same draw and the prior's moments
