"""Build the wheel and the sdist into ``dist/`` and look at them as the package index will: `make dist`.

An argument is the tag that is being released: it must be v and the version, or nothing is built.
"""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from tools import ROOT

DIST = ROOT / "dist"


def version() -> str:
    """Return the version that companion/__init__.py states."""
    text = (ROOT / "companion" / "__init__.py").read_text(encoding="utf-8")
    return str(re.findall(r'^__version__ = "(.+)"$', text, flags=re.MULTILINE)[0])


def missing() -> list[str]:
    """List what the built files lack or bring by mistake: every file of the package, the tests, the tools."""
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as files:
        in_wheel = set(files.namelist())
    with tarfile.open(sdist) as bundle:
        in_sdist = {name.partition("/")[2] for name in bundle.getnames()}
    tracked = subprocess.run(["git", "ls-files", "companion"], cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = tracked.stdout.split()
    lines = [f"the wheel lacks {name}" for name in wanted if name not in in_wheel]
    wanted += [
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CITATION.cff",
        ".ci/run",
        "tests/conftest.py",
        "tools/contents.py",
    ]
    lines += [f"the sdist lacks {name}" for name in wanted if name not in in_sdist]
    lines += [f"the wheel brings {name}" for name in sorted(in_wheel) if not name.startswith(("companion/", "bnn_"))]
    return lines


def main(arguments: list[str]) -> int:
    """Build both, check both, and return 1 where one could not be published."""
    tag = arguments[0] if arguments else ""
    if tag and tag != f"v{version()}":
        print(f"the tag is {tag}, the version {version()}: expected the tag v{version()}", file=sys.stderr)
        return 1
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if tag and not re.search(rf"^## {re.escape(version())} \(\d{{4}}-\d\d-\d\d\)$", changes, flags=re.MULTILINE):
        print(f"CHANGELOG.md has no '## {version()} (YYYY-MM-DD)': a release says when it was made", file=sys.stderr)
        return 1
    shutil.rmtree(DIST, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT)], check=True)
    files = [str(path) for path in sorted(DIST.iterdir())]
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True)
    found = missing()
    print("\n".join(found) or f"dist/ holds {', '.join(Path(name).name for name in files)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
