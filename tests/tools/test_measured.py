"""The pages made from measured results say what the results say, and find their figures or fail."""

import json
import re

import numpy as np
import pytest

from companion import shelf
from tools.contents import chapters, pages
from tools.pages import measured, scoreboard
from tools.pages.scoreboard import NotFoundError, Printed, Row, Stored
from tools.pages.tables import machines


def test_the_stored_pages_are_what_the_results_say():
    assert measured.main(["--check"]) == 0, "run: make pages"


# Chapters of those parts that go on where the post stops, and so have no figure of its to stand beside.
FOLLOW_UPS = {
    "pymc/moons_posterior",
    "pymc/breast_cancer_decisions",
    "pymc/breast_cancer_hedging",
    "mnist/pruning",
    "mnist/posterior",
    "mnist/league",
}


def test_every_chapter_with_a_claim_has_a_row_and_every_row_a_chapter():
    known = {row.chapter for row in scoreboard.ROWS}
    for chapter in chapters():
        if chapter.startswith(("pymc/", "mnist/")) and chapter not in FOLLOW_UPS:
            assert chapter in known, f"add the figures of {chapter} to tools/pages/scoreboard.py"
    text = measured.score_page()
    for chapter in known & set(pages()):
        assert re.search(rf"^## {{doc}}`[^/<]+ </{chapter}>`$", text, re.MULTILINE)


def test_rows_of_a_chapter_that_is_still_to_come_wait(monkeypatch):
    to_come = Row("pymc/to_come", "loss", "nats", 1.0, Printed("a figure that only its own notebook prints"))
    monkeypatch.setattr(scoreboard, "ROWS", [*scoreboard.ROWS, to_come])
    monkeypatch.setattr(measured, "pages", lambda: ["pymc/zh"])
    text = measured.score_page()
    assert "/pymc/zh" in text
    assert "/pymc/to_come" not in text
    assert "/pymc/moons" not in text


def test_a_figure_that_a_notebook_no_longer_prints_is_an_error():
    with pytest.raises(NotFoundError, match="prints nothing like"):
        Printed(r"^no such line (\d+)").figures("pymc/moons")


def test_figures_are_read_as_they_are_printed(monkeypatch):
    monkeypatch.setattr(scoreboard, "outputs", lambda page: ["speed 1,000\n", "speed 2,074.5\n"])
    assert Printed(rf"^speed {scoreboard.NUMBER}").figures("any") == [2074.5]
    every = Printed(rf"^speed {scoreboard.NUMBER}", every=True)
    assert every.figures("any").tolist() == [1000, 2074.5]


def test_a_method_that_was_not_run_is_an_error():
    result = shelf.Result({"accuracy": np.array([[0.5, 0.7]])}, {"methods": ["one"]})
    np.testing.assert_allclose(scoreboard.of_method("accuracy", "one", 100)(result), [50, 70])
    with pytest.raises(NotFoundError, match="no method 'other'; there are one"):
        scoreboard.of_method("accuracy", "other")(result)


@pytest.mark.parametrize(
    ("unit", "original", "ours", "words"),
    [
        ("s", 14760, 20, "738.0 times as fast"),
        ("ms", 50, 100, "0.5 times as fast"),
        ("steps/s", 1000, 2500, "2.5 times as fast"),
        ("%", 94.2, 96.0, "1.8 points better"),
        ("%", 91.2, 89.3, "1.9 points worse"),
        ("nats", 131.9, 113.2, "18.7 nats better"),
        ("nats", 100.0, 113.2, "13.2 nats worse"),
    ],
)
def test_worse_is_called_worse(unit, original, ours, words):
    row = Row("x", "what", unit, original, Stored("none", lambda result: np.zeros(1)))
    assert measured.ratio(row, ours) == words


def test_two_accuracies_are_compared_with_their_standard_error():
    row = Row("x", "what", "%", 94.2, Stored("none", lambda result: np.zeros(1)), points=500)
    assert measured.ratio(row, 96.0) == "+1.8 points (standard error 1.4)"


def test_a_claim_without_a_figure_is_compared_with_nothing():
    assert measured.ratio(Row("x", "what", "%", None, Stored("none", lambda result: np.zeros(1))), 99.0) == ""


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [(15.3, "s", "15.3 s"), (700, "s", "12 min"), (14760, "s", "4 h 6 min"), (2074, "steps/s", "2,074 steps/s"),
     (89.81, "%", "89.8 %"), (106.8, "ms", "107 ms")],
)  # fmt: skip
def test_figures_are_written_as_one_reads_them(value, unit, words):
    assert measured.figure(value, unit) == words


def test_a_machine_is_named_once_and_one_core_is_a_core():
    named = machines("Some Processor, 2 cores, Linux; Other, 1 cores, Linux", "Other, 1 cores, Linux")
    assert named == "Some Processor, 2 cores, Linux; Other, 1 core, Linux"


