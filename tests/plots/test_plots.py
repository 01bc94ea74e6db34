"""Figures show what they say: checked on the artists, not on pixels."""

import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.contour import QuadContourSet

from companion import compat, plots
from companion.datasets import Observations, moons
from companion.errors import DataError, ModelError
from companion.inference import fit_advi
from companion.models import binary_classifier
from companion.plots.style import probability_map, uncertainty_map
from companion.prediction import grid

pytestmark = pytest.mark.usefixtures("close_figures")


@pytest.fixture(scope="module")
def data():
    return moons(n_samples=100).train


def luminance(color):
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


def test_figures_are_opaque_white_so_that_dark_pages_can_be_read(data):
    figure = plots.data_scatter(data).figure
    assert to_hex(figure.get_facecolor(), keep_alpha=True) == "#ffffffff"
    assert plt.rcParams["savefig.facecolor"] == "white"


def test_class_colours_stand_out_from_paper_and_surface():
    for color, end in zip(plots.CLASS_COLORS, (0.0, 1.0), strict=True):
        assert 1.05 / (luminance(color) + 0.05) > 3  # WCAG contrast of graphics with white
        assert (luminance(probability_map()(end)) + 0.05) / (luminance(color) + 0.05) > 1.8


def test_scatter_draws_each_class_in_its_place(data):
    ax = plots.data_scatter(data)
    for label, points in enumerate(ax.collections):
        np.testing.assert_array_equal(points.get_offsets(), data.x[data.y == label])


def test_wrong_labels_are_ringed_and_counted(data):
    labels = data.y.copy()
    labels[:3] = 1 - labels[:3]
    ax = plots.predicted_labels(data, labels)
    np.testing.assert_array_equal(ax.collections[-1].get_offsets(), data.x[:3])
    assert "wrong (3)" in [text.get_text() for text in ax.get_legend().get_texts()]
    with pytest.raises(DataError, match="expected one for each row"):
        plots.predicted_labels(data, labels[:-1])


def test_probability_surface_shows_class_1_and_says_so():
    plane = grid(n=10)
    p = (plane.points[:, 0] + 3) / 6  # class 1 to the right
    ax = plots.probability_surface(plane, np.stack([1 - p, p], axis=-1)[None])
    bar = ax.figure.axes[-1]
    assert bar.get_ylabel() == "posterior predictive probability of class 1"
    red, blue = to_rgb(probability_map()(1.0)), to_rgb(probability_map()(0.0))
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    boundary = ax.collections[-1].get_paths()[0].vertices if ax.collections[-1].get_array() is not None else None
    assert boundary is None or np.allclose(boundary[:, 0], 0, atol=1e-6)


def test_uncertainty_map_darkens_evenly():
    steps = [luminance(uncertainty_map()(v)) for v in np.linspace(0, 1, 9)]
    assert (np.diff(steps) < 0).all()


def test_surfaces_refuse_what_does_not_fit():
    plane = grid(n=10)
    with pytest.raises(ModelError, match="100"):
        plots.uncertainty_surface(plane, np.zeros(99), label="sd")
    with pytest.raises(ModelError, match="raise the maximum"):
        plots.uncertainty_surface(plane, np.full(100, 0.6), label="sd")
    with pytest.raises(ModelError, match="classes"):
        plots.probability_surface(plane, np.zeros((100, 2)))


def tilted(plane, slopes):
    """Networks whose decision lines go through the origin with these slopes: (draws, points, 2)."""
    p = np.stack([1 / (1 + np.exp(plane.points @ [slope, -1.0])) for slope in slopes])
    return np.stack([p, 1 - p], axis=-1)


