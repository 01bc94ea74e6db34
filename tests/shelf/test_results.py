"""Stored results: complete, small, and honest about where they come from."""

import numpy as np
import pytest

from companion import datasets, shelf, uncertainty
from companion.errors import DataError
from companion.shelf import results


def test_what_is_written_is_read_with_its_origin(tmp_path, monkeypatch):
    (tmp_path / "files").mkdir()
    shelf.write_result(tmp_path / "files" / "mine.npz", {"x": np.arange(3)}, {"script": "mine.py", "seeds": [1, 2]})
    monkeypatch.setattr(results, "files", lambda package: tmp_path)
    found = shelf.load_result("mine")
    np.testing.assert_array_equal(found.arrays["x"], np.arange(3))
    assert found.about["script"] == "mine.py"
    assert set(found.about) == {"script", "seeds", "date", "versions"}
    assert "torch" in found.about["versions"]
    with pytest.raises(DataError, match="no result 'yours'; there are mine"):
        shelf.load_result("yours")
    with pytest.raises(DataError, match="called 'about'"):
        shelf.write_result(tmp_path / "other.npz", {"about": np.zeros(1)}, {})


def test_methods_are_summarised_over_their_seeds():
    scores = {
        "accuracy": np.array([[0.9, 0.8, 0.7], [0.6, np.nan, np.nan]]),
        "elbo": np.array([[1, 2, 4], [np.nan] * 3]),
    }
    found = shelf.Result(scores, {"methods": ["cold", "plain"], "seeds": [0, 1, 5], "script": "some.py"})
    assert found.by_seed("cold")["elbo"].to_dict() == {0: 1, 1: 2, 5: 4}
    assert found.by_seed("plain").to_dict() == {"accuracy": {0: 0.6}}
    with pytest.raises(DataError, match=r"no method 'warm' in the result of some.py; it has cold, plain"):
        found.by_seed("warm")
    assert found.median().loc["cold"].tolist() == [0.8, 2]
    assert found.median().loc["plain", "accuracy"] == 0.6
    assert np.isnan(found.median().loc["plain", "elbo"])
    assert found.spread().loc["cold"].tolist() == pytest.approx([0.2, 3])
    assert found.spread().loc["plain"].isna().all()
    assert found.seeds().to_dict() == {"cold": 3, "plain": 1}
    with pytest.raises(DataError, match="names no methods"):
        shelf.load_result("breast_cancer").median()


def test_methods_are_grouped_by_how_they_weigh_the_divergence():
    scores = {
        "test accuracy": np.array([[0.9], [0.98], [0.95], [0.97], [0.99]]),
        "temperature": np.array([[1.0], [0.05], [1.0], [np.nan], [0.1]]),
    }
    names = ["wide", "tempered", "narrow", "plain", "longer"]
    found = shelf.Result(scores, {"methods": names, "script": "x.py"}).grouped()
    assert list(found.index) == [
        ("T = 1", "narrow"), ("T = 1", "wide"), ("tempered", "longer"), ("tempered", "tempered"),
        ("not variational", "plain"),
    ]  # fmt: skip
    assert found.loc[("tempered", "longer"), "test accuracy"] == 0.99
    with pytest.raises(DataError, match="no score"):
        shelf.Result(scores, {"methods": names, "script": "x.py"}).grouped("accuracy")


@pytest.mark.parametrize(("features", "columns"), [(2, ("mean radius", "mean texture")), (30, None)])
@pytest.mark.parametrize("name", ["post", "learned scales"])
def test_the_stored_predictions_belong_to_the_splits_they_claim(features, columns, name):
    study = shelf.load_result("breast_cancer")
    p = study.arrays[f"probability, {features}, {name}"]
    assert p.shape == (20, 285)
    right = []
    for seed in range(20):
        y = datasets.breast_cancer(columns, seed=seed, positive="malignant").test.y
        right.append(uncertainty.accuracy(np.stack([1 - p[seed], p[seed]], axis=-1)[None], y))
    assert np.min(right) > (0.83 if features == 2 else 0.94)  # another order of rows would leave about one half


@pytest.mark.parametrize(
    "name",
    ["post, mode", "post, mean-field", "post, full-rank"]
    + [f"{name}, HMC" for name in ("post", "wide output", "learned scales")],
)
def test_the_sampled_networks_belong_to_the_splits_they_claim(name):
    p = shelf.load_result("breast_cancer_reference").arrays[f"probability, {name}"]
    assert p.shape == (3, 285)
    for seed in range(3):
        y = datasets.breast_cancer(None, seed=seed, positive="malignant").test.y
        assert uncertainty.accuracy(np.stack([1 - p[seed], p[seed]], axis=-1)[None], y) > 0.94


def test_every_machine_that_runs_were_made_on_is_named():
    versions = {"versions": {"machine": "this one"}}
    assert shelf.Result({}, versions).machines() == ["this one"]
    assert shelf.Result({}, versions | {"machines": ["another", "this one"]}).machines() == ["another", "this one"]
