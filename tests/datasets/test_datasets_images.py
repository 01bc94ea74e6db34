"""What a reader may count on in the images: the real MNIST, its relatives, the stand-in of a bare machine."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Mirror
from sklearn.neighbors import KNeighborsClassifier

from companion.datasets import (
    FASHION_CLASSES,
    LATIN_LETTERS,
    digits,
    fashion_mnist,
    fashion_mnist_dataset,
    mnist,
    omniglot,
)
from companion.errors import CompanionWarning, DataUnavailableError

Start = Callable[[dict[str, bytes]], Mirror]


def test_mnist_is_the_real_one(real_data: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = digits()
    assert data.name == "MNIST"
    assert data.validation is not None
    assert [part.x.shape for part in (data.train, data.validation, data.test)] == [
        (50_000, 28, 28),
        (10_000, 28, 28),
        (10_000, 28, 28),
    ]
    assert data.train.y[:3].tolist() == [5, 0, 4]
    assert data.validation.y[:3].tolist() == [3, 8, 6]
    assert data.test.y[:3].tolist() == [7, 2, 1]
    assert data.train.x.dtype == np.float32
    levels = data.test.x * 256
    assert (levels.min(), levels.max()) == (0, 255), "the posts divide by 256"
    np.testing.assert_array_equal(levels, np.round(levels))


def test_mnist_never_falls_back(bare: Path, closed_port: str) -> None:
    with pytest.raises(DataUnavailableError) as told:
        mnist(mirrors=[closed_port])
    for expected in ("COMPANION_DATA_DIR", closed_port, "Connection refused", "datasets.digits()"):
        assert expected in str(told.value)


def test_mnist_comes_from_a_mirror_of_ones_own(real_data: Path, bare: Path, mirror: Start) -> None:
    server = mirror({path.name: path.read_bytes() for path in (real_data / "mnist").glob("*.gz")})
    assert len(mnist(mirrors=[server.url]).train) == 50_000
    assert len(server.asked) == 4
    assert len(mnist(mirrors=[]).train) == 50_000, "the second time no mirror is needed"


def test_on_a_bare_machine_digits_says_what_stands_in_and_why(bare: Path, closed_port: str) -> None:
    with pytest.warns(CompanionWarning, match="not MNIST: .*8x8 to 28x28") as told:
        data = digits(mirrors=[closed_port])
    assert "Connection refused" in str(told[0].message)
    assert data.name == "embedded digits"
    assert data.validation is not None
    assert [part.x.shape for part in (data.train, data.validation, data.test)] == [
        (1200, 28, 28),
        (300, 28, 28),
        (297, 28, 28),
    ]
    assert data.train.x.dtype == np.float32
    assert (data.train.x.min(), data.train.x.max()) == (0, 1)
    assert all(np.ptp(np.bincount(part.y)) <= 6 for part in (data.train, data.validation, data.test))


def test_the_stand_in_keeps_its_digits_and_its_seed(bare: Path) -> None:
    with pytest.warns(CompanionWarning):
        first, same, other = (digits(seed=seed, mirrors=[]) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.train.x, same.train.x)
    assert not np.array_equal(first.train.y, other.train.y)
    nearest = KNeighborsClassifier(1).fit(first.train.x.reshape(1200, -1), first.train.y)
    score = nearest.score(first.test.x.reshape(297, -1), first.test.y)
    assert score > 0.95, "each image still has its own label, and still looks like a digit"


def test_fashion_mnist_is_its_test_images(real_data: Path) -> None:
    clothes = fashion_mnist()
    assert clothes.x.shape == (10_000, 28, 28)
    assert clothes.x.dtype == np.float32
    assert np.bincount(clothes.y).tolist() == [1000] * 10
    assert clothes.y[:4].tolist() == [9, 2, 1, 1]


def test_all_of_fashion_mnist_is_split_like_mnist(real_data: Path) -> None:
    data, digits_ = fashion_mnist_dataset(), mnist()
    for name in ("train", "validation", "test"):
        part, of_digits = getattr(data, name), getattr(digits_, name)
        assert part.x.shape == of_digits.x.shape
        assert part.x.dtype == of_digits.x.dtype
        assert set(np.unique(part.y)) == set(range(10))
    assert data.class_names == FASHION_CLASSES
    np.testing.assert_array_equal(data.test.x, fashion_mnist().x)
    both = np.concatenate([data.train.y, data.validation.y])
    assert np.bincount(both).tolist() == [6000] * 10


def test_the_test_images_of_fashion_mnist_alone_are_fetched(real_data: Path, bare: Path, monkeypatch) -> None:
    """Readers of the book, who need them alone, don't wait for 26 MB more."""
    for file in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        (bare / "fashion-mnist").mkdir(parents=True, exist_ok=True)
        (bare / "fashion-mnist" / file).write_bytes((real_data / "fashion-mnist" / file).read_bytes())
    monkeypatch.setenv("COMPANION_DATA_DIR", str(bare))
    assert len(fashion_mnist(mirrors=[]).x) == 10_000
    with pytest.raises(DataUnavailableError, match="train-images"):
        fashion_mnist_dataset(mirrors=[])


def test_omniglot_gives_bright_latin_letters(real_data: Path) -> None:
    letters = omniglot()
    assert letters.x.shape == (520, 28, 28)
    assert letters.x.dtype == np.float32
    assert np.bincount(letters.y).tolist() == [20] * 26
    assert 0 <= letters.x.min() < letters.x.max() < 1
    assert letters.x.mean() < 0.15, "ink is bright and paper dark, as in MNIST"
    ink = [letters.x[letters.y == LATIN_LETTERS.index(letter)].mean() for letter in "im"]
    assert ink[0] < ink[1], "an i takes less ink than an m"
