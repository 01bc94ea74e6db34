"""What the jobs of continuous integration ask: which pages changed, whether a GPU was used, what the week brought."""

import json
import stat

import nbformat
import pytest

from tools import contents
from tools.workflows import changed, chapters, gpu, report


def test_a_contents_page_without_notebooks_is_an_error(tmp_path, capsys):
    (tmp_path / "_toc.yml").write_text("root: intro\n", encoding="utf-8")
    assert chapters.main([], root=tmp_path) == 1, "an empty list would be a run that tests nothing, and green"
    assert "nothing would be tested" in capsys.readouterr().err


def test_pages_and_chapters_come_in_the_order_of_the_contents(tmp_path):
    (tmp_path / "_toc.yml").write_text(
        "root: intro\nparts:\n- chapters: [{file: b/two}, {file: a/text}]\n- chapters: [{file: a/one}]\n",
        encoding="utf-8",
    )
    for page in ("a/one", "b/two"):
        contents.notebook_of(page, tmp_path).parent.mkdir(parents=True)
        contents.notebook_of(page, tmp_path).touch()
    assert contents.first(tmp_path) == "intro"
    assert contents.pages(tmp_path) == ["b/two", "a/text", "a/one"]
    assert contents.chapters(tmp_path) == ["b/two", "a/one"]
    assert contents.page_of(contents.notebook_of("a/one", tmp_path), tmp_path) == "a/one"


def test_changed_pages_are_listed_once_with_their_kind():
    files = {"book/pymc/moons.ipynb": "M", "book/pymc/moons.myst.md": "M", "book/intro.md": "A", "README.md": "M"}
    assert changed.changed(files) == ["- new: `intro.html`", "- changed: `pymc/moons.html`"]
    assert changed.changed({"README.md": "M"}) == ["- none"]
    assert "every page" in changed.changed({"_config.yml": "M"})[0]


def test_a_page_whose_stored_results_changed_may_be_outdated():
    result = {"companion/shelf/files/mnist_posterior.npz": "M"}
    (told,) = [line for line in changed.changed(result) if "mnist/posterior.html" in line]
    assert "perhaps outdated" in told
    assert "`mnist_posterior`" in told
    assert "NB=book/mnist/posterior.ipynb" in told
    both = changed.changed(result | {"book/mnist/posterior.ipynb": "M"})
    assert "- changed: `mnist/posterior.html`" in both
    by_part = changed.outdated("mnist/league", {"companion/shelf/files/mnist_convolutional.npz": "M"})
    assert by_part == ["mnist_convolutional"]  # named there by an f-string
    assert changed.outdated("mnist/league", {"companion/shelf/files/band.npz": "M"}) == []


def test_changed_refuses_a_commit_that_is_not_there(capsys):
    assert changed.main(["no-such-commit"]) == 1
    assert "no-such-commit" in capsys.readouterr().err


# --- the GPU --------------------------------------------------------------------------------------------


def test_the_gpu_check_fails_without_one(capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert gpu.main([]) == 1
    assert "sees no GPU" in capsys.readouterr().err


ON_GPU = "2,500 steps in 3 s on cuda\n", "python 3.13\nmachine  Some Processor, Linux, NVIDIA H200\n"


@pytest.mark.parametrize(
    ("printed", "problem"),
    [
        (ON_GPU, None),
        ((ON_GPU[0], "machine  Some Processor, Linux, no GPU\n"), "ran on Some Processor"),
        (("2,500 steps in 103 s on cpu, compiled: True\n", ON_GPU[1]), "on cpu"),
        (ON_GPU[:1], "did not run to its end"),
    ],
)
def test_an_executed_notebook_tells_whether_it_used_the_gpu(printed, problem, tmp_path, capsys):
    cells = [
        nbformat.v4.new_code_cell("run()", outputs=[nbformat.v4.new_output("stream", text=text)]) for text in printed
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "chapter.ipynb")
    assert gpu.main([str(tmp_path)]) == (problem is not None)
    said = capsys.readouterr()
    assert (problem or "every notebook used the GPU") in said.out + said.err


def test_a_folder_without_executed_notebooks_proves_nothing(tmp_path, capsys):
    assert gpu.main([str(tmp_path)]) == 1
    assert "holds no executed notebooks" in capsys.readouterr().err


# --- the weekly report ----------------------------------------------------------------------------------


@pytest.fixture
def github(tmp_path, monkeypatch):
    """A `gh` that notes what it is asked; gives what it was asked, and a way to say which issues are open."""
    program = tmp_path / "gh"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n'
        f'if [ "$2" = list ]; then cat {tmp_path}/open; else cat > {tmp_path}/body; fi\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("RUN", "https://example.org/runs/7")
    monkeypatch.setenv("NEWEST", "failure")
    monkeypatch.setenv("FUZZ", "cancelled")
    monkeypatch.setenv("LINKS", "success")
    monkeypatch.setattr(report, "LINKS", tmp_path / "output.txt")

    def send(*numbers):
        (tmp_path / "open").write_text(json.dumps([{"number": number} for number in numbers]))
        assert report.main([]) == 0
        return (tmp_path / "asked").read_text().splitlines()[-1], (tmp_path / "body").read_text()

    return send


def test_a_first_report_opens_an_issue_that_says_how_the_run_ended(github):
    asked, body = github()
    assert asked.startswith("issue create --title The weekly run found something")
    assert "**failure**" in body
    assert "(`make fuzz`): **cancelled**" in body
    assert "Links: **success**" in body
    assert "https://example.org/runs/7" in body
    assert "lead nowhere" not in body


def test_a_second_report_joins_the_issue_that_is_open(github):
    asked, _ = github(12, 3)
    assert asked.startswith("issue comment 12 ")


def test_the_links_that_lead_nowhere_are_listed(github, tmp_path):
    lines = "intro.md:1: [ok] https://example.org\npymc/moons.md:7: [broken] https://example.org/gone: 404\n"
    (tmp_path / "output.txt").write_text(lines, encoding="utf-8")
    _, body = github()
    assert "https://example.org/gone: 404" in body
    assert "[ok]" not in body


def test_a_report_without_a_run_is_refused(github, monkeypatch, capsys):
    monkeypatch.delenv("RUN")
    assert report.main([]) == 2
    assert "RUN not set" in capsys.readouterr().err
