"""``companion new`` on a table of measurements: from a CSV file to a band."""

import re

import nbformat
import numpy as np
import pytest
from running import run

from companion import uncertainty
from companion.cli import main


@pytest.fixture
def prices(tmp_path, monkeypatch):
    """Prices that follow two numbers and a word, with noise of 5."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [(size, age, ("east", "west")[int(rng.integers(2))]) for size, age in rng.uniform(0, 10, (240, 2))]
    lines = ["price,size,age,side"]
    for size, age, side in rows:
        price = 100 + 10 * size + 20 * np.sin(age) + 15 * (side == "west") + 5 * rng.normal()
        lines.append(f"{price:.2f},{size:.3f},{age:.3f},{side}")
    path = tmp_path / "homes.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_table_of_prices_becomes_a_notebook_whose_band_holds(prices, monkeypatch, capsys):
    assert main(["new", "homes.csv", "--target", "price"]) == 0
    out, err = capsys.readouterr()
    assert re.search(
        r"240 rows of 4 features; price is measured, \d+\.?\d* to \d+\.?\d*, mean .*; likelihood: normal", out
    )
    assert "'price' in homes.csv are taken for measurements" in err
    done = run(prices.with_suffix(".ipynb"), monkeypatch, steps=250)
    said = capsys.readouterr().out
    assert {"linear regression", "plain network", "Bayesian network"} <= set(done["predictions"])
    ours, y = done["ours"], done["data"].test.y
    assert uncertainty.rmse(ours, y) < np.sqrt(np.mean((done["linear_mean"] - y) ** 2)), "the sine bends the line"
    assert 0.75 <= ours.interval(0.9).coverage(y) <= 1
    assert len(re.findall("90 % band holds", said)) == 3
    assert "is noise and the rest ignorance" in said
    assert prices.with_suffix(".safetensors").is_file()


def test_counts_get_their_likelihood_and_classes_can_be_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = [f"{y},{x}" for y, x in zip(rng.poisson(9, 300), rng.normal(size=300).round(3), strict=True)]
    (tmp_path / "calls.csv").write_text("\n".join(["calls,x", "0,0.5", *lines]), encoding="utf-8")
    assert main(["new", "calls.csv", "--target", "calls", "--task", "measurements"]) == 0
    assert "likelihood: counts" in capsys.readouterr().out
    assert 'likelihood="counts"' in (tmp_path / "calls.ipynb").read_text(encoding="utf-8").replace('\\"', '"')
    assert main(["new", "calls.csv", "--target", "x", "--task", "classes", "--to", "x.ipynb"]) == 1
    assert "looks like a measurement" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("smallest", "chosen"), [(0.5, "log-normal"), (2.0, "normal"), (0.0, "normal"), (-0.5, "normal")]
)
def test_measurements_over_orders_of_magnitude_get_a_likelihood_whose_noise_multiplies(
    smallest, chosen, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 120)
    y = np.exp(3 * x + 0.1 * rng.normal(size=120)) + 5
    y[0], y[1] = smallest, 100
    lines = [f"{a:.4f},{b:.4f}" for a, b in zip(y, x, strict=True)]
    (tmp_path / "loads.csv").write_text("\n".join(["load,x", *lines]), encoding="utf-8")
    assert main(["new", "loads.csv", "--target", "load"]) == 0
    assert f"likelihood: {chosen}\n" in capsys.readouterr().out
    cells = nbformat.read(tmp_path / "loads.ipynb", as_version=4).cells
    assert f'likelihood="{chosen}"' in "".join(cell.source for cell in cells if cell.cell_type == "code")


def test_a_notebook_of_a_likelihood_whose_noise_multiplies_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 160)
    lines = [f"{y:.5f},{at:.4f}" for y, at in zip(np.exp(6 * x + 0.2 * rng.normal(size=160)), x, strict=True)]
    (tmp_path / "loads.csv").write_text("\n".join(["load,x", *lines]), encoding="utf-8")
    assert main(["new", "loads.csv", "--target", "load"]) == 0
    done = run(tmp_path / "loads.ipynb", monkeypatch, steps=250)
    held = done["ours"].interval(0.9)
    assert (held.low > 0).all(), "a factor brings no measurement below 0"
    assert 0.75 <= held.coverage(done["data"].test.y) <= 1


def test_the_plain_table_s_notebook_is_still_that_of_classes(prices, capsys):
    assert main(["new", "homes.csv", "--target", "side"]) == 0
    cells = nbformat.read(prices.with_suffix(".ipynb"), as_version=4).cells
    assert "torch_classifier" in "".join(cell.source for cell in cells)
    assert "{{" not in "".join(cell.source for cell in cells)
