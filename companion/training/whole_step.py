r"""A step of a small model as one call: the gradient and Adam in one shared library.

Called operation by operation, a step of a network with 500 weights takes ten times what its arithmetic takes. Explained
in `book/reference/how_a_fit_works`, section "The machine".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.fx import GraphModule

from companion.machine import QUICKER, Awaited, Library, held, rows_last, traced
from companion.training.batches import Batches
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
    batches
        Rows by step, which the library takes out of the data.
    drawn
        What the batches drew for one step.
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
        batches: Batches,
        drawn: Tensors,
        threads: int,
        *,
        beside: bool,
    ) -> None:
        self._optimiser = optimiser
        # the weight of the KL divergence, and what Adam multiplies with
        self._settings = torch.ones(2 + len(optimiser.rates), dtype=noise.dtype)
        self._values: np.ndarray = self._settings.numpy()  # the same memory
        self._noise = noise
        self._kinds = [t.shape for t in drawn]
        graph = _traced(gradient, optimiser, self._settings, noise, batches, drawn)
        self._library = Awaited(Library(graph, self._arguments(drawn), threads, beside=beside))

    def ready(self, *, wait: bool = False) -> bool:
        """Say whether it can be taken; see `companion.machine.Awaited.ready`."""
        return self._library.ready(wait=wait)

    def fits(self, drawn: Tensors) -> bool:
        """Say whether what was drawn for a step has the shapes that it was built for."""
        return [t.shape for t in drawn] == self._kinds

    def take(self, drawn: Tensors, kl_weight: float, rate: float) -> torch.Tensor:
        """Change parameters and moments as one step of Adam does.

        Parameters
        ----------
        drawn
            What the batches drew for the step.
        kl_weight
            Weight of the KL divergence.
        rate
            Factor of the schedule, for all rates.

        Returns
        -------
        torch.Tensor
            Losses (restarts,) at full weight.
        """
        self._values[:] = [kl_weight, *self._optimiser.settings(rate)]
        return self._library(self._arguments(drawn))[0]

    def _arguments(self, drawn: Tensors) -> list[torch.Tensor]:
        rows = [t.contiguous() for t in drawn]
        return [self._settings, self._noise, *self._optimiser.all_tensors(), *rows]


def _traced(
    gradient: GraphModule,
    optimiser: Adam,
    settings: torch.Tensor,
    noise: torch.Tensor,
    batches: Batches,
    drawn: Tensors,
) -> GraphModule:
    """Trace the rows, the gradient and Adam (Kingma and Ba 2015) into one graph, which gives the losses."""
    beta, beta_of_squares = Adam.BETAS
    count = len(optimiser.rates)
    own = [t.detach() for t in optimiser.all_tensors()]
    given = batches.data_of(drawn).values()
    turned = rows_last(traced(gradient, [settings[0], noise, *own[:count], *given]))

    def step(settings: torch.Tensor, noise: torch.Tensor, *rest: torch.Tensor) -> tuple[torch.Tensor]:
        parameters, means, squares, taken = (rest[k * count : (k + 1) * count] for k in range(4))
        data = [held(t) for t in batches.data_of(rest[4 * count :]).values()]
        kl_weight, root, *sizes = settings
        loss, gradients = turned(kl_weight, noise, *parameters, *data)
        own = zip(parameters, means, squares, taken, sizes, gradients, strict=True)
        for p, mean, square, done, size, g in own:
            done.add_(1)
            mean.lerp_(g, 1 - beta)
            square.mul_(beta_of_squares).addcmul_(g, g, value=1 - beta_of_squares)
            p.sub_(size * mean / (square.sqrt() / root + Adam.EPSILON))
        return (loss * 1,)

    return traced(step, [settings, noise, *(t.clone() for t in own), *(t.contiguous() for t in drawn)], QUICKER)
