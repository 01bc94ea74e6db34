"""Legends stand where nothing is drawn, and panels that share an axis name it once."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from companion import datasets, plots, prediction
from companion.uncertainty import Interval, risk_coverage

pytestmark = pytest.mark.usefixtures("close_figures")

RNG = np.random.default_rng(0)
MOONS = datasets.moons(200).train
X = np.linspace(-1.5, 1.5, 60)
WAVE = 10 * np.sin(2 * np.pi * X)
PLANE = prediction.grid(n=12)
HALF = np.clip(0.5 + 0.2 * PLANE.points[:, 0], 0, 1)
CLASSES = ("class 0", "class 1")


def band(ax, **how):
    """A band that fills its axes from edge to edge, with lines of all kinds."""
    bands = {"95 % of measurements": Interval(WAVE - 30, WAVE + 30), "95 % of the curves": Interval(WAVE - 9, WAVE + 9)}
    plots.regression_band(X, WAVE, bands, data=datasets.sinusoid(32), truth=WAVE, ax=ax, **how)


def refusals(ax, **how):
    of_each = {name: risk_coverage(RNG.random(50), RNG.dirichlet([1, 1], (1, 50)), np.arange(50) % 2) for name in "ab"}
    plots.risk_coverage(of_each, mark=0.8, ax=ax, **how)


def losses(ax):
    plots.elbo_history({name: RNG.exponential(size=300) for name in ("one", "two", "three")}, window=10, ax=ax)


def decisions(ax):
    of_class_1 = np.clip(HALF + RNG.normal(0, 0.1, (9, 1)), 0, 1)
    p = np.stack([1 - of_class_1, of_class_1], axis=-1)
    plots.decision_lines(PLANE, p, data=MOONS, class_names=CLASSES, ax=ax)


def surface(ax):
    p = np.stack([1 - HALF, HALF], axis=-1)[None]
    plots.probability_surface(PLANE, p, data=MOONS, class_names=CLASSES, ax=ax)


def labels(ax):
    plots.predicted_labels(MOONS, 1 - MOONS.y, ax=ax)


def paths(ax):
    walks = np.cumsum(RNG.normal(size=(50, 6)), axis=0)
    plots.parameter_paths(walks, np.exp(walks / 9), groups={"first": 4, "second": 2}, axes=[plt.figure().gca(), ax])


@pytest.mark.parametrize("panels", [1, 2])
@pytest.mark.parametrize("draw", [band, refusals, losses, decisions, surface, labels, paths])
def test_a_legend_covers_nothing_that_is_drawn(draw, panels):
    figure, axes = plt.subplots(1, panels, figsize=(7.2 if panels == 1 else 9.6, 3.6), squeeze=False)
    for ax in axes.flat:
        draw(ax)
    figure.canvas.draw()
    for ax in axes.flat:
        box = ax.get_legend().get_window_extent()
        names = ax.xaxis.get_tightbbox()
        assert box.y1 <= names.y0 < ax.bbox.y0, "it stands below the axes and what is written there"
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0
        assert not any(box.overlaps(other.get_legend().get_window_extent()) for other in axes.flat if other is not ax)
        drawn = [line.get_transform().transform(line.get_xydata()) for line in ax.lines]
        inside = [xy for xy in np.concatenate([np.empty((0, 2)), *drawn]) if ax.bbox.contains(*xy)]
        assert not any(box.contains(*xy) for xy in inside)


@pytest.mark.parametrize("draw", [band, refusals])
def test_panels_may_share_a_legend(draw):
    _, axes = plt.subplots(1, 2)
    draw(axes[0])
    draw(axes[1], legend=False)
    assert axes[0].get_legend() is not None
    assert axes[1].get_legend() is None


def test_a_wide_figure_has_its_legend_in_fewer_rows():
    heights = []
    for width in (3.2, 9.6):
        figure, ax = plt.subplots(figsize=(width, 3.6))
        band(ax)
        figure.canvas.draw()
        heights.append(ax.get_legend().get_window_extent().height)
    assert heights[0] > heights[1]


@pytest.mark.parametrize("draw", [band, decisions, labels, lambda ax: plots.data_scatter(MOONS, ax=ax)])
def test_panels_that_share_an_axis_name_it_once(draw):
    _, axes = plt.subplots(2, 2, sharex=True, sharey=True)
    for ax in axes.flat:
        draw(ax)
    assert [bool(ax.get_ylabel()) for ax in axes.flat] == [True, False, True, False]
    assert [bool(ax.get_xlabel()) for ax in axes.flat] == [False, False, True, True]


def test_panels_that_share_no_axis_each_name_their_own():
    _, axes = plt.subplots(2, 2)
    for ax in axes.flat:
        band(ax)
    assert all(ax.get_xlabel() == "x" and ax.get_ylabel() == "y" for ax in axes.flat)


def test_axes_outside_of_a_grid_keep_their_labels():
    ax = plt.figure().add_axes((0.1, 0.1, 0.8, 0.8))
    band(ax)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "y")
