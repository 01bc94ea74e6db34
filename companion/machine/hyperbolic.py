r"""The hyperbolic tangent in single precision, as compiled code computes it quickly.

.. math::

    \tanh x = 1 - \frac{2}{1 + e^{2 x}}, \qquad
    \tanh x = x - \frac{x^3}{3} + \frac{2 x^5}{15} - \frac{17 x^7}{315} + \frac{62 x^9}{2835} - \dots

The compiler of libraries has a tangent that is right to half a unit in the last place, and takes as long as twenty
multiplications. Networks compute hardly anything else. These two are right to five units, in a third of the time: the
first where :math:`|x| \ge 0.3`, the second below. Explained in `book/reference/how_a_fit_works`, section "The machine".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

__all__ = ["QUICKER", "quick_tanh"]

_SERIES_BELOW = 0.3  # where the next term, 1382 x^10 / 155925, is a unit in the last place
_SERIES = (62 / 2835, -17 / 315, 2 / 15, -1 / 3)


def quick_tanh(x: torch.Tensor) -> torch.Tensor:
    """Compute the hyperbolic tangent of numbers in single precision, to a relative error of 5e-7."""
    square = x * x
    terms = torch.full_like(x, _SERIES[0])
    for coefficient in _SERIES[1:]:
        terms = terms * square + coefficient
    return torch.where(x.abs() < _SERIES_BELOW, x + x * square * terms, 1 - 2 / (1 + torch.exp(2 * x)))


def _instead(x: torch.Tensor) -> Any:
    return quick_tanh(x) if x.dtype == torch.float32 else NotImplemented


QUICKER: Mapping[Any, Callable[..., Any]] = {torch.ops.aten.tanh.default: _instead}
"""Functions in the place of torch's operations; see `traced`."""
