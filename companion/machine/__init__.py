"""What torch needs of the machine: devices, precision, seeds, denormals, memory, compilation.

Explained in `book/reference/how_a_fit_works`, section "The machine".
"""

from companion.machine.budget import BUDGET_BYTES, draws_at_once, points_at_once, sharing_at_once, slices
from companion.machine.compilation import compiled, faster
from companion.machine.denormals import denormals_flushed
from companion.machine.devices import PRECISIONS, Machine, Precision, device_named, has_bfloat16
from companion.machine.guarding import guard, random_kept
from companion.machine.hyperbolic import QUICKER
from companion.machine.libraries import Awaited, Library, LibraryError
from companion.machine.loops import Body, Loop
from companion.machine.malloc import memory_kept
from companion.machine.normals import fill_normal
from companion.machine.rows_last import held, rows_last
from companion.machine.seeds import Generators, Seeds, generator_for, reseed, seed_for
from companion.machine.threads import threads_worth
from companion.machine.timing import fastest_of
from companion.machine.tracing import traced
from companion.machine.work import Work

__all__ = [
    "BUDGET_BYTES",
    "PRECISIONS",
    "QUICKER",
    "Awaited",
    "Body",
    "Generators",
    "Library",
    "LibraryError",
    "Loop",
    "Machine",
    "Precision",
    "Seeds",
    "Work",
    "compiled",
    "denormals_flushed",
    "device_named",
    "draws_at_once",
    "faster",
    "fastest_of",
    "fill_normal",
    "generator_for",
    "guard",
    "has_bfloat16",
    "held",
    "memory_kept",
    "points_at_once",
    "random_kept",
    "reseed",
    "rows_last",
    "seed_for",
    "sharing_at_once",
    "slices",
    "threads_worth",
    "traced",
]
