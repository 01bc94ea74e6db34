"""The report on a GPU in its order: what fits cost, then notebooks while time is left."""

import json
import time

import pytest
import torch

from companion import bench as measured
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


def test_every_part_has_its_time_and_so_have_some_notebooks(monkeypatch, tmp_path) -> None:
    begun, clock = time.perf_counter(), [0.0]
    monkeypatch.setattr(measured.time, "perf_counter", lambda: begun + clock[0])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")

    def takes(needs):
        def part(on):
            clock[0] += needs
            return []

        return part

    monkeypatch.setattr(measured, "PARTS", {name: (takes(needs), needs) for name, (_, needs) in measured.PARTS.items()})
    share = gpu_report.BENCH_SHARE * gpu_report.SECONDS
    assert measured.bench(gpu=True, seconds=share, to=tmp_path / "gpu.json") == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert not found["notes"], "nothing is left out"
    assert sum(seconds for _, seconds in gpu_report.shortest_first()[:3]) < gpu_report.SECONDS - clock[0]


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
