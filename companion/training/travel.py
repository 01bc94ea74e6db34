"""Whether the parameters had arrived when the steps ended: how far they still went, of how far the rates let them.

Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from companion.training.options import OptimiserName
from companion.training.schedules import schedule_named
from companion.training.settings import Settings
from companion.training.task import TrainingObjective
from companion.variational import Parameters

__all__ = ["Drift", "Travel"]

_LAST = 0.2  # of the sum of the rates: with a schedule that falls, this is far more than the last fifth of the steps
_FEWEST = 100  # steps: in fewer, noise alone takes a parameter this far
_LEAST = 0.1  # share of the way that counts
_NOISE = 4  # times what noise around zero makes of a share, 1 / sqrt(steps): less can't be told from it


class UnderWay(Protocol):
    """A fit whose parameters move; see `companion.training.Training`."""

    parameters: Parameters
    settings: Settings
    step: int

    @property
    def objective(self) -> TrainingObjective:
        """What is minimised."""
        ...


@dataclass(frozen=True)
class Drift:
    """The value of a model whose parameters still went in one direction at the end of a fit.

    Attributes
    ----------
    name
        Name of the value.
    share
        Distance that its entries went over the last fifth of the summed rates, in the root mean square, as a share of
        what the rates allow: about 0 at rest, 1 for gradients that never change their sign.
    under_way
        Whether that is more than noise makes of it, and at least a tenth.
    """

    name: str
    share: float
    under_way: bool


class Travel:
    """What a fit remembers to say whether its parameters had arrived.

    A step of Adam moves a parameter by about the learning rate at most (Kingma and Ba 2015, section 2.1), and by far
    less where the gradient is noise around zero. So over some steps a parameter that is still on its way goes a good
    share of the sum of their rates, whatever the rates are, and one at rest about 1 / sqrt(steps) of it at most, the
    way of a random walk. The loss can't show this: a rate that falls to zero makes any loss flat.

    Parameters
    ----------
    settings
        Settings of the fit.
    """

    def __init__(self, settings: Settings) -> None:
        shape = schedule_named(settings.schedule)
        rates = np.array([shape(step / settings.steps) for step in range(settings.steps)])
        left = rates[::-1].cumsum()[::-1]
        self._since = int((left >= _LAST * left[0]).sum())
        last = rates[self._since :]
        known = settings.optimiser == OptimiserName.ADAM and len(last) >= _FEWEST
        self._steps = settings.steps if known else None
        self._allowed = settings.learning_rate * float(last.sum())
        self._much = max(_LEAST, _NOISE * float(np.linalg.norm(last) / last.sum())) if known else np.inf
        self._places: Parameters = {}

    def look(self, training: UnderWay) -> None:
        """Remember where the parameters are, at the one step from which the way is measured."""
        if self._steps is not None and training.step == self._since:
            scale = training.objective.is_scale
            self._places = {name: p.clone() for name, p in training.parameters.items() if not scale(name)}

    def drift(self, training: UnderWay, restart: int) -> Drift | None:
        """Find the value of a restart that drifted most.

        Returns
        -------
        Drift
            Or ``None`` where nothing can be said: with another optimiser than Adam, with too few steps, or before the
            last one.
        """
        if training.step != self._steps or not self._places:
            return None
        ways: dict[str, list[np.ndarray]] = {}
        for parameter, place in self._places.items():
            way = (training.parameters[parameter][restart] - place[restart]).abs().float().cpu().numpy()
            begin = 0
            for name, count in training.objective.values_of(parameter, way.shape):
                if not count:
                    continue
                ways.setdefault(name, []).append(way[begin : begin + count].ravel() if way.ndim else way.ravel())
                begin += count
        shares = {n: float(np.sqrt(np.mean(np.concatenate(w) ** 2))) / self._allowed for n, w in ways.items()}
        name = max(shares, key=lambda n: shares[n])
        return Drift(name, shares[name], shares[name] > self._much)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Collect what is remembered, for a checkpoint."""
        return dict(self._places)

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go back, or forward, to what was remembered at another step."""
        self._places = {name: t.clone() for name, t in tensors.items()}
