"""Memory that is kept between steps: fewer pages to fill, and all of it given back afterwards."""

import platform
import subprocess
import sys

import pytest

from companion.machine import malloc, memory_kept

STEPS = """
import resource, sys
from contextlib import nullcontext
import torch
from companion.machine.malloc import memory_kept

torch.set_num_threads(1)

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

def faults(n):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n):
        a = torch.ones(16 * 2**20)  # 64 MiB, which glibc would ask the kernel for each time
        b = a * 2
        del a, b
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = resident()
with memory_kept() if sys.argv[1] == "kept" else nullcontext():
    faults(3)
    print(faults(4))
print(resident() - before < 64 * 2**20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's malloc")
def test_large_blocks_cost_their_pages_once():
    found = {}
    for way in ("kept", "given back"):
        run = subprocess.run([sys.executable, "-c", STEPS, way], capture_output=True, text=True, check=True)
        faults, returned = run.stdout.split()
        found[way] = int(faults)
        assert returned == "True"
    assert found["kept"] < 0.3 * found["given back"]


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(malloc.ctypes, "CDLL", lambda name: pytest.fail("there is no mallopt to call"))
    with memory_kept():
        pass
