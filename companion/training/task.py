"""What the loop asks of whatever it minimises.

A lowered PyMC model is one such objective (`companion.variational.Objective`), a Pyro model with its guide another
(`companion.bayes_by_backprop`). Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from companion.variational import Gradient, Parameters

__all__ = ["Collector", "TrainingObjective"]

Data = Mapping[str, torch.Tensor]


class TrainingObjective(Protocol):
    """A loss of parameters, of noise and of the rows of one step, for several restarts side by side."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the parameters."""
        ...

    @property
    def float64(self) -> bool:
        """Whether the same loss can be computed in float64, as ``Machine(precision="float64")`` does."""
        ...

    @property
    def noise_size(self) -> int:
        """Number of standard normal numbers in one draw; 0 where it draws for itself."""
        ...

    @property
    def draws_inside(self) -> bool:
        """Whether it also takes random numbers from torch's own generator."""
        ...

    @property
    def row_count(self) -> int:
        """Number of rows that the loss is a sum over, at least 1."""
        ...

    def gradient(self, parameters: Parameters, noise: torch.Tensor, data: Data) -> Gradient:
        """Build the function of ``(kl_weight, noise, *parameters, *data)`` that a step calls.

        It gives estimates of the negative ELBO at full weight, (restarts,), and one gradient per parameter of the loss
        with the KL divergence weighed by ``kl_weight``.
        """
        ...

    def settle(self, parameters: Parameters) -> None:
        """Set those parameters of all restarts, in place, whose optimum given the others has a closed form.

        It is called before the first step and after every one.
        """
        ...

    def is_scale(self, parameter: str) -> bool:
        """Say whether a parameter makes the covariance, and so takes the learning rate of the scales."""
        ...

    def value_at(self, parameter: str, row: int) -> str:
        """Name the value of the model that a row of a parameter belongs to."""
        ...

    def values_of(self, parameter: str, shape: Sequence[int]) -> Sequence[tuple[str, int]]:
        """List the values of the model that a parameter of one restart stands for, each with its number of rows."""
        ...

    def broken_terms(self, parameters: Parameters, noise: torch.Tensor, data: Data) -> list[str]:
        """Name the terms of the loss that aren't finite at one draw of one restart."""
        ...

    def finite_in_float64(self, parameters: Parameters, noise: torch.Tensor, data: Data) -> bool:
        """Say whether the log density and its gradient at one draw of one restart are finite in float64."""
        ...


class Collector(Protocol):
    """What goes along with a fit and gathers something of its parameters; a checkpoint holds it as well.

    Attributes
    ----------
    part
        Name of the part of a fit that it goes along with, for messages: steps count from where that begins.
    rate
        Name of the setting that is that part's learning rate.
    """

    part: str
    rate: str

    def collect(self, step: int, parameters: Parameters) -> None:
        """Look at the parameters of all restarts after so many steps."""
        ...

    def tensors(self) -> dict[str, torch.Tensor]:
        """Collect what was gathered, by name."""
        ...

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go back, or forward, to what was gathered at another step."""
        ...
