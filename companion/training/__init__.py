"""The loop that every fit runs: settings, batches, starts, schedules, checkpoints and processes.

Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from companion.training.batches import Batches, Rows, batches_for
from companion.training.checkpoints import begun, write_whole
from companion.training.distributed import Processes, processes
from companion.training.divergence import alive
from companion.training.identity import fingerprint
from companion.training.loop import Halted, Training
from companion.training.lowering import objective_for
from companion.training.schedules import schedule_named, warm_up
from companion.training.settings import Settings
from companion.training.starts import starting_means

__all__ = [
    "Batches",
    "Halted",
    "Processes",
    "Rows",
    "Settings",
    "Training",
    "alive",
    "batches_for",
    "begun",
    "fingerprint",
    "objective_for",
    "processes",
    "schedule_named",
    "starting_means",
    "warm_up",
    "write_whole",
]
