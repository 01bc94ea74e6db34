"""What every prior is: settings that were checked, and the same variables for PyMC and for Pyro.

Explained in the chapter `book/bayes_by_backprop/design_choices`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pymc.pytensorf import floatX

from companion.checks import is_number, positive
from companion.errors import ModelError
from companion.priors.parameters import Parameter

if TYPE_CHECKING:
    import torch
    from pytensor.tensor.variable import TensorVariable

__all__ = ["Prior", "entrywise", "float_x", "stretched"]


class Prior(ABC):
    r"""A distribution over the parameters of a network, for PyMC and for Pyro.

    Both methods give the same variables, with the same names and the same density. All are continuous, so that
    variational inference and Hamiltonian Monte Carlo apply. Settings are checked when the prior is made: a bad one
    is a `ModelError` that names it.

    Notes
    -----
    Explained in the chapter `book/bayes_by_backprop/design_choices`.
    """

    @abstractmethod
    def pymc(self, parameters: Sequence[Parameter]) -> dict[str, TensorVariable[Any, Any]]:
        r"""Lay the prior into the `pymc.Model` whose context this runs in.

        Parameters
        ----------
        parameters
            What ``companion.priors.parameters(module)`` gives. Inference starts where their ``start`` says.

        Returns
        -------
        dict
            The variable (\*shape) of every parameter, by its name: a free one, or a deterministic of free ones.

        Raises
        ------
        ModelError
            If `parameters` is something else, or a name is needed twice.
        """

    @abstractmethod
    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        r"""Sample the sites of the Pyro model that this runs in.

        Every site declares its event dimensions, so that its log density is one number in each cell of the enclosing
        plates. Tensors have torch's default dtype and device; ``start`` is not used, because a guide has its own.

        Parameters
        ----------
        parameters
            What ``companion.priors.parameters(module)`` gives.

        Returns
        -------
        dict
            The tensor (\*plates, \*shape) of every parameter, by its name.

        Raises
        ------
        ModelError
            If `parameters` is something else, or a name is needed twice.
        """

    def _check_positive(self, *settings: str) -> None:
        """Refuse settings that aren't positive and finite; make the others floats."""
        for setting in settings:
            object.__setattr__(self, setting, positive(setting, getattr(self, setting), owner=self))

    def _check_fraction(self, setting: str) -> None:
        """Refuse a setting that isn't strictly between 0 and 1; make it a float."""
        value = getattr(self, setting)
        if not is_number(value) or not 0 < value < 1:
            raise ModelError(
                f"{setting}={value!r} in {type(self).__name__}; expected a number between 0 and 1, neither of them, "
                "such as 0.5."
            )
        object.__setattr__(self, setting, float(value))


def entrywise(distribution: Any, shape: tuple[int, ...]) -> Any:
    r"""Give each entry of an array the same Pyro distribution, and the array one log density.

    A distribution with a batch (\*plates), followed by dimensions that broadcast to `shape`, keeps its batch.
    """
    plates = distribution.batch_shape[: max(len(distribution.batch_shape) - len(shape), 0)]
    return distribution.expand((*plates, *shape)).to_event(len(shape))


def float_x(value: Any) -> Any:
    """Cast numbers to PyTensor's ``floatX``, so that a model in float32 stays one; ``None`` stays."""
    return None if value is None else floatX(np.asarray(value))


def stretched(value: torch.Tensor, dims: int) -> torch.Tensor:
    r"""Append `dims` dimensions of size 1: a layer's value (\*plates) then broadcasts over its weights' entries."""
    return value[(..., *(None,) * dims)]
