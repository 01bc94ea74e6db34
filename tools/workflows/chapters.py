"""Print the chapters that are notebooks as a line that a job of GitHub Actions can hand on: `make chapters`.

The line is ``chapters=["book/pymc/moons.ipynb", ...]``, in the order of the table of contents.
"""

import json
import sys
from pathlib import Path

from tools import ROOT
from tools.contents import chapters, notebook_of


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Print the line; return 1 where there is no chapter, since a run that tests nothing would be green."""
    names = [notebook_of(page, root).relative_to(root).as_posix() for page in chapters(root)]
    if not names:
        print("no page of _toc.yml is a notebook: nothing would be tested", file=sys.stderr)
        return 1
    print(f"chapters={json.dumps(names)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
