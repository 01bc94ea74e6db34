"""Check the workflows beyond what zizmor and GitHub's schema do. Called by `make lint` and by the tests.

Comes in: .github/workflows/*.yml, or the files named as arguments. Goes out: a line per problem, and status 1.

- Each command is a target of the Makefile, so that whatever a job does can be done by hand.
- shellcheck has nothing to say of the commands.
- Actions are pinned by a full commit hash, with the version in a comment for people.
- No rights but those that a job states; every job ends by itself; runs of one branch do not pile up.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
PINNED = re.compile(r"^\s*(?:- )?uses:\s+[\w.-]+/[\w./-]+@[0-9a-f]{40}\s+#\s+v\d+\.\d+(?:\.\d+)?$")
TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)
SETTING = re.compile(r"^[A-Z]+=")
# Expressions are put in before a shell sees the line; zizmor refuses the dangerous ones.
EXPRESSION = re.compile(r"\$\{\{.*?\}\}")


def targets() -> set[str]:
    """Every target that the Makefile has."""
    return set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))


def problems(path: Path) -> list[str]:
    """Return what is wrong with one workflow, one line each; empty when all is well."""
    text = path.read_text(encoding="utf-8")
    try:
        workflow = yaml.safe_load(text)
        found = [*_pins(text), *_frame(workflow)]
        for job, content in workflow["jobs"].items():
            found += [f"{job}: {problem}" for problem in _job(content)]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        return [f"{path.name}: cannot be read as a workflow ({error!r})"]
    return [f"{path.name}: {line}" for line in found]


def _pins(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        if re.search(r"\buses:", line.partition("#")[0]) and not PINNED.match(line):
            yield f"line {number}: pin the action by its full commit hash, with its version behind it: # v1.2.3"


def _frame(workflow: dict[str, Any]) -> Iterator[str]:
    if workflow.get("permissions") != {}:
        yield "say `permissions: {}` at the top; each job states the rights that it needs"
    if "group" not in (workflow.get("concurrency") or {}):
        yield "has no concurrency group"


def _job(job: dict[str, Any]) -> Iterator[str]:
    if "permissions" not in job:
        yield "states no permissions"
    if not isinstance(job.get("timeout-minutes"), int):
        yield "has no timeout-minutes: a hanging job would run for six hours"
    known = targets()
    for step in job["steps"]:
        if "run" not in step:
            continue
        for line in step["run"].splitlines():
            yield from _command(line.strip(), known)
        yield from _shell(EXPRESSION.sub("expression", step["run"]))


def _command(line: str, known: set[str]) -> Iterator[str]:
    name, *words = line.partition(" >> ")[0].split()
    if name != "make":
        yield f"runs {line!r}; make it a target of the Makefile and call that"
        return
    wanted = [word for word in words if not word.startswith("-") and not SETTING.match(word)]
    for word in wanted:
        if word not in known:
            yield f"calls `make {word}`, which the Makefile does not have"
    if not wanted:
        yield f"{line!r} names no target"


def _shell(script: str) -> Iterator[str]:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    command = [str(shellcheck) if shellcheck.exists() else "shellcheck", "--shell=bash", "--format=gcc", "-"]
    run = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    yield from (line.replace("-:", "line ", 1) for line in run.stdout.splitlines())


def main(arguments: list[str]) -> int:
    """Check the workflows named, or all of them; print the problems and return the exit status."""
    chosen = [Path(name) for name in arguments] or sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
    found = [line for path in chosen for line in problems(path)]
    print("\n".join(found) or f"{len(chosen)} workflows: nothing to mend")
    return 1 if found or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
