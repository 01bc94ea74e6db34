"""Open an issue on what the weekly run found, or add to the one that is open already: `make report`.

It needs GitHub's ``gh``, a token in ``GH_TOKEN``, and in the environment ``RUN`` (the run's address), ``NEWEST``,
``FUZZ`` and ``LINKS`` (how its three parts ended).
"""

import json
import os
import subprocess
import sys

from tools import ROOT

TITLE = "The weekly run found something"
LINKS = ROOT / "_build" / "output.txt"  # Sphinx's list of links, with the artefact of the job that asked them


def body(run: str, newest: str, fuzz: str, links: str) -> str:
    """Write what an issue says of one run, with the links that lead nowhere."""
    lines = [
        f"Tests and notebooks on the newest and the pre-release libraries: **{newest}**. "
        f"Many more cases (`make fuzz`): **{fuzz}**. Links: **{links}**.",
        "",
        f"The run, with its logs: {run}",
    ]
    listed = LINKS.read_text(encoding="utf-8").splitlines() if LINKS.is_file() else []
    broken = [line for line in listed if "[broken]" in line]
    if broken:
        lines += ["", "Links that lead nowhere:", "", "```", *broken, "```"]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Report the run that the environment describes, and return the exit status of ``gh``."""
    told = ("RUN", "NEWEST", "FUZZ", "LINKS")
    missing = [name for name in told if not os.environ.get(name)]
    if missing:
        print(
            f"{', '.join(missing)} not set: `make report` is for the weekly run, which says how it ended",
            file=sys.stderr,
        )
        return 2
    text = body(*(os.environ[name] for name in told))
    search = ["issue", "list", "--state", "open", "--search", f'in:title "{TITLE}"', "--json", "number"]
    found = subprocess.run(["gh", *search], stdout=subprocess.PIPE, text=True, check=True).stdout
    numbers = [issue["number"] for issue in json.loads(found)]
    action = ["comment", str(numbers[0])] if numbers else ["create", "--title", TITLE]
    return subprocess.run(["gh", "issue", *action, "--body-file", "-"], input=text, text=True, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
