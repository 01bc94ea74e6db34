"""The draws of chains that ran in several processes, put together in the first one.

Explained in `book/reference/how_a_fit_works`, section "Samplers".
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from companion.errors import InferenceError, notice
from companion.sampling.chains import Chains
from companion.sampling.store import empty_array
from companion.training import Processes

__all__ = ["Drawn"]

_log = logging.getLogger(__name__)


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
        own = _Told(self.values.shape, self.values.dtype, self.stats, self.alive, self.stopped)
        told = group.collect(own)
        if not group.first:
            group.send_rows(self.values)
            return self
        there = {rank: found for rank, found in enumerate(told) if found is not None and found.shape[0]}
        values = self._beside(group, there, memory)
        lost = [rank for rank in range(group.world) if rank not in there]
        if lost:
            notice(
                f"{group.named(*lost)} had no draws to give: killed, failed or stopped in the warm-up, see its own "
                "message. The chains of the others are kept; start all again with the same checkpoint to go on."
            )
        kept = list(there.values()) or [own]
        stats = {n: np.hstack([found.stats[n][: len(values)] for found in kept]) for n in kept[0].stats}
        stopped = next((found.stopped for found in kept if found.stopped is not None), None)
        return Drawn(values, stats, np.concatenate([found.alive for found in kept]), stopped)

    def _beside(self, group: Processes, there: dict[int, _Told], memory: int) -> np.ndarray:
        """Put the values of processes side by side, as many draws as all of them have; drop those lost on the way."""
        if there.keys() <= {0}:
            return self.values
        shapes = [found.shape for found in there.values()]
        shape = (min(draws for draws, _, _ in shapes), sum(chains for _, chains, _ in shapes), shapes[0][2])
        values = empty_array(shape, self.values.dtype, memory)
        end = 0
        for rank, found in list(there.items()):
            columns = slice(end, end + found.shape[1])
            try:
                for at, rows in [(slice(None), self.values)] if rank == 0 else group.rows_of(rank, *found[:2]):
                    into = values[at, columns]
                    into[:] = rows[: len(into)]
                end = columns.stop
            except InferenceError as error:  # the next process takes its columns
                _log.error(str(error))
                del there[rank]
        return values[:, :end] if there else self.values


class _Told(NamedTuple):
    """What a process tells of its draws before it sends them."""

    shape: tuple[int, ...]
    dtype: np.dtype
    stats: dict[str, np.ndarray]
    alive: np.ndarray
    stopped: str | None
