r"""Bayes by Backprop: a Pyro model and rows in, a fitted posterior out, by one torch optimiser.

.. math::

    \mathcal{F} = -\mathbb{E}_q[\log p(\mathcal{D} \mid w)] + T \; \mathrm{KL}(q(w) \,\|\, p(w))

Explained in the chapter `book/bayes_by_backprop/regression`.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from tqdm import tqdm

from companion.bayes_by_backprop.bound import Pairs, estimate_elbo, free_energy, rows_of
from companion.bayes_by_backprop.first_run import FEW, check_rows, first_run, words_of
from companion.bayes_by_backprop.guide import MeanFieldGuide
from companion.bayes_by_backprop.layers import layer_noise, weights_of_layers
from companion.bayes_by_backprop.posterior import PyroPosterior, PyroRecord, computing
from companion.bridge import check_module
from companion.checks import positive, whole
from companion.errors import InferenceError, ModelError
from companion.machine import denormals_flushed, device_named, memory_kept, seed_for
from companion.training import Rows, schedule_named
from companion.variational import Estimator

__all__ = ["fit"]

_CHECK_EVERY = 100


def fit(
    model: Callable[..., Any],
    data: Pairs,
    steps: int = 1500,
    *,
    batch_size: int | None = None,
    estimator: str = "reparameterisation",
    learning_rate: float = 0.001,
    scale_rate: float | None = None,
    schedule: str = "constant",
    start_scale: float = 0.05,
    temperature: float = 1.0,
    precision: str = "float32",
    device: str | torch.device = "auto",
    seed: int = 0,
    snapshots: Sequence[int] = (),
    elbo_draws: int = 20,
    progressbar: bool = True,
) -> PyroPosterior:
    r"""Fit a mean-field posterior of a Pyro model by Bayes by Backprop.

    Parameters
    ----------
    model
        Called as ``model(x, y)`` in the fit and as ``model(x)`` in prediction, it returns the distribution of y:
        `Classifier`, `Regression`, or your own. What it holds of ordinary parameters is trained along.
    data
        Rows: ``x`` (points, ...), and ``y`` (points,), labels from 0 or measurements.
    steps
        Of Adam.
    batch_size
        Rows in one step, drawn without repetition until all were seen; ``None`` takes all.
    estimator
        Of the gradient: "reparameterisation", "local" or "flipout".
    learning_rate, scale_rate
        Of everything, and of the standard deviations; the same where the second is left out.
    schedule
        Of both: "constant", "cosine" or "one-cycle".
    start_scale
        Standard deviations at the start.
    temperature
        T above: 1 is Bayes; below 1 the posterior is "cold".
    precision
        "float32", or "bfloat16": float32 with the network's products in bfloat16, where the processor has it.
    device
        "auto" is a GPU where there is one.
    seed
        Every random number follows from it.
    snapshots
        Steps after which a copy of the posterior is kept; `estimate_elbo` finds its bound, which is NaN in its record.
    elbo_draws
        Behind `PyroRecord.elbo`, which is at T = 1.
    progressbar
        Shows loss and time left, and clears itself.

    Returns
    -------
    PyroPosterior

    Raises
    ------
    ModelError
        If a setting is out of range, or the model draws what a mean-field guide can't.
    DataError
        If the rows don't belong together, or a label is outside the classes.
    InferenceError
        If the loss is no number any more, or the model failed in the middle; its ``posterior`` is that of the last
        good state.

    Examples
    --------
    >>> from companion import datasets
    >>> from companion.bayes_by_backprop import Regression, fit, to_bayesian
    >>> from companion.networks import dense
    >>> from companion.priors import Gaussian
    >>> network = to_bayesian(dense(1, 20, 20, 1), Gaussian(1.0))
    >>> posterior = fit(Regression(network, noise=1.0), datasets.sinusoid(), 200, learning_rate=0.03, progressbar=False)
    >>> posterior.predict(datasets.sinusoid().x, posterior.draw(10, seed=0)).shape
    (10, 32)

    Notes
    -----
    Blundell, Cornebise, Kavukcuoglu and Wierstra (2015), "Weight uncertainty in neural networks". The KL divergence is
    in closed form where torch has one; see `free_energy`. Ctrl-C returns what was fitted so far.
    Explained in the chapter `book/bayes_by_backprop/regression`.
    """
    settings = {
        "steps": whole("steps", steps, 1), "batch_size": batch_size, "estimator": Estimator.of(estimator).value,
        "learning_rate": learning_rate, "scale_rate": learning_rate if scale_rate is None else scale_rate,
        "schedule": schedule, "start_scale": start_scale, "temperature": temperature, "precision": precision,
        "seed": whole("seed", seed, 0),
    }  # fmt: skip
    kept_at = _check(settings, snapshots)
    whole("elbo_draws", elbo_draws, 2)
    factor, where = schedule_named(schedule), device_named(device)
    x, y = rows_of(data, where)
    rows = Rows(len(y), len(y) if batch_size is None else min(whole("batch_size", batch_size, 1), len(y)), seed)
    if isinstance(model, torch.nn.Module):
        check_module(model)
        model = copy.deepcopy(model).to(where)
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[where] if where.type == "cuda" else []))
        stack.enter_context(denormals_flushed())
        stack.enter_context(memory_kept())
        stack.enter_context(computing(where, precision))
        check_rows(first_run(model, x, y), y)
        torch.manual_seed(seed_for(seed, "steps"))
        guide = MeanFieldGuide(model, x, y, start_scale=start_scale, seed=seed).to(where)
        names = weights_of_layers(estimator, model, guide, x[:FEW], y[:FEW])
        own = model.parameters() if isinstance(model, torch.nn.Module) else ()
        groups = [
            {"params": [*guide.means, *(p for p in own if p.requires_grad)], "rate": settings["learning_rate"]},
            {"params": list(guide.rhos), "rate": settings["scale_rate"]},
        ]
        adam = torch.optim.Adam(groups, lr=learning_rate, fused=True)
        history = torch.full((steps,), float("nan"), device=where)
        stopped, failure, kept, done = None, None, {}, 0
        good, good_at = _copy(model, guide), 0
        begun = time.perf_counter()
        try:
            for step in tqdm(range(steps), disable=not progressbar, leave=False, unit="step"):
                at = torch.from_numpy(rows.at(step)).to(where)
                for group in adam.param_groups:
                    group["lr"] = group["rate"] * factor(step / steps)
                with _Weighted(len(y) / len(at), temperature), layer_noise(estimator, names):
                    loss = free_energy(model, guide, x[at], y[at])
                adam.zero_grad(set_to_none=True)
                loss.backward()
                adam.step()
                history[step], done = loss.detach(), step + 1
                if done in kept_at:
                    kept[done] = _copy(model, guide)
                if done % _CHECK_EVERY == 0 or done == steps:
                    if not _finite(guide, history[:done]):
                        break
                    good, good_at = _copy(model, guide), done
        except KeyboardInterrupt:
            stopped = f"interrupted after {done} of {steps} steps"
        except Exception as error:
            stopped, failure = f"failed after {done} of {steps} steps", error
        seconds = time.perf_counter() - begun
        if not _finite(guide, history[:done]):
            stopped = "diverged"
    ended = done
    if failure is not None or stopped == "diverged":
        (model, guide), done = good, good_at
        kept = {step: own for step, own in kept.items() if step <= good_at}

    def posterior(model: Any, guide: MeanFieldGuide, until: int, elbo: tuple[float, float]) -> PyroPosterior:
        record = PyroRecord(settings, history[:until].cpu().numpy(), *elbo, seconds, str(where), stopped)
        return PyroPosterior(model, guide, tuple(x.shape[1:]), record)

    unknown = float("nan"), float("nan")
    bound_of_all = unknown
    try:
        if failure is None:
            bound_of_all = estimate_elbo(posterior(model, guide, done, unknown), data, elbo_draws, seed)
    except KeyboardInterrupt:
        stopped = stopped or "interrupted before its ELBO was estimated"
    except Exception as error:
        stopped, failure = "failed when its ELBO was estimated", error
    found = posterior(model, guide, done, bound_of_all)
    found = replace(found, snapshots={k: posterior(*own, k, unknown) for k, own in kept.items()})
    where_it_is = f"The posterior of step {done} is in this error's .posterior."
    if failure is not None:
        raise InferenceError(f"the fit {stopped}: {words_of(failure)}. {where_it_is}", found) from failure
    if stopped == "diverged":
        raise InferenceError(
            f"the loss is no number after {ended} of {steps} steps; expected a finite one. Lower learning_rate "
            f"({learning_rate}) or start_scale ({start_scale}). {where_it_is}",
            found,
        )
    return found


class _Weighted(Messenger):
    """Weighs what is observed by the rows that each row stands for, and what is drawn by the temperature."""

    def __init__(self, rows: float, temperature: float) -> None:
        super().__init__()
        self._rows, self._temperature = rows, temperature

    def _pyro_sample(self, msg: Any) -> None:
        msg["scale"] = msg["scale"] * (self._rows if msg["is_observed"] else self._temperature)


def _copy(model: Any, guide: MeanFieldGuide) -> tuple[Any, MeanFieldGuide]:
    return copy.deepcopy(model) if isinstance(model, torch.nn.Module) else model, copy.deepcopy(guide)


def _finite(guide: MeanFieldGuide, history: torch.Tensor) -> bool:
    return all(bool(torch.isfinite(numbers).all()) for numbers in (history, *guide.parameters()))


def _check(settings: dict[str, Any], snapshots: Sequence[int]) -> frozenset[int]:
    """Refuse settings out of range, and give the steps of the snapshots."""
    for name in ("learning_rate", "scale_rate", "start_scale", "temperature"):
        positive(name, settings[name])
    if settings["precision"] not in ("float32", "bfloat16"):
        raise ModelError(f"precision={settings['precision']!r}; expected 'float32' or 'bfloat16'.")
    if not isinstance(snapshots, Iterable):
        raise ModelError(f"snapshots={snapshots!r}; expected steps, such as [{snapshots}] or range(100, 1001, 100).")
    steps = [whole("a step of snapshots", step, 1) for step in snapshots]
    if any(step > settings["steps"] for step in steps):
        raise ModelError(f"snapshots={steps}; expected steps from 1 to {settings['steps']}.")
    return frozenset(steps)
