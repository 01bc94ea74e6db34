"""MC dropout: hidden units are dropped in training and in prediction.

Explained in `book/reference/how_a_fit_works`, section "Families".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pymc as pm
import torch

from companion.checks import fraction
from companion.inference.engine import fit
from companion.machine import Machine
from companion.posterior import FitState, VariationalPosterior
from companion.training import Checkpoint, Rates, Schedule, Start, Stream
from companion.variational import Dropout

__all__ = ["dropout"]


def dropout(
    model: pm.Model,
    steps: int = 10_000,
    *,
    p: float = 0.2,
    batch_size: int | Stream | None = None,
    restarts: int = 1,
    learning_rate: float | Rates = 0.01,
    schedule: str | Schedule = "cosine",
    start: str | Mapping[str, np.ndarray] | Start = "model",
    temperature: float = 1.0,
    keep: str = "best",
    machine: str | torch.device | Machine = "auto",
    checkpoint: str | Path | Checkpoint | None = None,
    seed: int = 0,
    elbo_draws: int = 100,
    callback: Callable[[int, FitState], None] | None = None,
    progressbar: bool = True,
) -> VariationalPosterior:
    r"""Fit by MC dropout: a distribution over weights in which every hidden unit is there or not.

    .. math::

        w_{ij} = \mu_{ij} \, \frac{z_j}{1 - p}, \qquad z_j \sim \mathrm{Bernoulli}(1 - p),

    for each column j of a weight matrix whose layer reads hidden units; all other values are points. The loss is the
    expected negative log density of data and values,

    .. math::

        -\mathbb{E}_z[\log p(\mathcal{D} \mid w)] - T \, \mathbb{E}_z[\log p(w)].

    It is ``fit(family=f"dropout:{p}", estimator="local")``, in which every row of a step has masks of its own.

    Parameters
    ----------
    model
        A model with a network of several layers in it, see the notes.
    steps
        Number of optimiser steps.
    p
        Probability with which a hidden unit is dropped.
    batch_size, restarts, learning_rate, schedule, start, temperature, keep, machine, checkpoint, seed, callback
        Settings of `companion.inference.fit`, with the same meaning.
    elbo_draws
        Number of masks that estimate the record's ELBO, which is the expected log density and not a bound.
    progressbar
        Whether to show loss and time left.

    Returns
    -------
    VariationalPosterior
        A draw is a set of weights with one mask for every unit, the same for all points that it predicts at.

    Raises
    ------
    ModelError
        If `p` isn't between 0 and 1, or the model has no hidden units to drop.
    InferenceError
        As for `companion.inference.fit`.

    Examples
    --------
    >>> from companion import datasets
    >>> from companion.inference import dropout
    >>> from companion.models import binary_classifier
    >>> posterior = dropout(binary_classifier(datasets.moons().train), 1000, p=0.2, progressbar=False)
    >>> posterior.draw(100, seed=1)["w_1_2"].shape
    (100, 5, 5)

    Notes
    -----
    Dropped are the columns of every `torch.nn.Linear` and the input channels of every convolution in a wrapped module,
    and the rows of W in a product x @ W that is written in PyMC, if what the layer reads comes from another layer with
    drawn weights. The weights of recurrent and attention layers and of embeddings are not dropped, and neither are
    biases or a first layer's weights. A module with `torch.nn.Dropout` in it is to be given without: the family has its
    place. A layer that is called at several positions of a row, and a product in PyMC, share one mask among the rows of
    a step, which makes the gradient noisier.

    **Cost.** A step takes one gradient per restart, as for "map". Memory holds three numbers per value, the value and
    Adam's two moments of it, and the masks of a step.

    **When not to use it.** Not for a width that the data decide: it is p that decides it, and more data don't narrow
    it. Compare the p's by their log score on validation data.

    **Sources.** Gal and Ghahramani (2016), "Dropout as a Bayesian Approximation: Representing Model Uncertainty in Deep
    Learning".
    """
    family = Dropout(fraction("p", p, "such as 0.2"))
    return fit(
        model, steps, batch_size=batch_size, restarts=restarts, family=family, estimator="local",
        learning_rate=learning_rate, schedule=schedule, start=start, temperature=temperature, keep=keep,
        machine=machine, checkpoint=checkpoint, seed=seed, elbo_draws=elbo_draws, callback=callback,
        progressbar=progressbar,
    )  # fmt: skip
