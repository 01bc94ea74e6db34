"""The study of split priors: halves stay apart, a network is drawn for each image, and a tiny run does all of it."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from companion.networks import convolutional, dense
from companion.posterior import Moments
from tools import ROOT

STUDIES = ROOT / "studies"


@pytest.fixture(scope="module")
def study():
    import mnist_split

    return mnist_split


def law(network, seed=0):
    """Moments of a normal law of a network's weights, with a spread that matters."""
    rng = np.random.default_rng(seed)
    own = {name: p.detach().numpy() for name, p in network.named_parameters()}
    return {name: Moments(mean, rng.uniform(0.05, 0.3, mean.shape)) for name, mean in own.items()}


@pytest.mark.parametrize(
    "network",
    [
        torch.nn.Sequential(torch.nn.Flatten(), *dense(784, 6, 10, activation=torch.nn.Tanh)),
        convolutional(filters=(3, 4), hidden=6),
    ],
    ids=["dense", "convolutional"],
)
def test_networks_that_are_drawn_for_each_image_have_the_law_of_networks_that_are_drawn(study, network):
    """Means and standard deviations of the probabilities of two images, over many draws, by two ways of drawing."""
    weights, two = law(network), np.random.default_rng(1).uniform(size=(2, 28, 28)).astype(np.float32)
    many = 4000
    ours = study.drawn_for_each(network, weights, np.repeat(two, many, axis=0), seed=2).reshape(2, many, 10)
    theirs = np.stack([study.drawn_once(network, weights, two, seed=k) for k in range(many)], axis=1)
    error = 5 * np.sqrt((ours.var(axis=1) + theirs.var(axis=1)) / many)
    assert (abs(ours.mean(axis=1) - theirs.mean(axis=1)) < error).all()
    np.testing.assert_allclose(ours.std(axis=1), theirs.std(axis=1), rtol=0.15)
    own = ours - ours.mean(axis=1, keepdims=True)
    assert abs((own[0, 1:] * own[0, :-1]).mean()) < 0.05 * ours[0].var(axis=0).mean()  # each its own


def test_no_image_of_the_second_half_is_seen_before_the_prior_is_settled(real_data, monkeypatch, study):
    monkeypatch.setenv("COMPANION_DATA_DIR", str(real_data))
    given = SimpleNamespace(tiny=True)
    first, second = study.halves(given)
    parts = study.rehearsal(first)
    assert [len(part) for part in parts] == [135, 135, 30]
    np.testing.assert_array_equal(np.concatenate([part.x for part in parts]), first.x)
    np.testing.assert_array_equal(np.concatenate([part.y for part in parts]), first.y)
    kept = {image.tobytes() for image in first.x}
    assert len(kept) == len(first) == len(second) == 300
    assert not kept & {image.tobytes() for image in second.x}
    again, _ = study.halves(given)
    np.testing.assert_array_equal(again.x, first.x)


def test_a_tiny_run_certifies_every_row(real_data, tmp_path, study):
    command = [
        sys.executable, "-W", "ignore", str(STUDIES / "mnist_split.py"), "dense", "--tiny", "--work",
        str(tmp_path / "split"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {
        row: json.loads((tmp_path / "split_tiny" / f"dense_{row.replace(' ', '_')}-0.json").read_text())
        for row in study.ROWS
    }
    assert rows["the prior alone"]["divergence"] == 0 < rows["split prior"]["divergence"]
    for row in rows.values():
        assert row["error of one draw"] < row["certificate"] <= 1
        assert row["rows"] == 300
