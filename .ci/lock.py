"""Write constraints.txt: exact versions of everything, for every Python and platform that the book supports.

Comes in: pyproject.toml, and the releases that the package index offers today (through uv).
Goes out: constraints.txt, for `pip install -c constraints.txt ...`. Called by `make lock`.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# The release that the book's stored results were made with; uv would take the newest otherwise.
# Raise it here, together with a new `make execute`.
HELD = "torch==2.13.0\n"

# Only the CUDA builds of torch bring these. Left out, so that one lock fits CPU and CUDA builds alike
# (torch==2.13.0 also accepts 2.13.0+cpu and 2.13.0+cu130), and torch itself pins what it brings.
CUDA_ONLY = re.compile(r"^(nvidia-|cuda-|triton\b)")

HEADER = """\
# The book's lock: exact versions, as a pip constraints file (pip install -c constraints.txt ...).
# Made by `make lock` from pyproject.toml; do not edit by hand.
# One file for all: by marker, Python 3.11 gets PyMC 5 and ArviZ 0.23, newer Pythons get PyMC 6 and ArviZ 1.
# What only CUDA builds of torch need is left out, so that CPU and CUDA builds both satisfy it.
"""

command = ["uv", "pip", "compile", "pyproject.toml", "--universal"]
command += [word for extra in ("book", "test", "bench", "dist") for word in ("--extra", extra)]
command += ["--python-version", "3.11", "--constraints", "-", "--no-header", "--no-annotate", "--quiet"]
uv = subprocess.run(
    [sys.executable, "-m", *command], cwd=ROOT, input=HELD, text=True, stdout=subprocess.PIPE, check=True
)
pins = [line for line in uv.stdout.splitlines() if line and not CUDA_ONLY.match(line)]
(ROOT / "constraints.txt").write_text(HEADER + "\n".join(pins) + "\n", encoding="utf-8")
print(f"constraints.txt: {len(pins)} pins")
