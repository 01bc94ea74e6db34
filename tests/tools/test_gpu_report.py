"""The report on a GPU in its order: what fits cost, then notebooks while time is left."""

import json

import pytest
import torch

from tools.notebooks import measure
from tools.workflows import gpu_report


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """Put everything that takes time aside, and list what was asked for."""
    calls = []

    def bench(*, gpu, seconds, to):
        calls.append(("bench", gpu, to.parent.name))
        return 0

    monkeypatch.setattr(gpu_report, "bench", bench)
    monkeypatch.setattr(measure, "main", lambda words: calls.append(("measure", words)) or 0)
    return calls


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_written_among_the_results(ran) -> None:
    assert gpu_report.main([]) == 0
    assert ran == [("bench", True, "gpu")]


def test_with_one_the_shortest_notebooks_that_fit_are_measured(ran, monkeypatch, capsys) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert gpu_report.main(["--seconds", "100"]) == 0
    assert ran[0] == ("bench", True, "results")
    taken = json.loads(measure.RESULTS.read_text())
    fitting = sorted(entry["seconds"] for entry in taken.values() if entry["seconds"] < 100)
    assert len(ran) - 1 == len(fitting)
    assert "left out" in capsys.readouterr().out
