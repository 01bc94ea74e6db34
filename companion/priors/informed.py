"""A normal prior around the weights of another network, which carries what one task taught to the next.

Introduced in the chapter `book/pymc/moons`, section "Why join two crafts".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from companion.errors import ModelError
from companion.priors.gaussian import IndependentNormal
from companion.priors.parameter import Parameter

__all__ = ["Informed"]

Arrays = Mapping[str, ArrayLike | torch.Tensor]


@dataclass(frozen=True, eq=False)
class Informed(IndependentNormal):
    r"""A normal prior around given weights.

    .. math::

        w \sim \mathcal{N}(\mathrm{mean}, \mathrm{scale}^2)

    Attributes
    ----------
    mean
        Trained module, or a mapping from the name of each parameter to an array (\*shape). It is copied at once, so
        that the module may be trained further. Names that the new network doesn't have are not used.
    scale
        Standard deviation: one positive number for all weights, or a mapping from the name of each parameter to a
        number or an array (\*shape).

    Raises
    ------
    ModelError
        If an entry isn't finite or a standard deviation isn't positive; later, in `pymc` and `pyro`, if a parameter
        of the network has no entry, or one with another shape.

    Notes
    -----
    Krishnan, Subedar and Tickoo (2020), "Specifying Weight Priors in Bayesian Deep Neural Networks with Empirical
    Bayes", centre the prior on a trained network in this way.
    """

    mean: torch.nn.Module | Arrays = field(repr=False)
    scale: float | Arrays = field(default=1.0, repr=False)

    def __post_init__(self) -> None:
        mean: Any = self.mean
        if isinstance(mean, torch.nn.Module):
            mean = dict(mean.named_parameters(remove_duplicate=False))
        if not isinstance(mean, Mapping):
            raise ModelError(
                f"mean is a {type(mean).__name__} in Informed; expected a torch.nn.Module, or a mapping from the names "
                "of parameters to arrays, such as module.state_dict()."
            )
        self._settle(mean={name: _array("mean", name, value) for name, value in mean.items()})
        if isinstance(self.scale, Mapping):
            scale = {name: _array("scale", name, value) for name, value in self.scale.items()}
            for name, value in scale.items():
                if not np.all(value > 0):
                    raise ModelError(f"scale[{name!r}] has {value.min()} in Informed; expected positive numbers only.")
            self._settle(scale=scale)
        else:
            self._check_positive("scale")

    def moments(self, parameter: Parameter) -> tuple[np.ndarray, float | np.ndarray]:
        r"""Look up the mean (\*shape) of a parameter and its standard deviation, a number or an array (\*shape).

        Raises
        ------
        ModelError
            If the parameter has no entry, or one with another shape.
        """
        mean = _entry("mean", self.mean, parameter)
        if isinstance(self.scale, float):
            return mean, self.scale
        scale = _entry("scale", self.scale, parameter, number=True)
        return mean, scale if scale.shape else float(scale)


def _array(setting: str, name: str, value: Any) -> np.ndarray:
    """Copy an entry to a float64 array that can't be written; refuse what isn't finite."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().double().numpy()
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{setting}[{name!r}] is not an array of numbers in Informed: {error}.") from error
    if not np.isfinite(array).all():
        raise ModelError(f"{setting}[{name!r}] holds NaN or infinity in Informed; expected finite numbers only.")
    array.setflags(write=False)
    return array


def _entry(setting: str, entries: Any, parameter: Parameter, *, number: bool = False) -> np.ndarray:
    """Look up a parameter's entry, with the shape that the network gives it."""
    if parameter.name not in entries:
        raise ModelError(
            f"{setting} has no entry {parameter.name!r} in Informed; it has {sorted(entries)}. "
            "Expected one for every parameter of the network: freeze those that should have no prior."
        )
    array: np.ndarray = entries[parameter.name]
    if array.shape != parameter.shape and not (number and array.shape == ()):
        raise ModelError(
            f"{setting}[{parameter.name!r}] has shape {array.shape} in Informed; expected {parameter.shape}, "
            "one value for each weight. Average draws over their first axis."
        )
    return array
