"""Networks: plain `torch.nn.Module` objects, with no randomness but their starting weights.

What makes them Bayesian is a prior from `companion.priors` and a bridge from `companion.bridge`. Explained in the
chapter `book/pymc/moons`, section "The same model, in torch".
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch

from companion.errors import ModelError

__all__ = ["dense"]


def dense(
    *widths: int,
    activation: Callable[[], torch.nn.Module] = torch.nn.ReLU,
    bias: bool = True,
    seed: int = 0,
) -> torch.nn.Sequential:
    r"""Build a fully connected network.

    Parameters
    ----------
    widths
        Of the inputs, of each hidden layer, and of the outputs: ``dense(784, 800, 800, 10)``.
    activation
        Between the layers; the last one gives its sums as they are (logits, or means).
    bias
        Whether the layers have biases.
    seed
        Of the starting weights: normal with standard deviation :math:`1/\sqrt{\text{inputs}}`, biases zero.

    Returns
    -------
    torch.nn.Sequential
        From (rows, widths[0]) to (rows, widths[-1]).

    Raises
    ------
    ModelError
        If there are fewer than two widths, or one is no positive whole number.

    Notes
    -----
    Explained in the chapter `book/pymc/moons`.
    """
    if len(widths) < 2 or not all(isinstance(w, int) and w > 0 for w in widths):
        raise ModelError(f"widths={widths}; expected two or more positive whole numbers, such as dense(2, 5, 5, 1).")
    generator = torch.Generator().manual_seed(seed)
    layers: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(widths):
        linear = torch.nn.utils.skip_init(torch.nn.Linear, inputs, outputs, bias=bias)
        torch.nn.init.normal_(linear.weight, std=inputs**-0.5, generator=generator)
        if bias:
            torch.nn.init.zeros_(linear.bias)
        layers += [linear, activation()]
    return torch.nn.Sequential(*layers[:-1])
