"""Prove that a GPU is there and used, before an hour is spent on it. Called by `make gpu`.

A driver that is too old or a CPU build of torch leaves `device="auto"` on the CPU, where every notebook would pass,
only slowly: a green run that says nothing. Goes out: the GPU's name, and status 1 when a fit does not run on it.
"""

import sys

import torch


def main() -> int:
    """Fit a small model with the settings that chapters use, and look where it ran."""
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
        print(f'a fit with device="auto" ran on {record.device} and took {used} bytes of the GPU', file=sys.stderr)
        return 1
    print(f"fitted on {record.device}: {machine()}; {used / 1e6:.1f} MB of its memory used")
    return 0


if __name__ == "__main__":
    sys.exit(main())