def test_decision_lines_show_each_network_and_their_average(data):
    plane = grid(n=41)
    ax = plots.decision_lines(plane, tilted(plane, (0.5, 1.0, 2.0)), data=data, class_names=("left", "right"))
    drawn = [c for c in ax.collections if isinstance(c, QuadContourSet)]
    assert len(drawn) == 4
    for line, slope in zip(drawn, (0.5, 1.0, 2.0), strict=False):
        x1, x2 = np.concatenate([path.vertices for path in line.get_paths()]).T
        np.testing.assert_allclose(x2, slope * x1, atol=0.1)
    assert drawn[-1].get_linewidths()[0] > 2 * drawn[0].get_linewidths()[0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["left", "right"]
    alone = plots.decision_lines(plane, tilted(plane, (0.5, 1.0)), average=False)
    assert len([c for c in alone.collections if isinstance(c, QuadContourSet)]) == 2


def test_a_network_that_always_says_the_same_has_no_line():
    plane = grid(n=10)
    certain = np.broadcast_to([0.2, 0.8], (3, 100, 2))
    ax = plots.decision_lines(plane, certain)
    assert all(not path.vertices.size for c in ax.collections for path in c.get_paths())
    with pytest.raises(ModelError, match="3 classes"):
        plots.decision_lines(plane, np.full((2, 100, 3), 1 / 3))


def test_panels_share_one_bar_and_each_has_its_line(data):
    plane = grid(n=31)
    panels = {"first": np.full(961, 0.1), "second": np.full(961, 0.2)}
    across, up = (tilted(plane, (slope,))[0, :, 1] for slope in (0.0, 3.0))
    figure = plots.uncertainty_panels(
        plane, panels, label="sd", data=data, lines={"first": across, "second": up}, class_names=("a", "b")
    )
    first, second, bar = figure.axes
    assert bar.get_ylabel() == "sd"
    assert [first.get_title("left"), second.get_title("left")] == ["first", "second"]
    assert first.get_legend() is not None
    assert second.get_legend() is None
    heights = [np.abs(ax.collections[1].get_paths()[0].vertices[:, 1]).max() for ax in (first, second)]
    assert heights[0] < 0.1 < 2 < heights[1]
    with pytest.raises(ModelError, match="second"):
        plots.uncertainty_panels(plane, panels, label="sd", lines={"first": across})
    with pytest.raises(ModelError, match="no panel"):
        plots.uncertainty_panels(plane, {}, label="sd")
    with pytest.raises(ModelError, match="raise the maximum"):
        plots.uncertainty_panels(plane, {"one": np.full(961, 0.6)}, label="sd")


def test_a_surface_has_a_legend_where_its_classes_have_names(data):
    plane = grid(n=10)
    p = np.full((1, 100, 2), 0.5)
    assert plots.probability_surface(plane, p, data=data).get_legend() is None
    named = plots.probability_surface(plane, p, data=data, class_names=("benign", "malignant"))
    assert [text.get_text() for text in named.get_legend().get_texts()] == ["benign", "malignant"]


def test_scatter_refuses_more_than_two_features():
    with pytest.raises(DataError, match=r"\(4, 3\)"):
        plots.data_scatter(Observations(np.zeros((4, 3)), np.array([0, 1, 0, 1])))


def test_scatter_drops_no_point_in_silence():
    with pytest.raises(DataError, match=r"outside 0 and 1: \[2\]"):
        plots.data_scatter(Observations(np.zeros((4, 2)), np.array([0, 1, 2, 1])))


def test_history_shows_the_running_mean_and_refuses_nan():
    history = np.arange(1000.0)
    ax = plots.elbo_history({"fit": history}, window=100)
    assert ax.get_ylabel() == "loss: negative ELBO (nats)"
    mean = ax.lines[1]
    np.testing.assert_allclose(mean.get_ydata()[0], history[:100].mean())
    assert mean.get_xdata()[0] == 99
    history[500] = np.nan
    with pytest.raises(ModelError, match="NaN from step 500"):
        plots.elbo_history({"fit": history})
    with pytest.raises(ModelError, match="at least 200 steps"):
        plots.elbo_history({"fit": history[:10]})
    with pytest.raises(ModelError, match="no history"):
        plots.elbo_history({})


@pytest.mark.parametrize("shift", [0, -300])
def test_the_axis_of_a_loss_begins_where_the_loss_ends(shift):
    steps = np.arange(5000)
    history = shift + 115 + 400 * np.exp(-steps / 300)
    ax = plots.elbo_history({"fit": history})
    bottom, top = ax.get_ylim()
    assert bottom < shift + 115
    assert shift + 115 - bottom < 0.2 * (top - bottom)
    assert ax.get_legend() is None
    assert plots.elbo_history({"one": history, "two": history}).get_legend() is not None


def test_a_positive_loss_can_be_drawn_on_a_log_axis():
    ax = plots.elbo_history({"fit": 0.01 + 5 * np.exp(-np.arange(3000) / 1000)})
    assert ax.get_ylim()[0] > 0


def test_ranks_of_chains_that_agree_are_even_and_those_of_one_apart_are_not():
    draws = np.random.default_rng(0).normal(size=(4, 1000))
    apart = draws + np.array([0, 0, 0, 3.0])[:, None]
    even, uneven = plots.chain_ranks({"even": draws, "apart": apart}, title="Ranks")
    counts = [np.array([patch.get_data().values for patch in ax.patches[-4:]]) for ax in (even, uneven)]
    assert all(of.sum(axis=1).tolist() == [1000] * 4 for of in counts)
    assert counts[0].max() < 80 < 200 <= counts[1][3].max()
    assert all(patch.get_data().baseline is None for patch in even.patches[-4:])  # no line down to zero at the ends
    with pytest.raises(ModelError, match=r"\(1, 1000\)"):
        plots.chain_ranks({"one": draws[:1]})
    with pytest.raises(ModelError, match="no draws"):
        plots.chain_ranks({})


def test_parameter_paths_draw_one_line_for_each_weight():
    means, scales = plots.parameter_paths(np.zeros((1000, 7)), np.ones((1000, 7)), title="Paths")
    assert len(means.lines) == len(scales.lines) == 7
    assert scales.lines[0].get_ydata()[0] == 1
    with pytest.raises(ModelError, match="same shape"):
        plots.parameter_paths(np.zeros((1000, 7)), np.ones((1000, 6)))


def test_parameter_paths_have_a_colour_for_each_group():
    means, scales = plots.parameter_paths(np.zeros((100, 7)), np.ones((100, 7)), groups={"first": 5, "second": 2})
    colours = [to_hex(line.get_color()) for line in means.lines]
    assert colours == [to_hex("C0")] * 5 + [to_hex("C1")] * 2
    assert [text.get_text() for text in scales.get_legend().get_texts()] == ["first", "second"]
    with pytest.raises(ModelError, match="7 weights"):
        plots.parameter_paths(np.zeros((100, 7)), np.ones((100, 7)), groups={"first": 5})


def test_parameter_paths_mark_the_weights_that_move():
    axes = plots.parameter_paths(np.zeros((100, 3)), np.ones((100, 3)), moving=np.array([False, True, False]))
    for ax in axes:
        still, moves, also_still = (line.get_linewidth() for line in ax.lines)
        assert moves > 2 * still == 2 * also_still
    with pytest.raises(ModelError, match=r"\(2,\)"):
        plots.parameter_paths(np.zeros((100, 3)), np.ones((100, 3)), moving=np.array([False, True]))


def test_intervals_of_weights_stand_by_unit_over_that_of_the_prior():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(4000, 3, 2)) * [1.0, 0.1] + [0.0, 5.0]  # three weights into each of two units
    into, out = plots.weight_intervals({"into": draws, "out": draws[:, 0]}, title="Weights")
    assert [label.get_text() for label in into.get_yticklabels()] == ["unit 1", "unit 2"]
    segments = np.array(into.collections[0].get_segments())  # (weights, ends, 2)
    assert segments.shape == (6, 2, 2)
    widths = np.diff(segments[:, :, 0])[:, 0]
    np.testing.assert_allclose(widths[:3], 2 * 1.96, rtol=0.1)
    np.testing.assert_allclose(widths[3:], 2 * 0.196, rtol=0.1)
    shaded = into.patches[0].get_extents().transformed(into.transData.inverted())
    np.testing.assert_allclose([shaded.x0, shaded.x1], [-1.96, 1.96], atol=0.01)
    assert len(out.collections[0].get_segments()) == 2
    assert not plots.weight_intervals({"out": draws[:, 0]}, prior_scale=None)[0].patches
    with pytest.raises(ModelError, match=r"\(4000,\)"):
        plots.weight_intervals({"flat": draws[:, 0, 0]})
    with pytest.raises(ModelError, match=r"share=1\.5"):
        plots.weight_intervals({"out": draws[:, 0]}, share=1.5)


