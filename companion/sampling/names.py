"""Samplers by name.

Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

from enum import StrEnum

from companion.errors import ModelError
from companion.sampling.hmc import HMC
from companion.sampling.kernel import Sampler
from companion.sampling.microcanonical import MCLMC, AdjustedMCLMC
from companion.sampling.stochastic_gradient import SGHMC, SGLD, SGNHT

__all__ = ["SamplerName", "register_sampler", "sampler_named"]


class SamplerName(StrEnum):
    """Samplers that come with the companion, each with the settings that it has when they are left out."""

    CHEES_HMC = "chees-hmc"
    """Hamiltonian Monte Carlo with a trajectory length learned across chains; see `companion.sampling.HMC`."""

    MCLMC = "mclmc"
    """Microcanonical Langevin Monte Carlo, quick and with a small bias; see `companion.sampling.MCLMC`."""

    ADJUSTED_MCLMC = "adjusted-mclmc"
    """The same with proposals that are accepted or rejected; see `companion.sampling.AdjustedMCLMC`."""

    SGLD = "sgld"
    """Stochastic gradient Langevin dynamics, for mini-batches; see `companion.sampling.SGLD`."""

    SGHMC = "sghmc"
    """Stochastic gradient Hamiltonian Monte Carlo, for mini-batches; see `companion.sampling.SGHMC`."""

    SGNHT = "sgnht"
    """The same with a friction that takes up the noise of mini-batches; see `companion.sampling.SGNHT`."""


_SAMPLERS: dict[str, Sampler] = {s.name: s for s in (HMC(), MCLMC(), AdjustedMCLMC(), SGLD(), SGHMC(), SGNHT())}


def register_sampler(sampler: Sampler) -> None:
    """Make a sampler known by its name.

    Raises
    ------
    ModelError
        If it lacks a part of a `companion.sampling.Sampler`, or another sampler has its name.
    """
    if not isinstance(sampler, Sampler):
        raise ModelError(f"sampler is a {type(sampler).__name__}; expected the parts of a companion.sampling.Sampler.")
    if type(_SAMPLERS.get(sampler.name, sampler)) is not type(sampler):
        raise ModelError(f"a sampler named {sampler.name!r} is known already; give it another name.")
    _SAMPLERS[sampler.name] = sampler


def sampler_named(sampler: str | Sampler) -> Sampler:
    """Give the sampler of a name; one that is a sampler already stays as it is.

    Raises
    ------
    ModelError
        If there is none of that name.
    """
    if isinstance(sampler, str) and sampler in _SAMPLERS:
        return _SAMPLERS[sampler]
    if isinstance(sampler, Sampler) and not isinstance(sampler, type):
        return sampler
    raise ModelError(f"sampler={sampler!r}; expected one of {list(_SAMPLERS)}, or settings such as HMC(mass='dense').")
