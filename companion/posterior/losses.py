"""Whether a loss still falls: the slope of the last part of its history.

Explained in `book/reference/how_a_fit_works`, section "The record".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import linregress

from companion.errors import ModelError

__all__ = ["Trend", "trend"]


class Trend(NamedTuple):
    """How a loss moved in the last part of its history.

    Attributes
    ----------
    slope
        Change of the loss in 1,000 steps, in nats; negative while it falls.
    slope_se
        Standard error of the slope.
    converged
        Whether the fall over that part is smaller than a nat or 0.1 % of the loss, or can't be told from noise. Of a
        record, also that no parameter was still on its way; see `companion.posterior.Record.drifting`.
    """

    slope: float
    slope_se: float
    converged: bool


def trend(history: np.ndarray, share: float = 0.2) -> Trend:
    """Fit a line to the last part of a loss.

    A schedule that ends at rate zero makes any loss flat: then this says that it rests, not that it has arrived.
    `companion.posterior.Record.trend` looks at the parameters as well. Compare restarts, or give it more steps.

    Parameters
    ----------
    history
        Loss at each step, (steps,), in nats.
    share
        Share of the history to look at, from its end.

    Raises
    ------
    ModelError
        If there are fewer than 20 steps to look at, or some aren't finite.
    """
    history = np.asarray(history, dtype=float)
    last = history[-int(len(history) * share) :] if 0 < share <= 1 else history[:0]
    if last.ndim != 1 or len(last) < 20 or not np.isfinite(last).all():
        raise ModelError(
            f"{len(last)} steps to look at (share={share} of {len(history)}); expected 20 or more, all finite."
        )
    line = linregress(np.arange(len(last)), last)
    fall = -line.slope * len(last)
    small = fall < max(1.0, 1e-3 * abs(last.mean()))
    noise = abs(line.slope) < 3 * line.stderr
    return Trend(float(1e3 * line.slope), float(1e3 * line.stderr), bool(small or noise))
