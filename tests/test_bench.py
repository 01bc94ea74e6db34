"""The command `companion bench`: every part in its tiny form, and what is said where one can't be had."""

import json

import pytest
import torch

from companion import bench
from companion.cli import main
from companion.errors import ModelError
from tools.pages.measured import gpu_part


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict:
    place = tmp_path_factory.mktemp("bench") / "found" / "gpu.json"
    assert main(["bench", "--gpu", "--tiny", "--to", str(place)]) == 0
    return json.loads(place.read_text())


def test_every_part_is_measured(report: dict) -> None:
    assert list(report["parts"]) == [p for p in bench.PARTS if p not in report["notes"]]
    if not torch.cuda.is_available():
        assert not report["notes"]
        assert report["about"]["device"] == "cpu"
    assert report["about"]["tiny"] is True
    for row in report["parts"]["step"]:
        assert row["ms per step"] > 0
    for many in ("restarts", "chains"):
        assert [row[many] for row in report["parts"][many]] == [1, 4]
        assert all(row["ms per step"] > 0 for row in report["parts"][many])
    for part in ("dense fit", "convolutional fit"):
        [row] = report["parts"][part]
        assert 0 <= row["accuracy"] <= 1
        assert row["prediction, s"] > 0
    [two] = report["parts"]["two processes"]
    assert two["processes"] == 2
    assert two["-ELBO"] > 0


def test_the_page_of_run_times_shows_every_part(report: dict, tmp_path) -> None:
    (tmp_path / "gpu.json").write_text(json.dumps(report))
    page = "\n".join(gpu_part(tmp_path / "gpu.json"))
    for part, rows in report["parts"].items():
        assert f"**{part.capitalize()}.**" in page
        assert " | ".join(dict.fromkeys(key for row in rows for key in row)) in page
    assert "steps of all chains per second" in page


def test_a_part_that_fails_does_not_take_the_others_along(monkeypatch, capsys, tmp_path) -> None:
    def fails(on: bench.Bench) -> list:
        raise RuntimeError("out of luck\nsecond line")

    def refuses(on: bench.Bench) -> list:
        raise ModelError("there is one GPU; two processes over NCCL need two.")

    def works(on: bench.Bench) -> list:
        return [{"ms per step": 1.0}]

    monkeypatch.setattr(bench, "PARTS", {"a": (fails, 1.0), "b": (works, 1.0), "c": (refuses, 1.0)})
    assert bench.bench(tiny=True, to=tmp_path / "found.json") == 1
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["notes"]["a"] == "RuntimeError: out of luck"
    assert found["parts"] == {"b": [{"ms per step": 1.0}]}
    assert "a: RuntimeError: out of luck" in capsys.readouterr().out
    monkeypatch.setattr(bench, "PARTS", {"b": (works, 1.0), "c": (refuses, 1.0)})
    assert bench.bench(tiny=True) == 0  # one GPU is not a fault


def test_what_would_take_too_long_is_left_out_and_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(bench, "PARTS", {"long": (lambda on: [], 1000.0)})
    assert bench.bench(seconds=10, to=tmp_path / "found.json") == 0
    assert "left out" in json.loads((tmp_path / "found.json").read_text())["notes"]["long"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_tiny_form_says_so(monkeypatch, capsys) -> None:
    monkeypatch.setattr(bench, "PARTS", {})
    assert main(["bench", "--gpu"]) == 0
    assert "sees no GPU" in capsys.readouterr().out
