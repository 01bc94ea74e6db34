"""The draws of chains that ran in several processes, put together in the first one.

Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from companion.errors import notice
from companion.sampling.chains import Chains
from companion.sampling.store import side_by_side
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
        found = group.collect(self if group.first else Drawn(np.array(self.values), *self._beside()))
        lost = [rank for rank, drawn in enumerate(found) if drawn is None or not len(drawn.values)]
        if lost and group.world > 1:
            notice(
                f"{group.named(*lost)} had no draws to give: killed, failed or stopped in the warm-up, see its own "
                "message. The chains of the others are kept; start all again with the same checkpoint to go on."
            )
        there = [drawn for drawn in found if drawn is not None and len(drawn.values)] or [self]
        values = side_by_side([drawn.values for drawn in there], memory)
        stats = {n: np.hstack([d.stats[n][: len(values)] for d in there]) for n in there[0].stats}
        stopped = next((drawn.stopped for drawn in there if drawn.stopped is not None), None)
        return Drawn(values, stats, np.concatenate([drawn.alive for drawn in there]), stopped)

    def _beside(self) -> tuple[dict[str, np.ndarray], np.ndarray, str | None]:
        return self.stats, self.alive, self.stopped
