"""The posteriors that come with the companion, as a reader on Binder meets them."""

from importlib.resources import files

import numpy as np
import pytest

import companion
from companion import datasets, uncertainty
from companion.errors import DataError, DataUnavailableError, ModelError
from companion.prediction import predict
from companion.shelf import RELEASES


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_loads_and_predicts_without_data_or_model(name):
    posterior = companion.load_posterior(name, device="cpu")
    p = predict(posterior, np.random.default_rng(0).random((5, 28, 28), dtype=np.float32), draws=3)
    assert p.shape == (3, 5, 10)
    np.testing.assert_allclose(p.sum(axis=2), 1, atol=1e-2)
    assert posterior.record.temperature == 1
    assert posterior.record.settings["precision"] == "bfloat16"


@pytest.mark.parametrize(
    ("name", "least"),
    [("mnist-dense", 0.92), ("mnist-hierarchical", 0.9), ("mnist-convolutional", 0.97), ("lenet", 0.97)],
)
def test_a_release_reads_digits(name, least):
    try:
        test = datasets.mnist(mirrors=[]).test
    except DataUnavailableError:
        pytest.skip("needs MNIST, in COMPANION_DATA_DIR or the cache")
    # the first two thousand are harder than the rest
    p = predict(companion.load_posterior(name, device="cpu"), test.x[:2000], draws=10)
    assert uncertainty.accuracy(p, test.y[:2000]) > least


@pytest.mark.parametrize("name", [name for name in RELEASES if name.startswith("mnist")])
def test_a_release_takes_the_model_over_other_data(name):
    images = datasets.Observations(np.random.default_rng(0).random((20, 28, 28), dtype=np.float32), np.arange(20) % 10)
    posterior = companion.load_posterior(name, RELEASES[name].model(images), device="cpu")
    assert len(posterior.objective.density.data["x"]) == 20


def test_releases_are_small():
    sizes = {name: (files("companion.shelf") / "files" / r.file).stat().st_size for name, r in RELEASES.items()}
    assert sum(sizes.values()) < 14_000_000, sizes  # of which the LeNet takes 2.2 million


def test_what_isnt_there_is_said_with_what_is():
    with pytest.raises(DataError, match=r"no posterior 'mnist-densee'.*mnist-dense, mnist-hierarchical"):
        companion.load_posterior("mnist-densee")


def test_ones_own_posterior_needs_its_model(tmp_path):
    file = tmp_path / "own.safetensors"
    file.write_bytes(b"")
    with pytest.raises(ModelError, match="without its model"):
        companion.load_posterior(file)


def test_the_package_has_no_other_front_doors():
    with pytest.raises(AttributeError, match="has no attribute 'load_posteriors'"):
        _ = companion.load_posteriors
