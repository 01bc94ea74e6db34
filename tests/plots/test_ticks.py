"""Logarithmic axes have plain numbers, and enough of them to be read."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from companion import plots

pytestmark = pytest.mark.usefixtures("close_figures")


def named(axis):
    """The numbers that an axis names within its limits."""
    axis.figure.canvas.draw()
    low, high = sorted(axis.get_view_interval())
    ticks = [(place, label.get_text()) for place, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)]
    ticks += [
        (place, label.get_text())
        for place, label in zip(axis.get_ticklocs(minor=True), axis.get_ticklabels(minor=True), strict=True)
        if label.get_text()
    ]
    return {place: text for place, text in ticks if low <= place <= high}


@pytest.mark.parametrize(
    "ends",
    [(0.002, 700), (3e-6, 0.02), (1, 4e7), (0.2, 3), (30, 120), (0.21, 0.48), (300, 40_000), (90, 0.4), (1.2, 1.9)],
)
def test_a_log_axis_names_at_least_three_numbers_and_each_is_its_own(ends):
    _, ax = plt.subplots()
    ax.set(yscale="log", ylim=ends, xlim=(0, 1))
    linear = list(ax.get_xticks())
    assert plots.plain_numbers(ax) is ax
    found = named(ax.yaxis)
    assert 3 <= len(found) <= 12
    for place, text in found.items():
        assert float(text.replace(",", "")) == pytest.approx(place)
        assert "e" not in text
    assert list(ax.get_xticks()) == linear


def test_numbers_follow_when_the_limits_change():
    _, ax = plt.subplots()
    ax.set(xscale="log", xlim=(1, 10_000))
    plots.plain_numbers(ax)
    assert set(named(ax.xaxis).values()) == {"1", "10", "100", "1,000", "10,000"}
    ax.set_xlim(1, 10)
    assert set(named(ax.xaxis).values()) == {"1", "3", "10"}


RNG = np.random.default_rng(0)
LOGARITHMIC = {
    "histogram": lambda: plots.score_histograms({"a": RNG.gamma(1, size=2000)}, xlabel="x", log=True),
    "weights": lambda: plots.weight_posteriors({"fit": {"a": (np.ones(9), RNG.gamma(1, size=9))}}).axes[1],
    "pruning": lambda: plots.pruning_curve([0.1, 0.99], {"a": [1, 0]}, ylabel="y", log=True),
    "bound": lambda: plots.bound_against_accuracy({"a": 0.3, "b": 0.9}, {"a": 0.9, "b": 0.8}),
}


@pytest.mark.parametrize("figure", LOGARITHMIC)
def test_no_figure_of_the_companion_names_powers_of_ten(figure):
    ax = LOGARITHMIC[figure]()
    axes = [axis for axis in (ax.xaxis, ax.yaxis) if axis.get_scale() == "log"]
    assert len(axes) == 1
    names = named(axes[0]).values()
    assert len(names) >= 3
    assert not any("10^" in name for name in names)


def test_ratios_are_named_and_not_their_logarithms():
    ax = plots.snr_histogram({"a": 10 ** RNG.uniform(-3, 1, 500)})
    assert set(named(ax.xaxis).values()) == {"0.001", "0.01", "0.1", "1", "10"}
