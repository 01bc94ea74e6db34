"""Prove that a GPU is there and used, before an hour is spent on it: `make gpu`.

A driver that is too old or a CPU build of torch leaves ``machine="auto"`` on the CPU, where every notebook would pass,
only slowly: a green run that says nothing. The GPU's name is printed, and the exit status is 1 when a fit does not run
on it. With a folder of executed notebooks as argument (`make gpu EXECUTED=folder`) they are asked instead: the status
is 1 when one of them says that it ran without a GPU, that a fit of its own was made on the CPU, or nothing at all.
"""

import re
import sys
from pathlib import Path

import torch

from tools.notebooks import code_cells, plain, read


def elsewhere(folder: Path) -> list[str]:
    """Return a line for each executed notebook that did not use a GPU; the notebooks print where they ran."""
    notebooks = sorted(folder.rglob("*.ipynb"))
    if not notebooks:
        return [f"{folder} holds no executed notebooks: make measure EXECUTED={folder}"]
    found = []
    for path in notebooks:
        said = ["".join(plain(output) for output in cell.outputs) for _, cell in code_cells(read(path))]
        machine = re.search(r"^machine\s+(.+)$", said[-1], flags=re.MULTILINE)
        if machine is None:
            found.append(f"{path.name}: its last cell names no machine; it did not run to its end")
        elif machine[1].endswith("no GPU"):
            found.append(f"{path.name}: ran on {machine[1]}")
        elif fits := [line for text in said for line in text.splitlines() if re.search(r"\bon cpu\b", line)]:
            found.append(f"{path.name}: {fits[0]}")
    return found


def main(arguments: list[str]) -> int:
    """Ask the executed notebooks in a folder; or fit a small model as chapters do, and look where it ran."""
    if arguments:
        found = elsewhere(Path(arguments[0]))
        print("\n".join(found) or "every notebook used the GPU", file=sys.stderr if found else sys.stdout)
        return 1 if found else 0
    if not torch.cuda.is_available():
        print(f"torch {torch.__version__} sees no GPU: a CPU build of torch, no driver, or no device", file=sys.stderr)
        return 1
    from companion import datasets
    from companion.inference import fit
    from companion.models import torch_classifier
    from companion.networks import dense
    from companion.priors import Gaussian
    from companion.versions import machine

    before = torch.cuda.max_memory_allocated()
    model = torch_classifier(datasets.moons().train, dense(2, 5, 1), Gaussian(1.0))
    record = fit(model, 200, restarts=2, progressbar=False).record
    used = torch.cuda.max_memory_allocated() - before
    if not record.device.startswith("cuda") or used <= 0:
        print(f'a fit with machine="auto" ran on {record.device} and took {used} bytes of the GPU', file=sys.stderr)
        return 1
    print(f"fitted on {record.device}: {machine()}; {used / 1e6:.1f} MB of its memory used")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
