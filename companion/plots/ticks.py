"""Plain numbers at logarithmic axes, which readers compare without counting powers of ten.

Used in the chapter `book/mnist/dense`, for the loss of its fit, and by the figures of this room.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullFormatter

__all__ = ["plain_numbers"]

_FEWEST = 3  # ticks on an axis
_STEPS = ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10)))  # multiples of powers of ten, from few to many


def plain_numbers(ax: Axes) -> Axes:
    """Write plain numbers at the logarithmic axes of a figure, such as 0.01 and 1,000 instead of powers of ten.

    Ticks stand at powers of ten; where fewer than three are in view, at some of their multiples, too. Axes that aren't
    logarithmic stay as they are.

    Parameters
    ----------
    ax
        Axes whose scales are set already.
    """
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_locator(_Multiples())
            axis.set_major_formatter(FuncFormatter(_plain))
            axis.set_minor_formatter(NullFormatter())
    return ax


def _plain(value: float, _: object = None) -> str:
    """Write a number without powers of ten, with four digits at most after the zeros."""
    places = max(0, 3 - int(np.floor(np.log10(value))))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if places else text


class _Multiples(Locator):
    """Ticks at powers of ten and, as long as they are few, at their multiples."""

    def __call__(self) -> list[float]:
        assert self.axis is not None
        return self.tick_values(*self.axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        low, high = sorted((vmin, vmax))
        for steps in _STEPS:
            seen = [float(tick) for tick in LogLocator(subs=steps).tick_values(low, high) if low <= tick <= high]
            if len(seen) >= _FEWEST:
                return seen
        return list(MaxNLocator(4).tick_values(low, high))
