"""The workflows call what can be called by hand, lean on nothing that ran before, and are checked for what is wrong."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tools import ROOT
from tools.workflows import check

WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
}
JOBS = {
    f"{name}: {job}": (workflow, content)
    for name, workflow in WORKFLOWS.items()
    for job, content in workflow["jobs"].items()
}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_nothing_to_mend(name):
    assert check.problems(ROOT / ".github" / "workflows" / f"{name}.yml") == []


def test_all_four_are_there():
    assert list(WORKFLOWS) == ["ci", "gpu", "publish", "weekly"]


BREAKAGES = {
    "a hash without its version": (" # v6.0.2", "", "say the version"),
    "a job without an end": ("    timeout-minutes: 5\n", "", "no timeout-minutes"),
    "a command of its own": ("make lint", "pip install ruff && ruff check .", "make it a target"),
    "a target that is not there": ("make lint", "make linnt", "`make linnt`, which the Makefile does not have"),
    "a shell's slip": ("make lint", "make notebooks NB=$CHAPTER", "SC2086"),
    "a key of a file that has moved": ("constraints.txt", "lock.txt", "names lock.txt, which the repository"),
    "a hash of a file that has moved": ("pyproject.toml", "setup.py", "names setup.py, which the repository"),
    "a trigger by a folder that has moved": ("tools/**", "scripts/**", "names scripts, which the repository"),
}
# What is left to zizmor, and by which of its audits it says so.
LEFT_TO_ZIZMOR = {
    "an action by its tag": ("checkout@" + "a" * 40 + " # v6.0.2", "checkout@v6", "unpinned-uses"),
    "rights for everybody": ("permissions: {}", "permissions: write-all", "excessive-permissions"),
    "no word on rights": ("permissions: {}\n", "", "excessive-permissions"),
    "runs that pile up": ("concurrency:\n  group: x\n", "", "concurrency-limits"),
    "a stranger's text in a command": ("make lint", "make lint NB=${{ github.head_ref }}", "template-injection"),
}
SOUND = f"""\
name: Sound
on:
  push:
    paths: [tools/**]
permissions: {{}}
concurrency:
  group: x
jobs:
  lint:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    steps:
      - uses: actions/checkout@{"a" * 40} # v6.0.2
        with:
          cache-dependency-path: constraints.txt
          key: data-${{{{ hashFiles('pyproject.toml') }}}}
      - run: make lint
"""


def broken(tmp_path, old, new):
    assert old in SOUND
    path = tmp_path / ".github" / "workflows" / "broken.yml"
    path.parent.mkdir(parents=True)
    path.write_text(SOUND.replace(old, new), encoding="utf-8")
    return path


def test_a_sound_workflow_passes(tmp_path):
    assert check.main([str(broken(tmp_path, "", ""))]) == 0


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_the_check_names_what_is_broken(breakage, tmp_path, capsys):
    old, new, words = BREAKAGES[breakage]
    assert check.main([str(broken(tmp_path, old, new))]) == 1
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("breakage", LEFT_TO_ZIZMOR)
def test_zizmor_as_make_lint_calls_it_names_the_rest(breakage, tmp_path):
    """Our check says nothing of these: this is the reason that it may."""
    old, new, audit = LEFT_TO_ZIZMOR[breakage]
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8")
    (options,) = re.findall(r"^\t\.venv/bin/zizmor (.+) \.github/workflows$", recipe, flags=re.MULTILINE)

    def findings(*replaced):
        path = broken(tmp_path / ("broken" if any(replaced) else "sound"), *replaced)
        command = [Path(sys.executable).with_name("zizmor"), *options.split(), "--format=plain", path]
        return subprocess.run(command, capture_output=True, text=True).stdout

    assert f"[{audit}]" in findings(old, new)
    assert f"[{audit}]" not in findings("", "")


# --- conditions -----------------------------------------------------------------------------------------


def holds(condition, **contexts):
    """Evaluate a job's condition as GitHub does, for contexts given as nested mappings."""

    def value(match):
        found = contexts
        for name in match[0].split("."):
            found = found.get(name) if isinstance(found, dict) else None
        return repr(found)

    text = re.sub(r"\b(?:github|needs)(?:\.[\w-]+)+", value, condition)
    text = text.replace("always()", "True").replace("&&", " and ").replace("||", " or ")
    return bool(eval(text, {"__builtins__": {}}))


OURS, FORK = "ours/book", "stranger/book"
GPU_RUNS = {
    "a push": ({"event_name": "push"}, True),
    "by hand": ({"event_name": "workflow_dispatch"}, True),
    "a pull request of ours": ({"event_name": "pull_request", "head": OURS}, True),
    "a pull request from a fork": ({"event_name": "pull_request", "head": FORK}, False),
    "a pull request from a fork that is gone": ({"event_name": "pull_request", "head": None}, False),
}


@pytest.mark.parametrize("case", GPU_RUNS)
def test_the_gpu_runner_is_never_lent_to_a_fork(case):
    described, expected = GPU_RUNS[case]
    head = {"pull_request": {"head": {"repo": {"full_name": described.get("head")}}}}
    (job,) = WORKFLOWS["gpu"]["jobs"].values()
    github = {"repository": OURS, "event_name": described["event_name"], "event": head}
    assert holds(job["if"], github=github) is expected
    assert "pull_request_target" not in WORKFLOWS["gpu"][True]  # YAML 1.1 reads the word "on" as a truth value
    assert "vars.GPU_RUNNER ||" in job["runs-on"]


def test_whether_the_gpu_is_used_is_asked_before_an_hour_is_spent():
    (job,) = WORKFLOWS["gpu"]["jobs"].values()
    assert commands(job)[0] == "make gpu"


@pytest.mark.parametrize("newest", ["success", "failure", "cancelled"])
@pytest.mark.parametrize("fuzz", ["success", "failure", "cancelled"])
@pytest.mark.parametrize("links", ["success", "failure", "cancelled"])
def test_the_weekly_run_reports_whatever_did_not_succeed(newest, fuzz, links):
    report = WORKFLOWS["weekly"]["jobs"]["report"]
    ended = {"newest": newest, "fuzz": fuzz, "links": links}
    assert set(report["needs"]) == set(ended) == set(WORKFLOWS["weekly"]["jobs"]) - {"report"}
    needs = {name: {"result": result} for name, result in ended.items()}
    assert holds(report["if"], needs=needs) is (set(ended.values()) != {"success"})


def test_what_is_marked_as_long_runs_once_a_week():
    assert "make fuzz" in commands(WORKFLOWS["weekly"]["jobs"]["fuzz"])


# --- nothing that only works because something ran before -----------------------------------------------


def commands(job):
    return [line.split(" #")[0].strip() for step in job["steps"] for line in step.get("run", "").splitlines()]


def actions(job):
    return {step["uses"].partition("@")[0]: step.get("with", {}) for step in job["steps"] if "uses" in step}


CALLING = [name for name, (_, job) in JOBS.items() if commands(job)]


@pytest.mark.parametrize("name", CALLING)
def test_a_job_that_calls_make_has_the_sources_and_a_python_of_its_choice(name):
    uses = [step.get("uses", "").partition("@")[0] for step in JOBS[name][1]["steps"]]
    begins = next(place for place, step in enumerate(JOBS[name][1]["steps"]) if "run" in step)
    assert {"actions/checkout", "actions/setup-python"} <= set(uses[:begins])


@pytest.mark.parametrize("name", CALLING)
def test_a_job_that_runs_tests_or_notebooks_has_fetched_the_data(name):
    called = [word for line in commands(JOBS[name][1]) for word in line.split() if "=" not in word]
    for target in {"test", "unit", "notebooks", "measure"} & set(called):
        assert "data" in called[: called.index(target)], f"{target} finds no images on a fresh machine"


@pytest.mark.parametrize("name", [name for name in CALLING if "make data" in " ".join(commands(JOBS[name][1]))])
def test_the_data_lie_where_the_tests_look_and_where_the_cache_is(name):
    workflow, job = JOBS[name]
    folder = (workflow.get("env", {}) | job.get("env", {})).get("COMPANION_CACHE_DIR")
    assert folder == "${{ github.workspace }}/data"
    for action, options in actions(job).items():
        if action == "actions/cache":
            assert options["path"] == "data"


@pytest.mark.parametrize("name", JOBS)
def test_a_file_that_is_handed_on_is_handed_on_by_a_job_that_is_waited_for(name):
    workflow, job = JOBS[name]
    wanted = actions(job).get("actions/download-artifact", {})
    for artifact in {wanted.get("name"), wanted.get("pattern")} - {None}:
        waited = [job["needs"]] if isinstance(job["needs"], str) else list(job["needs"])
        for needed in waited:
            before = workflow["jobs"][needed].get("needs", [])
            waited += [before] if isinstance(before, str) else before
        sent = [actions(workflow["jobs"][n]).get("actions/upload-artifact", {}).get("name") for n in waited]
        assert artifact in sent
