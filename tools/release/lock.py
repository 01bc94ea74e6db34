"""Write ``constraints.txt`` anew: exact versions for every Python and platform that the book supports, `make lock`.

They come from ``pyproject.toml``, its dependency groups among it, and from the releases that the package index offers
today, through uv. Install by ``pip install -c constraints.txt ...``.
"""

import re
import subprocess
import sys
import tomllib

from tools import ROOT

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


def groups() -> list[str]:
    """List the dependency groups of ``pyproject.toml``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return list(project["dependency-groups"])


def command() -> list[str]:
    """Return the command that resolves the package and all groups together; the versions held come by its input."""
    words = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--universal"]
    words += [word for group in groups() for word in ("--group", group)]
    return [*words, "--python-version", "3.11", "--constraints", "-", "--no-header", "--no-annotate", "--quiet"]


def main(arguments: list[str]) -> int:
    """Write the lock and say how many versions it holds."""
    uv = subprocess.run(command(), cwd=ROOT, input=HELD, text=True, stdout=subprocess.PIPE, check=True)
    pins = [line for line in uv.stdout.splitlines() if line and not CUDA_ONLY.match(line)]
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(pins) + "\n", encoding="utf-8")
    print(f"constraints.txt: {len(pins)} pins")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
