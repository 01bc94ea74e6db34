"""The variational free energy, and the evidence lower bound that is its opposite, in nats.

Explained in the chapter `book/bayes_by_backprop/regression`, section
"What the companion puts in the place of what".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.poutine.util import prune_subsample_sites
from torch.distributions import kl_divergence

from companion.bayes_by_backprop.first_run import check_rows, check_scale, first_run
from companion.bayes_by_backprop.posterior import PyroPosterior, computing
from companion.checks import whole
from companion.errors import DataError
from companion.machine import guard, reseed, seed_for
from companion.variational import Terms

__all__ = ["PART", "Pairs", "bound_of_all", "estimate_elbo", "free_energy", "free_energy_terms", "rows_of", "tensor_of"]

PART = 5000
"""Rows that a bound is computed on at a time."""

Data = Mapping[str, torch.Tensor]


class Pairs(Protocol):
    """Inputs (points, ...) and what was observed at them (points,), such as `companion.datasets.Observations`."""

    @property
    def x(self) -> np.ndarray:
        """Inputs (points, ...)."""

    @property
    def y(self) -> np.ndarray:
        """Labels or measurements (points,)."""


def free_energy(model: Callable[..., Any], guide: Callable[..., Any], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    r"""Estimate the variational free energy from one draw, with the KL divergence of each site in closed form.

    .. math::

        \mathcal{F} = \mathrm{KL}(q(w) \,\|\, p(w)) - \log p(\mathcal{D} \mid w), \qquad w \sim q

    Sites whose divergence has no closed form, such as a scale mixture, are estimated from the same draw.

    Returns
    -------
    torch.Tensor
        Free energy in nats, of shape (); it can be differentiated.

    Notes
    -----
    The same number as `pyro.infer.TraceMeanField_ELBO`, in less time: that class computes the density of every weight
    under guide and prior, too, and then does without them. The guide's sites must be independent of each other.
    Blundell et al. (2015), equation 1.
    """
    terms = free_energy_terms(model, guide, x, y)
    return terms.kl - terms.log_likelihood


def free_energy_terms(model: Callable[..., Any], guide: Callable[..., Any], x: torch.Tensor, y: torch.Tensor) -> Terms:
    """Estimate the two terms of the free energy from one draw; see `free_energy`."""
    guided = prune_subsample_sites(poutine.trace(guide).get_trace(x, y))
    trace = prune_subsample_sites(poutine.trace(poutine.replay(model, guided)).get_trace(x, y))
    divergence, sampled = torch.zeros(()), set()
    for name, site in trace.nodes.items():
        if site["type"] != "sample" or site["is_observed"]:
            continue
        own = guided.nodes[name]
        try:
            kl = kl_divergence(own["fn"], site["fn"])  # type: ignore[arg-type]  # Pyro's distributions are torch's
        except NotImplementedError:
            sampled.add(name)
        else:
            divergence = divergence + scale_and_mask(kl, own["scale"], own["mask"]).sum()
    guided.compute_log_prob(lambda name, _: name in sampled)
    trace.compute_log_prob(lambda name, site: name in sampled or site["is_observed"])
    for name in sampled:
        divergence = divergence + guided.nodes[name]["log_prob_sum"] - trace.nodes[name]["log_prob_sum"]
    observed = (s["log_prob_sum"] for s in trace.nodes.values() if s["type"] == "sample" and s["is_observed"])
    return Terms(sum(observed, torch.zeros(())), divergence)


def estimate_elbo(posterior: PyroPosterior, data: Pairs, draws: int = 20, seed: int = 0) -> tuple[float, float]:
    r"""Estimate a posterior's evidence lower bound on rows, at T = 1 whatever it was fitted at.

    .. math::

        \mathrm{ELBO} = \mathbb{E}_q[\log p(\mathcal{D} \mid w)] - \mathrm{KL}(q(w) \,\|\, p(w))

    Parameters
    ----------
    posterior
        What `fit` gave.
    data
        Rows :math:`\mathcal{D}`, as `fit` takes them.
    draws
        Number of draws of all values, 2 or more; every row is seen with each.
    seed
        Seed of the draws.

    Returns
    -------
    elbo, standard_error
        Bound for all rows together and its standard error, in nats.

    Raises
    ------
    ModelError
        If `draws` is below 2.
    DataError
        If the rows don't belong together.

    Notes
    -----
    Blundell et al. (2015), equation 1, with the opposite sign.
    """
    whole("draws", draws, 2)
    x, y = rows_of(data, posterior.device)
    if tuple(x.shape[1:]) != posterior.shape:
        raise DataError(f"data has x {tuple(x.shape)}; expected {('points', *posterior.shape)}, as in the fit.")
    x = x.to(posterior.dtype)
    parts = [{"x": x[at : at + PART], "y": y[at : at + PART]} for at in range(0, len(y), PART)]
    with guard(), computing(posterior.device, posterior.precision):
        check_rows(first_run(posterior.model, x, y), y)
        scaled = check_scale(posterior.model, x, y)
        return bound_of_all(posterior.model, posterior.guide, parts, draws, seed, scaled)


def bound_of_all(
    model: Callable[..., Any], guide: Callable[..., Any], parts: Iterable[Data], draws: int, seed: int, scaled: bool
) -> tuple[float, float]:
    """Estimate the evidence lower bound on rows that come in parts, and its standard error, in nats.

    Parameters
    ----------
    parts
        All rows, some at a time: tensors ``x`` and ``y``. They are gone through once.
    scaled
        Whether the model counts the rows that it sees for all of them by itself, by a plate with a size.
    """
    drawn = poutine.block(model, hide_fn=lambda msg: bool(msg["is_observed"]))
    total, rest, rows = np.zeros(draws), np.zeros(draws), 0
    guided: list[Any] = []
    with torch.no_grad():
        for part in parts:
            x, y, seen = part["x"], part["y"], len(part["y"])
            if not guided:  # after the first part: a DataLoader that begins takes a random number
                reseed(x.device, seed_for(seed, "elbo"))
                guided = [poutine.trace(guide).get_trace(x[:1], y[:1]) for _ in range(draws)]
                total -= [float(free_energy(drawn, poutine.replay(guide, g), x[:1], y[:1])) for g in guided]
            for i, g in enumerate(guided):
                trace = poutine.trace(poutine.replay(model, g)).get_trace(x, y)
                trace.compute_log_prob(lambda _, site: site["is_observed"])
                found = sum(float(s["log_prob_sum"]) for s in trace.nodes.values() if s.get("is_observed"))
                rest[i] += found * seen if scaled else found
            rows += seen
    total += rest / rows if scaled else rest
    return float(total.mean()), float(total.std(ddof=1) / np.sqrt(draws))


def rows_of(data: Pairs, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Take the rows over: whole numbers as int64, other inputs and measurements as float32.

    Raises
    ------
    DataError
        If the rows don't belong together, or hold NaN or infinity.
    """
    x, y = (np.asarray(getattr(data, name, None)) for name in ("x", "y"))
    if x.dtype.kind not in "fiub" or y.dtype.kind not in "fiub" or x.ndim < 2 or y.ndim != 1 or len(x) != len(y):
        raise DataError(
            f"data is a {type(data).__name__} with x {x.shape} and y {y.shape}; expected numbers x (points, ...) and "
            "y (points,), such as companion.datasets.sinusoid()."
        )
    if not np.isfinite(x).all() or not np.isfinite(y).all() or not len(y):
        raise DataError("the data have no rows, or hold NaN or infinity; expected finite numbers.")
    return tensor_of(x, device), tensor_of(y, device)


def tensor_of(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Make a tensor of an array: int64 of whole numbers and truth values, float32 of others."""
    return torch.tensor(array, dtype=torch.int64 if array.dtype.kind in "iub" else torch.float32, device=device)
