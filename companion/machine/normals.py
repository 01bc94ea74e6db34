"""Normal random numbers, many at a time.

torch fills a tensor on one thread, which takes longer than the rest of a sampler's step beside its gradient. Long ones
are filled in parts here, by as many threads as torch computes with. Explained in `book/reference/how_a_fit_works`,
section "Seeds".
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

from companion.machine.seeds import generator_for

__all__ = ["fill_normal"]

_PART = 2**18  # numbers


def fill_normal(out: torch.Tensor, scale: float, seed: int, purpose: str, *numbers: int) -> torch.Tensor:
    """Fill a tensor with normal numbers of mean 0, which follow from the seed, the purpose and numbers such as a step.

    Parameters
    ----------
    out
        Contiguous tensor.
    scale
        Standard deviation.
    seed, purpose, numbers
        Arguments of `seed_for`. Every part of a long tensor has a number of its own after these, so that the result
        is the same with any number of threads.

    Returns
    -------
    torch.Tensor
        The tensor that was given.
    """
    parts = out.view(-1).split(_PART) if out.device.type == "cpu" and out.numel() > _PART else (out,)

    def fill(k: int) -> None:
        generator = generator_for(out.device, seed, purpose, *numbers, *((k,) if k else ()))
        parts[k].normal_(std=scale, generator=generator)

    threads = min(torch.get_num_threads(), len(parts))
    if threads == 1:
        for k in range(len(parts)):
            fill(k)
    else:
        list(_pool(threads).map(fill, range(len(parts))))
    return out


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="normals")