def test_times_and_memory_come_from_the_result_file_and_what_is_missing_is_said(tmp_path, monkeypatch):
    versions = {"machine": "Some Processor, 2 cores", "python": "3.13.1", "pymc": "6.4.0"}
    entry = {"seconds": 90.0, "peak_mb": 2100, "date": "2026-11-21", "versions": versions, "cores": 2}
    file = tmp_path / "chapters.json"
    file.write_text(json.dumps({"pymc/zh": entry}), encoding="utf-8")
    monkeypatch.setattr(measured, "MEASURED", {"One or two processor cores": file})
    text = measured.run_page()
    assert "| {doc}`/pymc/zh` | 90 s | 2,100 MB | no | 2026-11-21 |" in text
    assert "Some Processor, 2 cores, Python 3.13.1, PyMC 6.4.0" in text
    assert "Not measured yet: {doc}`/pymc/moons`" in text


def test_what_starts_from_a_fitted_posterior_is_told_apart_and_need_not_be_every_chapter(tmp_path, monkeypatch):
    versions = {"machine": "Some Processor, 2 cores", "python": "3.13.1", "pymc": "6.4.0"}
    file = tmp_path / "chapters_binder.json"
    entry = {"seconds": 90.0, "peak_mb": 1800, "date": "2026-11-26", "versions": versions, "cores": 2}
    file.write_text(json.dumps({"mnist/dense": entry}), encoding="utf-8")
    monkeypatch.setattr(measured, "MEASURED", {"From a fitted posterior": file})
    text = measured.run_page()
    assert "start from the posterior" in text
    assert "| {doc}`/mnist/dense` | 90 s | 1,800 MB | yes | 2026-11-26 |" in text
    assert "Not measured yet" not in text


def test_every_chapter_fits_into_binder_from_a_fitted_posterior_at_the_latest():
    found = {}
    for file in ("chapters.json", "chapters_binder.json"):  # the second is what Binder does
        found |= json.loads((measured.FOLDER / file).read_text(encoding="utf-8"))
    assert set(chapters()) <= set(found), "run: make execute, or make measure"
    assert {page: entry["peak_mb"] for page, entry in found.items() if entry["peak_mb"] > measured.BINDER} == {}


def test_every_chapter_has_a_line_on_its_last_execution():
    text = measured.run_page()
    for chapter in chapters():
        said = scoreboard.about(chapter)
        (line,) = [
            line for line in text.splitlines() if f"`/{chapter}` |" in line and machines(said["machine"]) in line
        ]
        assert said["pymc"] in line


def test_a_page_that_was_edited_by_hand_is_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measured, "REFERENCE", tmp_path)
    measured.main([])
    page = tmp_path / "scoreboard.md"
    page.write_text(page.read_text(encoding="utf-8").replace("131.9", "13.19"), encoding="utf-8")
    assert measured.main(["--check"]) == 1
    assert "scoreboard.md" in capsys.readouterr().err


def test_seeds_that_were_not_run_are_left_out():
    result = shelf.Result({"accuracy": np.array([[0.9, np.nan, 0.8]])}, {"methods": ["a"]})
    np.testing.assert_allclose(scoreboard.of_method("accuracy", "a", 100)(result), [90, 80])


def test_no_page_says_nan():
    assert "nan" not in measured.score_page()


def test_the_page_says_that_no_gpu_was_measured_or_what_was_found(tmp_path):
    assert "No GPU has been measured yet" in "\n".join(measured.gpu_part(tmp_path / "none.json"))
    found = {
        "about": {"machine": "an engine, one GPU", "torch": "2.13.0", "date": "2026-11-28"},
        "parts": {"step": [{"step": "plain", "ms per step": 1.23456}, {"step": "graph", "peak": 3.0}]},
        "notes": {"two processes": "there is one GPU"},
    }
    (tmp_path / "gpu.json").write_text(json.dumps(found))
    text = "\n".join(measured.gpu_part(tmp_path / "gpu.json"))
    assert "an engine, one GPU, torch 2.13.0, 2026-11-28" in text
    assert "| plain | 1.235 |  |" in text
    assert "| graph |  | 3 |" in text
    assert "Two processes: there is one GPU." in text


def test_the_page_says_how_fast_a_drawn_digit_is_answered_and_it_is_fast_enough(tmp_path):
    stored = json.loads((measured.FOLDER / "play.json").read_text(encoding="utf-8"))
    assert stored["milliseconds"] < 50
    assert set(stored["slowed"]) == {"4", "6"}
    assert all(took < 250 for took in stored["slowed"].values())  # as on a phone
    (tmp_path / "play.json").write_text(json.dumps({**stored, "milliseconds": 12.4, "slowed": {"4": 50.2, "6": 73.1}}))
    text = "\n".join(measured.play_part(tmp_path / "play.json"))
    assert "take 12 ms of the processor's time." in text
    assert "they take 50 ms (4 times slower) and 73 ms (6 times slower) by the clock" in text
    assert stored["machine"] in text
