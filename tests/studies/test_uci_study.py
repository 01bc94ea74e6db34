"""The study of the regression benchmark: networks side by side are networks by themselves, and the rivals are sound."""

import subprocess
import sys

import numpy as np
import pytest

from companion import datasets
from tools import ROOT

STUDIES = ROOT / "studies"


@pytest.fixture(scope="module")
def study():
    import uci_networks
    import uci_rivals

    return uci_networks, uci_rivals


def rows(networks, low, high, splits=2, points=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(points, splits, 3))
    y = rng.uniform(low, high, size=(points, splits))
    y[0], y[1] = low, high
    return networks.Rows(x, y)


@pytest.mark.parametrize(("low", "high"), [(5.0, 6.0), (0.01, 60.0)])
def test_the_joint_density_of_two_networks_is_the_product_of_their_own(study, low, high):
    networks, _ = study
    both = rows(networks, low, high)
    chosen = [networks.Candidate(1.0, False), networks.Candidate(3.0, True)]
    model = networks.network(both, chosen)
    point = model.initial_point()
    rng = np.random.default_rng(1)
    point = {name: (value + 0.1 * rng.normal(size=value.shape)).astype(value.dtype) for name, value in point.items()}
    joint = model.compile_logp(mode="FAST_COMPILE")(point)
    alone = 0.0
    for k, candidate in enumerate(chosen):
        one = networks.network(both.of([k]), [candidate])
        alone += one.compile_logp(mode="FAST_COMPILE")({name: value[k : k + 1] for name, value in point.items()})
    assert joint == pytest.approx(alone, rel=1e-5)


def test_a_target_that_spans_two_orders_of_magnitude_has_noise_that_multiplies(study):
    networks, _ = study
    assert networks.multiplied(np.array([0.01, 62.0]))
    assert not networks.multiplied(np.array([1.0, 62.0]))
    assert not networks.multiplied(np.array([-1.0, 1000.0]))


def test_rows_that_choose_are_training_rows_alone(real_data, monkeypatch, study):
    networks, _ = study
    monkeypatch.setenv("COMPANION_DATA_DIR", str(real_data))
    inner, judge = networks.parts("yacht", [0, 3], inner=True)
    train, test = networks.parts("yacht", [0, 3])
    np.testing.assert_array_equal(np.concatenate([inner.x, judge.x]), train.x)
    assert (len(inner.y), len(judge.y), len(train.y), len(test.y)) == (222, 55, 277, 31)
    np.testing.assert_array_equal(test.y[:, 1], datasets.uci("yacht", 3).test.y)


def test_least_squares_say_how_far_off_the_next_measurement_is(study):
    """Over 100 simulated tables, 90 % intervals hold 90 % of fresh measurements, though only 12 rows were seen."""
    _, rivals = study
    rng = np.random.default_rng(0)
    held = []
    for _ in range(100):
        x, new = rng.normal(size=(12, 3)), rng.normal(size=(20, 3))
        y, fresh = (z @ [1.0, -1.0, 0.5] + 0.3 * rng.normal(size=len(z)) for z in (x, new))
        held.append(rivals.linear(x, y, new).interval(0.9).coverage(fresh))
    assert np.mean(held) == pytest.approx(0.9, abs=0.02)


def test_kernels_around_quantiles_have_about_these_quantiles(study):
    _, rivals = study
    quantiles = np.quantile(np.random.default_rng(0).normal(10, 2, 100_000), rivals.QUANTILES)[:, None]
    found = rivals.kernels(np.random.default_rng(1).normal(10, 2, 100), quantiles, 0.5)
    np.testing.assert_allclose(found.quantiles([0.1, 0.5, 0.9])[:, 0], quantiles[[0, 2, 4], 0], atol=0.5)


def test_dropout_learns_each_split_and_drops_at_prediction(study):
    networks, rivals = study
    data = rows(networks, 0.0, 1.0, points=80)
    target = np.stack([data.x[:, 0, 0], -data.x[:, 1, 0]], axis=1)
    fitted = rivals.Dropout(networks.Rows(data.x, target), ((0.02, False), (0.1, True)), 300, None, 0)
    for k, found in enumerate(fitted.distributions(data.x)):
        assert np.corrcoef(found.mean, target[:, k])[0, 1] > 0.95
        assert found.means.std(axis=0).min() > 0


def test_a_tiny_run_scores_every_split(real_data, tmp_path, study):
    command = [
        sys.executable, "-W", "ignore", str(STUDIES / "uci.py"), "--tiny", "--work", str(tmp_path / "uci"),
        "--methods", "yacht: choice", "yacht: deep ensemble", "yacht: linear regression",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kept = sorted(path.name for path in (tmp_path / "uci_tiny").iterdir())
    assert kept == ["yacht_choice-0.json", "yacht_deep_ensemble-0.json", "yacht_linear_regression-0.json"]
    assert "yacht: linear regression, seed 0: log density, 0 -" in done.stdout
