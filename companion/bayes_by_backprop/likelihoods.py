"""Pyro models of labels and of measurements, around a Bayesian module.

Each is called with inputs and, in a fit, with what was observed; it returns the distribution of the latter. A model of
the reader's own that does the same can be fitted and predicted with just as well. Explained in the chapters
`book/bayes_by_backprop/regression`, section "What the companion puts in the place of what", and
`book/bayes_by_backprop/lenet`, section "The model, and a gradient with less noise".
"""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch.nn.functional import softplus

from companion.checks import positive, whole
from companion.errors import ModelError

__all__ = ["Classifier", "Regression"]


class Classifier(torch.nn.Module):
    r"""Labels whose probabilities a network gives.

    .. math::

        y \sim \mathrm{Categorical}(\mathrm{softmax}(f_w(x)))

    or :math:`\mathrm{Bernoulli}(\sigma(f_w(x)))` for a network with one output.

    Parameters
    ----------
    network
        Network from inputs to logits (rows, classes): a `BayesianModule`, or any torch module.
    size
        Number of all rows, which the plate of the rows is told: a mini-batch then counts for all of them, so that
        Pyro's own `SVI` gets the right bound from it. ``None`` counts the rows that are there; the companion's `fit`
        does the scaling itself and takes either.

    Raises
    ------
    ModelError
        If `size` isn't a whole number from 1, there are more rows than that, or the network's output doesn't fit.
    """

    def __init__(self, network: torch.nn.Module, size: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.size = None if size is None else whole("size", size, 1)

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> Any:
        """Observe the labels (rows,), if given, and return their distribution."""
        logits = self.network(x).float()
        if logits.ndim != 2:
            raise ModelError(f"the network's output has shape {tuple(logits.shape)}; expected logits (rows, classes).")
        binary = logits.shape[1] == 1
        labels = dist.Bernoulli(logits=logits[:, 0]) if binary else dist.Categorical(logits=logits)
        if y is not None:
            with _rows(len(y), self.size):
                pyro.sample("y", labels, obs=y.float() if binary else y)
        return labels


class Regression(torch.nn.Module):
    r"""Measurements around a curve that a network gives.

    .. math::

        y \sim \mathcal{N}(f_w(x), \sigma^2)

    Parameters
    ----------
    network
        Network from inputs to means (rows, 1), or for ``noise="input"`` to means and raw scales (rows, 2).
    noise
        Noise around the curve. A number is :math:`\sigma`, taken as known. ``"learned"``: the unknown :math:`\sigma`
        has a half-normal prior and is called ``"noise"`` in the posterior. ``"input"``: it depends on x, as the
        softplus of the second output.
    noise_scale
        Scale of that half-normal prior, in the units of y.
    size
        Number of all rows, as in `Classifier`.

    Raises
    ------
    ModelError
        If `noise` is something else, a scale isn't positive and finite, `size` isn't a whole number from 1 or there are
        more rows than that, or the network's output doesn't fit.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        noise: float | str = "learned",
        noise_scale: float = 1.0,
        size: int | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        words = isinstance(noise, str) and noise in ("learned", "input")
        self.noise = noise if words else positive("noise", noise, "'learned' or 'input'", owner=self)
        self.noise_scale = positive("noise_scale", noise_scale, owner=self)
        self.size = None if size is None else whole("size", size, 1)

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> Any:
        """Observe the measurements (rows,), if given, and return their distribution."""
        out = self.network(x).float()
        outputs = 2 if self.noise == "input" else 1
        if out.ndim != 2 or out.shape[1] != outputs:
            raise ModelError(
                f"the network's output has shape {tuple(out.shape)}; expected (rows, {outputs}) for "
                f"noise={self.noise!r}."
            )
        if self.noise == "learned":
            scale = pyro.sample("noise", dist.HalfNormal(self.noise_scale))
        else:
            scale = softplus(out[:, 1]) if self.noise == "input" else torch.as_tensor(self.noise)
        measured = dist.Normal(out[:, 0], scale.expand(len(out)))
        if y is not None:
            with _rows(len(y), self.size):
                pyro.sample("y", measured, obs=y)
        return measured


def _rows(seen: int, size: int | None) -> Any:
    """Make the plate of the rows that are seen, each of which counts size / seen times."""
    if size is not None and seen > size:
        raise ModelError(f"the model has size={size:,}, and {seen:,} rows were given; expected the number of all rows.")
    return pyro.plate("rows", seen if size is None else size, subsample_size=seen)
