"""The door to samplers: draws from the posterior of any continuous PyMC model, by chains in torch.

Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import torch

from companion.bridge import refuse_impossible, torch_log_density
from companion.checks import whole
from companion.errors import InferenceError, ModelError, notice
from companion.inference.plan import count_values
from companion.machine import PRECISIONS, Machine, Precision, has_bfloat16, seed_for
from companion.posterior import ChainPosterior, Posterior, Record
from companion.sampling import (
    Broken,
    Chains,
    Drawn,
    Plan,
    Problem,
    Sampler,
    StochasticGradient,
    Store,
    Target,
    kept_steps,
    sampler_named,
    start_named,
    starting_positions,
    warn_ahead,
)
from companion.training import Checkpoint, Processes, Stream, batches_for, begun, fingerprint, together
from companion.variational import Objective, PointMass

__all__ = ["ChainState", "sample"]

_SMALL = 1000  # values; up to here, calls cost more than arithmetic, and float64 is as fast as float32
_HOT = 1.5  # times the temperature that was asked for, beyond what chance makes of so many draws
_MEMORY = 10  # draws that a momentum's square remembers, at the most: one over the friction
_GRADIENTS = 10  # of one step, about: compilation is judged by them


@dataclass(frozen=True, eq=False)
class ChainState:
    """Chains after one of their steps, for a callback.

    Attributes
    ----------
    step
        Number of steps that are done.
    draws
        Number of draws of each chain that are kept so far.
    lp
        Log density of each chain (chains,), in nats.
    warming
        Whether the chains still warm up.
    """

    step: int
    draws: int
    lp: np.ndarray
    warming: bool
    _make: Callable[[], ChainPosterior]

    def posterior(self) -> ChainPosterior:
        """Make a posterior of the draws so far.

        Raises
        ------
        InferenceError
            If there are none yet.
        """
        return self._make()


def sample(
    model: pm.Model,
    draws: int = 1000,
    *,
    warmup: int | None = None,
    chains: int = 16,
    sampler: str | Sampler = "chees-hmc",
    batch_size: int | Stream | None = None,
    start: str | Mapping[str, np.ndarray] | Posterior = "model",
    thin: int | str | None = None,
    memory: int = 2**30,
    machine: str | torch.device | Machine = "auto",
    checkpoint: str | Path | Checkpoint | None = None,
    seed: int = 0,
    callback: Callable[[int, ChainState], None] | None = None,
    progressbar: bool = True,
) -> ChainPosterior:
    r"""Draw from the posterior of a PyMC model by chains side by side.

    The draws are those of :math:`p(\theta \mid \mathcal{D}) \propto p(\mathcal{D} \mid \theta) \, p(\theta)`. How a
    sampler moves, its source and its cost are in the docstring of its settings, such as `companion.sampling.HMC`. The
    model is lowered to torch once, and all chains move together: a step is one batched computation. Ctrl-C returns the
    draws so far. Under ``torchrun`` each process moves its part of the chains; the first returns all of them, and the
    others return their own. If a host is lost, neither the first one's nor that of ``--rdzv-endpoint``, the first goes
    on without the draws of its processes, and names them. If a process is lost on the first one's own host,
    ``torchrun`` ends the first as well, unless its script has ended by then: start all again, with the same checkpoint.

    A model without observations gives draws from its prior.

    Parameters
    ----------
    model
        A model with continuous free variables; torch modules stand in it by `companion.bridge.wrap_torch`.
    draws
        Number of draws that are kept of each chain.
    warmup
        Number of steps before the first draw, in which the sampler learns its settings; ``None`` is the sampler's own.
    chains
        Number of chains, vectorised. They learn together, and many short ones are better than few long ones. A sampler
        that learns the length of its trajectories takes two or more, in each process.
    sampler
        Name of a `companion.sampling.SamplerName`, or settings such as ``HMC(mass="dense")``.
    batch_size
        Number of rows in one step, for samplers that take mini-batches; a `Stream` reads them from a data set.
    start
        Where chains start: "model", around the model's initial point; "prior"; values of the free variables by name;
        or a posterior, from which each chain gets a draw: a fit, or the members of an ensemble, as
        ``fit(model, family="map", restarts=16, keep="mixture")`` makes them.
    thin
        Number of steps for each draw that is kept; ``None`` is the sampler's own. "fit" keeps as many of the draws,
        evenly spaced, as fit into `memory`.
    memory
        Bytes of memory that draws may take. Where they need more, they go to a file: in the checkpoint's folder, or in
        a temporary one that goes with the posterior.
    machine
        Name of a torch device, "auto" for a GPU where there is one; a `Machine` also sets precision and compilation.
        Where it doesn't, a full-batch sampler on a processor computes in float64 for models of up to 1,000 values,
        where it is as fast, and everything else in float32.
    checkpoint
        Folder of a checkpoint, or a `Checkpoint`. A call with a folder that holds a checkpoint of these chains goes on
        from there; on CPU draw for draw as if it had not been interrupted, given the same compilation.
    seed
        Seed of every random number.
    callback
        Function ``callback(step, state)``, called after every step with a `ChainState`. One that raises
        ``StopIteration`` ends the chains, which keep their draws.
    progressbar
        Whether to show the steps and the time left, in a bar that clears itself.

    Returns
    -------
    ChainPosterior
        Ask its ``diagnose(x)`` whether the chains agree, and its ``health()`` how the sampler fared.

    Raises
    ------
    ModelError
        If a setting is out of range or doesn't fit the model, a chain starts where there is no density, or the model
        can't be lowered to torch.
    InferenceError
        If all chains diverged, the model failed at a step, or the checkpoint can't be written; its ``posterior`` is
        that of the draws before, if there are any. If the checkpoint is of other chains or damaged.

    Warns
    -----
    CompanionWarning
        If a chain diverged and is left out, or draws diverged.

    Examples
    --------
    >>> from companion import datasets
    >>> from companion.inference import sample
    >>> from companion.models import binary_classifier
    >>> model = binary_classifier(datasets.moons(n_samples=60).train)
    >>> posterior = sample(model, 100, warmup=100, chains=4, progressbar=False)
    >>> posterior.draw(50, seed=1)["w_in_1"].shape
    (50, 2, 5)

    Notes
    -----
    **Cost.** A step takes the gradients of its sampler for every chain, of all rows or of a mini-batch; their number
    stands in the docstring of the sampler's settings. Memory holds the draws, one number for each value, chain and draw
    (8 bytes in float64, 4 in float32), up to `memory`; beside them the sampler's own state, and what one gradient of
    all chains takes.

    **When not to use it.** Sampling is for where the answer matters more than the time, and for models of up to some
    tens of thousands of values; beyond that use a sampler of mini-batches, or `companion.inference.fit`. Chains that
    don't agree say nothing of the posterior: look at R-hat first.

    **Sources.** Those of each sampler stand at its settings. Sountsov, Carroll and Hoffman (2024), "Running Markov
    chain Monte Carlo on modern hardware and software", for many chains side by side.
    """
    chosen, stored = sampler_named(sampler), Checkpoint.of(checkpoint)
    place = _machine(model, chosen, machine)
    held, number = whole("draws", draws, 1), whole("chains", chains, 1)
    count, each = _kept(chosen, held, thin, number, count_values(model), memory, place)
    plan = Plan(
        draws=count,
        warmup=chosen.warmup if warmup is None else whole("warmup", warmup, 0),
        thin=each,
        sampled=kept_steps(chosen, count, each)[-1] + 1,
        chains=chains,
        sampler=chosen.as_json(),
        batch_size=_batch_size(chosen, batch_size),
        start=start_named(start),
        precision=str(place.precision),
        seed=whole("seed", seed, 0),
    )
    with together(plan.as_json(), stored, place.place) as joint:
        group = joint.group
        plan = _own(plan, group, chosen)
        run = _chains(model, plan, chosen, start, batch_size, memory, place, joint.folder)
        if callback is not None and group.first:
            run.callback = lambda step, at: callback(step, _state(model, at))
        stopped, failed = None, False
        try:
            stopped = run.run(every=joint.every, progressbar=progressbar and group.first)
        except Broken as broken:
            stopped, failed = str(broken), True
        drawn = Drawn.of(run, stopped)
        if group.world > 1:
            drawn = drawn.gathered(group, memory)
        found = _posterior(model, run, drawn) if drawn.some else None
    if found is None or (failed and (group.world == 1 or not group.first)):
        none = "" if found is not None else " There are no draws to keep."
        raise InferenceError(f"{str(stopped).rstrip('.')}.{none}", found)
    _tell(found)
    return found


def _own(plan: Plan, group: Processes, sampler: Sampler) -> Plan:
    """Give this process its part of the chains."""
    rank, world = group.rank, group.world
    least = getattr(sampler, "least_chains", 1) if plan.warmup else 1
    if plan.chains // world < least:
        where, each = (f" in {world} processes", " for each") if world > 1 else ("", "")
        why = (
            f", because sampler={sampler.name!r} learns a trajectory's length from where several chains end. Chains "
            "move side by side, so that 4 hardly take longer than 1. Or give the length: "
            f"{type(sampler).__name__}(trajectory=...)"
        )
        raise ModelError(f"chains={plan.chains}{where}; expected {least} or more{each}{why if least > 1 else ''}.")
    return replace(plan, chains=plan.chains // world + (rank < plan.chains % world), rank=rank, world=world)


def _machine(model: pm.Model, sampler: Sampler, machine: str | torch.device | Machine) -> Machine:
    """Choose the numbers to compute with, where they weren't said."""
    size = count_values(model)
    if isinstance(machine, Machine) and (machine.precision != Precision.AUTO or sampler.minibatches):
        if machine.precision == "bfloat16" and not sampler.minibatches:
            raise ModelError(
                f"machine=Machine(precision='bfloat16') with sampler={sampler.name!r}: its rounding errors would be "
                "taken for errors of the step. Use Machine(precision='float32'), or 'float64'."
            )
        return machine.settled(size)
    found = Machine.of(machine)
    exact = not sampler.minibatches and found.place.type == "cpu" and size <= _SMALL
    return replace(found, precision="float64" if exact else "float32")