def test_model_graph_names_every_variable_and_each_dependence(data):
    ax = plots.model_graph(binary_classifier(data))
    texts = [t.get_text() for t in ax.texts]
    for name in ("x ~ Data", "w_in_1 ~ Normal", "p ~ Deterministic", "y ~ Bernoulli"):
        assert any(text.startswith(name) for text in texts)
    assert not any(text.startswith("labels") for text in texts)  # nothing is computed from y
    places = {t.get_text().split(" ~ ")[0]: t.get_position() for t in ax.texts if " ~ " in t.get_text()}
    assert all(places[w][1] > places["p"][1] > places["y"][1] for w in ("x", "w_in_1", "w_1_2", "w_2_out"))


def test_weight_traces_show_every_weight_and_name_what_is_missing(data):
    fit = fit_advi(binary_classifier(data), 20, elbo_draws=10)
    container = fit.to_arviz(50)
    plots.weight_traces(container, ["w_in_1", "w_2_out"], label="scale", title="They mix")
    assert plt.gcf().get_suptitle() == "They mix"
    drawn = {ax.get_title(loc) for ax in plt.gcf().axes for loc in ("left", "center")}
    drawn |= {text.get_text() for ax in plt.gcf().axes for text in (ax.xaxis.label, ax.yaxis.label, *ax.texts)}
    assert any("w_in_1" in text for text in drawn)
    assert compat.ARVIZ_1 or {"scale", "density", "draw"} <= drawn
    with pytest.raises(ModelError, match="'w_3'"):
        plots.weight_traces(container, ["w_3"])
    assert isinstance(fit.approximation, pm.MeanField)
