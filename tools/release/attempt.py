"""Install what lies in ``dist/``, each file in a clean environment of its own, and use it: `make try`.

Run by the Python that the environments are to have; it needs nothing installed. Everything runs in an empty folder, so
that nothing is imported from the checkout by accident, and no environment has what only the book or the tests need.
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tools import ROOT

LOOK = """
import importlib.util, sys, time
begun = time.perf_counter()
import companion
took = time.perf_counter() - begun
from importlib.resources import files
heavy = [name for name in ("torch", "pymc", "pyro", "pytensor", "sklearn") if name in sys.modules]
tools = [name for name in ("jupyter_book", "pytest", "nbval", "ruff") if importlib.util.find_spec(name)]
assert not heavy, f"import companion loads {heavy}"
assert not tools, f"the environment isn't clean: it has {tools}"
assert took < 1, f"import companion takes {took:.2f} s"
assert (files("companion") / "py.typed").is_file(), "py.typed is missing: the types would not be seen"
assert "site-packages" in companion.__file__, f"imported from {companion.__file__}"
print(f"import companion: {1000 * took:.0f} ms, version {companion.__version__}")
"""

USE = """
import numpy as np
from companion import datasets, shelf, uncertainty
from companion.inference import fit
from companion.models import torch_classifier
from companion.networks import dense
from companion.prediction import predict
from companion.priors import Gaussian
import companion, companion.bridge, companion.plots
moons = datasets.moons()
posterior = fit(torch_classifier(moons.train, dense(2, 5, 1), Gaussian(1.0)), 1000, restarts=4, progressbar=False)
accuracy = uncertainty.accuracy(predict(posterior, moons.test.x, draws=50), moons.test.y)
assert accuracy > 0.8, accuracy
assert shelf.load_result("breast_cancer").arrays
digits = predict(companion.load_posterior("mnist-dense", device="cpu"), np.zeros((1, 28, 28), "float32"), draws=2)
assert digits.shape == (2, 1, 10), digits.shape
print(f"a fit on the moons: {accuracy:.1%} held out, on {posterior.record.device}")
"""


def attempt(file: Path) -> None:
    """Install one file and use it; the first thing that fails ends everything."""
    print(f"--- {file.name}, Python {sys.version.split()[0]}", flush=True)
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        venv.create(place / "env", with_pip=True)
        scripts = place / "env" / ("Scripts" if os.name == "nt" else "bin")
        (place / "empty").mkdir()

        def run(*words: str) -> None:
            subprocess.run([str(scripts / words[0]), *words[1:]], cwd=place / "empty", env=clean, check=True)

        pip = ("python", "-m", "pip", "--disable-pip-version-check")
        run(*pip, "install", "-q", "-c", str(ROOT / "constraints.txt"), str(file))
        run(*pip, "check")
        run("python", "-c", "import companion")  # once, so that what is timed below is compiled
        run("python", "-c", LOOK)
        run("companion", "--version")
        run("companion", "data", "list")
        run("python", "-c", USE)


def main(arguments: list[str]) -> int:
    """Try the wheel and the sdist in ``dist/``, and return 1 where they are not both there."""
    files = sorted((ROOT / "dist").glob("*.whl")) + sorted((ROOT / "dist").glob("*.tar.gz"))
    if len(files) != 2:
        print(f"dist/ holds {[file.name for file in files]}; expected a wheel and an sdist: make dist", file=sys.stderr)
        return 1
    for file in files:
        attempt(file)
    print("both install and work")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
