"""Rows to learn from and rows held out: no class is lost on the way."""

from pathlib import Path

import numpy as np
import pytest
from messy import write_folder
from PIL import Image

from companion import datasets
from companion.errors import CompanionWarning, DataError


@pytest.mark.parametrize("rare", [2, 3, 5])
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.9])
def test_a_rare_class_is_on_both_sides_whatever_the_seed(rare: int, fraction: float) -> None:
    y = np.repeat([0, 1, 2], [100 - rare, rare, 20])
    x = np.arange(len(y), dtype=float)[:, None]
    for seed in range(50):
        data = datasets.tabular(x, y, name="mine", class_names=tuple("abc"), seed=seed, test_fraction=fraction)
        assert data.scaling is not None
        for part in (data.train, data.test):
            assert set(part.y) == {0, 1, 2}
            np.testing.assert_array_equal(y[data.scaling.undo(part.x)[:, 0].round().astype(int)], part.y)
        both = np.concatenate([data.scaling.undo(part.x)[:, 0] for part in (data.train, data.test)])
        np.testing.assert_allclose(np.sort(both), x[:, 0], atol=1e-9)
        assert len(data.test) == np.ceil(fraction * len(y))


def test_each_class_has_its_share_on_both_sides() -> None:
    y = np.repeat([0, 1], [300, 100])
    for seed in range(20):
        data = datasets.tabular(np.ones((400, 1)), y, name="mine", seed=seed, test_fraction=0.25)
        assert np.bincount(data.test.y).tolist() == [75, 25]


@pytest.mark.parametrize(
    ("y", "fraction", "words"),
    [
        ([0] * 9 + [1], 0.5, "classes with a single row: dog"),
        ([0] * 9 + [1] * 9, 0.05, r"test_fraction=0\.05 of 18 rows of mine in 2 classes"),
        ([0] * 9 + [1] * 9, 0.9, r"test_fraction=0\.9 of 18 rows of mine in 2 classes"),
    ],
)
def test_a_class_that_cannot_be_on_both_sides_is_named(y: list[int], fraction: float, words: str) -> None:
    with pytest.raises(DataError, match=words):
        datasets.tabular(np.ones((len(y), 1)), y, name="mine", class_names=("cat", "dog"), test_fraction=fraction)


def test_the_posts_splits_are_not_stratified_and_name_a_class_that_they_lose() -> None:
    with pytest.warns(CompanionWarning, match="of moons have none of class [01]"):
        datasets.moons(n_samples=3)


def test_a_class_of_two_images_among_many_is_on_both_sides(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, "photos", images=30)
    rare = folder / "rare"
    rare.mkdir()
    for number in range(2):
        Image.new("L", (8, 8), 100 * number).save(rare / f"{number}.png")
    for seed in range(5):
        with pytest.warns(CompanionWarning, match=r"2 files with the ending \.txt"):
            data = datasets.from_folder(folder, seed=seed, side=8)
        assert set(data.train.y) == set(data.test.y) == {0, 1, 2}
