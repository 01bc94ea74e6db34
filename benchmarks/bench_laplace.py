"""Laplace approximations beside laplace-torch's: the same evidence and the same predictions, to 12 digits.

Nothing is timed. What the docstring of `companion.inference.laplace` says of that library is held here.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from abroad import Abroad

from companion.datasets import Observations
from companion.inference import Machine, laplace
from companion.laplace import LaplacePosterior
from companion.models import torch_classifier
from companion.priors import Gaussian

WIDTH, HIDDEN, CLASSES = 1.5, 5, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] * X[:, 1] > 0).astype(int) + (X[:, 2] > 1)
POINTS = RNG.normal(size=(7, 3))


@cache
def ours(structure: str, bias: bool) -> LaplacePosterior:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, last = torch.nn.Linear(3, HIDDEN, bias=bias), torch.nn.Linear(HIDDEN, CLASSES, bias=bias)
    model = torch_classifier(Observations(X, Y), torch.nn.Sequential(first, torch.nn.Tanh(), last), Gaussian(WIDTH))
    machine = Machine("cpu", "float64", compile=False)
    return laplace(model, 500, structure=structure, polish=2000, machine=machine, elbo_draws=2, progressbar=False)


def theirs(structure: str, bias: bool, folder: Path) -> dict[str, Any]:
    """What the peer finds at our mode."""
    posterior, file = ours(structure, bias), folder / "mode.npz"
    values = posterior.objective.layout.split(posterior.own_parameters("a comparison")["mean"]).values()
    np.savez(
        file, x=X, y=Y, points=POINTS, prior=np.array(WIDTH), **{f"parameter/{k}": v for k, v in enumerate(values)}
    )
    peer = Abroad("modes", "LaplaceTorch", file=str(file), structure=structure, bias=bias)
    found: dict[str, Any] = peer.ask("found")
    peer.end()
    return found


@pytest.mark.parametrize(
    ("structure", "bias"),
    [("full", True), ("full", False), ("diagonal", True), ("diagonal", False), ("kronecker", False)],
)
def test_evidence_and_predictions_are_the_same(structure: str, bias: bool, tmp_path: Path) -> None:
    found, posterior = theirs(structure, bias, tmp_path), ours(structure, bias)
    assert posterior.record.log_evidence == pytest.approx(found["evidence"], rel=1e-12)
    predictor = posterior.linear_predictor(POINTS)
    np.testing.assert_allclose(predictor.mean, found["mean"], rtol=1e-12)
    np.testing.assert_allclose(predictor.scale, found["scale"], rtol=1e-12)


def test_it_keeps_a_block_of_its_own_for_a_bias_which_here_belongs_to_its_layer(tmp_path: Path) -> None:
    found, posterior = theirs("kronecker", True, tmp_path), ours("kronecker", True)
    assert found["blocks"] == 4
    assert len(posterior.objective.family.blocks) == 2
    assert posterior.record.log_evidence != pytest.approx(found["evidence"], rel=1e-3)
