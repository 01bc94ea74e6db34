#!/bin/sh
# Make .venv with a Python that the lock has been made for. Called by the Makefile; $1 may name the Python to use.
set -eu
trap 'exit 130' INT TERM

fits() { "$1" -c "import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] < $2))" 2>/dev/null; }

# An environment that works is kept, whoever made it; what a killed attempt left behind has no pip yet.
if [ -x .venv/bin/python ] && fits .venv/bin/python "(4, 0)" && .venv/bin/python -m pip --version >/dev/null 2>&1; then
  exit 0
fi

python=${1:-}
if [ -n "$python" ]; then
  fits "$python" "(4, 0)" || { echo "PYTHON=$python is not a Python 3.11 or newer." >&2; exit 1; }
else
  # A Python newer than 3.14 comes last: not every library has wheels for it yet.
  for limit in "(3, 15)" "(4, 0)"; do
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
      if [ -z "$python" ] && fits "$candidate" "$limit"; then python=$candidate; fi
    done
  done
fi
if [ -z "$python" ]; then
  echo "No Python 3.11 or newer was found. Install one and try again:" >&2
  echo "  Debian 12+, Ubuntu 24.04+:  apt install python3 python3-venv" >&2
  echo "  macOS:                      brew install python@3.13" >&2
  echo "  anywhere, without sudo:     uv python install 3.13 (uv: https://docs.astral.sh/uv)" >&2
  echo "or say where it is:           make PYTHON=/path/to/python3 ..." >&2
  exit 1
fi

echo "making .venv with $("$python" --version) ($(command -v "$python")) ..."
if ! "$python" -c "import venv, ensurepip" 2>/dev/null; then
  echo "This Python cannot make virtual environments: its venv module is packaged apart." >&2
  echo "  Debian, Ubuntu:  apt install python3-venv" >&2
  exit 1
fi
# --clear, and the trap: what a stopped or failed attempt leaves behind must not be mistaken for an environment.
trap 'rm -rf .venv' EXIT
"$python" -m venv --clear .venv
trap - EXIT
