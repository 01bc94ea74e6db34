"""Build a shared library of a traced graph: a program that `companion.machine.libraries` starts beside a fit.

It imports torch alone. Explained in `book/reference/how_a_fit_works`, section "The machine".
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["build"]

# The compiler's own probes of the processor's instructions take longer than the graph.
_OPTIONS = {"cpp.vec_isa_ok": True}

# The C++ around its kernels takes a small model a fifth of its step where it isn't optimised at all, and so does memory
# that is had piece by piece.
_OF_A_STEP = {"aot_inductor.compile_wrapper_opt_level": "O1", "memory_planning": True}

# In a loop, planned memory makes code that doesn't compile (torch 2.13).
_OF_A_LOOP = {"aot_inductor.compile_wrapper_opt_level": "O0"}

# A vector of at most so many parts is computed as a whole, as its entries are used, and not written part by part first.
_PARTS = 16


def build(folder: Path, out: Path) -> None:
    """Compile the graph in a folder, and move the library to its place as a whole.

    Parameters
    ----------
    folder
        Folder with ``graph.pt``: the graph, tensors like its arguments, the number of threads and, where the graph is
        the body of a loop, the number of arguments that it changes.
    out
        Place of the library.
    """
    import torch  # takes seconds
    import torch._inductor

    # This machine's own file, just written.
    graph, like, threads, carried = torch.load(folder / "graph.pt", map_location="cpu", weights_only=False)
    arguments = [torch.empty_strided(t.shape, t.stride(), dtype=t.dtype) for t in like]
    for node in graph.graph.nodes:
        node.meta.clear()  # each constant brings a mode of fake tensors with it, and those clash
    torch.set_num_threads(threads)
    options = {**_OPTIONS, "aot_inductor.output_path": str(folder / "library.so")}
    if carried is None:
        parts = [len(node.args[0]) for node in graph.graph.nodes if node.target is torch.ops.aten.cat.default]
        options |= {**_OF_A_STEP, "force_pointwise_cat": max(parts, default=0) <= _PARTS}
    else:
        options |= _OF_A_LOOP
    with torch.no_grad():
        if carried is not None:
            graph, arguments = _repeated(graph, arguments, carried)
        built = torch._inductor.aot_compile(graph, tuple(arguments), options=options)
    Path(str(built)).replace(out)
    shutil.rmtree(folder, ignore_errors=True)


def _repeated(graph: Any, arguments: Sequence[Any], carried: int) -> tuple[Any, list[Any]]:
    """Make a loop of its body: an exported program, and an example of its arguments.

    The body takes a count and gives the first ``carried`` of its other arguments anew. The loop takes where the count
    begins and where it ends, and then what the body takes.
    """
    import torch

    def more(k: Any, *rest: Any) -> Any:
        return k < rest[carried]

    def once(k: Any, *rest: Any) -> Any:
        return k + 1, *graph(k, *rest[:carried], *rest[carried + 1 :])

    class Loop(torch.nn.Module):
        def forward(self, k: Any, end: Any, *rest: Any) -> Any:
            found = torch.ops.higher_order.while_loop(more, once, (k, *rest[:carried]), (end, *rest[carried:]))
            return tuple(found)[1:]

    example = [t.clone() for t in (arguments[0], arguments[0] + 1, *arguments[1:])]  # none may share its memory
    return torch.export.export(Loop(), tuple(example), strict=True).module(), example


if __name__ == "__main__":
    if sys.argv[3] == "beside" and hasattr(os, "nice"):
        os.nice(10)  # the fit goes first; at 19 a busy machine would never come to it
    build(Path(sys.argv[1]), Path(sys.argv[2]))