def _batch_size(sampler: Sampler, batch_size: int | Stream | None) -> int | None:
    """Refuse mini-batches where a sampler can't take them."""
    found = batch_size.batch_size if isinstance(batch_size, Stream) else batch_size
    if found is not None and not sampler.minibatches:
        raise ModelError(
            f"batch_size={found} with sampler={sampler.name!r}, whose proposals need all rows. Leave batch_size out, "
            "or take a sampler of stochastic gradients."
        )
    return None if found is None else whole("batch_size", found, 1)


def _kept(
    sampler: Sampler, draws: int, thin: int | str | None, chains: int, size: int, memory: int, machine: Machine
) -> tuple[int, int]:
    """Say how many draws are kept, and how many steps each takes."""
    memory = whole("memory", memory, 1)
    each = sampler.thin if thin is None or isinstance(thin, str) else whole("thin", thin, 1)
    if isinstance(thin, str):
        if thin != "fit":
            raise ModelError(f"thin={thin!r}; expected a number of steps, None or 'fit'.")
        most = memory // (chains * size * PRECISIONS[machine.precision].itemsize)
        if most < 4:
            raise ModelError(
                f"memory={memory:,} bytes hold {most} draws of {chains} chains of {size:,} values; expected room for 4 "
                "or more. Give more memory, fewer chains, or leave thin='fit' out, so that draws go to a file."
            )
        fewer = -(-draws // most)
        return draws // fewer, each * fewer
    return draws, each


def _chains(
    model: pm.Model,
    plan: Plan,
    sampler: Sampler,
    start: Any,
    batch_size: int | Stream | None,
    memory: int,
    machine: Machine,
    folder: Path | None,
) -> Chains:
    """Set chains up: the lowered model, its rows, the kernel and the starting positions."""
    stream = batch_size if isinstance(batch_size, Stream) else None
    density = torch_log_density(model, dtype=PRECISIONS[plan.precision], device=machine.place)
    batches, rows = batches_for(
        density,
        plan.batch_size,
        None if stream is None else stream.dataset,
        _seed(plan),
        0,  # every chain sees all rows in an epoch, whatever other processes see
        1,
        0 if stream is None else stream.workers,
        isinstance(sampler, StochasticGradient) and sampler.independent_rows,
    )
    if stream is None:
        refuse_impossible(density, batches.parts())
    half = plan.precision == "bfloat16" and has_bfloat16(machine.place)
    objective = Objective(density, PointMass(), rows=rows, bfloat16=half)
    target = Target(objective, batches, machine, plan.steps * _GRADIENTS, loops=getattr(sampler, "loops", False))
    if folder is not None and plan.world > 1:
        folder = folder / f"process-{plan.rank}"
    found = _start(model, plan, start, target, resumes=begun(folder))
    same = fingerprint(objective, batches, found if plan.start in ("given", "posterior") else None)
    problem = Problem(
        gradient=target,
        size=objective.layout.size,
        chains=plan.chains,
        warmup=plan.warmup,
        steps=plan.steps,
        device=density.device,
        dtype=density.dtype,
        rows=rows,
        batch_size=plan.batch_size,
        loops=target,
    )
    kept = kept_steps(sampler, plan.draws, plan.thin)
    store = Store(plan.draws, plan.chains, objective.layout.size, density.dtype, memory, folder)
    positions = found.to(density.device, density.dtype).contiguous()
    return Chains(
        sampler.kernel(problem), target, plan, store, positions,
        kept if isinstance(kept, range) else frozenset(kept), folder, same,
        warmed_up=partial(warn_ahead, sampler, problem, objective) if isinstance(sampler, StochasticGradient) else None,
    )  # fmt: skip


def _seed(plan: Plan) -> int:
    """Give each process a seed of its own for rows and starts."""
    return plan.seed if plan.rank == 0 else seed_for(plan.seed, "process", plan.rank) % 2**32


def _start(model: pm.Model, plan: Plan, start: Any, target: Target, *, resumes: bool) -> torch.Tensor:
    """Give starting positions (chains, size); chains that resume from a checkpoint don't need them.

    The target isn't called then: the checkpoint knows whether it is to be compiled.
    """
    objective = target.objective
    device, dtype, layout = objective.device, objective.dtype, objective.layout
    if resumes and plan.start not in ("given", "posterior"):
        return torch.zeros(plan.chains, layout.size, dtype=torch.float64)

    def fine(positions: torch.Tensor) -> torch.Tensor:
        return target.fine(positions.to(device, dtype)).cpu()

    found = starting_positions(model, layout, start, plan.chains, _seed(plan), fine)
    if not resumes:
        target.refuse_start(found.to(device, dtype))
    return found


def _posterior(model: pm.Model, run: Chains, drawn: Drawn) -> ChainPosterior:
    """Make the posterior of draws."""
    plan, chains = run.plan, len(drawn.alive)
    bounds = np.full((chains, 2), np.nan)
    bounds[~drawn.alive, 0] = -np.inf
    objective = run.target.objective
    asked = {name: value for name, value in plan.as_json().items() if name not in ("sampler", "rank")}
    settings = {**plan.sampler, **asked, "chains": chains}
    record = Record(
        method=str(plan.sampler.get("sampler", "sampling")),
        settings=settings,
        losses=np.empty((0, chains)),
        bounds=bounds,
        weights=drawn.alive / drawn.alive.sum(),
        seconds=run.seconds,
        device=str(objective.device),
        precision=plan.precision if objective.bfloat16 or plan.precision != "bfloat16" else "float32",
        compiled=bool(run.target.compiled),
        threads=run.target.threads,
        stopped=drawn.stopped,
    )
    return ChainPosterior(model, objective, drawn.values, drawn.stats, record)


def _state(model: pm.Model, run: Chains) -> ChainState:
    """Look at chains under way, for the callback."""

    def make() -> ChainPosterior:
        drawn = Drawn.of(run, None)
        if not drawn.some:
            raise InferenceError(f"there are no draws yet after step {run.step:,}; the first come after the warm-up.")
        return _posterior(model, run, drawn).copied()

    return ChainState(run.step, run.drawn, run.state["lp"].cpu().numpy(), run.step <= run.plan.warmup, make)


def _tell(posterior: ChainPosterior) -> None:
    """Warn of chains that diverged for good, and of draws that diverged."""
    health, kept = posterior.health(), posterior.chains
    if health.lost:
        notice(
            f"{_listed(health.lost)} of {len(posterior.record.weights)} chains diverged for good, and "
            f"{'is' if len(health.lost) == 1 else 'are'} left out. A smaller step size may keep "
            "them, or another start."
        )
    chance = 3 * math.sqrt(2 * _MEMORY / (posterior.draws_per_chain * posterior.objective.layout.size))
    hot = health.temperature - chance > _HOT
    if hot.any():
        notice(
            f"{_listed(kept[hot].tolist())} moved at up to {health.temperature.max():.1f} times the temperature that "
            "was asked for: steps are too large where the posterior is narrow, or mini-batches add too much noise, and "
            "the posterior is too wide. Take a smaller step_size, until health().temperature is near 1."
        )
    count = int(health.divergences.sum())
    if count:
        worst = kept[np.argsort(-health.divergences, kind="stable")][: int((health.divergences > 0).sum())][:5]
        notice(
            f"{count:,} of {len(posterior):,} draws diverged, most in {_listed(worst.tolist())}: the posterior may be "
            "too narrow where its curvature is high. Raise target_accept (lower step_size, where nothing is rejected), "
            "or write the model without such places, for example with centred=False."
        )


def _listed(chains: Sequence[int]) -> str:
    """Name chains by their numbers."""
    return f"chain{'s' if len(chains) > 1 else ''} {', '.join(map(str, chains))}"
