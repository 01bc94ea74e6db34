"""What a reader may count on in images that no network was trained on: noise, and rotated images."""

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from companion.datasets import noise_images, rotated
from companion.errors import DataError

IMAGES = np.random.default_rng(0).normal(0.5, 0.1, (20, 6, 8)).clip(0, 1).astype(np.float32)
SQUARE = IMAGES[:, :, :6]
KINDS = ["gaussian", "uniform", "shuffled", "constant"]
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def sorted_pixels(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sort(images.reshape(len(images), -1), axis=1)


@EVERY_KIND
def test_noise_looks_like_mnist_to_a_network(kind: str) -> None:
    noise = noise_images(kind, 30, images=IMAGES)
    assert noise.shape == (30, 6, 8), "as many as asked for, however many are given"
    assert noise.dtype == np.float32
    assert 0 <= noise.min() < noise.max() < 1


@EVERY_KIND
def test_a_seed_gives_the_same_noise_again_and_another_seed_does_not(kind: str) -> None:
    first, same, other = (noise_images(kind, 5, images=IMAGES, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
    assert len(np.unique(first, axis=0)) == 5, "the images differ among themselves"


def test_gaussian_noise_has_the_mean_and_the_spread_of_the_images() -> None:
    noise = noise_images("gaussian", 2000, images=IMAGES)
    assert noise.mean() == pytest.approx(IMAGES.mean(), abs=0.002)
    assert noise.std() == pytest.approx(IMAGES.std(), abs=0.002)
    neighbours = np.corrcoef(noise[:, 0, 0], noise[:, 0, 1])[0, 1]
    assert abs(neighbours) < 0.1


def test_gaussian_noise_around_dark_pixels_is_clipped_and_not_folded() -> None:
    dark = np.zeros((100, 4, 4))
    dark[::8] = 1  # a mean of 0.13 and a deviation of 0.34, nearly those of MNIST
    noise = noise_images("gaussian", 2000, images=dark)
    assert np.mean(noise == 0) == pytest.approx(0.35, abs=0.02)
    assert noise.max() < 1


def test_uniform_noise_has_every_level_and_constant_images_have_one_each() -> None:
    uniform, constant = (noise_images(kind, 3000) for kind in ("uniform", "constant"))
    assert uniform.shape == constant.shape == (3000, 28, 28)
    assert np.ptp(constant.reshape(3000, -1), axis=1).max() == 0
    for levels in (uniform[:, 3, 5], constant[:, 3, 5]):
        np.testing.assert_allclose(np.quantile(levels, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.05)


def test_a_shuffled_image_keeps_its_pixels_and_nothing_of_their_order() -> None:
    shuffled = noise_images("shuffled", 200, images=IMAGES)
    known = {tuple(pixels) for pixels in sorted_pixels(IMAGES)}
    assert {tuple(pixels) for pixels in sorted_pixels(shuffled)} == known, "each is one of the images, all come up"
    ramp = np.linspace(0, 0.9, 48).reshape(1, 6, 8)
    orders = noise_images("shuffled", 200, images=ramp)
    assert len(np.unique(orders, axis=0)) == 200, "a new permutation for each"
    np.testing.assert_allclose(orders.mean(axis=0), 0.45, atol=0.1)


def test_images_that_serve_as_a_model_are_left_as_they_were() -> None:
    frozen = IMAGES.copy()
    frozen.flags.writeable = False
    for kind in KINDS:
        noise_images(kind, 5, images=frozen)[:] = 0
    rotated(frozen, 0)[:] = 0
    np.testing.assert_array_equal(frozen, IMAGES)


def test_no_rotation_and_a_whole_turn_leave_an_image_as_it_is() -> None:
    np.testing.assert_array_equal(rotated(IMAGES, 0), IMAGES)
    np.testing.assert_allclose(rotated(IMAGES, 360), IMAGES, atol=1e-6)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_counter_clockwise_and_move_whole_pixels(quarters: int) -> None:
    expected = np.rot90(SQUARE, quarters, axes=(1, 2))
    np.testing.assert_allclose(rotated(SQUARE, 90 * quarters), expected, atol=1e-6)
    assert not np.allclose(rotated(SQUARE, 90 * quarters), np.rot90(expected, 2, axes=(1, 2)), atol=0.1)


def test_a_rotation_seen_in_a_mirror_goes_the_other_way() -> None:
    np.testing.assert_allclose(rotated(IMAGES[:, :, ::-1], 30), rotated(IMAGES, -30)[:, :, ::-1], atol=1e-6)
    assert not np.allclose(rotated(IMAGES, 30), rotated(IMAGES, -30), atol=0.01)


def test_what_comes_into_a_rotated_image_is_dark_and_nothing_gets_brighter_than_it_was() -> None:
    bright = np.ones((2, 9, 9))
    turned = rotated(bright, 45)
    assert turned.dtype == np.float32
    assert turned.shape == bright.shape
    assert turned[0, 0, 0] == turned[0, -1, -1] == 0
    np.testing.assert_allclose(turned[:, 2:7, 2:7], 1, atol=1e-6)
    assert 0 <= turned.min() < turned.max() <= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "salt"}, r"kind='salt'.*'gaussian', 'uniform', 'shuffled', 'constant'"),
        ({"kind": "uniform", "n": 0}, "n=0"),
        ({"kind": "uniform", "n": 2.5}, r"n=2\.5"),
        ({"kind": "uniform", "n": True}, "n=True"),
        ({"kind": "gaussian"}, r"kind='gaussian' needs images"),
        ({"kind": "shuffled"}, r"kind='shuffled' needs images"),
    ],
)
def test_noise_that_cannot_be_made_is_refused_by_setting(settings: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        noise_images(**settings)  # type: ignore[arg-type]


BAD_IMAGES = pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[0], r"shape \(6, 8\).*image\[None\]"),
        (IMAGES[:, None], r"shape \(20, 1, 6, 8\)"),
        (IMAGES[:0], r"shape \(0, 6, 8\)"),
        (255 * IMAGES, "divide bytes by 256"),
        (IMAGES - 0.5, "0 to 1 is expected"),
        (np.full((2, 3, 3), np.nan), "from nan to nan"),
        ([["a", "b"]], "not an array of numbers"),
        ([[[0.1, 0.2], [0.3]]], "not an array of numbers"),
    ],
)


@BAD_IMAGES
def test_what_is_not_an_image_is_refused(images: ArrayLike, message: str) -> None:
    for kind in KINDS:
        with pytest.raises(DataError, match=message):
            noise_images(kind, 5, images=images)
    with pytest.raises(DataError, match=message):
        rotated(images, 30)


@pytest.mark.parametrize("degrees", [np.nan, np.inf, "30", None, [30, 60]])
def test_an_angle_that_is_not_a_finite_number_is_refused(degrees: object) -> None:
    with pytest.raises(DataError, match="degrees="):
        rotated(IMAGES, degrees)  # type: ignore[arg-type]
