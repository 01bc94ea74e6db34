"""The variational free energy, and the evidence lower bound that is its opposite: a model and a guide in, nats out.

Explained in the chapter `book/bayes_by_backprop/regression`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.poutine.util import prune_subsample_sites
from torch.distributions import kl_divergence

from companion.bayes_by_backprop.first_run import check_rows, first_run
from companion.bayes_by_backprop.posterior import PyroPosterior, computing
from companion.checks import whole
from companion.errors import DataError
from companion.machine import seed_for

__all__ = ["Pairs", "estimate_elbo", "free_energy", "rows_of"]

_PART = 5000


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
        In nats, of shape (); it can be differentiated.

    Notes
    -----
    The same number as `pyro.infer.TraceMeanField_ELBO`, in less time: that class computes the density of every weight
    under guide and prior, too, and then does without them. The guide's sites must be independent of each other.
    Blundell et al. (2015), equation 1. Explained in the chapter `book/bayes_by_backprop/regression`.
    """
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
    surprise = sum(guided.nodes[name]["log_prob_sum"] for name in sampled)
    return divergence + surprise - sum(s["log_prob_sum"] for s in trace.nodes.values() if "log_prob_sum" in s)


def estimate_elbo(posterior: PyroPosterior, data: Pairs, draws: int = 20, seed: int = 0) -> tuple[float, float]:
    r"""Estimate a posterior's evidence lower bound on rows, at T = 1 whatever it was fitted at.

    .. math::

        \mathrm{ELBO} = \mathbb{E}_q[\log p(\mathcal{D} \mid w)] - \mathrm{KL}(q(w) \,\|\, p(w))

    Parameters
    ----------
    posterior
        From `fit`, or one of its snapshots.
    data
        The rows :math:`\mathcal{D}`, as `fit` takes them.
    draws
        Of all values; every row is seen with each. 2 or more.
    seed
        Of the draws.

    Returns
    -------
    elbo, standard_error
        In nats, for all rows together.

    Raises
    ------
    ModelError
        If `draws` is below 2.
    DataError
        If the rows don't belong together.

    Notes
    -----
    Blundell et al. (2015), equation 1, with the opposite sign. Explained in the chapter
    `book/bayes_by_backprop/regression`.
    """
    device, model, guide = posterior.device, posterior.model, posterior.guide
    whole("draws", draws, 2)
    x, y = rows_of(data, device)
    if tuple(x.shape[1:]) != posterior.shape:
        raise DataError(f"data has x {tuple(x.shape)}; expected {('points', *posterior.shape)}, as in the fit.")
    drawn = poutine.block(model, hide_fn=lambda msg: bool(msg["is_observed"]))
    found = []
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        torch.no_grad(),
        computing(device, str(posterior.record.settings["precision"])),
    ):
        check_rows(first_run(model, x, y), y)
        torch.manual_seed(seed_for(seed, "elbo"))
        for _ in range(draws):
            guided = poutine.trace(guide).get_trace(x, y)
            total = -float(free_energy(drawn, guide, x[:1], y[:1]))
            for part in range(0, len(y), _PART):
                at = slice(part, part + _PART)
                trace = poutine.trace(poutine.replay(model, guided)).get_trace(x[at], y[at])
                trace.compute_log_prob(lambda _, site: site["is_observed"])
                total += sum(float(s["log_prob_sum"]) for s in trace.nodes.values() if s.get("is_observed"))
            found.append(total)
    return float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(draws))


def rows_of(data: Pairs, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Take the rows over: inputs as float32, labels as int64 and measurements as float32."""
    x, y = (np.asarray(getattr(data, name, None)) for name in ("x", "y"))
    if x.dtype.kind not in "fiub" or y.dtype.kind not in "fiub" or x.ndim < 2 or y.ndim != 1 or len(x) != len(y):
        raise DataError(
            f"data is a {type(data).__name__} with x {x.shape} and y {y.shape}; expected numbers x (points, ...) and "
            "y (points,), such as companion.datasets.sinusoid()."
        )
    if not np.isfinite(x).all() or not np.isfinite(y).all() or not len(y):
        raise DataError("the data have no rows, or hold NaN or infinity; expected finite numbers.")
    whole_numbers = y.dtype.kind in "iub"
    return (
        torch.tensor(x, dtype=torch.float32, device=device),
        torch.tensor(y, dtype=torch.int64 if whole_numbers else torch.float32, device=device),
    )
