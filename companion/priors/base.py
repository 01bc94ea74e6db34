"""The base class of all priors: checked settings, and the same variables for PyMC and for Pyro.

Explained in `book/reference/how_a_fit_works`, section "On disk": a prior of your own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pymc.pytensorf import floatX

from companion.checks import fraction, positive
from companion.errors import ModelError
from companion.priors.parameter import Parameter

if TYPE_CHECKING:
    import torch
    from pytensor.tensor.variable import TensorVariable

__all__ = ["Prior", "check_prior", "entrywise", "float_x", "stretched"]


class Prior(ABC):
    r"""A distribution over the parameters of a network, for PyMC and for Pyro.

    Both methods make the same variables, with the same names and the same density. All are continuous, so that
    variational inference and Hamiltonian Monte Carlo apply. Settings are checked when the prior is made: a bad one
    raises a `ModelError` that names it.
    """

    @abstractmethod
    def pymc(self, parameters: Sequence[Parameter]) -> dict[str, TensorVariable[Any, Any]]:
        r"""Lay the prior into the `pymc.Model` whose context this runs in.

        Parameters
        ----------
        parameters
            Parameters of the network, as ``companion.priors.parameters(module)`` lists them. Inference starts at their
            ``start``.

        Returns
        -------
        dict
            Mapping from the name of each parameter to its variable (\*shape), a free one or a deterministic of free
            ones.

        Raises
        ------
        ModelError
            If `parameters` is something else, or two variables of the model would have one name.
        """

    @abstractmethod
    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        r"""Sample the sites of the Pyro model that this runs in.

        Every site declares its event dimensions, so that its log density is one number in each cell of the enclosing
        plates. Tensors have torch's default dtype and device; ``start`` is not used: `starts` tells it to a guide.

        Parameters
        ----------
        parameters
            Parameters of the network, as ``companion.priors.parameters(module)`` lists them.

        Returns
        -------
        dict
            Mapping from the name of each parameter to its tensor (\*plates, \*shape).

        Raises
        ------
        ModelError
            If `parameters` is something else, or two sites of the model would have one name.
        """

    def starts(self, parameters: Sequence[Parameter]) -> dict[str, np.ndarray]:
        r"""Say where the sites of a Pyro guide start, so that the parameters are near their own ``start``.

        Parameters
        ----------
        parameters
            Parameters of the network, as ``companion.priors.parameters(module)`` lists them.

        Returns
        -------
        dict
            Mapping from the name of a site to its value (\*shape). Sites that are left out, such as scales, start at
            what their prior says.
        """
        return {p.name: p.start for p in parameters if p.start is not None}

    def prepared(self, parameters: Sequence[Parameter]) -> Prior:
        """Return the prior that a Bayesian module of these parameters holds: this one, or a copy of its own to train.

        Parameters
        ----------
        parameters
            Parameters of the network, as ``companion.priors.parameters(module)`` lists them.
        """
        return self

    def _check_positive(self, *settings: str) -> None:
        """Refuse settings that aren't positive and finite; make the others floats."""
        self._settle(**{name: positive(name, getattr(self, name), owner=self) for name in settings})

    def _check_fraction(self, setting: str) -> None:
        """Refuse a setting that isn't between 0 and 1, both excluded; make it a float."""
        self._settle(**{setting: fraction(setting, getattr(self, setting), owner=self)})

    def _settle(self, **settings: Any) -> None:
        """Replace settings by their checked values; a frozen dataclass allows it in no other way."""
        for name, value in settings.items():
            object.__setattr__(self, name, value)


def check_prior(prior: Any) -> None:
    """Refuse anything but a prior.

    Parameters
    ----------
    prior
        Object that a setting was given.

    Raises
    ------
    ModelError
        If it is anything else.
    """
    if not isinstance(prior, Prior):
        raise ModelError(
            f"prior is a {type(prior).__name__}; expected one of companion.priors, such as Gaussian(scale=1.0)."
        )


def entrywise(distribution: Any, shape: tuple[int, ...]) -> Any:
    r"""Give each entry of an array the same Pyro distribution, and the array one log density.

    A distribution with a batch (\*plates), followed by dimensions that broadcast to `shape`, keeps its batch.
    """
    plates = distribution.batch_shape[: max(len(distribution.batch_shape) - len(shape), 0)]
    return distribution.expand((*plates, *shape)).to_event(len(shape))


def float_x(value: Any) -> Any:
    """Cast numbers to PyTensor's ``floatX``, so that a model in float32 stays one; ``None`` stays ``None``."""
    return None if value is None else floatX(np.asarray(value))


def stretched(value: torch.Tensor, dims: int) -> torch.Tensor:
    r"""Append `dims` dimensions of size 1, so that a layer's value (\*plates) broadcasts over a weight's entries."""
    return value[(..., *(None,) * dims)]
