"""The loop that every fit runs: settings, batches, starts, schedules, checkpoints and processes.

Explained in `book/reference/how_a_fit_works`, section "The loop".
"""

from companion.training.batches import Batches, Resident, Rows, batches_for, batches_of, no_rows
from companion.training.checkpoints import begun, write_whole
from companion.training.checkpoints import read as read_checkpoint
from companion.training.checkpoints import write as write_checkpoint
from companion.training.distributed import Processes, processes
from companion.training.divergence import alive
from companion.training.ending import Ending, Valued, run, value
from companion.training.identity import checksum, fingerprint
from companion.training.interrupting import interrupts
from companion.training.iterates import Iterates
from companion.training.loop import Halted, Training
from companion.training.lowering import objective_for
from companion.training.old_words import takes_old_words
from companion.training.optimisers import Ivon, WindowedAdagrad
from companion.training.options import Checkpoint, OptimiserName, Rates, Start, StartKind, Stream, Trajectory
from companion.training.schedules import Schedule, ScheduleShape, schedule_named, warm_up
from companion.training.settings import Settings
from companion.training.starts import starting_means
from companion.training.task import Collector, TrainingObjective
from companion.training.together import Joint, together
from companion.training.travel import Drift

__all__ = [
    "Batches",
    "Checkpoint",
    "Collector",
    "Drift",
    "Ending",
    "Halted",
    "Iterates",
    "Ivon",
    "Joint",
    "OptimiserName",
    "Processes",
    "Rates",
    "Resident",
    "Rows",
    "Schedule",
    "ScheduleShape",
    "Settings",
    "Start",
    "StartKind",
    "Stream",
    "Training",
    "TrainingObjective",
    "Trajectory",
    "Valued",
    "WindowedAdagrad",
    "alive",
    "batches_for",
    "batches_of",
    "begun",
    "checksum",
    "fingerprint",
    "interrupts",
    "no_rows",
    "objective_for",
    "processes",
    "read_checkpoint",
    "run",
    "schedule_named",
    "starting_means",
    "takes_old_words",
    "together",
    "value",
    "warm_up",
    "write_checkpoint",
    "write_whole",
]
