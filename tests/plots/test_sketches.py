"""The sketches that explain a network, the reparameterisation and flipout."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

from companion import plots
from companion.errors import ModelError


def test_a_network_has_a_circle_for_each_unit_and_a_line_for_each_weight() -> None:
    ax = plots.network_sketch([2, 5, 5, 1], ["x", "first", "second", "p"])
    circles = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
    assert [len(layer) for layer in circles] == [2, 5, 5, 1]
    assert len(ax.lines) == 2 * 5 + 5 * 5 + 5
    assert {layer[:, 1].mean() for layer in circles} == {2.0}, "every layer is centred"


@pytest.mark.parametrize(("widths", "names"), [([3], ["x"]), ([2, 0, 1], list("abc")), ([2, 1], ["x"])])
def test_a_network_needs_layers_of_units_with_names(widths: list[int], names: list[str]) -> None:
    with pytest.raises(ModelError, match="expected at least two layers"):
        plots.network_sketch(widths, names)


MEANS = np.array([0.9, -1.4, 0.3, 1.2, 0.5, -0.8, 1.6, -0.4, 1.1])
SCALES = np.array([0.3, 0.5, 0.9, 0.4, 0.3, 0.6, 0.35, 0.8, 0.5])
NAMES = ["inputs", "hidden units", "output"]


def weight_lines(ax: Axes) -> list[np.ndarray]:
    """Read the lines between units, each by its two ends, in the order of the weights."""
    return [np.column_stack(line.get_data()) for line in ax.lines[: len(MEANS)]]


def off_line(place: tuple[float, float], line: np.ndarray) -> float:
    """Measure how far a place is above or below a line that it stands on."""
    return abs(place[1] - np.interp(place[0], *line.T))


def test_a_plain_network_has_a_number_on_each_line() -> None:
    ax = plots.network_sketch([2, 3, 1], NAMES, weights=MEANS)
    numbers = [t for t in ax.texts if t.get_text() not in NAMES]
    assert [t.get_text().replace("\N{MINUS SIGN}", "-") for t in numbers] == [str(m) for m in MEANS]
    for number, line in zip(numbers, weight_lines(ax), strict=True):
        assert off_line(number.get_position(), line) < 1e-9


def test_a_bayesian_network_has_on_each_line_the_density_of_its_weight() -> None:
    ax = plots.network_sketch([2, 3, 1], NAMES, weights=np.column_stack([MEANS, SCALES]))
    curves, feet = ax.lines[len(MEANS) :: 3], ax.lines[len(MEANS) + 1 :: 3]
    for curve, foot, mean, scale, line in zip(curves, feet, MEANS, SCALES, weight_lines(ax), strict=True):
        (left, right), (ground, _) = foot.get_data()
        weight = np.interp(curve.get_xdata(), [left, right], [-3, 3])
        density = (curve.get_ydata() - ground) / np.trapezoid(curve.get_ydata() - ground, weight)
        found = np.trapezoid(weight * density, weight)
        assert abs(found - mean) < 0.02
        assert abs(np.sqrt(np.trapezoid((weight - found) ** 2 * density, weight)) - scale) < 0.05
        assert off_line(((left + right) / 2, ground), line) < 0.2


def test_what_stands_on_the_lines_does_not_stand_on_other_lines_or_on_each_other() -> None:
    ax = plots.network_sketch([2, 3, 1], NAMES, weights=MEANS)
    places = np.array([t.get_position() for t in ax.texts if t.get_text() not in NAMES])
    lines = weight_lines(ax)
    for k, place in enumerate(places):
        beside = [line for line in lines if line[0, 0] <= place[0] <= line[1, 0]]
        assert sorted(off_line(place, line) for line in beside)[1] > 0.15
        others = np.delete(places, k, axis=0)
        assert np.abs((others - place) * (2, 1)).max(axis=1).min() > 0.25


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (MEANS[:-1], "for 9 lines"),
        (np.ones((9, 3)), "for 9 lines"),
        (np.full(9, np.nan), "expected a finite number"),
        (np.column_stack([MEANS, SCALES - 0.3]), "expected positive"),
    ],
)
def test_weights_are_finite_as_many_as_lines_and_of_positive_scale(weights: np.ndarray, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        plots.network_sketch([2, 3, 1], NAMES, weights=weights)


def test_draws_move_with_mean_and_scale_and_keep_their_noise() -> None:
    noise, laws = [-1.0, 0.5], {"before a step": (0.0, 2.0), "after it": (1.5, 0.5)}
    _, right = plots.reparameterisation_sketch(*laws.values(), noise=noise)
    drawn = np.array([line.get_xdata()[0] for line in right.lines if len(line.get_xdata()) == 1])
    assert np.allclose(drawn, [-2.0, 1.0, 1.0, 1.75])


def test_a_standard_deviation_is_positive() -> None:
    with pytest.raises(ModelError, match="expected positive"):
        plots.reparameterisation_sketch((0, 1), (0, 0))


def test_the_axis_of_the_draws_has_the_name_that_the_page_uses() -> None:
    _, right = plots.reparameterisation_sketch((0, 1), (1, 1), symbol="w")
    assert right.get_xlabel() == r"$w = \mu + \sigma\,\varepsilon$"


def entries(ax: Axes) -> np.ndarray:
    """Read a matrix off its squares: area with the sign that filled or open says."""
    squares = [(s.get_width() ** 2, s.get_facecolor()[:3] == s.get_edgecolor()[:3]) for s in ax.patches]
    return np.array([area if filled else -area for area, filled in squares])


NOISE = np.array([[1.0, -2.0, 0.5], [-0.1, 1.5, -0.7]])
SIGNS = [([1, -1], [1, 1, -1]), ([-1, -1], [1, -1, 1]), ([1, 1], [1, 1, 1]), ([1, -1], [-1, -1, 1])]


def test_images_share_the_sizes_of_the_noise_and_have_signs_of_their_own() -> None:
    noise, *images = plots.flipout_sketch(NOISE, SIGNS)
    scale = 0.85**2 / 2.0
    np.testing.assert_allclose(entries(noise), scale * NOISE.ravel())
    assert not noise.texts, "the draw has no signs"
    for ax, (r, s) in zip(images, SIGNS, strict=True):
        np.testing.assert_allclose(entries(ax), scale * (NOISE * np.outer(r, s)).ravel())
        assert [text.get_text() for text in ax.texts] == ["+" if sign > 0 else "\N{MINUS SIGN}" for sign in [*s, *r]]
    assert [ax.get_title() or ax.get_title(loc="left") for ax in images] == [f"image {n}" for n in range(1, 5)]


@pytest.mark.parametrize(
    ("noise", "signs", "said"),
    [
        (NOISE[0], SIGNS, "expected a matrix"),
        (0 * NOISE, SIGNS, "expected a matrix"),
        (np.where(NOISE > 1, np.nan, NOISE), SIGNS, "expected a matrix"),
        (NOISE, [], "no signs"),
        (NOISE, [([1, 1, 1], [1, 1])], "expected 1 or -1"),
        (NOISE, [([1, 0.5], [1, 1, 1])], "expected 1 or -1"),
    ],
)
def test_flipout_needs_a_matrix_and_signs_that_fit_it(noise: np.ndarray, signs: list, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        plots.flipout_sketch(noise, signs)


def test_flipout_needs_axes_for_the_noise_and_each_image() -> None:
    with pytest.raises(ModelError, match="2 axes for the noise and 2 images"):
        plots.flipout_sketch(NOISE, SIGNS[:2], axes=plt.subplots(1, 2)[1])
