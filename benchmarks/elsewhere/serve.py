"""Answer a benchmark from another environment, request by request: run by `abroad.Abroad`, imports no companion.

A request is a line of JSON, ``{"call": name, ...}``, and so is its answer. What libraries print goes to standard
error, so that it can't be taken for an answer.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any


def serve() -> None:
    """Make one contestant by the first request, and call its methods by the others."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    contestant: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        call = request.pop("call")
        try:
            if call == "make":
                make = getattr(importlib.import_module(request.pop("module")), request.pop("name"))
                contestant, found = make(**request), None
            else:
                found = getattr(contestant, call)(**request)
            answer = {"found": found}
        except ImportError as missing:
            answer = {"missing": str(missing)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


def pin(threads: int) -> None:
    """Keep this process on so many cores; XLA makes a thread for each core that it sees."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


if __name__ == "__main__":
    pin(int(os.environ["OMP_NUM_THREADS"]))
    serve()
