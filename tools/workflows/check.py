"""Check the workflows beyond what zizmor and GitHub's schema do, as a part of `make lint`.

- Each command is a target of the Makefile, so that whatever a job does can be done by hand.
- shellcheck has nothing to say of the commands. actionlint would ask it, but its package on the index is no more than a
  script that downloads a program from elsewhere while it is installed.
- Every file that a workflow names is there: of a file that is missing, GitHub makes an empty hash and says nothing.
- A pinned action has its version in a comment, for people; zizmor sees to the pin itself.
- Every job ends by itself.

zizmor sees to rights, pins, concurrency and injected text.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tools import ROOT

PINNED = re.compile(r"\buses:\s+\S+@[0-9a-f]{40}\b")
VERSION = re.compile(r"#\s+v\d+\.\d+(?:\.\d+)?$")
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
SETTING = re.compile(r"^[A-Z]+=")
HASHED = re.compile(r"\bhashFiles\((.*?)\)")
# Expressions are put in before a shell sees the line; zizmor refuses the dangerous ones.
EXPRESSION = re.compile(r"\$\{\{.*?\}\}")


def targets() -> set[str]:
    """Return every target that the Makefile has."""
    return set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))


def problems(path: Path) -> list[str]:
    """Return what is wrong with one workflow, a line for each problem; empty when all is well."""
    text = path.read_text(encoding="utf-8")
    try:
        workflow = yaml.safe_load(text)
        found = [*_versions(text), *_files(workflow)]
        for job, content in workflow["jobs"].items():
            found += [f"{job}: {problem}" for problem in _job(content)]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        return [f"{path.name}: cannot be read as a workflow ({error!r})"]
    return [f"{path.name}: {line}" for line in found]


def _versions(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        if PINNED.search(line) and not VERSION.search(line):
            yield f"line {number}: say the version behind the hash: # v1.2.3"


def _files(content: Any) -> Iterator[str]:
    """Find the files and folders that a part of a workflow names to make keys of or to look for changes in."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key == "cache-dependency-path":
                yield from _missing(value.split())
            elif key == "paths":
                yield from _missing([name.removesuffix("/**") for name in value])
            else:
                yield from _files(value)
    elif isinstance(content, list):
        for value in content:
            yield from _files(value)
    elif isinstance(content, str):
        for names in HASHED.findall(content):
            yield from _missing(re.findall(r"'([^']+)'", names))


def _missing(names: list[str]) -> Iterator[str]:
    yield from (f"names {name}, which the repository does not have" for name in names if not (ROOT / name).exists())


def _job(job: dict[str, Any]) -> Iterator[str]:
    if not isinstance(job.get("timeout-minutes"), int):
        yield "has no timeout-minutes: a hanging job would run for six hours"
    known = targets()
    for step in (step for step in job["steps"] if "run" in step):
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
    paths = [Path(name) for name in arguments] or sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
    found = [line for path in paths for line in problems(path)]
    print("\n".join(found) or f"{len(paths)} workflows: nothing to mend")
    return 1 if found or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
