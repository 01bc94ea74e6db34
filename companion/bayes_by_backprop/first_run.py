"""A first run of a Pyro model on a few rows, which finds what it draws and observes and refuses what can't be fitted.

Pyro's own checks are switched off in a fit, where they would cost time at every step. Explained in
`book/reference/how_a_fit_works`, section "A Pyro model".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro
import torch
from pyro import poutine

from companion import moved
from companion.bridge import refuse_random
from companion.datasets import check_labels
from companion.errors import CompanionError, ModelError, class_and_line

__all__ = [
    "FEW",
    "base_of",
    "check_repeatable",
    "check_rows",
    "check_scale",
    "drawn_sites",
    "first_run",
    "is_drawn",
]

FEW = 16
"""Rows that a first run sees."""


def __getattr__(name: str) -> Any:
    """Give a name that moved to another module, with a warning."""
    return moved.moved_name("companion.bayes_by_backprop.first_run", name)


def first_run(model: Callable[..., Any], x: torch.Tensor, y: torch.Tensor) -> dict[str, Any]:
    """Run a model on the first rows, and give its sites by name.

    Raises
    ------
    ModelError
        If it can't be run on such rows, observes rows in another shape than it predicts them in, or has parameters that
        `fit` would not train.
    """
    x, y = x[:FEW], y[:FEW]
    try:
        nodes: dict[str, Any] = dict(poutine.trace(model).get_trace(x, y).nodes)
    except CompanionError as error:
        raise _as_it_was(error) from None
    except Exception as error:
        raise ModelError(
            f"the model, a {type(model).__name__}, can't be run on x {tuple(x.shape)} and y {tuple(y.shape)}: "
            f"{class_and_line(_as_it_was(error))}. Expected a model called as model(x, y), such as Regression(network) "
            "or Classifier(network), whose network takes such inputs."
        ) from error
    for name, site in _observed(nodes).items():
        predicted, seen = tuple(site["fn"].shape()), tuple(site["value"].shape)
        if torch.broadcast_shapes(predicted, seen) != seen:
            raise ModelError(
                f"the site {name!r} predicts shape {predicted} and observes {seen}, which would compare all rows with "
                "all; expected the same shape of both. Was [:, 0] forgotten on the network's output?"
            )
    own = {id(p) for p in model.parameters()} if isinstance(model, torch.nn.Module) else set()
    loose = [n for n, s in nodes.items() if s["type"] == "param" and id(s["value"].unconstrained()) not in own]
    if loose:
        raise ModelError(
            f"pyro.param {loose} would not be trained; expected parameters of a torch module, such as a PyroModule."
        )
    return nodes


def _as_it_was(error: BaseException) -> BaseException:
    """Return the error that was raised, where Pyro made another one of it with a table of shapes and nothing else."""
    first = error.__cause__
    copied = first is not None and type(first) is type(error) and str(error).startswith(str(first))
    return _as_it_was(first) if first is not None and copied else error


def drawn_sites(nodes: dict[str, Any]) -> list[tuple[str, Any]]:
    """List what a run drew without observing it."""
    return [(name, site) for name, site in nodes.items() if site["type"] == "sample" and is_drawn(site)]


def is_drawn(site: Any) -> bool:
    """Say whether a sample site's value comes from its distribution, not from data or for Pyro's own needs."""
    return not site["is_observed"] and not _inner(site)


def base_of(distribution: Any) -> Any:
    """Give the distribution of the entries of which one event was made."""
    while isinstance(distribution, torch.distributions.Independent):
        distribution = distribution.base_dist
    return distribution


def check_scale(model: Callable[..., Any], x: torch.Tensor, y: torch.Tensor) -> bool:
    """Say whether a model counts the rows that it sees for all of them by itself, by a plate with a size.

    Parameters
    ----------
    model
        Pyro model; it is run on some of the rows.
    x, y
        All rows.

    Raises
    ------
    ModelError
        If the plate's size is another number than that of the rows.
    """
    rows = len(y)
    some = min(FEW, max(1, rows // 2))  # fewer than all: a plate of all rows has nothing to scale
    sizes = {
        frame.full_size
        for site in _observed(first_run(model, x[:some], y[:some])).values()
        for frame in site["cond_indep_stack"]
        if frame.full_size not in (None, frame.size)
    }
    if not sizes:
        return False
    if sizes != {rows}:
        raise ModelError(
            f"the model's plate has size {sizes.pop():,}, and there are {rows:,} rows. Give pyro.plate the number of "
            "all rows as its size, or leave the size out: the fit counts rows by itself."
        )
    return True


def check_repeatable(model: Callable[..., Any], nodes: dict[str, Any], x: torch.Tensor, y: torch.Tensor) -> None:
    """Refuse a model that draws random numbers beside its sites, such as dropout written as a function.

    Parameters
    ----------
    model
        Pyro model; it is run on some of the rows, with every site as it was in the first run.
    nodes
        What the first run drew and observed.
    x, y
        All rows.

    Raises
    ------
    ModelError
        If it does, or gives something else the second time; the message names the line.
    """
    drawn = {n: s["value"] for n, s in nodes.items() if s["type"] == "sample" and not s["is_observed"]}
    given = poutine.condition(model, data=drawn)
    observed = list(_observed(nodes))

    def compute() -> list[torch.Tensor]:
        again: dict[str, Any] = dict(poutine.trace(given).get_trace(x[:FEW], y[:FEW]).nodes)
        return [again[name]["fn"].log_prob(again[name]["value"]) for name in observed]

    refuse_random(compute, getattr(model, "__name__", type(model).__name__))


def check_rows(nodes: dict[str, Any], y: torch.Tensor) -> None:
    """Refuse a model that observes nothing, and labels that it has no class for.

    Raises
    ------
    ModelError
        If nothing is observed.
    DataError
        If a label is outside the classes.
    """
    observed = _observed(nodes)
    if not observed:
        raise ModelError("the model observes nothing; expected pyro.sample(..., obs=y) in it, as Regression has it.")
    for site in observed.values():
        if site["value"].shape[:1] == y[:FEW].shape:
            law = base_of(site["fn"])
            if isinstance(law, torch.distributions.Categorical):
                check_labels(y.cpu().numpy(), law.logits.shape[-1])
            elif isinstance(law, torch.distributions.Bernoulli):
                check_labels(y.cpu().numpy(), 2)


def _observed(nodes: dict[str, Any]) -> dict[str, Any]:
    return {n: s for n, s in nodes.items() if s["type"] == "sample" and s["is_observed"] and not _inner(s)}


def _inner(site: Any) -> bool:
    return isinstance(site["fn"], pyro.poutine.subsample_messenger._Subsample) or bool(
        site["infer"].get("_deterministic")
    )
