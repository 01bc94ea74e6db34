r"""A step of a small model as one call: the gradient and Adam in one shared library.

Called operation by operation, a step of a network with 500 weights takes ten times what its arithmetic takes. Explained
in `book/reference/how_a_fit_works`, section "The machine".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.fx import GraphModule

from companion.machine import Awaited, Library, traced
from companion.training.optimisers import Adam

__all__ = ["WholeStep"]

Tensors = Sequence[torch.Tensor]


class WholeStep:
    """The step of a fit by Adam, in a library that is built beside the fit.

    Parameters
    ----------
    gradient
        Traced gradient, as `companion.variational.Objective.gradient` gives it.
    optimiser
        Adam, whose moments and parameters the step changes in place.
    noise
        Noise of a step (restarts, draws, noise).
    data
        Data of one step.
    threads
        Number of threads that it computes with.
    beside
        Whether the fit goes on while it is built, and so goes first.

    Raises
    ------
    LibraryError
        If no library can be built here.
    """

    def __init__(
        self,
        gradient: GraphModule,
        optimiser: Adam,
        noise: torch.Tensor,
        data: Mapping[str, torch.Tensor],
        threads: int,
        *,
        beside: bool,
    ) -> None:
        self._optimiser = optimiser
        # the weight of the KL divergence, and the rate of each parameter
        self._settings = torch.ones(1 + len(optimiser.rates), dtype=torch.float64)
        self._values: np.ndarray = self._settings.numpy()  # the same memory
        self._noise = noise
        arguments = self._arguments(data)
        self._kinds = [t.shape for t in data.values()]
        graph = _traced(gradient, len(optimiser.rates), arguments)
        self._library = Awaited(Library(graph, arguments, threads, beside=beside))

    def ready(self, *, wait: bool = False) -> bool:
        """Say whether it can be taken; see `companion.machine.Awaited.ready`."""
        return self._library.ready(wait=wait)

    def fits(self, data: Mapping[str, torch.Tensor]) -> bool:
        """Say whether the data of a step have the shapes that it was built for."""
        return [t.shape for t in data.values()] == self._kinds

    def take(self, data: Mapping[str, torch.Tensor], kl_weight: float, rate: float) -> torch.Tensor:
        """Change parameters and moments as one step of Adam does.

        Parameters
        ----------
        data
            Data of the step.
        kl_weight
            Weight of the KL divergence.
        rate
            Factor of the schedule, for all rates.

        Returns
        -------
        torch.Tensor
            Losses (restarts,) at full weight.
        """
        self._values[0] = kl_weight
        for k, own in enumerate(self._optimiser.rates, start=1):
            self._values[k] = own * rate
        return self._library(self._arguments(data))[0]

    def _arguments(self, data: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        rows = [t.contiguous() for t in data.values()]
        return [self._settings, self._noise, *self._optimiser.all_tensors(), *rows]


def _traced(gradient: GraphModule, count: int, arguments: Tensors) -> GraphModule:
    """Trace gradient and Adam (Kingma and Ba 2015) into one graph, which gives the losses."""
    beta, beta_of_squares, epsilon = Adam.BETAS[0], Adam.BETAS[1], Adam.EPSILON

    def step(settings: torch.Tensor, noise: torch.Tensor, *rest: torch.Tensor) -> tuple[torch.Tensor]:
        parameters, means, squares, taken = (rest[k * count : (k + 1) * count] for k in range(4))
        data = rest[4 * count :]
        loss, gradients = gradient(settings[0].to(noise.dtype), noise, *parameters, *data)
        for k, (p, mean, square, done, g) in enumerate(zip(parameters, means, squares, taken, gradients, strict=True)):
            done.add_(1)
            t = done.double()
            mean.lerp_(g, 1 - beta)
            square.mul_(beta_of_squares).addcmul_(g, g, value=1 - beta_of_squares)
            size = (settings[1 + k] / (1 - beta**t)).to(p.dtype)
            root = (1 - beta_of_squares**t).sqrt().to(p.dtype)
            p.sub_(size * mean / (square.sqrt() / root + epsilon))
        return (loss * 1,)

    return traced(step, [t.clone() for t in arguments])
