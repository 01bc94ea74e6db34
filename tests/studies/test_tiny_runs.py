"""Studies that run for hours have a tiny form that does all of it in seconds, and leaves the stored results alone."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from companion import shelf
from tools import ROOT

STUDIES = ROOT / "studies"


def stored(study):
    """When the result files of a study, and of those with a like name, were written."""
    return {path.name: path.stat().st_mtime_ns for path in shelf.FILES.glob(f"*{study}*")}


def tiny(study, folder, *methods, part=None):
    """Run a study, or a part of it, in its tiny form; give the rows of its runs by the names of their files."""
    before = stored(study)
    command = [sys.executable, "-W", "ignore", str(STUDIES / f"{study}.py"), "--tiny", "--work", str(folder / study)]
    command[4:4] = [part] if part else []
    command += ["--methods", *methods] if methods else []
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert stored(study) == before
    kept = sorted((folder / study / f"{part}_tiny" if part else folder / f"{study}_tiny").glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in kept}


def test_samplers_are_held_against_nuts_and_known_answers(tmp_path):
    methods = ["calibration; mclmc", "eight schools; chees-hmc", "funnel; adjusted-mclmc", "moons; mclmc"]
    rows = tiny("samplers", tmp_path, *methods)
    assert list(rows) == [f"{method.replace(' ', '_')}-0" for method in sorted(methods)]
    assert 0 <= rows["calibration;_mclmc-0"]["p, mean"] <= 1
    for name in ("eight_schools;_chees-hmc-0", "funnel;_adjusted-mclmc-0"):
        assert rows[name]["gradients"] > 0
        assert np.isfinite(rows[name]["mean, standard errors"])
    assert np.isfinite(list(rows["moons;_mclmc-0"].values())).all()


def test_scales_of_units_are_compared_with_the_settings_that_were_chosen(real_data, tmp_path):
    candidates = [f"rate {rate}, warm-up 0.4" for rate in (0.003, 0.005)]
    rows = tiny("unit_scales", tmp_path, *candidates, "rows times columns", "columns")
    assert len(rows) == 4
    for row in rows.values():
        assert 0 <= row["units alive, 1.weight"] <= 20
        assert row["negative elbo"] > 0


def test_the_post_is_fitted_as_it_did(real_data, tmp_path):
    rows = tiny("post", tmp_path, "dense", "hierarchical convolutional")
    assert list(rows) == ["dense-0", "hierarchical_convolutional-0"]
    for row in rows.values():
        assert 0 <= row["vote of sampled labels"] <= 1
        assert row["negative elbo"] > 0
    scales = {name for name in rows["hierarchical_convolutional-0"] if name.startswith("log of ")}
    assert len(scales) == 16, "mean and standard deviation of eight scales"
    assert not any(name.startswith("log of ") for name in rows["dense-0"])


def test_the_dense_posterior_is_asked_by_chains_and_by_the_limit_of_infinite_width(real_data, tmp_path):
    methods = [
        "chains, step 0.08", "infinite width, 2,000 images", "infinite width, 2,000 images, own likelihood",
        "chains of all rows, 50 units", "mean-field, 50 units", "convolutional chains, step 0.08",
        "chains, learned row and column scales", "convolutional chains, fan-in prior",
        "Langevin chains of all rows, 50 units",
    ]  # fmt: skip
    rows = tiny("mnist_posterior", tmp_path, *methods)
    assert len(rows) == len(methods)
    assert all(0 <= row["test accuracy"] <= 1 for row in rows.values())
    for of_chains in (
        "chains_step_0.08-0",
        "chains_learned_row_and_column_scales-0",
        "convolutional_chains_fan-in_prior-0",
    ):
        assert 0.5 < rows[of_chains]["norm 1.weight"] < 2, "in units of its own prior"
        assert rows[of_chains]["temperature"] == pytest.approx(1, abs=0.2)
        assert rows[of_chains]["heat 1.weight"] == pytest.approx(1, abs=0.4)
        assert 0 <= rows[of_chains]["auroc, Fashion-MNIST, mutual information"] <= 1


def test_temperatures_and_widths_differ_in_nothing_else(real_data, tmp_path):
    rows = tiny("mnist_sweeps", tmp_path, "dense, T = 1", "dense, T = 0.01", "two layers of 10, rate 0.005")
    assert len(rows) == 3
    assert rows["dense_T_=_1-0"]["negative elbo"] < rows["dense_T_=_0.01-0"]["negative elbo"]


def test_settings_are_varied_one_at_a_time_and_those_in_use_are_run_once(real_data, tmp_path):
    import mnist_choice

    rows = tiny("mnist_choice", tmp_path)
    assert {name.split("-")[0] for name in rows} == {
        *(f"dense_tempered_{what}" for what in ("as_it_is", "rate_0.001", "rate_0.01")),
        *(f"dense_plain_{what}" for what in ("as_it_is", "rate_0.0003", "rate_0.003")),
    }
    assert len({row["validation nll"] for row in rows.values()}) == len(rows)
    for name, own in mnist_choice.METHODS.items():
        kind = name.split(":")[0]
        network, prior, draws, settings = mnist_choice.BASES[kind]
        base = mnist_choice.setting(network, prior, draws, **settings)
        apart = [key for key in ("network", "prior", "draws", "by") if own[key] != base[key]]
        apart += [key for key in base["settings"] if own["settings"][key] != base["settings"][key]]
        assert len(apart) == (0 if mnist_choice.as_it_is(name) != name else 1), name


def test_the_league_holds_every_method_against_the_plain_network(real_data, tmp_path):
    rows = tiny("league", tmp_path, part="clothes-lenet5")
    chosen = [name for name in rows if "only this one-0" not in name and "only this one" in rows[name]]
    assert len(chosen) == 6, "all but the plain one"
    plain, best = rows["plain-0"], min(rows[f"plain_decay_{d}-0"]["validation nll"] for d in (1, 10, 100))
    assert plain["validation nll"] == best
    for name in chosen:
        row = rows[name]
        gained = (row["only this one"] - row["only the plain one"]) / 200
        assert np.isclose(row["test accuracy"] - plain["test accuracy"], gained), "the pairs add up"
        assert row["scaled nll"] < row["test nll"] + 0.5
        for kind, own in (("nll", "test nll"), ("scaled nll", "scaled nll")):
            assert np.isclose(row[f"{kind} over plain"], row[own] - plain[own], atol=1e-5), "the images' costs add up"
            assert row[f"{kind} over plain, error"] > 0
    assert "auroc, digits, energy" in plain


def test_labels_are_sent_block_by_block(real_data, tmp_path):
    of_50 = ["mean-field, 50 units", "bound of the mean-field, 50 units", "Laplace, 50 units, scale 0.1"]
    rows = tiny("codes", tmp_path, "plain", *of_50)
    assert list(rows.pop("bound_of_the_mean-field_50_units-0")) == ["negative elbo"]
    at_a_mode = rows.pop("Laplace_50_units_scale_0.1-0")
    assert at_a_mode["negative log evidence"] > 0
    assert at_a_mode["distance"] > 0
    assert len(rows) == 2
    for row in rows.values():
        costs = [value for name, value in row.items() if name.startswith("labels ")]
        assert len(costs) == 3
        assert np.isclose(costs[0], 50 * np.log(10)), "nothing is known yet"
        assert np.isclose(sum(costs) / 200, row["nats an image"])


def test_a_block_is_as_long_as_all_before_it():
    import codes

    found = codes.blocks(50_000, 100)
    assert found[:3] == [(0, 100), (100, 200), (200, 400)]
    assert found[-1] == (25_600, 50_000)
    assert [begin for begin, _ in found[1:]] == [end for _, end in found[:-1]]


def test_a_calibrated_forecaster_scores_what_it_promises():
    import league

    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(10), 20_000)
    found = league.calibrated(p[None], 0)
    assert np.isclose(found["nll"], -(p * np.log(p)).sum(1).mean(), atol=0.01)
    assert np.isclose(found["accuracy"], p.max(1).mean(), atol=0.01)


def test_methods_are_run_by_the_part_of_a_study_that_has_them(tmp_path):
    import runs

    given = runs.parser("", "parts").parse_args(["--methods", "b", "--seeds", "1", "--work", str(tmp_path)])
    runs.complete(given, ["a"], lambda method, seed: {"x": 1.0})
    runs.complete(given, ["b", "c"], lambda method, seed: {"x": 2.0})
    assert [path.name for path in tmp_path.iterdir()] == ["b-0.json"]
