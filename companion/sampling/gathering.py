"""The draws of chains that ran in several processes, put together in the first one.

Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from companion.errors import notice
from companion.sampling.chains import Chains
from companion.sampling.store import empty_array, side_by_side
from companion.training import Processes

__all__ = ["Drawn"]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws of some chains.

    Attributes
    ----------
    values
        Unconstrained values (draws, chains, size), perhaps a map of a file.
    stats
        Statistics: name to array (draws, chains).
    alive
        Which chains (chains,) did not diverge for good.
    stopped
        Why they ended early; ``None`` where they didn't.
    """

    values: np.ndarray
    stats: dict[str, np.ndarray]
    alive: np.ndarray
    stopped: str | None

    @classmethod
    def of(cls, run: Chains, stopped: str | None) -> Drawn:
        """Take the draws of chains as they are now."""
        return cls(run.store.values(), run.store.stats(), run.alive.numpy(), stopped)

    @property
    def some(self) -> bool:
        """Whether there is a draw of a chain that did not diverge."""
        return bool(len(self.values)) and bool(self.alive.any())

    def gathered(self, group: Processes, memory: int) -> Drawn:
        """Put the draws of all processes together, in the first one; in the others these stay alone.

        Parameters
        ----------
        group
            The processes.
        memory
            Bytes of memory that the draws may take.

        Warns
        -----
        CompanionWarning
            If a process is lost or has no draws; it is named, and the draws of the others are kept.
        """
        beside = group.collect((self.stats, self.alive, self.stopped))
        share = memory // (2 * group.world)  # while they are put side by side, they are there twice
        values = group.collect_rows(self.values, partial(empty_array, memory=share))
        found = [
            None if its is None or own is None else Drawn(its, *own) for its, own in zip(values, beside, strict=True)
        ]
        lost = [rank for rank, drawn in enumerate(found) if drawn is None or not len(drawn.values)]
        if lost and group.world > 1:
            notice(
                f"{group.named(*lost)} had no draws to give: killed, failed or stopped in the warm-up, see its own "
                "message. The chains of the others are kept; start all again with the same checkpoint to go on."
            )
        there = [drawn for drawn in found if drawn is not None and len(drawn.values)] or [self]
        together = side_by_side([drawn.values for drawn in there], memory)
        stats = {n: np.hstack([d.stats[n][: len(together)] for d in there]) for n in there[0].stats}
        stopped = next((drawn.stopped for drawn in there if drawn.stopped is not None), None)
        return Drawn(together, stats, np.concatenate([drawn.alive for drawn in there]), stopped)
