"""What a new process loads and says, in the order in which a reader may import: one process for all of these tests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import companion
from companion.moved import MOVED_MODULES

ROOT = Path(companion.__file__).parents[1]
HEAVY = {"matplotlib", "numpy", "pymc", "pyro", "pytensor", "sklearn", "torch"}
IMPORTS = """
import contextlib, importlib, io, json, runpy, sys, warnings

found = {}
import companion
found["the package"] = list(sys.modules)
import companion.priors
found["priors"] = list(sys.modules)
found["swag"] = companion.inference.swag.__module__

from companion.moved import MOVED_MODULES
found["moved"] = {}
for old, new in MOVED_MODULES.items():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        mine = importlib.import_module(old)
    now = importlib.import_module(new)
    same = all(getattr(mine, name) is getattr(now, name) for name in now.__all__)
    found["moved"][old] = [same, [str(w.message) for w in said]]

with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
    sys.argv = ["companion", "doctor"]
    try:
        runpy.run_module("companion", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        found["doctor"] = [ended.code or 0, out.getvalue(), err.getvalue()]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def fresh():
    """What was loaded after which import, what old modules said, and what the doctor printed."""
    run = subprocess.run([sys.executable, "-c", IMPORTS], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_importing_the_package_loads_nothing_heavy(fresh):
    assert not HEAVY & set(fresh["the package"])


def test_pymcs_readers_do_not_load_pyro(fresh):
    assert "companion.priors" in fresh["priors"]
    assert "pyro" not in fresh["priors"]


def test_a_room_that_was_not_imported_is_reached_by_its_name(fresh):
    assert "companion.inference" not in fresh["priors"]
    assert fresh["swag"] == "companion.inference.swag"


def test_modules_that_moved_offer_what_the_new_ones_do(fresh):
    assert list(fresh["moved"]) == list(MOVED_MODULES)
    for old, (same, said) in fresh["moved"].items():
        assert same, old
        assert any(MOVED_MODULES[old] in message for message in said), (old, said)


def test_the_doctor_looks_at_this_machine_and_gives_one_line_each(fresh):
    code, out, err = fresh["doctor"]
    assert "Traceback" not in err
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert {status for status, _ in lines} <= {"ok", "fine", "todo"}
    for subject in ("Python", "PyMC", "PyTensor", "torch", "Pyro", "ArviZ", "BLAS", "GPU", "data mnist", "cache"):
        assert any(text.startswith(subject) for _, text in lines), subject
    assert code == 0 or "todo" in {status for status, _ in lines}


def test_import_companion_takes_less_than_a_second():
    code = "import time; t = time.perf_counter(); import companion; print(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(times) < 1
