"""One restart of Bayes by Backprop: a Pyro model with its guide.

Explained in `book/reference/how_a_fit_works`, section "A Pyro model".
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from companion.bayes_by_backprop.guide import MeanFieldGuide
from companion.variational import Parameters

__all__ = ["MEAN", "OWN", "SCALE", "Member", "members_of"]

MEAN = "mean of "
SCALE = "scale of "
OWN = "parameter "
"""What the names of trained parameters begin with: a guide's means and raw scales, and the model's own parameters."""


@dataclass(frozen=True, eq=False)
class Member:
    """A Pyro model with its guide: one restart."""

    model: Callable[..., Any]
    guide: MeanFieldGuide

    @cached_property
    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """Everything that is trained, by name: means and scales of the guide, and ordinary parameters of the model."""
        sites = self.guide.names
        own = self.model.named_parameters() if isinstance(self.model, torch.nn.Module) else ()
        return {
            **{f"{MEAN}{name}": p for name, p in zip(sites, self.guide.means, strict=True)},
            **{f"{OWN}{name}": p for name, p in own if p.requires_grad},
            **{f"{SCALE}{name}": p for name, p in zip(sites, self.guide.rhos, strict=True)},
        }

    def copy(self) -> Member:
        """Copy model and guide; a model that is a plain function stays the same one."""
        model = copy.deepcopy(self.model) if isinstance(self.model, torch.nn.Module) else self.model
        return Member(model, copy.deepcopy(self.guide))


def members_of(parameters: Parameters, members: Sequence[Member]) -> None:
    """Let the members' parameters be views of stacked ones: name to tensor (restarts, ...)."""
    for r, member in enumerate(members):
        for name, parameter in member.parameters.items():
            parameter.data = parameters[name][r]
